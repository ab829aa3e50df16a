"""What IRM and V-REx share: a penalty on how the source domains' risks differ, weak at first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from torch import Tensor

from ...datasets.batch import Batch, Spec
from ..erm import ERM
from ..losses import task_loss

#: The share of the training after which the penalty has its full weight (DomainBed: 500 of 5000 steps).
ANNEALED = 0.1


class Penalised(ERM):
    """ERM with weight * a penalty, the weight being ``first_weight`` in a first tenth of the epochs. With one source
    domain it is ERM.

    The first tenth is no stage: its epochs may be selected as any others, as in DomainBed, so that a penalty that does
    harm cannot hide it.

    ``params`` has ``weight`` and ``first_weight`` beside ``width`` and ``layers``. The task's term is ERM's, the mean over
    samples; batches hold as many of each domain, so that this is the mean of the risks.
    """

    needs_domains: ClassVar[int] = 2
    compares_domains: ClassVar[bool] = True
    #: The term's name.
    term: ClassVar[str]

    def __init__(self, params: Any, spec: Spec) -> None:
        super().__init__(params, spec)
        self.weight = params.first_weight

    def before_epoch(self, batches: Callable[[], Iterator[Batch]], done: float) -> None:
        """After the first tenth the penalty has its full weight."""
        self.weight = self.params.weight if done >= ANNEALED else self.params.first_weight

    def penalty(self, prediction: Tensor, batch: Batch) -> Tensor:
        """The penalty of predictions for a batch of several domains.

        Args:
            prediction: [batch] scores or [batch, classes] logits, with a gradient.
            batch: its samples; ``target`` and ``domain`` are read.

        Returns:
            A scalar, before its weight.

        Raises:
            TypeError: the method defines none.
        """
        raise TypeError(f"{type(self).__name__} defines no penalty")

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss, and the penalty."""
        if self.spec.domains < self.needs_domains:
            return super().loss(batch)
        prediction = self(batch).prediction
        task = task_loss(prediction, batch.target, self.spec)
        return {"task": task, self.term: self.weight * self.penalty(prediction, batch)}
