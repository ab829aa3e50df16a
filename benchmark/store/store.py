"""The results on disk: one folder a job, and nothing shared that two could write.

::

    runs/
      jobs/<job id>/
        job.json             what was asked (identity, label)
        progress.json        while it runs: epoch, loss, validation
        last.ckpt            while it runs: all of the training, to go on from if it is interrupted
        log.txt              what it said while a worker process ran it
        claim.N              while it runs: by whom
        submitted.json       where it was queued: by which launcher, its id there, when, by which code; until it
                             is queued again, how it failed before
        predictions.parquet  outputs for every sample of every split, clean and with modalities missing
        weights.safetensors  of the selected epoch, so that more conditions need no training
        inputs.safetensors   what the network was made for, with the statistics of its inputs, so that it can be
                             given new samples
        fit.json             the record of every epoch, and which was selected
        environment.json     versions, machine, seconds by phase
        done.json            written last: size and SHA-256 of the results
        evaluations/         NAME.parquet: outputs under more conditions; NAME.json, written last: its hash
        failed.json          the reason, where it failed or was cancelled
        pruned.json          its epochs, where a trial was ended early because others did better
        scores/              of the predictions; may be deleted, as made/ may
      searches/              for each search of hyper-parameters: NAME.json, who was tried and chosen; NAME.log, Optuna's
      made/                  what tables were made last, so that they need not be made again
      asked/                 the experiments that were run
      set-aside/ID           the folders of jobs that were forgotten
      submitting/            held while jobs are queued
      NAME/                  what a launcher that queues jobs keeps, such as scripts and logs
      masks/NAME.parquet    tables of missing modalities that came from outside
      external/NAME.csv      rows of leaderboards from elsewhere that predictions do not verify

Every file is written under a temporary name, flushed to the disk and renamed, so it is there whole or not
at all. A job is held while it is trained, against processes of this machine and of others: see ``locks``.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..core.atomic_files import read_json, write_concurrently
from ..core.errors import UsageError
from ..core.job import Job
from .job_folder import SCHEMA, JobFolder, Record, Submission
from .locks import hold
from .names import OtherVersionError, StoreError, inside


class Store:
    """The folder of all results of one or several experiments."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.jobs_folder = self.path / "jobs"
        self._jobs = str(self.jobs_folder)

    def job(self, job_id: str) -> JobFolder:
        """The folder of a job, there or not. Raises StoreError for a name that would lead out of the store."""
        return JobFolder(self._jobs, job_id)

    def add(self, jobs: Iterable[Job]) -> None:
        """Writes down jobs that are to be run. Those that are known stay as they are."""
        try:
            inside(self.jobs_folder).mkdir(parents=True, exist_ok=True)
            new = [job for job in jobs if not self.job(job.id).is_known()]
            write_concurrently(lambda job: self.job(job.id).write_down(job), new)
        except OSError as error:
            raise UsageError(
                f"store {self.path}: cannot be written ({error.strerror}): make it writable, or name another with --store"
            ) from None

    def __iter__(self) -> Iterator[Record]:
        """Every job of the store, in the order of their ids. Raises StoreError at one that cannot be read."""
        try:
            names = sorted(os.listdir(self.jobs_folder))
        except OSError:
            return
        for name in names:
            file = os.path.join(self.jobs_folder, name, "job.json")
            values = read_json(file)
            if values is not None or os.path.exists(file):
                yield self.record(_job_of(values, file))

    def job_files(self) -> list[Path]:
        """The files that describe the jobs, in the order of their ids."""
        return sorted(self.jobs_folder.glob("*/job.json"))

    def read_record(self, file: Path) -> Record:
        """The job that a file describes, and its state. Raises StoreError where it is no job of this version."""
        return self.record(_read_job(file))

    def record(self, job: Job) -> Record:
        """A job and its state."""
        return self.job(job.id).record(job)

    def submit(self, submissions: Mapping[str, Submission]) -> None:
        """Writes down where jobs were queued.

        Args:
            submissions: id of a job -> where it was queued.
        """
        write_concurrently(lambda job: self.job(job).submit(submissions[job]), submissions)

    def put_aside(self, job_id: str) -> Path:
        """Moves the folder of a job out of the results, to ``set-aside``, from where it can be moved back.

        Args:
            job_id: of a job that no process holds.

        Returns:
            Where its folder is now.

        Raises:
            UsageError: the folder cannot be moved.
        """
        from .move_aside import move_aside  # no worker needs it

        return move_aside(self.path, self.job(job_id).path)

    def environments(self) -> Iterator[tuple[Job, Mapping[str, Any]]]:
        """Yields every finished job that can be read, with the environment that it ran in."""
        for file in self.job_files():
            environment = read_json(file.with_name("environment.json"))
            if isinstance(environment, dict) and file.with_name("done.json").exists():
                with suppress(UsageError, ValueError):
                    yield _read_job(file), environment

    @contextmanager
    def launching(self) -> Iterator[None]:
        """Held by a process that looks which jobs are to be queued and queues them; waits while another process does."""
        folder = inside(self.path / "submitting")
        folder.mkdir(parents=True, exist_ok=True)
        with hold(folder) as claim:
            try:
                yield
            finally:
                claim.release(forget=True)


def set_aside(store: str | Path, what: str = "it") -> str:
    """What to do with jobs that this version cannot read.

    Args:
        store: the folder of all results.
        what: the word for the jobs: it, or them.
    """
    command = f"mmbench forget --other-versions --store {shlex.quote(str(store))}"
    return f"the mmbench that wrote {what} can read {what}; to move {what} out of the way: {command}"


def _read_job(file: Path) -> Job:
    return _job_of(read_json(file), str(file))


def _job_of(values: Any, file: str) -> Job:
    """The job that the content of a file describes."""
    if not isinstance(values, dict):
        raise StoreError(f"{file}: not a job of mmbench; delete its folder, or write the file anew")
    try:
        if (schema := values.pop("schema")) != SCHEMA:
            store = os.path.dirname(os.path.dirname(os.path.dirname(file)))
            raise OtherVersionError(
                f"{file}: written by another version of mmbench (schema {schema}); {set_aside(store)}"
            )
        job = Job.from_dict(values)
    except (AttributeError, KeyError, TypeError) as error:
        raise StoreError(
            f"{file}: not a job of this version of mmbench; delete its folder ({error!r})"
        ) from None
    if job.id != os.path.basename(os.path.dirname(file)):
        raise StoreError(f"{file}: describes job {job.id}; the folder was renamed or the file was edited")
    return job
