"""The launchers that need nothing but this machine: a pool of worker processes, and this process."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

from ..core.environment import cores, gpu_names, no_such_gpu
from ..core.errors import UsageError, error_line
from ..core.job import Job
from ..core.processes import ONE_THREAD, ForkedContext, SafeContext, importing_once
from ..core.strings import counted
from ..planning.experiment import Experiment
from ..store.store import Store
from ..train.context import Context, Outcome
from .launcher import Launcher
from .worker import Work, see_gpu, start_worker, work, work_logged

if TYPE_CHECKING:
    from pebble import ProcessPool


#: How often a job is given to a new pool. A pool breaks if a worker dies before it has begun with a job.
RESTARTS = 3


#: What takes seconds to import, and nearly every job needs.
SHARED = ("torch", "mmbench.benchmark.train.lightning_import")

#: What a job does where there is a GPU: use it if torch can, or fail where torch cannot.
OnGpu = Literal["auto", "cuda"]


@dataclass(frozen=True)
class InProcess(Launcher):
    """Runs one job after the other in this process, for debugging.

    Attributes:
        gpus: as in ``LocalPool``; the first is used.
        on_gpu: as in ``LocalPool``.
    """

    gpus: tuple[str, ...] = ()
    on_gpu: OnGpu = "auto"

    @classmethod
    def from_experiment(cls, experiment: Experiment, networks: int) -> Self:
        """Runs on the first of the GPUs that ``--device`` means. Raises UsageError where it is not there."""
        return cls(devices(experiment.device), _on_gpu(experiment))

    @property
    def device(self) -> str:
        """Where the jobs run, as ``Context.device``."""
        return self.on_gpu if self.gpus else "cpu"

    def run(self, jobs: Sequence[Job], context: Context) -> Iterator[Outcome]:
        """Yields the outcome of every job as it ends."""
        see_gpu(self.gpus[0] if self.gpus else "")
        for job in jobs:
            yield work(job, context)


@dataclass(frozen=True)
class LocalPool(Launcher):
    """A bounded pool of worker processes that live on from job to job.

    A worker that dies costs the job it was at, and is replaced.

    Attributes:
        workers: how many jobs at a time.
        gpus: the GPUs to use, by the names of ``CUDA_VISIBLE_DEVICES``; each worker sees one. None: the CPU.
        ignored: signals to the whole group that only this process is to answer.
        work: what a worker does with a job.
        on_gpu: what a job does where there is a GPU.
    """

    workers: int
    gpus: tuple[str, ...] = ()
    ignored: tuple[signal.Signals, ...] = ()
    work: Work = work
    on_gpu: OnGpu = "auto"

    @classmethod
    def from_experiment(cls, experiment: Experiment, networks: int) -> Self:
        """A pool of as many workers as are asked for, else one a GPU, else one a core; never more than there are networks.

        Args:
            experiment: what is to be run.
            networks: how many networks are yet to be trained or tested.

        Raises:
            UsageError: ``--device`` names a device that is not there.
        """
        gpus = devices(experiment.device)
        workers = experiment.workers or (len(gpus) or cores())
        return cls(max(1, min(workers, networks or 1)), gpus, on_gpu=_on_gpu(experiment))

    @property
    def device(self) -> str:
        """Where the jobs run, as ``Context.device``."""
        return self.on_gpu if self.gpus else "cpu"

    def preview(self, jobs: Sequence[Job], context: Context) -> str:
        """How many jobs run at a time, and where."""
        where = f"the GPUs {', '.join(self.gpus)}" if self.gpus else "the CPU"
        return f"{counted(len(jobs), 'job')}, {self.workers} at a time, on {where} of this machine"

    def run(self, jobs: Sequence[Job], context: Context) -> Generator[Outcome, None, None]:
        """Yields the outcome of every job as it ends."""
        workers = min(self.workers, len(jobs))
        gpus = self.gpus[:workers] or ("",)
        shares = {gpu: workers // len(gpus) + (place < workers % len(gpus)) for place, gpu in enumerate(gpus)}
        pools = {gpu: self._pool(share, gpu, context) for gpu, share in shares.items()}
        free = [gpu for _ in range(workers) for gpu in gpus][:workers]
        waiting = list(jobs)
        store = Store(context.store)
        running: dict[Future[Outcome], tuple[Job, str]] = {}
        restarts: Counter[str] = Counter()
        try:
            while waiting or running:
                while waiting and free:
                    job, gpu = waiting.pop(_next(waiting, store)), free.pop(0)
                    if not pools[gpu].active:
                        pools[gpu].stop()
                        pools[gpu].join()
                        pools[gpu] = self._pool(shares[gpu], gpu, context)
                    running[pools[gpu].schedule(work_logged, args=[job, context, self.work])] = job, gpu
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    job, gpu = running.pop(future)
                    free.append(gpu)
                    if isinstance(future.exception(), BrokenProcessPool) and restarts[job.id] < RESTARTS:
                        restarts[job.id] += 1
                        waiting.insert(0, job)
                        continue
                    yield _outcome(future, job, context)
        finally:
            for pool in pools.values():
                pool.stop() if running else pool.close()
            for pool in pools.values():
                pool.join()

    def _pool(self, workers: int, gpu: str, context: Context) -> ProcessPool:
        from pebble import ProcessPool

        return ProcessPool(
            max_workers=workers,
            initializer=start_worker,
            initargs=[gpu, context.threads, self.ignored],
            context=_processes(gpu, context.threads),
        )


def _processes(gpu: str, threads: int) -> SafeContext | ForkedContext:
    """How workers are started: forked once torch is imported, unless each is to set it up in its own way.

    Torch shows a GPU as it was when torch was asked first, and takes the number of threads when it is imported.
    """
    if gpu or threads != 1:
        return SafeContext()
    return importing_once(SHARED, ONE_THREAD)


def _next(waiting: Sequence[Job], store: Store) -> int:
    """The index of the first job that no other process holds; 0 where others hold all of them."""
    return next((place for place, job in enumerate(waiting) if not store.job(job.id).is_held()), 0)


def _outcome(future: Future[Outcome], job: Job, context: Context) -> Outcome:
    """The outcome of a future; where its worker died, the reason is written down here."""
    try:
        return future.result()
    except Exception as error:
        code = getattr(error, "exitcode", None)
        reason = f"the worker died: {_exit_words(code)}" if code is not None else error_line(error)
        if isinstance(error, BrokenProcessPool):
            reason = f"{RESTARTS + 1} times a worker died as it started, often the sign that memory ran out"
    folder = Store(context.store).job(job.id)
    if folder.is_done() and not context.lacking(job):  # it died after its last write
        return Outcome(job.id, ok=True)
    folder.fail(reason)
    return Outcome(job.id, ok=False, reason=reason)


def _exit_words(code: int) -> str:
    """An exit code of a process, in words; a negative one is that of a signal."""
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"{name}, often the sign that memory ran out" if name == "SIGKILL" else name


def devices(text: str) -> tuple[str, ...]:
    """The GPUs that ``--device`` means, by the names of ``CUDA_VISIBLE_DEVICES``; none for the CPU.

    Raises:
        UsageError: it names a device that is not there.
    """
    if text == "cpu":
        return ()
    present = gpu_names()
    if text == "auto":
        return present
    if text == "cuda" and present:
        return present
    wanted = [item.strip().removeprefix("cuda:") for item in text.split(",")]
    missing = [item for item in wanted if item == "cuda" or int(item) >= len(present)]
    if missing:
        elsewhere = "--device cpu, or --launcher slurm --slurm gpus=1 on a cluster"
        raise UsageError(no_such_gpu(text, len(present), elsewhere))
    return tuple(present[int(item)] for item in wanted)


def _on_gpu(experiment: Experiment) -> OnGpu:
    return "auto" if experiment.device == "auto" else "cuda"
