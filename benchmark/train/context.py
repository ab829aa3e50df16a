"""What a job needs to run beside itself, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..core.job import Job
from ..planning.evaluations import Evaluation, evaluations_for
from ..store.store import Store


@dataclass(frozen=True)
class Context:
    """What a job needs to run and what does not change its result.

    Attributes:
        store: folder of the results.
        data_root: folder of the datasets.
        data: datasets whose place was named.
        plugins: files that bring methods or datasets.
        device: ``"cpu"``, ``"cuda"`` (one GPU, which the worker sees alone) or ``"auto"`` (that, if torch can).
        threads: CPU threads a job.
        evaluations: what the networks are tested under beyond clean and missing modalities.
        rivals: job -> finished jobs; it is ended early where a pruner finds it worse than them.
        code: the version of the code that asks for it.
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

    def lacking(self, job: Job) -> list[Evaluation]:
        """The evaluations that a job does not have yet."""
        there = set(Store(self.store).job(job.id).evaluations()) if self.evaluations else set()
        return [item for item in evaluations_for(self.evaluations, job) if item.name not in there]


@dataclass(frozen=True)
class Outcome:
    """How a job ended."""

    job_id: str
    ok: bool
    reason: str = ""
