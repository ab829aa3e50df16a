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
        least=0,
        source="DomainBed: groupdro_eta, default and 10^U(-3, -1) as a grid",
    )


class GroupDRO(ERM):
    """Minimises sum_g q_g R_g, where q_g grows with the risk R_g of source domain g (algorithm 1).

    q_g <- q_g exp(step R_g), normalised, at each training step, then the gradient. Batches hold every domain in equal
    parts; where the protocol turns that off, a domain that the batch lacks keeps its weight, and the others share
    theirs anew. The groups are the domains, as in DomainBed; in the paper they are pairs of a class and an attribute.
    With one source domain it is ERM.
    """

    Params = GroupDROParams
    version = 2
    kinds: ClassVar[tuple[str, ...]] = ("regression", "classification", "multi-label")
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": "groups are domains; no added regularisation",
    }
    compares_domains: ClassVar[bool] = True
    needs_domains: ClassVar[int] = 2
    params: GroupDROParams
    weights: Tensor

    def __init__(self, params: GroupDROParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.register_buffer("weights", torch.full((spec.domains,), 1 / spec.domains))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The weighted risk of the domains; of those that the batch has, the weights sum to 1."""
        if self.spec.domains < self.needs_domains:
            return super().loss(batch)
        errors = task_errors(self(batch).prediction, batch.target, self.spec)
        risks, seen = domain_means(errors, batch.domain, self.spec.domains)
        if self.training:
            self.weights = updated_weights(self.weights, risks.detach(), seen, self.params.step)
        here = self.weights.where(seen, 0)
        return {"task": (here * risks).sum() / here.sum()}


def updated_weights(weights: Tensor, risks: Tensor, seen: Tensor, step: float) -> Tensor:
    """The weights q of the domains after a step; their sum stays 1.

    The weights of the domains that were seen follow q exp(step R) and keep their sum; those of the others stay. (With a
    risk of 0 in their place, a domain would lose weight whenever a batch happens to lack it.)

    Args:
        weights: [domains], above 0.
        risks: [domains], what is not seen has no meaning.
        seen: [domains] bool, at least one is true.
        step: how fast the weights follow the risks.
    """
    # By their logarithms, so that no risk is too large; not in place, for the last step's graph.
    shares = (weights.log() + step * risks).masked_fill(~seen, -torch.inf).softmax(dim=0)
    return torch.where(seen, shares * weights.where(seen, 0).sum(), weights)
