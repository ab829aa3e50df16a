"""An array task: it runs its jobs with the local pool."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import time
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

from submitit.core.utils import UncompletedJobError
from submitit.helpers import DelayedSubmission

from ..benchmark.core.environment import ORIGIN
from ..benchmark.launch.local_pool import LocalPool
from ..benchmark.store.cleanup import CHECKPOINT
from ..benchmark.store.store import Store
from ..benchmark.train.context import Context
from .packing import workers_for

#: SLURM tells every process of a job that its end is near; only the one that requeues it is to listen.
LEFT_TO_PARENT = (signal.SIGUSR2, signal.SIGTERM, signal.SIGCONT)


@dataclass
class Course:
    """The last start of an array task, and its first jobs, each with the checkpoint that it continues from."""

    began: float = 0.0
    first: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class BundleTask:
    """Runs jobs of a store; started again by submitit, it goes on with those that have not ended.

    Attributes:
        names: ids of the jobs, in order.
        context: as for any launcher.
        workers: jobs at a time; None: one for each core of a job's threads, or as many as fit on the GPU.
        cpus: cores of the array task.
        peaks: bytes of GPU memory that such jobs were seen to take.
        timeouts: how often it may run out of time, for what is said then.
        limit: seconds after which SLURM ends it.
        stuck: jobs that had the whole time before and came no further in it.
    """

    names: tuple[str, ...]
    context: Context
    workers: int | None = None
    cpus: int = 1
    peaks: tuple[float, ...] = ()
    timeouts: int = 0
    limit: float = 0.0
    stuck: tuple[str, ...] = ()
    course: Course = field(default_factory=Course, compare=False)

    def __call__(self) -> dict[str, bool]:
        """Id -> whether the job is done, of all that were run now."""
        self.course.began = time.time()
        os.environ[ORIGIN] = json.dumps(slurm_origin())  # the workers are told, too
        store = Store(self.context.store)
        jobs = [store.read_record(store.job(name).path / "job.json").job for name in self.names]
        jobs = [job for job in jobs if not store.job(job.id).failure()]
        gpus = () if self.context.device == "cpu" else _gpus()
        ended: dict[str, bool] = {}
        try:
            workers = self._workers(gpus)
            left = [job.id for job in jobs if not store.job(job.id).is_done()]
            self.course.first = {name: _checkpoint(store, name) for name in left[:workers]}
            pool = LocalPool(workers, gpus, LEFT_TO_PARENT)
            with closing(pool.run(jobs, self.context)) as outcomes:
                for outcome in outcomes:
                    ended[outcome.job_id] = outcome.ok
                    print(
                        f"{'done' if outcome.ok else 'failed'} {outcome.job_id} {outcome.reason}", flush=True
                    )
        except UncompletedJobError:
            for job in jobs:
                if job.id not in ended and store.job(job.id).has_begun() and not store.job(job.id).is_done():
                    store.job(job.id).fail(f"ran out of time more than {self.timeouts} times")
            raise
        return ended

    def checkpoint(self) -> DelayedSubmission:
        """What is submitted again. The jobs themselves wrote how far they are after every epoch; one that came no
        further in all of the time of two starts never will, and fails."""
        if not self._out_of_time():
            return DelayedSubmission(replace(self, course=Course()))
        store = Store(self.context.store)
        still = tuple(
            name
            for name, before in self.course.first.items()
            if store.job(name).has_begun()
            and not store.job(name).is_done()
            and _checkpoint(store, name) == before
        )
        for name in set(still) & set(self.stuck):
            store.job(name).fail(
                f"no epoch of it ends within the time limit of {self.limit / 60:.0f} min, twice in a row: "
                f"give it more, as in mmbench retry --slurm time={math.ceil(self.limit / 900)}h",
            )
        return DelayedSubmission(replace(self, stuck=still, course=Course()))

    def _out_of_time(self) -> bool:
        """Whether the task is ended by its time limit and not preempted, as submitit tells them apart."""
        return time.time() - self.course.began >= min(0.8 * self.limit, self.limit - 600)

    def _workers(self, gpus: tuple[str, ...]) -> int:
        if self.workers:
            return self.workers
        if not gpus:
            return max(1, self.cpus // self.context.threads)
        return len(gpus) * workers_for(self.peaks, _gpu_memory(), max(1, self.cpus // len(gpus)))


def slurm_origin() -> dict[str, Any]:
    """Where this process runs, as SLURM's variables tell it; for ``ORIGIN``.

    Returns:
        The launcher, the id of the submission (``12_3`` for an array task), how often SLURM started it again, and
        what else SLURM tells: the job, the array and the task, the partition, the node.
    """
    names = {
        "SLURM_JOB_ID": "job",
        "SLURM_ARRAY_JOB_ID": "array",
        "SLURM_ARRAY_TASK_ID": "task",
        "SLURM_JOB_PARTITION": "partition",
        "SLURMD_NODENAME": "node",
    }
    facts = {name: os.environ[variable] for variable, name in names.items() if variable in os.environ}
    if not facts:
        return {}
    array = "array" in facts and "task" in facts
    number = f"{facts['array']}_{facts['task']}" if array else facts.get("job", "")
    restarts = int(os.environ.get("SLURM_RESTART_COUNT") or 0)
    return {"launcher": "slurm", "id": number, "restarts": restarts, **facts}


def _checkpoint(store: Store, name: str) -> int:
    """When the checkpoint was written that a job would continue from, in ns since 1970; 0 where there is none."""
    try:
        return (store.job(name).path / CHECKPOINT).stat().st_mtime_ns
    except OSError:
        return 0


def _gpus() -> tuple[str, ...]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return tuple(name.strip() for name in visible.split(",") if name.strip() not in ("", "-1"))


def _gpu_memory() -> float:
    """Bytes of the smallest GPU that this process sees; 0 where nothing can tell."""
    ask = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(ask, capture_output=True, text=True, timeout=20, check=True).stdout
        return min(float(line) for line in answer.splitlines()) * 2**20
    except (OSError, ValueError, subprocess.SubprocessError):
        return 0.0
