"""V-REx: the domains' risks are equal (Krueger et al., ICML 2021, arXiv 2003.00688)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ..datasets.batch import Batch, Spec
from .domains import domain_means
from .erm import ERM
from .losses import masked_mean, task_errors
from .method import fixed, searched


@dataclass(frozen=True)
class VRExParams:
    """How strongly equal risks are asked for."""

    weight: float = searched(
        10.0,
        choices=(0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0, 100000.0),
        source="DomainBed: vrex_lambda, 10^U(-1, 5) as a grid",
    )
    first_weight: float = fixed(1.0, source="DomainBed: until annealing ends")
    width: int = fixed(40, source="MMDG-Bench, late fusion")
    layers: int = fixed(5, source="MMDG-Bench, late fusion")


class VREx(ERM):
    """ERM with weight * Var(R_1, ..., R_m), R_e the risk of source domain e (eq. 8, with DomainBed's scale).

    The variance is divided by m. In a first tenth of the epochs it has ``first_weight`` (DomainBed: 500 of
    5000 steps). With one source domain it is ERM. The task's term is ERM's, the mean over samples; where a
    batch has as many of each domain, as in DomainBed, that is the mean of the risks.
    """

    Params = VRExParams
    version = 1
    stages = (0.1, 0.9)
    needs_domains: ClassVar[int] = 2
    params: VRExParams

    def __init__(self, params: VRExParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.weight = params.first_weight

    def begin_stage(self, stage: int) -> None:
        """The second stage has the full weight."""
        self.weight = self.params.weight if stage else self.params.first_weight

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss, and the variance of the domains' risks."""
        if self.spec.domains < self.needs_domains:
            return super().loss(batch)
        errors = task_errors(self(batch).prediction, batch.target, self.spec)
        risks, seen = domain_means(errors, batch.domain, self.spec.domains)
        variance = masked_mean((risks - masked_mean(risks, seen)).square(), seen)
        return {"task": errors.mean(), "vrex": self.weight * variance}
