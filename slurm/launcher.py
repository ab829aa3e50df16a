"""The launcher ``slurm``: jobs in bundles, bundles as the tasks of job arrays, submitted with submitit."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ..benchmark.core.errors import UsageError
from ..benchmark.core.job import Job
from ..benchmark.core.strings import counted
from ..benchmark.launch.detached import Detached, Ending, JobBatch
from ..benchmark.store.job_folder import Submission
from ..benchmark.store.store import Store
from ..benchmark.train.context import Context
from . import queue
from .bundle import BundleTask
from .packing import Bundle, History, PackedJob, pack, split
from .resources import Resources, resources, seconds_of, setup_origin

if TYPE_CHECKING:
    from submitit import SlurmExecutor

    from ..benchmark.planning.experiment import Experiment

LOG = logging.getLogger("mmbench.slurm")


@dataclass(frozen=True)
class Slurm(Detached):
    """Jobs as array tasks of SLURM.

    Attributes:
        resources: of each array task.
        bundle_seconds: how long an array task is to live.
        workers: jobs at a time in an array task; None: as many as its cores or its GPU's memory allow.
        on_gpu: whether jobs use the GPUs that their array task has.
        setup_from: where the lines of ``resources.setup`` come from, in words.
    """

    name: ClassVar[str] = "slurm"

    resources: Resources
    bundle_seconds: float = 1800.0
    workers: int | None = None
    on_gpu: bool = True
    setup_from: str = ""

    @classmethod
    def from_experiment(cls, experiment: Experiment, networks: int) -> Self:
        """With the resources of ``--slurm``, and bundles of ``--bundle-time``.

        Args:
            experiment: what is to be run.
            networks: how many networks are yet to be trained or tested; it changes nothing here.

        Raises:
            UsageError: what is asked of SLURM is wrong.
        """
        try:
            seconds = seconds_of(experiment.bundle_time)
        except ValueError as error:
            raise UsageError(f"--bundle-time {experiment.bundle_time}: {error}") from None
        on_gpu = experiment.device != "cpu"
        asked = resources(experiment.slurm)
        if experiment.device.startswith("cuda") and not asked.gpu_count:
            raise UsageError(
                f"--device {experiment.device}: no GPU is asked of SLURM: write --slurm gpus=1 (beside the other resources), or "
                "--device cpu"
            )
        return cls(asked, seconds, experiment.workers, on_gpu, setup_origin(experiment.slurm))

    @property
    def device(self) -> str:
        """The device that was asked of SLURM, whatever this machine has."""
        return "cuda" if self.on_gpu and self.resources.gpu_count else "cpu"

    def require(self) -> None:
        """Raises UsageError where jobs cannot be submitted from this machine."""
        if not queue.can_submit():
            raise UsageError(
                "--launcher slurm: no sbatch on this machine: call it where jobs are submitted (a login node), or use "
                "--launcher local"
            )

    def arrays(self, jobs: Sequence[Job], store: Store, threads: int = 1) -> list[list[Bundle]]:
        """How jobs are bundled, and bundles parted into arrays that the site accepts.

        Args:
            jobs: what is to be run.
            store: whose finished jobs tell how long such jobs take.
            threads: CPU threads of a job.

        Returns:
            Arrays of bundles. Every job is in one bundle.
        """
        history = _history(store)
        pieces = [
            PackedJob((*job_data(job), job.task), job.id, history.expected_seconds(job.method, job.task))
            for job in jobs
        ]
        return split(pack(pieces, self.bundle_seconds * self._at_a_time(threads)), queue.array_limit())

    def script(self, tasks: int, store: Store) -> str:
        """The script that sbatch is given.

        Args:
            tasks: how many tasks the array has.
            store: below which the script and the logs lie.

        Returns:
            The text of the script.
        """
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

    def preview(self, jobs: Sequence[Job], context: Context) -> str:
        """Which jobs would share an array task, and the script of every array.

        Args:
            jobs: what would be submitted.
            context: what they would be given.
        """
        store = Store(context.store)
        arrays = self.arrays(jobs, store, context.threads)
        tasks = sum(map(len, arrays))
        lines = [
            f"{counted(len(jobs), 'job')} in {counted(tasks, 'array task')} of {counted(len(arrays), 'array')}; "
            "nothing is submitted"
        ]
        for place, array in enumerate(arrays):
            lines.append(f"\narray {place + 1}: {counted(len(array), 'task')}")
            for number, bundle in enumerate(array):
                about = f"task {number}: {counted(len(bundle.names), 'job')}, about {bundle.seconds:.0f} s of work"
                lines.append(f"{about}: {' '.join(bundle.names)}")
            lines.append(self.script(len(array), store))
        return "\n".join(lines)

    def batches(self, jobs: Sequence[Job], context: Context) -> Iterator[JobBatch]:
        """One job array after the other.

        Args:
            jobs: what is to be submitted.
            context: what they need.

        Raises:
            UsageError: SLURM refuses what is asked of it.
        """
        from submitit import SlurmExecutor

        for line in self.resources.setup:  # commands, which may have come with a file of somebody else
            LOG.warning(
                "every array task begins with this command of %s: %s", self.setup_from or "--slurm", line
            )
        store = Store(context.store)
        executor = SlurmExecutor(_folder(store), max_num_timeout=self.resources.timeouts, python=_python())
        executor.update_parameters(**self.resources.parameters())
        memory = _gpu_memory(jobs, store)
        for array in self.arrays(jobs, store, context.threads):
            tasks = [self._task(bundle, context, memory) for bundle in array]
            names = tuple(name for task in tasks for name in task.names)
            yield JobBatch(names, partial(_submit, executor, tasks))

    @classmethod
    def alive(cls, ids: Collection[str]) -> set[str]:
        """The array tasks that SLURM still has. Raises UnreachableError where it does not answer."""
        return set(ids) & set(queue.alive())

    @classmethod
    def endings(cls, ids: Collection[str]) -> Mapping[str, Ending]:
        """How array tasks ended, of those that the accounting knows."""
        return {
            name: Ending(how, how.startswith(queue.CANCELLED)) for name, how in queue.endings(ids).items()
        }

    @classmethod
    def cancel(cls, ids: Collection[str]) -> None:
        """Cancels array tasks. Raises UnreachableError where SLURM does not answer."""
        queue.cancel(ids)

    def _task(self, bundle: Bundle, context: Context, memory: Mapping[str, float]) -> BundleTask:
        """An array task. Its jobs share a GPU only where the memory of all their like was measured."""
        known = [memory.get(name, 0.0) for name in bundle.names]
        peaks = tuple(sorted(set(known))) if all(known) else ()
        asked = self.resources
        limit = 60.0 * asked.parameters()["time"]
        return BundleTask(bundle.names, context, self.workers, asked.cpus, peaks, asked.timeouts, limit)


def _submit(executor: SlurmExecutor, tasks: Sequence[BundleTask]) -> dict[str, Submission]:
    """Submits one job array; id of a job -> the array task that it is in."""
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    try:
        with executor.batch():
            submitted = [executor.submit(task) for task in tasks]
    except (FailedSubmissionError, FailedJobError) as error:
        lines = [line for line in str(error).splitlines() if "error" in line.lower()]
        raise UsageError(f"--launcher slurm: sbatch refused: {(lines or [str(error)])[-1]}") from None
    submissions: dict[str, Submission] = {}
    for task, job in zip(tasks, submitted, strict=True):
        log = f"{job.paths.stdout.parent}/{job.job_id}_0_log.out and .err"
        submissions |= dict.fromkeys(task.names, Submission(Slurm.name, job.job_id, log=log))
    return submissions


@dataclass(frozen=True)
class _Shape:
    """The parts of submitit's command line."""

    folder: Path

    @property
    def python(self) -> str:
        return _python()


def _python() -> str:
    """The command that starts Python in an array task, without the folder of submission on its path."""
    return f"{shlex.quote(sys.executable)} -P"


def job_data(job: Job) -> tuple[str, ...]:
    """The datasets that a job reads."""
    return tuple(item.name for item in job.data)


def _gpu_memory(jobs: Sequence[Job], store: Store) -> dict[str, float]:
    """Job -> the most bytes of GPU memory that a finished job with its method and task took, where there is one."""
    peaks: dict[tuple[str, str], float] = {}
    for job, environment in store.environments():
        peak = float(environment.get("peak_gpu_memory_bytes") or 0)
        peaks[job.method, job.task] = max(peak, peaks.get((job.method, job.task), 0.0))
    return {job.id: peaks.get((job.method, job.task), 0.0) for job in jobs}


def _folder(store: Store) -> Path:
    return store.path.resolve() / "slurm"


def _history(store: Store) -> History:
    history: dict[tuple[str, str], list[float]] = {}
    for job, environment in store.environments():
        seconds: dict[str, Any] = environment.get("seconds", {})
        history.setdefault((job.method, job.task), []).append(sum(seconds.values()))
    return History(history)
