"""Minibatches of whole conversations: as many as fit, at least one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ...datasets.batch import Batch, Conversations
from .passes import PassesOverSamples
from .seeds import generator


def packed(sizes: Sequence[int], most: int) -> list[list[int]]:
    """Conversations in packs, in their order.

    Args:
        sizes: the number of utterances of each.
        most: utterances of a pack, unless a single conversation has more.

    Returns:
        The places of the conversations of each pack.
    """
    packs: list[list[int]] = []
    room = 0
    for place, size in enumerate(sizes):
        if size > room:
            packs.append([])
            room = max(most, size)
        packs[-1].append(place)
        room -= size
    return packs


def conversation_slices(said: Conversations, most: int) -> Iterator[slice]:
    """Slices of a batch whose conversations lie one after the other, each of whole conversations.

    Args:
        said: the conversations of the batch.
        most: utterances of a slice, unless a single conversation has more.

    Raises:
        ValueError: utterances of one conversation do not lie together.
    """
    _, counts = said.number.unique_consecutive(return_counts=True)
    if len(counts) != len(said.number.unique()):
        raise ValueError("utterances of one conversation do not lie together: use Split.with_conversations")
    sizes: list[int] = counts.tolist()
    start = 0
    for pack in packed(sizes, most):
        length = sum(sizes[place] for place in pack)
        yield slice(start, start + length)
        start += length


class ConversationMinibatches(PassesOverSamples):
    """Shuffled minibatches of whole conversations. Only the seed and the number of the pass decide their order.

    In each pass the conversations come in an order of their own, and a minibatch takes the next of them as long as they
    fit. So passes have about, not exactly, as many minibatches as another; an epoch has as many as the first pass, and the
    passes go on from epoch to epoch.

    Args:
        batch: all samples, with their conversations.
        size: utterances in a minibatch, at most, unless a single conversation has more.
        seed: the seed of the job.
        steps: minibatches in an epoch; 0 for as many as the first pass has.
        drop_last: leaves out the last minibatch of a pass, which may be small, unless it is the only one.
    """

    def __init__(self, batch: Batch, size: int, seed: int, steps: int = 0, drop_last: bool = False) -> None:
        super().__init__(batch, seed, steps)
        assert batch.conversation is not None
        self.size, self.drop_last = size, drop_last
        rows, mask = batch.conversation.rows.cpu(), batch.conversation.mask.cpu()
        self.rows = [row[there] for row, there in zip(rows, mask, strict=True)]
        self._counts: list[int] = []
        self.steps = steps or self._count(0)

    def __len__(self) -> int:
        return self.steps

    def pass_of(self, epoch: int, place: int) -> int:
        """As ``PassesOverSamples.pass_of``."""
        left, number = epoch * self.steps + place, 0
        while left >= self._count(number):
            left -= self._count(number)
            number += 1
        return number

    def _count(self, number: int) -> int:
        """Minibatches of a pass."""
        while len(self._counts) <= number:
            self._counts.append(len(self._packs(len(self._counts))))
        return self._counts[number]

    def _packs(self, number: int) -> list[Tensor]:
        """The rows of each minibatch of a pass, on the CPU."""
        drawn = torch.randperm(len(self.rows), generator=generator(self.seed, "order", number)).tolist()
        packs = packed([len(self.rows[place]) for place in drawn], self.size)
        if self.drop_last and len(packs) > 1:
            packs.pop()
        return [torch.cat([self.rows[drawn[place]] for place in pack]) for pack in packs]

    def _rows(self, number: int) -> Iterator[Tensor]:
        return (rows.to(self.batch.target.device) for rows in self._packs(number))
