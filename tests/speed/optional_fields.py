"""Whether what a batch may carry costs a method that does not ask for it anything.

    python tests/speed/optional_fields.py

A step of ERM, from the rows of a minibatch to the optimiser's step, is timed in three ways that take turns on the same rows
and one thread: in a plain loop that picks the six fields every batch has and nothing else; from the batches of the trainer,
of data that state nothing optional; and of data that state token ids, labels of single modalities, conversations, a previous
utterance and the times of steps. The figures are CPU seconds of one over those of another. Promised is that no more than 2 %
goes into fields that nobody reads, and 3 % where the data state all of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from measure import STEPS, WIDTHS, Row, estimate, print_machine, print_table
from mmbench.benchmark.data.split import Split
from mmbench.benchmark.train.minibatches import Minibatches
from mmbench.benchmark.train.seeds import generator
from mmbench.datasets.batch import Batch, Conversations, Spec
from mmbench.methods.erm import ERM
from torch import Tensor

COUNT, SIZE, ROUNDS = 320, 32, 24


def tensors() -> Batch:
    """Samples with nothing optional."""
    draw = torch.Generator().manual_seed(0)
    return Batch(
        features={name: torch.randn(COUNT, STEPS, width, generator=draw) for name, width in WIDTHS.items()},
        mask={name: torch.ones(COUNT, STEPS, dtype=torch.bool) for name in WIDTHS},
        present={name: torch.ones(COUNT, dtype=torch.bool) for name in WIDTHS},
        target=torch.randn(COUNT, generator=draw).clamp(-3, 3),
        domain=torch.zeros(COUNT, dtype=torch.int64),
        sample_id=torch.arange(COUNT),
    )


def stating_all(batch: Batch) -> Batch:
    """The same samples of data that state all that a batch may carry, as ERM, which asks for none of it, is given them."""
    row = torch.arange(COUNT)
    stated = replace(
        batch,
        unimodal_target=dict.fromkeys(WIDTHS, batch.target),
        time={name: torch.arange(STEPS).float().expand(COUNT, STEPS).contiguous() for name in WIDTHS},
    )
    names = np.arange(COUNT).astype(str)
    split = Split(
        stated,
        names,
        names,
        (row - 1),
        batch.target.numpy(),
        np.ones(COUNT),
        Conversations(row // 8, row, row % 2),
        {"text": torch.ones(COUNT, 3, STEPS, dtype=torch.int32)},
    )
    return split.as_read_by(ERM).batch


def plain(batch: Batch) -> Iterator[Batch]:
    """Minibatches of the fields that every batch has, in the order of the trainer's first pass."""

    def pick(values: dict[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
        return {name: value[rows] for name, value in values.items()}

    order = torch.randperm(COUNT, generator=generator(0, "order", 0))
    for rows in order.split(SIZE):
        yield Batch(
            pick(dict(batch.features), rows),
            pick(dict(batch.mask), rows),
            pick(dict(batch.present), rows),
            batch.target[rows],
            batch.domain[rows],
            batch.sample_id[rows],
        )


def main() -> None:
    """Times the three ways and prints their ratios."""
    torch.set_num_threads(1)
    print_machine()
    batch = tensors()
    full = stating_all(batch)
    spec = Spec(
        WIDTHS, "regression", label_range=(-3, 3), steps=dict.fromkeys(WIDTHS, STEPS), train_size=COUNT
    )
    torch.manual_seed(0)
    method = ERM(ERM.Params(), spec)
    optimizer = torch.optim.Adam(method.parameters(), lr=1e-3)
    ways: dict[str, Callable[[], Iterator[Batch]]] = {
        "plain": lambda: plain(batch),
        "nothing": lambda: iter(Minibatches(batch, SIZE, 0)),
        "all": lambda: iter(Minibatches(full, SIZE, 0)),
    }

    def step(source: Iterator[Batch]) -> float:
        """CPU seconds of taking the next minibatch and one step on it."""
        start = time.thread_time()
        one = next(source)
        optimizer.zero_grad()
        method.backward(one)
        optimizer.step()
        return time.thread_time() - start

    seconds: list[list[float]] = []
    for number in range(-2, ROUNDS):  # the first two warm up
        sources = {name: make() for name, make in ways.items()}
        found = dict.fromkeys(ways, 0.0)
        for turn in range(COUNT // SIZE):
            names = list(ways)
            first = (number + turn) % len(names)
            for name in names[first:] + names[:first]:  # each comes first as often as the others
                found[name] += step(sources[name])
        if number >= 0:
            seconds.append([found[name] for name in ways])
    rows = [
        Row("a step, nothing optional stated, over a plain loop", *ratio(seconds, 1, 0), "x", 1.02),
        Row("a step, all stated and none asked for, over a plain loop", *ratio(seconds, 2, 0), "x", 1.03),
    ]
    print_table(f"what ERM pays for optional fields ({len(seconds)} passes of {COUNT // SIZE} steps)", rows)


def ratio(seconds: list[list[float]], over: int, under: int) -> tuple[float, float, float]:
    """The median over passes of the ratio of two ways within a pass, with its interval."""
    pairs = [[one[over] / one[under]] for one in seconds]
    return estimate({"pairs": pairs}, lambda medians: float(medians["pairs"][0]))


if __name__ == "__main__":
    main()
