"""What IRM and V-REx share: a penalty on how the source domains' risks differ, weak at first."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from ...datasets.batch import Batch, Spec
from ..erm import ERM


class Penalised(ERM):
    """ERM with weight * a penalty, the weight being ``first_weight`` in a first tenth of the epochs (DomainBed:
    500 of 5000 steps). With one source domain it is ERM.

    ``params`` has ``weight`` and ``first_weight`` beside ``width`` and ``layers``. The task's term is ERM's,
    the mean over samples; where a batch has as many of each domain, as in DomainBed, that is the mean of the
    risks.
    """

    stages = (0.1, 0.9)
    needs_domains: ClassVar[int] = 2
    #: The term's name.
    term: ClassVar[str]

    def __init__(self, params: Any, spec: Spec) -> None:
        super().__init__(params, spec)
        self.weight = params.first_weight

    def begin_stage(self, stage: int) -> None:
        """The second stage has the full weight."""
        self.weight = self.params.weight if stage else self.params.first_weight

    def risks(self, prediction: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """The task's errors [batch] of predictions for a batch of several domains, and the penalty, a scalar."""
        raise TypeError(f"{type(self).__name__} defines no penalty")

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss, and the penalty."""
        if self.spec.domains < self.needs_domains:
            return super().loss(batch)
        errors, penalty = self.risks(self(batch).prediction, batch)
        return {"task": errors.mean(), self.term: self.weight * penalty}
