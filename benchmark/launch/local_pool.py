"""The contract of an executor, and the two that need nothing but this machine.

An executor takes jobs and a context and yields an outcome for each as it ends, in any order. What a job
produces it writes to the store itself; closing the iterator ends what still runs.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from ..core.errors import said_of
from ..core.job import Job
from ..planning.evaluations import Evaluation, of_job
from ..store.locks import no_link
from ..store.store import LOG, Store

if TYPE_CHECKING:
    from pebble import ProcessPool


#: A pool breaks where a worker dies before it has begun with a job. So often a job is given to a new one.
RESTARTS = 3


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
        there = set(Store(self.store).evaluations(job.id)) if self.evaluations else set()
        return [item for item in of_job(self.evaluations, job) if item.name not in there]


@dataclass(frozen=True)
class Outcome:
    """How a job ended."""

    job_id: str
    ok: bool
    reason: str = ""


#: Called with every outcome as it comes.
Listener = Callable[[Outcome], None]
#: What is done with a job.
Work = Callable[[Job, Context], Outcome]


class Executor(Protocol):
    """Runs jobs somewhere."""

    def run(self, jobs: Sequence[Job], context: Context) -> Iterator[Outcome]:
        """Yields the outcome of every job as it ends."""
        ...


@dataclass(frozen=True)
class InProcess:
    """Runs one job after the other in this process, for debugging.

    Attributes:
        gpus: as in ``LocalPool``; the first is used.
    """

    gpus: tuple[str, ...] = ()

    def run(self, jobs: Sequence[Job], context: Context) -> Iterator[Outcome]:
        """Yields the outcome of every job as it ends."""
        _see_gpu(self.gpus[0] if self.gpus else "")
        from ..train.job_runner import run_job

        for job in jobs:
            yield run_job(job, context)


@dataclass(frozen=True)
class LocalPool:
    """A bounded pool of worker processes that live on from job to job.

    A worker that dies costs the job it was at, and is replaced.

    Attributes:
        workers: how many jobs at a time.
        gpus: the GPUs to use, by the names of ``CUDA_VISIBLE_DEVICES``; each worker sees one. None: the CPU.
        ignored: signals to the whole group that only this process is to answer.
        work: what a worker does with a job; None: trains and evaluates it.
    """

    workers: int
    gpus: tuple[str, ...] = ()
    ignored: tuple[signal.Signals, ...] = ()
    work: Work | None = None

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
        again: Counter[str] = Counter()
        try:
            while waiting or running:
                while waiting and free:
                    job, gpu = waiting.pop(_next(waiting, store)), free.pop(0)
                    if not pools[gpu].active:
                        pools[gpu].stop()
                        pools[gpu].join()
                        pools[gpu] = self._pool(shares[gpu], gpu, context)
                    running[pools[gpu].schedule(_run_job, args=[job, context, self.work])] = job, gpu
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    job, gpu = running.pop(future)
                    free.append(gpu)
                    if isinstance(future.exception(), BrokenProcessPool) and again[job.id] < RESTARTS:
                        again[job.id] += 1
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
            initializer=_start_worker,
            initargs=[gpu, context.threads, self.ignored, os.getpid()],
            context=_WorkerContext(),
        )


def _next(waiting: Sequence[Job], store: Store) -> int:
    """The place of the first job that no other launcher's worker is at; of the first, where there is none."""
    return next((place for place, job in enumerate(waiting) if not store.is_held(job.id)), 0)


class _WorkerProcess(SpawnProcess):
    """A spawned process that does not run the caller's script again.

    Spawning imports the main module anew in every child; a script that calls ``run`` without the usual guard
    would start over in each. Workers need nothing of it. Ctrl-C does not reach it before it can ignore it.
    """

    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802 - multiprocessing's name
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        resource_tracker.ensure_running()  # which would unblock it again
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited
        try:
            return SpawnProcess._Popen(process_obj)  # pyright: ignore[reportAttributeAccessIssue]
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            sys.modules["__main__"] = main


class _WorkerContext(SpawnContext):
    Process = _WorkerProcess


def _start_worker(gpu: str, threads: int, ignored: tuple[signal.Signals, ...], launcher: int) -> None:
    """Runs in a new worker before anything heavy is imported."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the launcher's to handle
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=[launcher], daemon=True).start()
    _see_gpu(gpu)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)


def _end_with(launcher: int) -> None:
    """Ends this worker soon after its launcher, however and whenever that ended."""
    while os.getppid() == launcher:
        time.sleep(0.2)
    os._exit(1)


def _see_gpu(gpu: str) -> None:
    """Shows torch, which is not imported yet, one GPU or none, numbered as nvidia-smi numbers them."""
    os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # what deterministic matrix products need


def _run_job(job: Job, context: Context, work: Work | None) -> Outcome:
    with _said_to(Store(context.store).folder(job.id) / LOG):
        if work is None:
            from ..train.job_runner import run_job as work

        return work(job, context)


@contextmanager
def _said_to(file: Path) -> Iterator[None]:
    """What this process and its libraries print goes to a file, also where a fault ends the process."""
    with open(file, "ab", buffering=0, opener=no_link) as stream:
        kept = [os.dup(number) for number in (1, 2)]
        for number in (1, 2):
            os.dup2(stream.fileno(), number)
        faulthandler.enable(stream)
        try:
            yield
        finally:
            for said in (sys.stdout, sys.stderr):
                with suppress(OSError):  # on a full disk what was said is lost, and no more
                    said.flush()
            faulthandler.disable()
            for number, before in zip((1, 2), kept, strict=True):
                os.dup2(before, number)
                os.close(before)
    if not file.stat().st_size:
        file.unlink()


def _outcome(future: Future[Outcome], job: Job, context: Context) -> Outcome:
    """The outcome of a future; where its worker died, the reason is written down here."""
    try:
        return future.result()
    except Exception as error:
        code = getattr(error, "exitcode", None)
        reason = f"the worker died: {_how(code)}" if code is not None else said_of(error)
        if isinstance(error, BrokenProcessPool):
            reason = f"{RESTARTS + 1} times a worker died as it started, often the sign that memory ran out"
    store = Store(context.store)
    if store.is_done(job.id) and not context.lacking(job):  # it died after its last write
        return Outcome(job.id, ok=True)
    store.fail(job.id, reason)
    return Outcome(job.id, ok=False, reason=reason)


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"{name}, often the sign that memory ran out" if name == "SIGKILL" else name
