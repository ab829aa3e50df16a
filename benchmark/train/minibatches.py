"""Minibatches: shuffled ones for training, and consecutive slices of a batch for evaluation."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from ...datasets.batch import Batch
from .seeds import generator


class Minibatches:
    """Shuffled minibatches of tensors in memory. Only the seed and the number of the pass decide their order.

    Args:
        batch: all samples.
        size: samples in a minibatch.
        seed: the seed of the job.
        steps: minibatches in an epoch, which then continues over as many passes as it needs; 0 for one pass an epoch.
        drop_last: leaves out the smaller last minibatch of a pass, unless it is the only one.
    """

    def __init__(self, batch: Batch, size: int, seed: int, steps: int = 0, drop_last: bool = False) -> None:
        self.batch, self.size, self.seed, self.steps = batch, size, seed, steps
        self.whole = drop_last and len(batch) >= size
        self.passes = self.taken = 0  # passes begun, and batches given of the last
        self._left: Iterator[Batch] = iter(())

    def __len__(self) -> int:
        return self.steps or self._in_pass()

    def pass_of(self, epoch: int, place: int) -> int:
        """The number of the pass over the samples, from 0, that a minibatch belongs to.

        Args:
            epoch: the number of the epoch, from 0.
            place: the number of the minibatch in the epoch, from 0.
        """
        return (epoch * self.steps + place) // self._in_pass() if self.steps else epoch

    def _in_pass(self) -> int:
        """Minibatches in a pass."""
        count = len(self.batch) / self.size
        return math.floor(count) if self.whole else math.ceil(count)

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
            taken: the number of minibatches that it had taken of the last pass.
        """
        self.passes = passes
        if self.steps and passes:
            self.passes -= 1
            self._left = self._pass()
            for _ in range(taken):
                next(self._left)

    def _pass(self) -> Iterator[Batch]:
        order = torch.randperm(len(self.batch), generator=generator(self.seed, "order", self.passes))
        order = order.to(self.batch.target.device)
        self.passes, self.taken = self.passes + 1, 0
        for rows in order.split(self.size):
            if len(rows) == self.size or not self.whole:
                self.taken += 1
                yield self.batch.take(rows)


def minibatches(batch: Batch, size: int) -> Iterator[Batch]:
    """Slices of at most ``size`` samples of a batch, in order. No tensor is copied."""
    for start in range(0, len(batch), size):
        yield batch.take(slice(start, start + size))
