"""What is not computed twice: embeddings that several conditions share, and features that several jobs share.

    python tests/speed/conditions.py

**Predictions.** ``outputs_under`` predicts a split clean and under every missing-modality pattern, then under the
whole grid of damage to single modalities. Beside it stands a plain loop: each condition is applied, and the network
run in full. They take turns; that both predict the same is checked.

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
from mmbench.benchmark.core.job import Job
from mmbench.benchmark.data import tensors as data_module
from mmbench.benchmark.data.tensors import TaskCache
from mmbench.benchmark.planning.corruption_groups import corruption_entries
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.planning.job_matrix import jobs_of
from mmbench.benchmark.train import job_data
from mmbench.benchmark.train.context import Context
from mmbench.benchmark.train.minibatches import minibatches
from mmbench.benchmark.train.predict import EVALUATION_BATCH, default_conditions, outputs_under
from mmbench.corruptions.condition import Condition
from mmbench.corruptions.corruption import prepare
from mmbench.datasets.batch import Batch
from mmbench.methods.erm import ERM
from torch import Tensor

PREDICTIONS, GRIDS, LOADS = 15, 5, 9
CPU = torch.device("cpu")
now = time.perf_counter


class Counted(ERM):
    """Counts how often a modality is encoded."""

    count = 0

    def encode(self, modality: str, batch: Batch) -> Tensor:
        self.count += 1
        return super().encode(modality, batch)


@torch.inference_mode()
def plainly(method: ERM, batch: Batch, conditions: list[Condition]) -> dict[str, Tensor]:
    """A full forward pass for every condition, in the same minibatches."""
    method.eval()
    asked = [prepare(condition, batch) for condition in conditions]
    found: dict[str, list[Tensor]] = {condition.name: [] for condition in asked}
    for part in minibatches(batch, EVALUATION_BATCH):
        for condition in asked:
            found[condition.name].append(method(condition.apply(part)).prediction)
    return {name: torch.cat(parts) for name, parts in found.items()}


def shared(method: ERM, batch: Batch, conditions: list[Condition]) -> dict[str, Tensor]:
    """As a job predicts."""
    return {name: output.prediction for name, output in outputs_under(method, batch, conditions).items()}


def grid(modalities: tuple[str, ...]) -> list[Condition]:
    """Clean, every missing pattern and rate of modalities, and every damage to features."""
    found = default_conditions(modalities)
    for entry in [*corruption_entries(["features"]), *corruption_entries(["random-modality"])]:
        found.extend(entry.load().conditions(modalities))
    return found


def prediction_rows(
    jobs: list[Job],
    context: Context,
    conditions_of: Callable[[tuple[str, ...]], list[Condition]],
    turns: int,
    promised: float | None = None,
) -> list[Row]:
    data = job_data.task_data(jobs[0], context, CPU)
    spec, batch = data.spec("fair"), data.test.batch
    conditions = conditions_of(batch.modalities)
    torch.manual_seed(0)
    method = Counted(Counted.Params(), spec)
    counts, outputs = [], []
    for way in (shared, plainly):
        method.count = 0
        outputs.append(way(method, batch, conditions))
        counts.append(method.count)
    same = all(torch.allclose(outputs[0][name], outputs[1][name], atol=1e-5) for name in outputs[0])
    encodings = f"{counts[0]} encodings instead of {counts[1]}"

    def seconds(way: Callable[[ERM, Batch, list[Condition]], object]) -> float:
        begun = now()
        way(method, batch, conditions)
        return now() - begun

    pairs: list[tuple[float, float]] = []
    for turn in range(turns):
        ways = (shared, plainly) if turn % 2 else (plainly, shared)
        times = [seconds(way) for way in ways]
        pairs.append((times[0], times[1]) if turn % 2 else (times[1], times[0]))
    ratio = estimate({"pair": pairs}, lambda medians: float(medians["pair"][0] / medians["pair"][1]))
    note = f"{encodings}; {'the same predictions' if same else 'THE PREDICTIONS DIFFER'}"
    what = f"{len(batch)} samples x {len(conditions)} conditions: shared / a full pass each"
    return [
        Row(what, *ratio, "x", promised, note=note),
        Row("  embeddings shared", *median([pair[0] for pair in pairs]), "ms"),
        Row("  a full pass for every condition", *median([pair[1] for pair in pairs]), "ms"),
    ]


def loading_rows(jobs: list[Job], context: Context) -> list[Row]:
    reads: Counter[str] = Counter()
    read = data_module.load_task

    def counted(*arguments: Any) -> Any:
        reads["all"] += 1
        return read(*arguments)

    def seconds(job: Job) -> float:
        begun = now()
        job_data.task_data(job, context, CPU)
        return now() - begun

    first, second, others = [], [], []
    with mock.patch.object(data_module, "load_task", counted):
        for _ in range(LOADS):
            with mock.patch.object(job_data, "_TASKS", TaskCache()):
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
        few = prediction_rows(jobs, context, default_conditions, PREDICTIONS)
        print_table("Predicting clean and with every missing pattern", few)
        print_table("Predicting under the whole grid", prediction_rows(jobs, context, grid, GRIDS, 1 / 3))
        print_table("Loading the tensors of a job", loading_rows(jobs, context))


def planned(folder: Path) -> tuple[list[Job], Context]:
    write_data(folder / "data")
    asked = {"methods": ["erm"], "datasets": ["mosi"], "seeds": [0, 1], "modalities": ["all", "text"]}
    experiment = Experiment.read({**asked, "store": folder / "runs", "data_root": folder / "data"})
    jobs = sorted(jobs_of(experiment), key=lambda job: -len(job.modalities))
    return jobs, Context(experiment.store, experiment.root)


if __name__ == "__main__":
    main()
