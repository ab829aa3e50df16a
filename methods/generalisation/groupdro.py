"""GroupDRO: the worst domain counts most (Sagawa et al., ICLR 2020, arXiv 1911.08731)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...datasets.batch import Batch, Spec
from ..erm import ERM
from ..losses import task_errors
from ..method import searched
from ..shared.domains import domain_means
from ..shared.networks import SharedNetworkParams


@dataclass(frozen=True)
class GroupDROParams(SharedNetworkParams):
    """How fast the weights follow the losses."""

    step: float = searched(
        0.01,
        choices=(0.001, 0.003, 0.01, 0.03, 0.1),
        source="DomainBed: groupdro_eta, default and 10^U(-3, -1) as a grid",
    )


class GroupDRO(ERM):
    """Minimises sum_g q_g R_g, where q_g grows with the risk R_g of source domain g (algorithm 1).

    q_g <- q_g exp(step R_g), normalised, at each training step, then the gradient. A domain that the batch
    lacks has risk 0 in that step. The groups are the domains, as in DomainBed; in the paper they are pairs of
    a class and an attribute. With one source domain it is ERM.
    """

    Params = GroupDROParams
    version = 1
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": "groups are domains; no added regularisation",
    }
    needs_domains: ClassVar[int] = 2
    params: GroupDROParams
    weights: Tensor

    def __init__(self, params: GroupDROParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.register_buffer("weights", torch.full((spec.domains,), 1 / spec.domains))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The weighted risk of the domains."""
        if self.spec.domains < self.needs_domains:
            return super().loss(batch)
        errors = task_errors(self(batch).prediction, batch.target, self.spec)
        risks, _ = domain_means(errors, batch.domain, self.spec.domains)
        if self.training:
            # By their logarithms, so that no risk is too large; not in place, for the last step's graph.
            self.weights = (self.weights.log() + self.params.step * risks.detach()).softmax(dim=0)
        return {"task": (self.weights * risks).sum()}
