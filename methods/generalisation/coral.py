"""CORAL: the domains' features have the same covariance (Sun & Saenko, ECCV-W 2016, arXiv 1607.01719)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from ...datasets.batch import Batch
from ..erm import ERM
from ..losses import task_loss
from ..method import fixed, searched
from ..shared.divergences import coral, mean_distance
from ..shared.domains import mean_over_pairs
from ..shared.networks import SharedNetworkParams


@dataclass(frozen=True)
class CORALParams(SharedNetworkParams):
    """How strongly the domains are drawn together, and by what."""

    weight: float = searched(
        1.0,
        choices=(0.1, 0.3, 1.0, 3.0, 10.0),
        source="DomainBed: mmd_gamma, default and 10^U(-1, 1) as a grid",
    )
    means: bool = fixed(True, source="DomainBed; the paper has the covariances alone")


class CORAL(ERM):
    """ERM with weight * CORAL between the source domains' fused features, the mean over pairs of domains.

    CORAL(X, Y) = |C_x - C_y|_F^2 / (4 d^2), C the covariance and d the width of the features; with ``means``
    also |mean x - mean y|^2 / d, as DomainBed has it. With one source domain it is ERM.
    """

    Params = CORALParams
    version = 2
    kinds: ClassVar[tuple[str, ...]] = ("regression", "classification", "multi-label")
    departures: ClassVar[Mapping[str, str] | None] = {}
    compares_domains: ClassVar[bool] = True
    needs_domains: ClassVar[int] = 2
    as_published: ClassVar[Mapping[str, Any]] = {"means": False}
    params: CORALParams

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss, and the distance between domains."""
        if self.spec.domains < self.needs_domains:
            return super().loss(batch)
        output = self(batch)
        assert output.fused is not None
        # One sample has no covariance.
        distance = mean_over_pairs(coral, output.fused, batch.domain, least=2)
        if self.params.means:
            distance = distance + mean_over_pairs(mean_distance, output.fused, batch.domain)
        task = task_loss(output.prediction, batch.target, self.spec)
        return {"task": task, "coral": self.params.weight * distance}
