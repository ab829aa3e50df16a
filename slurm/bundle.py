"""What an array task does: its jobs, by the local pool."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import closing
from dataclasses import dataclass, replace

from submitit.core.utils import UncompletedJobError
from submitit.helpers import DelayedSubmission

from ..benchmark.executor import Context, LocalPool
from ..benchmark.store import Store
from .packing import workers_for

#: SLURM tells every process of a job that its end is near; only the one that requeues it is to listen.
LEFT_TO_PARENT = (signal.SIGUSR2, signal.SIGTERM, signal.SIGCONT)


@dataclass(frozen=True)
class BundleTask:
    """Runs jobs of a store; started again by submitit, it goes on with those that have not ended.

    Attributes:
        names: ids of the jobs, in order.
        context: as for any executor.
        workers: jobs at a time; None: one for each core of a job's threads, or as many as fit on the GPU.
        cpus: cores of the array task.
        peaks: bytes of GPU memory that such jobs were seen to take.
        timeouts: how often it may run out of time, for what is said then.
    """

    names: tuple[str, ...]
    context: Context
    workers: int | None = None
    cpus: int = 1
    peaks: tuple[float, ...] = ()
    timeouts: int = 0

    def __call__(self) -> dict[str, bool]:
        """Id -> whether the job is done, of all that were run now."""
        store = Store(self.context.store)
        jobs = [store.read_record(store.folder(name) / "job.json").job for name in self.names]
        jobs = [job for job in jobs if not store.failure(job.id)]
        gpus = () if self.context.device == "cpu" else _gpus()
        ended: dict[str, bool] = {}
        try:
            pool = LocalPool(self._workers(gpus), gpus, LEFT_TO_PARENT)
            with closing(pool.run(jobs, self.context)) as outcomes:
                for outcome in outcomes:
                    ended[outcome.job_id] = outcome.ok
                    print(
                        f"{'done' if outcome.ok else 'failed'} {outcome.job_id} {outcome.reason}", flush=True
                    )
        except UncompletedJobError:
            for job in jobs:
                if job.id not in ended and store.started(job.id) and not store.is_done(job.id):
                    store.fail(job.id, f"ran out of time more than {self.timeouts} times")
            raise
        return ended

    def checkpoint(self) -> DelayedSubmission:
        """What is submitted again. The jobs themselves wrote how far they are after every epoch."""
        return DelayedSubmission(replace(self))

    def _workers(self, gpus: tuple[str, ...]) -> int:
        if self.workers:
            return self.workers
        if not gpus:
            return max(1, self.cpus // self.context.threads)
        return len(gpus) * workers_for(self.peaks, _gpu_memory(), max(1, self.cpus // len(gpus)))


def _gpus() -> tuple[str, ...]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return tuple(name.strip() for name in visible.split(",") if name.strip() not in ("", "-1"))


def _gpu_memory() -> float:
    """Bytes of the smallest GPU that this process sees; 0 where nothing can tell."""
    ask = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(ask, capture_output=True, text=True, timeout=20, check=True).stdout
        return min(float(line) for line in said.splitlines()) * 2**20
    except (OSError, ValueError, subprocess.SubprocessError):
        return 0.0
