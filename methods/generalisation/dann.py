"""DANN: domain-adversarial training (Ganin et al., JMLR 17, 2016, arXiv 1505.07818), for several sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ...datasets.batch import Batch, Spec
from ..erm import ERM
from ..losses import task_loss
from ..method import searched
from ..shared.networks import SharedNetworkParams
from ..shared.reversal import discriminator, domain_errors, reverse


@dataclass(frozen=True)
class DANNParams(SharedNetworkParams):
    """The strength of the reversal, and the size of the shared network."""

    alpha_rev: float = searched(
        1.0,
        low=0.0,
        high=1.0,
        digits=1,
        source="DomainBed: lambda; Ganin et al. 2016: grows to 1; range: our choice",
    )


class DANN(ERM):
    """ERM whose fused feature hides its domain from a discriminator.

    L = task + CE(D(R(fused)), domain), R the gradient reversal with strength ``alpha_rev``: the
    discriminator D minimises its error, the encoders maximise it (Ganin et al. 2016, eq. 18). Every source is
    labelled, so all of them enter both terms. Ganin's schedule needs the length of the training and is left
    out. With a single source the second term is off, and what is left is ERM.
    """

    Params = DANNParams
    version = 2
    kinds: ClassVar[tuple[str, ...]] = ("regression", "classification", "multi-label")
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": "constant reversal in place of the schedule",
    }
    compares_domains: ClassVar[bool] = True
    params: DANNParams

    def __init__(self, params: DANNParams, spec: Spec) -> None:
        super().__init__(params, spec)
        if spec.domains > 1:
            self.adversary = discriminator(len(spec.modalities) * self.width, spec.domains)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss, and the discriminator's behind the reversal."""
        output = self(batch)
        terms = {"task": task_loss(output.prediction, batch.target, self.spec)}
        if self.spec.domains > 1:
            assert output.fused is not None
            logits = self.adversary(reverse(output.fused, self.params.alpha_rev))
            terms["domain"] = domain_errors(logits, batch.domain).mean()
        return terms
