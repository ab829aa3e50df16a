"""V-REx: the domains' risks are equal (Krueger et al., ICML 2021, arXiv 2003.00688)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ...datasets.batch import Batch
from ..losses import masked_mean, task_errors
from ..method import fixed, searched
from ..shared.domains import domain_means
from ..shared.networks import SharedNetworkParams
from ..shared.penalty import Penalised


@dataclass(frozen=True)
class VRExParams(SharedNetworkParams):
    """How strongly equal risks are asked for."""

    weight: float = searched(
        10.0,
        choices=(0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0, 100000.0),
        source="DomainBed: vrex_lambda, default and 10^U(-1, 5) as a grid",
    )
    first_weight: float = fixed(1.0, source="DomainBed: until annealing ends")


class VREx(Penalised):
    """ERM with weight * Var(R_1, ..., R_m), R_e the risk of source domain e (eq. 8, with DomainBed's scale).

    The variance is divided by m. It is weak in a first tenth of the epochs, and off with one source domain
    (``Penalised``).
    """

    Params = VRExParams
    version = 2
    kinds: ClassVar[tuple[str, ...]] = ("regression", "classification", "multi-label")
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": "annealing by a tenth of the epochs, no reset of the optimiser",
    }
    needs_domains: ClassVar[int] = 2
    term = "vrex"

    def penalty(self, prediction: Tensor, batch: Batch) -> Tensor:
        """The variance of the domains' risks."""
        errors = task_errors(prediction, batch.target, self.spec)
        risks, seen = domain_means(errors, batch.domain, self.spec.domains)
        return masked_mean((risks - masked_mean(risks, seen)).square(), seen)
