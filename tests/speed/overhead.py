"""What the harness costs: beside a bare PyTorch loop, and for each job of a warm worker.

    python tests/speed/overhead.py

**Training.** ``benchmark.train.lightning_module.fit`` (Lightning, validation after every epoch, selection) and a loop as
one would write it by hand train copies of one network (ERM, the late-fusion transformer at its default
size) on the same tensors, in the same order, with the same dropout, optimiser, schedule, clipping and
validation. They take turns after every step: whenever the harness reports a step or an epoch, the bare loop
does the same step or validation before the harness goes on. So both see the same machine within a fraction
of a second. At the end their weights are compared: they did the same work if these are equal. The ratio is
that of a whole job at the default budget, put together from the medians of a step, of the turn of an epoch
(validation), and of start and end (trainer, optimiser, best weights).

**A job.** ``run_job`` in a worker that has the data in memory, with a training of two steps, beside the bare
loop and bare predictions on the same tensors, right before or after it. What is left after taking these away
is what a job costs besides its training. Below that the same from inside: where ``run_job`` spends its time,
each part without the parts inside it. What stands in parentheses is not counted as a cost.
"""

from __future__ import annotations

import copy
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from measure import (
    COUNTS,
    STEPS,
    WIDTHS,
    Row,
    estimate,
    median,
    print_machine,
    print_table,
    scratch,
    write_data,
)
from mmbench.benchmark.core.protocol import Protocol
from mmbench.benchmark.core.selection import Epoch
from mmbench.benchmark.data.split import Split
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.planning.job_matrix import jobs_of
from mmbench.benchmark.store import job_folder, store
from mmbench.benchmark.train import job_runner as runner
from mmbench.benchmark.train import lightning_module as training
from mmbench.benchmark.train import predict
from mmbench.benchmark.train.context import Context
from mmbench.benchmark.train.minibatches import minibatches
from mmbench.benchmark.train.predict import default_conditions, outputs_under
from mmbench.benchmark.train.seeds import generator, seed_everything
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods.erm import ERM
from torch.nn import functional as F

FITS, EPOCHS = 5, 3
JOBS = 25
SHORT = {"train": 64, "valid": COUNTS["valid"], "test": COUNTS["test"]}  # two steps an epoch
now = time.perf_counter


