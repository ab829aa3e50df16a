"""Launchers that hand jobs to a queue, which runs them whether or not the command that submitted them lives on.

What the store says of a job decides; the queue is asked only whether it still has it. So a queue that is out of reach
for a while does no harm, and several commands over one store submit no job twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Protocol

from ..core.errors import UsageError
from ..core.job import Job
from ..core.registry import find
from ..store.job_folder import Submission
from ..store.store import Store
from ..train.context import Context, Outcome
from .launcher import Launcher

#: Seconds between looks at the store, at least; and between questions to the queue.
LOOK, ASK = 0.3, 3.0
#: Seconds for which a queue may not answer when jobs are to be submitted, as while its controller starts anew.
PATIENCE = 30.0


class UnreachableError(Exception):
    """The queue does not answer now; the message says why."""


@dataclass(frozen=True)
class Ending:
    """The end of a submission, as the queue reports it.

    Attributes:
        how: in words, such as ``TIMEOUT``.
        cancelled: somebody ended it on purpose.
    """

    how: str
    cancelled: bool = False


@dataclass(frozen=True)
class JobBatch:
    """Jobs that are submitted together.

    Attributes:
        jobs: their ids.
        submit: hands them to the queue; id of a job -> where it was queued. It may raise UsageError.
    """

    jobs: tuple[str, ...]
    submit: Callable[[], Mapping[str, Submission]]


class Detached(Launcher, Protocol):
    """A launcher whose jobs outlive the command: they are submitted, and known by an id from then on.

    Later commands (``status``, ``cancel``) ask the class, which they find by its name in a job's ``submitted.json``.

    Attributes:
        name: the name that it is registered by.
    """

    name: ClassVar[str]
    detached: ClassVar[bool] = True

    def batches(self, jobs: Sequence[Job], context: Context) -> Iterable[JobBatch]:
        """Groups jobs by how they are submitted.

        Args:
            jobs: those that are neither done nor queued, at least one.
            context: what they need.

        Returns:
            What is submitted together, one after the other. Every job is in one of them.

        Raises:
            UsageError: they cannot be submitted.
        """
        ...

    @classmethod
    def alive(cls, ids: Collection[str]) -> set[str]:
        """The submissions that the queue still has, waiting or running.

        Args:
            ids: of submissions.

        Returns:
            Those of them that have not ended.

        Raises:
            UnreachableError: the queue does not answer.
        """
        ...

    @classmethod
    def endings(cls, ids: Collection[str]) -> Mapping[str, Ending]:
        """The ends of submissions that the queue no longer has, as far as it knows them.

        Args:
            ids: of submissions.

        Returns:
            Id -> how it ended.
        """
        return {}

    @classmethod
    def cancel(cls, ids: Collection[str]) -> None:
        """Ends submissions, waiting or running, with all of their jobs. It need not wait until they have ended.

        Args:
            ids: of submissions.

        Raises:
            UnreachableError: the queue does not answer.
        """
        ...

    def run(self, jobs: Sequence[Job], context: Context) -> Iterator[Outcome]:
        """Submits what is neither done nor queued, and waits for all of it.

        Args:
            jobs: what is to be run; all of them are written down in the store.
            context: what they need.

        Yields:
            The outcome of every job as it ends. Closed before, it leaves the queue as it is.

        Raises:
            UsageError: jobs cannot be submitted from here, or the queue refuses them.
        """
        self.require()
        store = Store(context.store)
        with store.launching():
            missing = _jobs_to_submit(type(self), jobs, store)
            for batch in self.batches(missing, context) if missing else ():
                _submit(batch, context, store)
        yield from _watch(type(self), jobs, context, store)


def launcher_class(name: str, plugins: tuple[Path, ...] = ()) -> type[Detached]:
    """The class of the launcher that has a submission.

    Args:
        name: of the launcher, as in ``submitted.json``.
        plugins: files that bring launchers.

    Returns:
        The class, to be asked about submissions.

    Raises:
        UsageError: no such launcher is known.
    """
    return find("launcher", name, plugins).load()


def _ids(launcher: type[Detached], names: Iterable[str], store: Store) -> dict[str, str]:
    """Id of a job -> id of its submission, of those that were submitted to a launcher."""
    submissions = {name: store.job(name).submission() for name in names}
    return {name: one.id for name, one in submissions.items() if one and one.launcher == launcher.name}


def _jobs_to_submit(launcher: type[Detached], jobs: Sequence[Job], store: Store) -> list[Job]:
    """The jobs that the queue does not have and no process trains."""
    ids = _ids(launcher, (job.id for job in jobs), store)
    end = time.monotonic() + PATIENCE
    while True:
        try:
            alive = launcher.alive(set(ids.values()))
            break
        except UnreachableError as error:
            if time.monotonic() >= end:
                raise UsageError(f"--launcher {launcher.name}: does not answer: {error}") from None
        time.sleep(1.0)
    return [
        job
        for job in jobs
        if not store.job(job.id).is_held() and (ids.get(job.id) not in alive or store.job(job.id).failure())
    ]


def _submit(batch: JobBatch, context: Context, store: Store) -> None:
    """Submits jobs and writes down where they are."""
    # Before: a job may begin, and fail anew, while this still writes down where it is.
    for name in batch.jobs:
        store.job(name).set_aside_failure()
    submissions = batch.submit()
    now = time.time()
    store.submit({name: replace(one, submitted=now, code=context.code) for name, one in submissions.items()})


def _watch(
    launcher: type[Detached], jobs: Sequence[Job], context: Context, store: Store
) -> Iterator[Outcome]:
    """Watches the store, and the queue for jobs that are gone without a word."""
    waiting = {job.id: job for job in jobs}
    gone: set[str] = set()
    asked = time.monotonic()
    while waiting:
        began = time.monotonic()
        for job in list(waiting.values()):
            outcome = _outcome_of(job, context, store)
            if outcome:
                del waiting[job.id]
                yield outcome
        if waiting and time.monotonic() - asked >= ASK:
            before, gone = gone, _lost_jobs(launcher, waiting, store)
            # Twice in a row: what the queue has just ended may still be on its way to the store.
            if gone & before:
                _note_lost(launcher, {name: waiting[name] for name in gone & before}, context, store)
                began = time.monotonic()  # to wait for another command is not to look
            asked = time.monotonic()
        # Looking at ten thousand jobs takes a while: a tenth of the time at most.
        time.sleep(max(LOOK, 9 * (time.monotonic() - began)))


def _outcome_of(job: Job, context: Context, store: Store) -> Outcome | None:
    folder = store.job(job.id)
    if folder.is_done() and not context.lacking(job):
        return Outcome(job.id, ok=True)
    if job.id in context.rivals and folder.pruning_record() is not None:
        return Outcome(job.id, ok=True, reason="pruned")
    reason = folder.failure()
    return Outcome(job.id, ok=False, reason=reason) if reason else None


def _lost_jobs(launcher: type[Detached], waiting: Collection[str], store: Store) -> set[str]:
    """The jobs that the queue no longer has and no process trains."""
    ids = _ids(launcher, waiting, store)
    try:
        alive = launcher.alive(set(ids.values()))
    except UnreachableError:
        return set()
    return {name for name in waiting if ids.get(name) not in alive and not store.job(name).is_held()}


def _note_lost(launcher: type[Detached], lost: Mapping[str, Job], context: Context, store: Store) -> None:
    """Writes down that jobs are lost, except those that another command has queued again by now."""
    with store.launching():
        gone = sorted(_lost_jobs(launcher, lost, store))
        ids = _ids(launcher, gone, store)
        endings = launcher.endings(set(ids.values()))
        for name in gone:
            if _outcome_of(lost[name], context, store):
                continue
            ending = endings.get(ids.get(name, ""), Ending(""))
            when = "while it was trained" if store.job(name).has_begun() else "before it was started"
            why = f" ({ending.how})" if ending.how else ""
            reason = f"{launcher.name} {ids.get(name, '')} ended {when}{why}"
            store.job(name).fail(reason, cancelled=ending.cancelled)
