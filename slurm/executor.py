"""Jobs as SLURM arrays. What the store says of a job decides; SLURM is asked only whether it still has it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..benchmark.core.errors import UsageError
from ..benchmark.core.job import Job
from ..benchmark.store.store import Store
from ..benchmark.train.context import Context, Outcome
from . import queue
from .bundle import BundleTask
from .packing import Bundle, History, Piece, pack, split
from .resources import Resources

#: Seconds between looks at the store, at least; and between questions to SLURM.
LOOK, ASK = 0.3, 3.0
#: Seconds for which SLURM may not answer when jobs are to be queued.
PATIENCE = 30.0


@dataclass(frozen=True)
class Slurm:
    """Submits what is neither done nor queued, and waits for all of it.

    Attributes:
        resources: of each array task.
        bundle_seconds: how long an array task is to live.
        workers: jobs at a time in an array task; None: as many as its cores or its GPU's memory allow.
    """

    resources: Resources
    bundle_seconds: float = 1800.0
    workers: int | None = None

    def run(self, jobs: Sequence[Job], context: Context) -> Iterator[Outcome]:
        """Yields the outcome of every job as it ends. Closed before, it leaves SLURM's jobs as they are.

        Raises:
            UsageError: SLURM is not there, or refuses what is asked of it.
        """
        self.require()
        store = Store(context.store)
        with store.launching():
            self._submit(self._missing(jobs, store), context)
        yield from _wait(jobs, context)

    def require(self) -> None:
        """Raises UsageError where jobs cannot be submitted from."""
        if not queue.available():
            raise UsageError("--launcher slurm: no sbatch on this machine: call it where jobs are submitted")

    def arrays(self, jobs: Sequence[Job], store: Store, threads: int = 1) -> list[list[Bundle]]:
        """How jobs are bundled, and bundles parted into arrays that the site accepts."""
        history = _history(store)
        pieces = [
            Piece((*job_data(job), job.task), job.id, history.expected(job.method, job.task)) for job in jobs
        ]
        return split(pack(pieces, self.bundle_seconds * self._at_a_time(threads)), queue.array_limit())

    def script(self, tasks: int, store: Store) -> str:
        """The script that sbatch is given for an array of so many tasks."""
        from submitit.slurm.slurm import SlurmExecutor, _make_sbatch_string

        folder = _folder(store)
        command = SlurmExecutor._submitit_command_str.fget(_Shape(folder))  # pyright: ignore
        given = self.resources.parameters()
        if tasks > 1:
            given["map_count"] = tasks
        return _make_sbatch_string(command=command, folder=folder, **given)

    def _at_a_time(self, threads: int) -> int:
        if self.workers:
            return self.workers
        return 1 if self.resources.gpu_count else max(1, self.resources.cpus // threads)

    def _missing(self, jobs: Sequence[Job], store: Store) -> list[Job]:
        """The jobs that SLURM does not have and nobody trains."""
        try:
            alive = queue.alive(PATIENCE)
        except queue.UnreachableError as error:
            raise UsageError(f"--launcher slurm: SLURM does not answer: {error}") from None
        missing = []
        for job in jobs:
            if store.job(job.id).is_held():
                continue
            waiting = store.job(job.id).submission().get("id") in alive and not store.job(job.id).failure()
            if not waiting:
                missing.append(job)
        return missing

    def _submit(self, jobs: Sequence[Job], context: Context) -> None:
        if not jobs:
            return
        from submitit import SlurmExecutor
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        store = Store(context.store)
        executor = SlurmExecutor(_folder(store), max_num_timeout=self.resources.timeouts)
        executor.update_parameters(**self.resources.parameters())
        memory = _gpu_memory(jobs, store)
        for array in self.arrays(jobs, store, context.threads):
            tasks = [self._task(bundle, context, memory) for bundle in array]
            # Before: a task may begin, and its jobs fail anew, while this still writes down where they are.
            for name in (name for bundle in array for name in bundle.names):
                store.job(name).set_aside_failure()
            try:
                with executor.batch():
                    submitted = [executor.submit(task) for task in tasks]
            except (FailedSubmissionError, FailedJobError) as error:
                said = [line for line in str(error).splitlines() if "error" in line.lower()]
                raise UsageError(f"--launcher slurm: sbatch refused: {(said or [str(error)])[-1]}") from None
            now, notes = time.time(), {}
            for bundle, job in zip(array, submitted, strict=True):
                note = {"id": job.job_id, "submitted": now, "code": context.code}
                note["logs"] = str(job.paths.stdout.parent)
                notes |= dict.fromkeys(bundle.names, note)
            store.submit(notes)

    def _task(self, bundle: Bundle, context: Context, memory: Mapping[str, float]) -> BundleTask:
        """An array task. Its jobs share a GPU only where the memory of all their like was measured."""
        known = [memory.get(name, 0.0) for name in bundle.names]
        peaks = tuple(sorted(set(known))) if all(known) else ()
        asked = self.resources
        limit = 60.0 * asked.parameters()["time"]
        return BundleTask(bundle.names, context, self.workers, asked.cpus, peaks, asked.timeouts, limit)


@dataclass(frozen=True)
class _Shape:
    """What submitit's command line is made of."""

    folder: Path

    @property
    def python(self) -> str:
        import shlex
        import sys

        return shlex.quote(sys.executable)


