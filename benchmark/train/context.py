"""What a launcher gives a job to run with, and how a job ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..core.job import Job
from ..planning.evaluations import Evaluation, evaluations_for
from ..store.store import Store


@dataclass(frozen=True)
class Context:
    """Where and how jobs run: nothing of it changes the result of a job.

    Attributes:
        store: folder of the results.
        data_root: folder of the datasets.
        data: dataset -> its folder, for datasets that lie elsewhere.
        plugins: files that define methods, datasets or corruptions.
        device: ``"cpu"``, ``"cuda"`` (one GPU, which the worker sees alone) or ``"auto"`` (that, if torch can).
        threads: number of CPU threads for each job.
        evaluations: what the networks are tested under beside clean inputs and missing modalities.
        rivals: id of a job -> ids of finished jobs that a pruner compares it with.
        code: the version of the code that planned the jobs.
        loggers: names of the loggers that are told of every epoch.
        contribution: whether the gradient norms of encoders are kept when a network is trained.
        measure: whether operations and time of a prediction are measured when a network is trained.
    """

    store: Path
    data_root: Path
    data: Mapping[str, Path] = field(default_factory=dict)
    plugins: tuple[Path, ...] = ()
    device: str = "cpu"
    threads: int = 1
    evaluations: tuple[Evaluation, ...] = ()
    rivals: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    code: str = ""
    measure: bool = False
    contribution: bool = False
    loggers: tuple[str, ...] = ()

    def lacking(self, job: Job) -> list[Evaluation]:
        """The evaluations that a job is to have and that are not in the store."""
        there = set(Store(self.store).job(job.id).evaluations()) if self.evaluations else set()
        return [item for item in evaluations_for(self.evaluations, job) if item.name not in there]


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        job_id: the job.
        ok: whether its results are in the store, or a pruner ended it.
        reason: why it failed, or why there was nothing to do; empty for a job that ran to its end.
    """

    job_id: str
    ok: bool
    reason: str = ""
