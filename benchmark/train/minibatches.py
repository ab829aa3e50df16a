"""Minibatches: shuffled ones for training, with as many samples of each domain where a method needs that, and
consecutive slices of a batch for evaluation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from ...datasets.batch import Batch
from ..core.protocol import Protocol
from .passes import PassesOverSamples
from .seeds import generator
from .whole_conversations import ConversationMinibatches, conversation_slices


class Minibatches(PassesOverSamples):
    """Shuffled minibatches of tensors in memory. Only the seed and the number of the pass decide their order.

    Args:
        batch: all samples.
        size: samples in a minibatch.
        seed: the seed of the job.
        steps: minibatches in an epoch, which then continues over as many passes as it needs; 0 for one pass an epoch.
        drop_last: leaves out the smaller last minibatch of a pass, unless it is the only one.
    """

    def __init__(self, batch: Batch, size: int, seed: int, steps: int = 0, drop_last: bool = False) -> None:
        super().__init__(batch, seed, steps)
        self.size = size
        self.whole = drop_last and len(batch) >= size

    def __len__(self) -> int:
        return self.steps or self._in_pass()

    def pass_of(self, epoch: int, place: int) -> int:
        """As ``PassesOverSamples.pass_of``."""
        return (epoch * self.steps + place) // self._in_pass() if self.steps else epoch

    def _in_pass(self) -> int:
        """Minibatches in a pass."""
        count = len(self.batch) / self.size
        return math.floor(count) if self.whole else math.ceil(count)

    def _rows(self, number: int) -> Sequence[Tensor]:
        order = torch.randperm(len(self.batch), generator=generator(self.seed, "order", number))
        return order.to(self.batch.target.device).split(self.size)[: self._in_pass()]


class BalancedMinibatches:
    """Shuffled minibatches that hold every source domain in equal parts. Only the seed decides their order.

    Each domain is a stream of its own: all of its samples in a random order, then all of them in another. A minibatch
    takes the next size // domains samples of each stream, at least one. The streams go on from epoch to epoch, and an
    epoch has as many minibatches as one of ``Minibatches``: the samples of a small domain come several times in an epoch,
    those of a large one once in several epochs.

    Args:
        batch: all samples, of the domains in ``batch.domain``.
        size: samples in a minibatch; what is left by the division by the number of domains stays empty.
        seed: the seed of the job.
        steps: minibatches in an epoch; 0 for as many as one pass over all samples has.
        drop_last: a pass is counted without its smaller last minibatch, as in ``Minibatches``.
    """

    def __init__(self, batch: Batch, size: int, seed: int, steps: int = 0, drop_last: bool = False) -> None:
        self.batch = batch
        self.steps = len(Minibatches(batch, size, seed, steps, drop_last))
        domains = batch.domain.cpu()
        self.streams = [
            _Stream((domains == domain).nonzero().squeeze(1), seed, domain)
            for domain in domains.unique().tolist()
        ]
        self.share = max(size // len(self.streams), 1)
        self.passes = self.taken = (
            0  # minibatches given so far; of passes there are as many as streams, so none counts
        )

    def __len__(self) -> int:
        return self.steps

    def pass_of(self, epoch: int, place: int) -> int:
        """The number of the pass over the smallest domain, from 0, in which a minibatch begins.

        Args:
            epoch: the number of the epoch, from 0.
            place: the number of the minibatch in the epoch, from 0.
        """
        return (epoch * self.steps + place) * self.share // min(map(len, self.streams))

    def __iter__(self) -> Iterator[Batch]:
        for _ in range(self.steps):
            first = self.taken * self.share
            rows = torch.cat([stream.rows(first, self.share) for stream in self.streams])
            self.taken += 1
            yield self.batch.take(rows.to(self.batch.target.device))

    def go_on(self, passes: int, taken: int) -> None:
        """Continues where an interrupted training stopped, after ``taken`` minibatches; ``passes`` is 0.

        Args:
            passes: through each stream that are done.
            taken: minibatches that were taken since.
        """
        self.passes, self.taken = passes, taken


TrainingBatches = Minibatches | BalancedMinibatches | ConversationMinibatches


def training_batches(batch: Batch, rules: Protocol, compares_domains: bool, seed: int) -> TrainingBatches:
    """The minibatches of a training.

    Args:
        batch: the sources' training split; with conversations, minibatches hold whole ones.
        rules: say how large they are, and whether they hold all domains in equal parts.
        compares_domains: whether the method does (``Method.compares_domains``), for ``auto``.
        seed: the seed of the job.

    Raises:
        ValueError: whole conversations are asked for, and domains in equal parts.
    """
    balanced = rules.balance_domains == "on" or (rules.balance_domains == "auto" and compares_domains)
    several = len(batch.domain.unique()) > 1
    if batch.conversation is not None:
        if balanced and several:
            raise ValueError("batches of whole conversations cannot hold all domains in equal parts: use "
                             "--balance-domains off")  # fmt: skip
        return ConversationMinibatches(batch, rules.batch_size, seed, rules.epoch_steps, rules.drop_last)
    kind = BalancedMinibatches if balanced and several else Minibatches
    return kind(batch, rules.batch_size, seed, rules.epoch_steps, rules.drop_last)


class _Stream:
    """The samples of one domain in a random order, then in another, without end.

    Args:
        samples: their rows, [n], on the CPU.
        seed: the seed of the job.
        domain: the index of the domain, which names the draws.
    """

    def __init__(self, samples: Tensor, seed: int, domain: int) -> None:
        self.samples, self.seed, self.domain = samples, seed, domain
        self._order = lru_cache(maxsize=2)(
            self._shuffled
        )  # a minibatch reads the same pass as the one before

    def __len__(self) -> int:
        return len(self.samples)

    def rows(self, first: int, count: int) -> Tensor:
        """The rows at the places ``first`` to ``first + count - 1`` of the stream, [count]."""
        size = len(self.samples)
        passes = range(first // size, (first + count - 1) // size + 1)
        start = first - passes[0] * size
        return torch.cat([self._order(number) for number in passes])[start : start + count]

    def _shuffled(self, number: int) -> Tensor:
        """All rows, in the order of pass ``number``."""
        drawn = generator(self.seed, "order of a domain", self.domain, number)
        return self.samples[torch.randperm(len(self.samples), generator=drawn)]


def minibatches(batch: Batch, size: int) -> Iterator[Batch]:
    """Slices of at most ``size`` samples of a batch, in order; with conversations, of whole ones. No tensor is copied.

    Args:
        batch: [samples, ...].
        size: samples in a slice.

    Returns:
        The slices; the last may be shorter.
    """
    if batch.conversation is not None:
        yield from map(batch.take, conversation_slices(batch.conversation, size))
        return
    for start in range(0, len(batch), size):
        yield batch.take(slice(start, start + size))
