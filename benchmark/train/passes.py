"""Passes over the samples of a training, and the epochs that they are cut into."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

from torch import Tensor

from ...datasets.batch import Batch


class PassesOverSamples(ABC):
    """Minibatches that come pass by pass: every pass takes each sample once, in an order of its own.

    A subclass says which rows the minibatches of a pass have, and how many there are.

    Args:
        batch: all samples.
        seed: the seed of the job.
        steps: minibatches in an epoch, which then continues over as many passes as it needs; 0 for one pass an epoch.

    Attributes:
        passes: number of passes that have begun.
        taken: number of minibatches that were given of the last of them.
    """

    def __init__(self, batch: Batch, seed: int, steps: int) -> None:
        self.batch, self.seed, self.steps = batch, seed, steps
        self.passes = self.taken = 0
        self._left: Iterator[Batch] = iter(())

    @abstractmethod
    def pass_of(self, epoch: int, place: int) -> int:
        """The number of the pass over the samples, from 0, that a minibatch belongs to.

        Args:
            epoch: the number of the epoch, from 0.
            place: the number of the minibatch in the epoch, from 0.
        """

    @abstractmethod
    def _rows(self, number: int) -> Iterable[Tensor]:
        """The rows [n], int64, of each minibatch of a pass, on the device of the samples; not empty."""

    def __iter__(self) -> Iterator[Batch]:
        if not self.steps:
            yield from self._pass()
        for _ in range(self.steps):
            batch = next(self._left, None)
            if batch is None:
                self._left = self._pass()
                batch = next(self._left)
            yield batch

    def go_on(self, passes: int, taken: int) -> None:
        """Continues where an interrupted training stopped.

        Args:
            passes: the number of passes that it had begun.
            taken: the number of minibatches that it had taken of the last of them.
        """
        self.passes = passes
        if self.steps and passes:
            self.passes -= 1
            self._left = self._pass()
            for _ in range(taken):
                next(self._left)

    def _pass(self) -> Iterator[Batch]:
        minibatches = self._rows(self.passes)
        self.passes, self.taken = self.passes + 1, 0
        for rows in minibatches:
            self.taken += 1
            yield self.batch.take(rows)