def random_batch(count: int, seed: int) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.randint(STEPS // 2, STEPS + 1, (count, 1), generator=draw)
    mask = torch.arange(STEPS) < lengths
    return Batch(
        features={
            name: torch.randn(count, STEPS, width, generator=draw) * mask.unsqueeze(-1)
            for name, width in WIDTHS.items()
        },
        mask=dict.fromkeys(WIDTHS, mask),
        present={name: torch.ones(count, dtype=torch.bool) for name in WIDTHS},
        target=torch.randn(count, generator=draw),
        domain=torch.zeros(count, dtype=torch.int64),
        sample_id=torch.arange(count),
    )


class Bare:
    """A training loop without a harness, one step at a time."""

    def __init__(self, method: ERM, protocol: Protocol, train: Batch, valid: Batch, seed: int) -> None:
        self.method, self.protocol, self.valid = method, protocol, valid
        self.optimizer = torch.optim.AdamW(
            method.parameters(), lr=protocol.learning_rate, weight_decay=protocol.weight_decay
        )
        self.batches = self._batches(train, seed)

    def _batches(self, train: Batch, seed: int) -> Iterator[Batch]:
        epochs = self.protocol.epochs
        for epoch in range(epochs):
            for group in self.optimizer.param_groups:
                group["lr"] = self.protocol.learning_rate * ((1 + math.cos(math.pi * epoch / epochs)) / 2)
            order = torch.randperm(len(train), generator=generator(seed, "order", epoch))
            for rows in order.split(self.protocol.batch_size):
                yield train.take(rows)

    def step(self) -> None:
        batch = next(self.batches)
        self.optimizer.zero_grad()
        loss = F.l1_loss(self.method(batch).prediction, batch.target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.method.parameters(), self.protocol.clip_norm)
        self.optimizer.step()

    def validate(self) -> float:
        self.method.eval()
        with torch.inference_mode():
            parts = [self.method(part).prediction for part in minibatches(self.valid, 256)]
        self.method.train()
        return float(F.l1_loss(torch.cat(parts), self.valid.target))


class InTurns:
    """Hears what the harness reports, and lets the bare loop do the same before it returns."""

    def __init__(self, bare: Bare) -> None:
        self.bare = bare
        self.random = torch.get_rng_state()
        self.harness: list[float] = []  # seconds before each report
        self.plain: list[float] = []  # of what the bare loop then did
        self.since = now()

    def __call__(self, epoch: int, share: float, ended: Epoch | None) -> None:
        arrived = now()
        self.harness.append(arrived - self.since)
        own = torch.get_rng_state()
        torch.set_rng_state(self.random)
        begun = now()
        if ended:
            self.bare.validate()
        else:
            self.bare.step()
        self.plain.append(now() - begun)
        self.random = torch.get_rng_state()
        torch.set_rng_state(own)
        self.since = now()


def fit_in_turns(train: Batch, valid: Batch, protocol: Protocol, seed: int) -> tuple[dict, bool]:
    """Harness and bare seconds of each step, each turn of an epoch, start and end; whether the weights agree."""
    spec = Spec(WIDTHS, "regression", label_range=(-3.0, 3.0))
    seed_everything(seed, "initial weights")
    method = ERM(ERM.Params(), spec)
    plain = copy.deepcopy(method).train()
    seed_everything(seed, "training")
    begun = now()
    bare = Bare(plain, protocol, train, valid, seed)
    made = now() - begun
    turns = InTurns(bare)
    training.fit(method, protocol, train, valid, seed, turns)
    after = now() - turns.since
    agree = all(torch.equal(a, b) for a, b in zip(method.parameters(), plain.parameters(), strict=True))

    steps = -(-len(train) // protocol.batch_size)
    harness = np.array(turns.harness).reshape(protocol.epochs, steps + 1)
    plainly = np.array(turns.plain).reshape(protocol.epochs, steps + 1)
    # The harness reports in the middle of a step: what lies between two reports is a whole one.
    found: dict[str, list[tuple[float, float]]] = {
        "step": list(zip(harness[:, 1:-1].ravel(), plainly[:, 1:-1].ravel(), strict=True)),
        "turn": list(zip(harness[:-1, -1] + harness[1:, 0], plainly[:-1, -1] + plainly[1:, 0], strict=True)),
        "ends": [(harness[0, 0] + harness[-1, -1] + after, plainly[0, 0] + plainly[-1, -1] + made)],
    }
    return found, agree


def training_rows() -> list[Row]:
    train, valid = random_batch(COUNTS["train"], 1), random_batch(COUNTS["valid"], 2)
    # With "last" the weights are kept after every epoch: the most that selection can cost.
    protocol = Protocol.model_validate({"epochs": EPOCHS, "schedule": "cosine", "selection": "last"})
    warm = protocol.model_copy(update={"epochs": 1})
    fit_in_turns(train.take(slice(0, 64)), valid, warm, 0)
    pairs: dict[str, list[tuple[float, float]]] = {"step": [], "turn": [], "ends": []}
    equal = True
    for seed in range(FITS):
        found, agree = fit_in_turns(train, valid, protocol, seed)
        equal = equal and agree
        for name, values in found.items():
            pairs[name] += values
    steps = -(-len(train) // protocol.batch_size)
    epochs = Protocol.model_validate({}).epochs

    def whole(medians: dict[str, np.ndarray]) -> float:
        both = epochs * (steps - 1) * medians["step"] + (epochs - 1) * medians["turn"] + medians["ends"]
        return float(both[0] / both[1])

    def ratio(name: str) -> tuple[float, float, float]:
        return estimate({name: pairs[name]}, lambda medians: float(medians[name][0] / medians[name][1]))

    def note(name: str) -> str:
        one, other = np.median(pairs[name], axis=0)
        return f"{one * 1e3:.1f} ms / {other * 1e3:.1f} ms, n = {len(pairs[name])}"

    same = "both trained the same weights" if equal else "THE WEIGHTS DIFFER: not the same work"
    what = f"a training of {epochs} epochs x {steps} steps"
    return [
        Row(what, *estimate(pairs, whole), "x", 1.10, same),
        Row("  a step", *ratio("step"), "x", note=note("step")),
        Row("  the turn of an epoch: validation, one step", *ratio("turn"), "x", note=note("turn")),
        Row("  start and end: with one of each", *ratio("ends"), "x", note=note("ends")),
    ]


class Spans:
    """Seconds inside named functions, each without those inside it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inner: list[float] = []

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        begun = now()
        self._inner.append(0.0)
        try:
            yield
        finally:
            spent = now() - begun
            self.seconds[name] = self.seconds.get(name, 0.0) + spent - self._inner.pop()
            if self._inner:
                self._inner[-1] += spent

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self.span(name):
                return function(*args, **kwargs)

        return wrapped


#: What is timed inside a job: where it is looked up, its name there, and what to call it.
PARTS: list[tuple[Any, str, str]] = [
    (runner, "run_job", "the rest: build the network, lock, clock"),
    (runner, "task_data", "find the data, compare fingerprints, take tensors"),
    (runner, "seed_everything", "seed"),
    (runner, "fit", "Lightning: start and end"),
    (training, "Trainer", "make the trainer"),
    (runner, "prediction_table", "prediction table"),
    (predict, "outputs_under", NETWORK := "(the network's predictions)"),
    (runner, "to_parquet", "parquet"),
    (runner, "_environment_record", "environment"),
    (runner.Progress, "__call__", "progress"),
    (job_folder, "write_atomic", "write, flush to disk, rename"),
]
LOOP = "(training)"


@contextmanager
def watching(spans: Spans) -> Iterator[None]:
    """Times the parts, and as training what lies from the start of the first epoch to the end of the last."""
    start, end = training.Training.on_train_epoch_start, training.Training.on_train_epoch_end
    with ExitStack() as stack:
        for owner, name, called in PARTS:
            stack.enter_context(mock.patch.object(owner, name, spans.timed(called, getattr(owner, name))))
        inside = ExitStack()

        def on_start(self: training.Training) -> None:
            inside.enter_context(spans.span(LOOP))
            start(self)

        def on_end(self: training.Training) -> None:
            end(self)
            inside.close()

        stack.enter_context(mock.patch.object(training.Training, "on_train_epoch_start", on_start))
        stack.enter_context(mock.patch.object(training.Training, "on_train_epoch_end", on_end))
        yield


def job_rows(folder: Path) -> list[Row]:
    write_data(folder / "data", SHORT)
    asked = {
        "methods": ["erm"],
        "datasets": ["mosi"],
        "seeds": range(2 * JOBS + 2),
        "protocol": {"epochs": 1},
    }
    experiment = Experiment.read({**asked, "store": folder / "runs", "data_root": folder / "data"})
    jobs = jobs_of(experiment)
    results = store.Store(experiment.store)
    results.add(jobs)
    context = Context(experiment.store, experiment.root)
    protocol = experiment.protocol
    data = runner.task_data(jobs[0], context, torch.device("cpu"))
    networks = [ERM(ERM.Params(), data.spec("fair")) for _ in jobs]

    def run(place: int) -> float:
        begun = now()
        outcome = runner.run_job(jobs[place], context)
        spent = now() - begun
        if not outcome.ok:
            sys.exit(f"a job failed: {outcome.reason}")
        return spent

    def bare(place: int) -> tuple[float, float]:
        begun = now()
        loop = Bare(networks[place], protocol, data.train.batch, data.valid.batch, place)
        for _ in range(-(-len(data.train.batch) // protocol.batch_size)):
            loop.step()
        loop.validate()
        trained = now()
        for split in (data.valid, data.test):
            bare_predictions(networks[place], split)
        return trained - begun, now() - trained

    for place in range(2):
        run(place)
        bare(place)
    triples, parts = [], []
    for place in range(2, 2 + JOBS):
        spans = Spans()
        trained, predicted = bare(place) if place % 2 else (0.0, 0.0)
        with watching(spans):
            total = run(place)
        if not place % 2:
            trained, predicted = bare(place)
        triples.append((total, trained, predicted))
        parts.append(spans.seconds)

    besides = [total - trained - predicted for total, trained, predicted in triples]
    samples = len(data.valid.batch) + len(data.test.batch)
    conditions = len(default_conditions(data.test.batch.modalities))
    names = sorted(parts[0], key=lambda name: -float(np.median([part[name] for part in parts])))
    counted = [name for name in names if name not in (LOOP, NETWORK)]

    def row(what: str, seconds: Sequence[float], promised: float | None = None) -> Row:
        return Row(what, *median(seconds), "ms", promised)

    return [
        row("a job besides its training and predictions", besides, 0.3),
        row("  the job", [total for total, *_ in triples]),
        row("  - bare training, 2 steps, validation", [trained for _, trained, _ in triples]),
        row(f"  - bare predictions, {samples} samples x {conditions}", [done for *_, done in triples]),
        row("the same, added up from its parts", [sum(part[name] for name in counted) for part in parts]),
        *(row(f"  {name}", [part[name] for part in parts]) for name in [*counted, LOOP, NETWORK]),
        row("one more note of progress, each epoch or second", progress_seconds(folder)),
    ]


def progress_seconds(folder: Path) -> list[float]:
    progress = runner.Progress(folder / "progress.json", 40)
    found = []
    for epoch in range(40):
        begun = now()
        progress(epoch, 1.0, Epoch(epoch, 0, {"task": 1.0}, 1.0, 1.0))
        found.append(now() - begun)
    return found


def bare_predictions(method: ERM, split: Split) -> None:
    outputs_under(method, split.batch, default_conditions(split.batch.modalities))


def main() -> None:
    torch.set_num_threads(1)
    print_machine()
    print_table("Training: the harness / a bare PyTorch loop, in turns", training_rows())
    with scratch() as folder:
        print_table("A job in a warm worker", job_rows(folder))


if __name__ == "__main__":
    main()
