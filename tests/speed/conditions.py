"""What is not computed twice: embeddings that several conditions share, and features that several jobs share.

    python tests/speed/conditions.py

**Predictions.** ``outputs_under`` predicts a split clean and under every missing-modality pattern, then under the
whole grid of damage to single modalities. Beside it
stands the same network that does not say that it encodes modalities independently, so that it is run in full
for every condition. They take turns; that both predict the same is checked.

**Loading.** The tensors of a job, in a worker that has none yet and in one that has them: for the same
modalities, and for others of the same data. Finding the files and comparing their fingerprints is part of it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from measure import COUNTS, Row, estimate, median, print_machine, print_table, scratch, write_data
from mmbench.benchmark import data as data_module
from mmbench.benchmark import runner
from mmbench.benchmark.data import TaskCache
from mmbench.benchmark.evaluations import chosen
from mmbench.benchmark.executor import Context
from mmbench.benchmark.experiment import Experiment
from mmbench.benchmark.job import Job
from mmbench.benchmark.matrix import jobs_of
from mmbench.benchmark.predict import conditions_for, outputs_under
from mmbench.corruptions.condition import Condition
from mmbench.datasets.batch import Batch
from mmbench.methods.erm import ERM
from torch import Tensor

PREDICTIONS, GRIDS, LOADS = 15, 2, 9
CPU = torch.device("cpu")
now = time.perf_counter


class Shared(ERM):
    """Counts how often a modality is encoded."""

    count = 0

    def encode(self, modality: str, batch: Batch) -> Tensor:
        self.count += 1
        return super().encode(modality, batch)


class Again(Shared):
    """Is encoded in full for every condition."""

    @classmethod
    def separable(cls) -> bool:
        return False


def grid(modalities: tuple[str, ...]) -> list[Condition]:
    """Clean, every missing pattern and rate of modalities, and every damage to features."""
    found = conditions_for(modalities)
    for entry in [*chosen(["features"]), *chosen(["random-modality"])]:
        found.extend(entry.load().conditions(modalities))
    return found


def prediction_rows(
    jobs: list[Job],
    context: Context,
    conditions_of: Callable[[tuple[str, ...]], list[Condition]],
    turns: int,
) -> list[Row]:
    data = runner.task_data(jobs[0], context, CPU)
    spec, batch = data.spec("fair"), data.test.batch
    conditions = conditions_of(batch.modalities)
    torch.manual_seed(0)
    shared = Shared(Shared.Params(), spec)
    again = Again(Again.Params(), spec)
    again.load_state_dict(shared.state_dict())

    def seconds(method: ERM) -> float:
        begun = now()
        outputs_under(method, batch, conditions)
        return now() - begun

    one, other = (outputs_under(method, batch, conditions) for method in (shared, again))
    same = all(torch.allclose(one[name][0], other[name][0], atol=1e-5) for name in one)
    encodings = f"{shared.count} encodings instead of {again.count}"
    pairs: list[tuple[float, float]] = []
    for turn in range(turns):
        methods = (shared, again) if turn % 2 else (again, shared)
        times = [seconds(method) for method in methods]
        pairs.append((times[0], times[1]) if turn % 2 else (times[1], times[0]))
    ratio = estimate({"pair": pairs}, lambda medians: float(medians["pair"][0] / medians["pair"][1]))
    note = f"{encodings}; {'the same predictions' if same else 'THE PREDICTIONS DIFFER'}"
    what = f"{len(batch)} samples x {len(conditions)} conditions: shared / encoded again"
    return [
        Row(what, *ratio, "x", note=note),
        Row("  embeddings shared", *median([pair[0] for pair in pairs]), "ms"),
        Row("  encoded again for every condition", *median([pair[1] for pair in pairs]), "ms"),
    ]


def loading_rows(jobs: list[Job], context: Context) -> list[Row]:
    reads: Counter[str] = Counter()
    read = data_module.load_task

    def counted(*arguments: Any) -> Any:
        reads["all"] += 1
        return read(*arguments)

    def seconds(job: Job) -> float:
        begun = now()
        runner.task_data(job, context, CPU)
        return now() - begun

    first, second, others = [], [], []
    with mock.patch.object(data_module, "load_task", counted):
        for _ in range(LOADS):
            with mock.patch.object(runner, "_TASKS", TaskCache()):
                first.append(seconds(jobs[0]))
                second.append(seconds(jobs[1]))
                others.append(seconds(next(job for job in jobs if job.modalities == ("text",))))
    samples = sum(COUNTS.values())
    once = "features read once" if reads["all"] == LOADS else f"FEATURES READ {reads['all'] / LOADS:g} TIMES"
    return [
        Row(f"the first job of a worker, {samples} samples", *median(first), "ms", note=once),
        Row("the second job, another seed", *median(second), "ms"),
        Row("a job with text alone", *median(others), "ms"),
    ]


def main() -> None:
    torch.set_num_threads(1)
    print_machine()
    with scratch() as folder:
        jobs, context = planned(folder)
        few = prediction_rows(jobs, context, conditions_for, PREDICTIONS)
        print_table("Predicting clean and with every missing pattern", few)
        print_table("Predicting under the whole grid", prediction_rows(jobs, context, grid, GRIDS))
        print_table("Loading the tensors of a job", loading_rows(jobs, context))


def planned(folder: Path) -> tuple[list[Job], Context]:
    write_data(folder / "data")
    asked = {"methods": ["erm"], "datasets": ["mosi"], "seeds": [0, 1], "modalities": ["all", "text"]}
    experiment = Experiment.read({**asked, "store": folder / "runs", "data_root": folder / "data"})
    jobs = sorted(jobs_of(experiment), key=lambda job: -len(job.modalities))
    return jobs, Context(experiment.store, experiment.root)


if __name__ == "__main__":
    main()