def job_data(job: Job) -> tuple[str, ...]:
    """The datasets that a job reads."""
    return tuple(item.name for item in job.data)


def _gpu_memory(jobs: Sequence[Job], store: Store) -> dict[str, float]:
    """Job -> the most bytes of GPU memory that a finished job with its method and task took, where there is one."""
    found: dict[tuple[str, str], float] = {}
    for job, environment in store.environments():
        peak = float(environment.get("peak_gpu_memory_bytes") or 0)
        found[job.method, job.task] = max(peak, found.get((job.method, job.task), 0.0))
    return {job.id: found.get((job.method, job.task), 0.0) for job in jobs}


def _folder(store: Store) -> Path:
    return store.path.resolve() / "slurm"


def _history(store: Store) -> History:
    found: dict[tuple[str, str], list[float]] = {}
    for job, environment in store.environments():
        seconds: dict[str, Any] = environment.get("seconds", {})
        found.setdefault((job.method, job.task), []).append(sum(seconds.values()))
    return History(found)


def _wait(jobs: Sequence[Job], context: Context) -> Iterator[Outcome]:
    """Watches the store, and SLURM for jobs that are gone without a word."""
    store = Store(context.store)
    waiting = {job.id: job for job in jobs}
    gone: set[str] = set()
    asked = time.monotonic()
    while waiting:
        began = time.monotonic()
        for job in list(waiting.values()):
            outcome = _ended(job, context, store)
            if outcome:
                del waiting[job.id]
                yield outcome
        if waiting and time.monotonic() - asked >= ASK:
            before, gone = gone, _gone(waiting, store)
            # Twice in a row: what SLURM has just ended may still be on its way to the store.
            if gone & before:
                _note_gone({name: waiting[name] for name in gone & before}, context, store)
                began = time.monotonic()  # to wait for another launcher is not to look
            asked = time.monotonic()
        # Looking at ten thousand jobs takes a while: a tenth of the time at most.
        time.sleep(max(LOOK, 9 * (time.monotonic() - began)))


def _ended(job: Job, context: Context, store: Store) -> Outcome | None:
    if store.job(job.id).is_done() and not context.lacking(job):
        return Outcome(job.id, ok=True)
    reason = store.job(job.id).failure()
    return Outcome(job.id, ok=False, reason=reason) if reason else None


def _gone(waiting: dict[str, Job], store: Store) -> set[str]:
    """The jobs that SLURM no longer has and nobody trains."""
    try:
        alive = queue.alive()
    except queue.UnreachableError:
        return set()
    left = {name for name in waiting if store.job(name).submission().get("id") not in alive}
    return {name for name in left if not store.job(name).is_held()}


def _note_gone(lost: dict[str, Job], context: Context, store: Store) -> None:
    """Notes that jobs are gone, but for those that another launcher has queued again by now."""
    with store.launching():
        numbers = {
            name: str(store.job(name).submission().get("id", "")) for name in sorted(_gone(lost, store))
        }
        endings = queue.endings(number for number in numbers.values() if number)
        for name, number in numbers.items():
            if _ended(lost[name], context, store):
                continue
            how = endings.get(number, "")
            when = "while it was trained" if store.job(name).has_begun() else "before it was started"
            reason = f"SLURM {number} ended {when}{f' ({how})' if how else ''}"
            store.job(name).fail(reason, cancelled=how.startswith(queue.CANCELLED))
