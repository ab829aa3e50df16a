"""Minibatches: the order of the samples of an epoch, and parts of a batch."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from ...datasets.batch import Batch
from .seeds import generator


class Minibatches:
    """Shuffled slices of tensors in memory, in an order that the seed and the number of the pass alone decide.

    The last, smaller batch of a pass is kept, so that no sample is left out, unless ``drop_last`` says
    otherwise (and the pass has another). With ``steps`` an epoch is so many batches, of as many passes as
    they take.
    """

    def __init__(self, batch: Batch, size: int, seed: int, steps: int = 0, drop_last: bool = False) -> None:
        self.batch, self.size, self.seed, self.steps = batch, size, seed, steps
        self.whole = drop_last and len(batch) >= size
        self.passes = self.taken = 0  # passes begun, and batches given of the last
        self._left: Iterator[Batch] = iter(())

    def __len__(self) -> int:
        count = len(self.batch) / self.size
        return self.steps or (math.floor(count) if self.whole else math.ceil(count))

    def __iter__(self) -> Iterator[Batch]:
        if not self.steps:
            yield from self._pass()
        for _ in range(self.steps):
            found = next(self._left, None)
            if found is None:
                self._left = self._pass()
                found = next(self._left)
            yield found

    def go_on(self, passes: int, taken: int) -> None:
        """Goes to where a training was that had begun so many passes, and taken so many batches of the last."""
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
    """Slices of a batch, in order; no tensor is copied."""
    for start in range(0, len(batch), size):
        yield batch.take(slice(start, start + size))
