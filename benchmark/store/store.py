"""The results on disk: one folder a job, and nothing shared that two could write.

::

    runs/
      jobs/<job id>/
        job.json             what was asked (identity, label)
        progress.json        while it runs: epoch, loss, validation
        last.ckpt            while it runs: all of the training, to go on from if it is interrupted
        log.txt              what it said while a worker process ran it
        claim.N              while it runs: by whom
        slurm.json           where it was queued: its id there, when, by which code; until SLURM has it again,
                             how it failed before
        predictions.parquet  outputs for every sample of every split, clean and with modalities missing
        weights.safetensors  of the selected epoch, so that more conditions need no training
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
      slurm/                 what SLURM is given, and what array tasks say
      external/NAME.csv      rows of leaderboards from elsewhere that predictions do not verify

Every file is written under a temporary name, flushed to the disk and renamed, so it is there whole or not
at all. A job is held while it is trained, against processes of this machine and of others: see ``claims``.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..core.atomic_files import as_json, at_once, read_json, write_atomic, write_json
from ..core.errors import UsageError
from ..core.job import Job
from .cleanup import CHECKPOINT, clear, is_cluttered
from .locks import Claim, hold, holder

State = Literal["planned", "queued", "running", "done", "failed", "dead", "cancelled", "pruned"]
#: The states of what did not end well and can be tried again.
BROKEN: tuple[State, ...] = ("failed", "dead", "cancelled")
RESULTS = ("predictions.parquet", "fit.json")
WEIGHTS = "weights.safetensors"
LOG = "log.txt"
SCHEMA = 1
#: Names of jobs and evaluations: one part of a path that leads nowhere else.
_NAME = re.compile(r"\w[\w.~+ -]*")


class StoreError(ValueError):
    """A result on disk that is not what was written."""


@dataclass(frozen=True)
class Record:
    """A job in a store, with what is known of it."""

    job: Job
    state: State
    reason: str = ""
    progress: Mapping[str, Any] | None = None


def checked_name(name: str) -> str:
    """The name of a job or an evaluation. Raises StoreError for one that could lead out of its folder."""
    if not _NAME.fullmatch(name):
        raise StoreError(f"{name!r} is no name of a job or an evaluation")
    return name


def inside(folder: Path) -> Path:
    """A folder of the store that is to be written to. Raises StoreError where it is a link to elsewhere."""
    if folder.is_symlink():
        raise StoreError(f"{folder}: is a link, and nothing is written outside the store; remove it")
    return folder


class Store:
    """The folder of all results of one or several experiments."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.jobs_folder = self.path / "jobs"
        self._jobs = str(self.jobs_folder)

    def folder(self, job_id: str) -> Path:
        """The folder of a job. Raises StoreError for a name that would lead out of the store."""
        return self.jobs_folder / checked_name(job_id)

    def _place(self, job_id: str) -> str:
        """The folder of a job as text: paths of ten thousand jobs take long to make."""
        return f"{self._jobs}/{checked_name(job_id)}"

    def add(self, jobs: Iterable[Job]) -> None:
        """Writes down jobs that are to be run. Those that are known stay as they are."""
        try:
            inside(self.jobs_folder).mkdir(parents=True, exist_ok=True)
            at_once(self._add, [job for job in jobs if not os.path.exists(f"{self._place(job.id)}/job.json")])
        except OSError as error:
            raise UsageError(
                f"store {self.path}: cannot be written ({error.strerror}): mend that, or name another with --store"
            ) from None

    def _add(self, job: Job) -> None:
        folder = inside(self.folder(job.id))
        folder.mkdir(exist_ok=True)
        write_json(folder / "job.json", {"schema": SCHEMA, **job.to_dict()})

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
        """Where every job is written down, in the order of their ids."""
        return sorted(self.jobs_folder.glob("*/job.json"))

    def read_record(self, file: Path) -> Record:
        """The job that a file describes, and its state. Raises StoreError where it is no job of this version."""
        return self.record(_read_job(file))

    def record(self, job: Job) -> Record:
        """A job and its state."""
        folder = self._place(job.id)
        try:  # one look at what is there: a store has ten thousand jobs, most of them with few files
            there = set(os.listdir(folder))
        except OSError:
            return Record(job, "planned")

        def read(name: str) -> Any:
            return read_json(f"{folder}/{name}") if name in there else None

        if "done.json" in there and self.is_done(job.id):
            return Record(job, "done")
        progress = read("progress.json")
        if "lock" in there and self.is_held(job.id):
            return Record(job, "running", progress=progress)
        pruned, failure, note = (read(name) for name in ("pruned.json", "failed.json", "slurm.json"))
        if not isinstance(failure, dict) and isinstance(note, dict) and "id" not in note:
            failure = note  # set aside, and never queued again
        if isinstance(pruned, dict):
            return Record(job, "pruned", str(pruned.get("reason", "")))
        if isinstance(failure, dict):
            state: State = "cancelled" if failure.get("cancelled") is True else "failed"
            return Record(job, state, str(failure.get("reason", "")), progress)
        if isinstance(note, dict) and note.get("id"):
            return Record(job, "queued", f"SLURM {note['id']}", progress)
        if "done.json" in there:
            return Record(job, "dead", "its results are no longer whole; the next run makes them again")
        if progress is not None:
            return Record(job, "dead", "ended without a result; the next run starts it again", progress)
        return Record(job, "planned")

    def is_done(self, job_id: str) -> bool:
        """Whether the done marker is there and the results have the sizes that it states."""
        folder = self._place(job_id)
        marker = read_json(f"{folder}/done.json")
        try:
            return marker is not None and all(
                os.stat(f"{folder}/{name}").st_size == marker["files"][name]["size"] for name in RESULTS
            )
        except (OSError, KeyError, TypeError):
            return False

    def finish(self, job_id: str, files: Mapping[str, bytes], environment: Any) -> None:
        """Writes the results of a job, the done marker last, and clears what told of its course."""
        folder = self.folder(job_id)
        written = {**files, "environment.json": as_json(environment)}
        at_once(lambda name: write_atomic(folder / name, written[name]), written)
        marker: dict[str, dict[str, Any]] = {
            name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in files.items()
        }
        marker["job.json"] = {"sha256": hashlib.sha256((folder / "job.json").read_bytes()).hexdigest()}
        write_json(folder / "done.json", {"schema": SCHEMA, "files": marker})
        for name in ("failed.json", "progress.json", CHECKPOINT):
            (folder / name).unlink(missing_ok=True)

    def set_aside(self, jobs: Iterable[str]) -> None:
        """Puts how an earlier try failed out of the way of the next, which may begin as soon as it is queued. A job
        of which nothing more is written down still counts as failed."""
        for job_id in jobs:
            folder = self._place(job_id)
            with suppress(FileNotFoundError):
                os.replace(f"{folder}/failed.json", f"{folder}/slurm.json")

    def submit(self, notes: Mapping[str, Mapping[str, Any]]) -> None:
        """Writes down where jobs were queued: ``id`` there, when, by which code. They may have ended by now.

        Args:
            notes: job -> its note.
        """
        at_once(lambda job: write_json(self.folder(job) / "slurm.json", dict(notes[job])), notes)

    def submission(self, job_id: str) -> Mapping[str, Any]:
        """Where a job was queued last; empty where it never was, or failed since and is to be queued again."""
        found = read_json(self.folder(job_id) / "slurm.json")
        return found if isinstance(found, dict) and "id" in found else {}

    def failure(self, job_id: str) -> str:
        """Why the last try of a job failed; empty where it did not."""
        found = read_json(self.folder(job_id) / "failed.json")
        return (str(found.get("reason", "")) or "no reason given") if isinstance(found, dict) else ""

    def started(self, job_id: str) -> bool:
        """Whether a try that is not over was ever under way."""
        return (self.folder(job_id) / "progress.json").exists()

    def log(self, job_id: str) -> str:
        """What a job said while a worker process ran it, all tries after each other."""
        try:
            return (self.folder(job_id) / LOG).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def environments(self) -> Iterator[tuple[Job, Mapping[str, Any]]]:
        """Of every finished job that can be read: itself and on what it ran."""
        for file in self.job_files():
            found = read_json(file.with_name("environment.json"))
            if isinstance(found, dict) and file.with_name("done.json").exists():
                with suppress(UsageError, ValueError):
                    yield _read_job(file), found

    @contextmanager
    def launching(self) -> Iterator[None]:
        """Held by who looks at what is to be queued and queues it; waits while another does."""
        folder = inside(self.path / "slurm")
        folder.mkdir(parents=True, exist_ok=True)
        with hold(folder) as claim:
            try:
                yield
            finally:
                claim.release(forget=True)

    def begin(self, job_id: str) -> None:
        """Forgets how an earlier try failed."""
        (self.folder(job_id) / "failed.json").unlink(missing_ok=True)

    def fail(self, job_id: str, reason: str, details: str = "", cancelled: bool = False) -> None:
        """Writes down why a job failed: one line, and all that is known; and whether somebody wanted it to end. On a
        full disk only who runs it says so."""
        values = {"reason": reason, "details": details, **({"cancelled": True} if cancelled else {})}
        with suppress(OSError):
            write_json(self.folder(job_id) / "failed.json", values)

    def prune(self, job_id: str, values: Mapping[str, Any]) -> None:
        """Writes down that a trial was ended early: the reason, and its epochs as in a fit record."""
        folder = self.folder(job_id)
        write_json(folder / "pruned.json", values)
        (folder / "progress.json").unlink(missing_ok=True)

    def pruned(self, job_id: str) -> dict[str, Any] | None:
        """What was written down of a trial that was ended early; None of any other job."""
        values = read_json(self.folder(job_id) / "pruned.json")
        return values if isinstance(values, dict) else None

    def read(self, job_id: str, name: str) -> bytes:
        """A result file, checked against the done marker.

        Raises:
            StoreError: it is not what was written.
        """
        folder = self.folder(job_id)
        marker = read_json(folder / "done.json")
        try:
            content = (folder / name).read_bytes()
            expected = marker["files"][name]["sha256"]
            asked = marker["files"]["job.json"]["sha256"]
            schema = marker["schema"]
            job = (folder / "job.json").read_bytes()
        except (OSError, KeyError, TypeError) as error:
            raise StoreError(f"{folder / name}: cannot be read: {error}") from None
        if schema != SCHEMA:
            raise StoreError(f"{folder / name}: written by another version of mmbench (schema {schema})")
        if (hashlib.sha256(content).hexdigest(), hashlib.sha256(job).hexdigest()) != (expected, asked):
            raise StoreError(
                f"{folder / name}: its content or job.json has changed since it was written; "
                f"delete the folder {folder} and run again"
            )
        return content

    def add_evaluation(self, job_id: str, name: str, content: bytes) -> None:
        """Writes the outputs of a finished job under more conditions, its marker last."""
        file = self._evaluation(job_id, name)
        inside(file.parent).mkdir(exist_ok=True)
        write_atomic(file, content)
        marker = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        write_json(file.with_suffix(".json"), {"schema": SCHEMA, **marker})

    def evaluations(self, job_id: str) -> list[str]:
        """The names of the further outputs that are there whole, in alphabetic order."""
        folder = self.folder(job_id) / "evaluations"
        return [name for name in self.evaluated(job_id) if self._is_whole(folder / f"{name}.json")]

    def evaluated(self, job_id: str) -> list[str]:
        """The names of the further outputs that were written, whether they are still whole or not."""
        try:
            names = os.listdir(self.folder(job_id) / "evaluations")
        except OSError:
            return []
        return sorted(name.removesuffix(".json") for name in names if name.endswith(".json"))

    def read_evaluation(self, job_id: str, name: str) -> bytes:
        """Further outputs, checked against their marker.

        Raises:
            StoreError: they are not what was written.
        """
        file = self._evaluation(job_id, name)
        marker = read_json(file.with_suffix(".json"))
        try:
            content, expected, schema = file.read_bytes(), marker["sha256"], marker["schema"]
        except (OSError, KeyError, TypeError) as error:
            raise StoreError(f"{file}: cannot be read: {error}") from None
        if schema != SCHEMA:
            raise StoreError(f"{file}: written by another version of mmbench (schema {schema})")
        if hashlib.sha256(content).hexdigest() != expected:
            raise StoreError(f"{file}: its content has changed since it was written; delete it and run again")
        return content

    def _evaluation(self, job_id: str, name: str) -> Path:
        return self.folder(job_id) / "evaluations" / f"{checked_name(name)}.parquet"

    def _is_whole(self, marker: Path) -> bool:
        values = read_json(marker)
        try:
            return marker.with_suffix(".parquet").stat().st_size == values["size"]
        except (OSError, KeyError, TypeError):
            return False

    @contextmanager
    def hold(self, job_id: str) -> Iterator[Claim]:
        """Holds a job; waits while another process holds it, here or on another machine."""
        with hold(self.folder(job_id)) as claim:
            clear(self.folder(job_id), self.is_done(job_id))
            try:
                yield claim
            finally:
                claim.release(forget=self.is_done(job_id))

    def tidy(self, job_id: str) -> None:
        """Clears what is left of a finished job whose process was killed before it could."""
        with suppress(OSError):
            if is_cluttered(self.folder(job_id)) and not self.is_held(job_id):
                with self.hold(job_id):
                    pass

    def holder(self, job_id: str) -> Mapping[str, Any] | None:
        """What the living process says of itself that holds the job, here or on another machine; None without one."""
        try:
            return holder(self.folder(job_id))
        except OSError:
            return None

    def is_held(self, job_id: str) -> bool:
        """Whether a living process holds the job, here or on another machine."""
        return self.holder(job_id) is not None


def _read_job(file: Path) -> Job:
    return _job_of(read_json(file), str(file))


def _job_of(values: Any, file: str) -> Job:
    """The job that the content of a file describes."""
    if not isinstance(values, dict):
        raise StoreError(f"{file}: not a job of mmbench; delete its folder, or write the file anew")
    try:
        if values.pop("schema") != SCHEMA:
            raise StoreError(f"{file}: written by another version of mmbench; use another store")
        job = Job.from_dict(values)
    except (AttributeError, KeyError, TypeError) as error:
        raise StoreError(
            f"{file}: not a job of this version of mmbench; delete its folder ({error!r})"
        ) from None
    if job.id != os.path.basename(os.path.dirname(file)):
        raise StoreError(f"{file}: describes job {job.id}; the folder was renamed or the file was edited")
    return job
