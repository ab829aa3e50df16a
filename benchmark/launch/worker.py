"""The work of a worker process: it runs a job, then scores it. Nothing here knows which launcher started it."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import parent_process
from pathlib import Path

from ..core.job import Job
from ..core.processes import THREADS
from ..store.job_folder import LOG
from ..store.locks import no_link
from ..store.store import Store
from ..train.context import Context, Outcome

#: What is done with a job.
Work = Callable[[Job, Context], Outcome]


def work(job: Job, context: Context) -> Outcome:
    """Trains and evaluates a job and scores its predictions, so that tables have only to be joined.

    Args:
        job: what to run.
        context: where, and with what.

    Returns:
        How it ended. Scoring cannot fail a job: what is wrong with its predictions is said by the tables.
    """
    from ..train.job_runner import run_job  # with torch

    outcome = run_job(job, context)
    if outcome.ok and not outcome.reason and job.search is None:  # most trials of a search are in no table
        from ..report.score_job import score_job

        score_job(context.store, job.id)
    return outcome


def start_worker(gpu: str, threads: int, ignored: tuple[signal.Signals, ...]) -> None:
    """Sets up a new worker process. When its launcher ends, so does it.

    Args:
        gpu: the one that it sees, by its name for ``CUDA_VISIBLE_DEVICES``; empty for none.
        threads: CPU threads of numeric libraries.
        ignored: signals that it ignores.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the launcher's to handle
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_launcher, daemon=True).start()
    see_gpu(gpu)
    for name in THREADS:
        os.environ[name] = str(threads)


def _end_with_the_launcher() -> None:
    """Ends this worker with its launcher, however and whenever that ended."""
    launcher = parent_process()
    if launcher is not None:
        launcher.join()
    os._exit(1)


def see_gpu(gpu: str) -> None:
    """Shows torch, which is not imported yet, one GPU or none, numbered as nvidia-smi numbers them."""
    os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # what deterministic matrix products need


def work_logged(job: Job, context: Context, work: Work) -> Outcome:
    """Does ``work`` with a job; what is printed meanwhile goes to the job's log.

    Args:
        job: what to run.
        context: where, and with what.
        work: what to do with it.

    Returns:
        How it ended.
    """
    with _output_to(Store(context.store).job(job.id).path / LOG):
        return work(job, context)


@contextmanager
def _output_to(file: Path) -> Iterator[None]:
    """Lets all that this process and its libraries print go to a file, also where a fault ends the process."""
    with open(file, "ab", buffering=0, opener=no_link) as stream:
        before = [os.dup(number) for number in (1, 2)]
        for number in (1, 2):
            os.dup2(stream.fileno(), number)
        faulthandler.enable(stream)
        try:
            yield
        finally:
            for output in (sys.stdout, sys.stderr):
                with suppress(OSError):  # on a full disk what was printed is lost, and no more
                    output.flush()
            faulthandler.disable()
            for number, copy in zip((1, 2), before, strict=True):
                os.dup2(copy, number)
                os.close(copy)
    if not file.stat().st_size:
        file.unlink()
