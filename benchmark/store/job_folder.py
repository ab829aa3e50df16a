"""The folder of one job: its description, its state and its results."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..core.atomic_files import as_json, read_json, write_atomic, write_concurrently, write_json
from ..core.job import Job
from ..core.states import State
from .cleanup import CHECKPOINT, clear, is_cluttered
from .locks import Claim, hold, holder
from .names import StoreError, inside, safe_name

#: The results without which a job is not done.
RESULTS = ("predictions.parquet", "fit.json")
WEIGHTS = "weights.safetensors"
INPUTS = "inputs.safetensors"
LOG = "log.txt"
SUBMITTED = "submitted.json"
#: Raised when files of a job are written otherwise: those of another schema are refused.
SCHEMA = 1
#: Records of a job, whose form does not depend on the schema of its outputs.
_RECORDS = ("fit.json", "environment.json")


@dataclass(frozen=True)
class Record:
    """A job in a store, and its state."""

    job: Job
    state: State
    reason: str = ""
    progress: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Submission:
    """Where a job was queued.

    Attributes:
        launcher: the name of the launcher that has the job.
        id: what that launcher calls the submission; several jobs may share one.
        submitted: when, in seconds since 1970.
        code: the version of the code that submitted it.
        log: where the launcher's own log of the submission lies, in words; empty where it keeps none.
    """

    launcher: str
    id: str
    submitted: float = 0.0
    code: str = ""
    log: str = ""


class JobFolder:
    """The files that a store holds of one job.

    Args:
        jobs: the folder of all jobs.
        name: the id of the job.

    Raises:
        StoreError: the name would lead out of the store.
    """

    def __init__(self, jobs: str, name: str) -> None:
        self.id = safe_name(name)
        self._text = f"{jobs}/{name}"  # paths of ten thousand jobs take long to make

    @property
    def path(self) -> Path:
        """The folder."""
        return Path(self._text)

    def is_known(self) -> bool:
        """Whether the job is written down."""
        return os.path.exists(f"{self._text}/job.json")

    def write_down(self, job: Job) -> None:
        """Writes the description of the job, which is to be run."""
        inside(self.path).mkdir(exist_ok=True)
        write_json(self.path / "job.json", {"schema": SCHEMA, **job.to_dict()})

    def set_aside_failure(self) -> None:
        """Moves the note of an earlier failure out of the way of the next try, which may begin as soon as it is queued. Until
        something more is written, the job still counts as failed."""
        with suppress(FileNotFoundError):
            os.replace(f"{self._text}/failed.json", f"{self._text}/{SUBMITTED}")

    def submit(self, submission: Submission) -> None:
        """Writes down where the job was queued. It may have ended by now."""
        write_json(self.path / SUBMITTED, asdict(submission))

    def record(self, job: Job) -> Record:
        """A job and its state."""
        folder = self._text
        try:  # one look at what is there: a store has ten thousand jobs, most of them with few files
            there = set(os.listdir(folder))
        except OSError:
            return Record(job, "planned")

        def read(name: str) -> Any:
            return read_json(f"{folder}/{name}") if name in there else None

        if "done.json" in there and self.is_done():
            return Record(job, "done")
        progress = read("progress.json")
        if "lock" in there and self.is_held():
            return Record(job, "running", progress=progress)
        pruned, failure, note = (read(name) for name in ("pruned.json", "failed.json", SUBMITTED))
        if not isinstance(failure, dict) and isinstance(note, dict) and "id" not in note:
            failure = note  # set aside, and never queued again
        if isinstance(pruned, dict):
            return Record(job, "pruned", str(pruned.get("reason", "")))
        if isinstance(failure, dict):
            state: State = "cancelled" if failure.get("cancelled") is True else "failed"
            return Record(job, state, str(failure.get("reason", "")), progress)
        if submission := _submission(note):
            return Record(job, "queued", f"{submission.launcher} {submission.id}", progress)
        if "done.json" in there:
            return Record(job, "dead", "its results are no longer whole; the next run makes them again")
        if progress is not None:
            return Record(
                job, "interrupted", "ended without a result; the next run goes on with it", progress
            )
        return Record(job, "planned")

    def is_done(self) -> bool:
        """Whether the done marker is there and the results have the sizes that it states."""
        folder = self._text
        marker = read_json(f"{folder}/done.json")
        try:
            return marker is not None and all(
                os.stat(f"{folder}/{name}").st_size == marker["files"][name]["size"] for name in RESULTS
            )
        except (OSError, KeyError, TypeError):
            return False

    def finish(self, files: Mapping[str, bytes], environment: Any) -> None:
        """Writes the results of a job, the done marker last, and removes the files of its course.

        Args:
            files: name -> content.
            environment: versions, machine and seconds, as JSON can hold them.
        """
        folder = self.path
        written = {**files, "environment.json": as_json(environment)}
        write_concurrently(partial(_write_into, folder), written.items())
        marker: dict[str, dict[str, Any]] = {
            name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in written.items()
        }
        marker["job.json"] = {"sha256": hashlib.sha256((folder / "job.json").read_bytes()).hexdigest()}
        write_json(folder / "done.json", {"schema": SCHEMA, "files": marker})
        for name in ("failed.json", "progress.json", CHECKPOINT):
            (folder / name).unlink(missing_ok=True)

    def submission(self) -> Submission | None:
        """The last submission of the job; None without one, or where it has failed since and is to be queued again."""
        return _submission(read_json(self.path / SUBMITTED))

    def failure(self) -> str:
        """The reason why the last try failed; empty where it did not."""
        note = read_json(self.path / "failed.json")
        return (str(note.get("reason", "")) or "no reason given") if isinstance(note, dict) else ""

    def has_begun(self) -> bool:
        """Whether a try that has not ended has written progress."""
        return (self.path / "progress.json").exists()

    def log(self) -> str:
        """The output of the job's worker processes, all tries after each other."""
        try:
            return (self.path / LOG).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def begin(self) -> None:
        """Removes the note of an earlier failure."""
        (self.path / "failed.json").unlink(missing_ok=True)

    def fail(self, reason: str, details: str = "", cancelled: bool = False) -> None:
        """Writes down why a job failed. On a full disk only the process that runs it reports it.

        Args:
            reason: one line.
            details: all that is known, such as the traceback.
            cancelled: whether somebody wanted it to end.
        """
        values = {"reason": reason, "details": details, **({"cancelled": True} if cancelled else {})}
        with suppress(OSError):
            write_json(self.path / "failed.json", values)

    def prune(self, values: Mapping[str, Any]) -> None:
        """Writes down that a trial was ended early."""
        folder = self.path
        write_json(folder / "pruned.json", values)
        (folder / "progress.json").unlink(missing_ok=True)

    def pruning_record(self) -> dict[str, Any] | None:
        """The record of a trial that was ended early; None of any other job."""
        values = read_json(self.path / "pruned.json")
        return values if isinstance(values, dict) else None

    def read(self, name: str) -> bytes:
        """A result file, checked against the done marker.

        Raises:
            StoreError: it is not what was written.
        """
        folder = self.path
        marker = read_json(folder / "done.json")
        try:
            content = (folder / name).read_bytes()
            expected = marker["files"][name]["sha256"]
            asked = marker["files"]["job.json"]["sha256"]
            schema = marker["schema"] if name not in _RECORDS else SCHEMA  # their form is the same in all
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

    def hashed_names(self) -> list[str]:
        """The result files of which the done marker holds a hash, without ``job.json``, which is read with each."""
        marker = read_json(self.path / "done.json")
        files = marker.get("files") if isinstance(marker, dict) else None
        return sorted(set(files) - {"job.json"}) if isinstance(files, dict) else ["predictions.parquet"]

    def fit(self) -> dict[str, Any]:
        """The record of every epoch of a finished job, and which was selected; empty where it is no JSON object.

        Raises:
            StoreError: it is not what was written.
        """
        return _json_object(self.read("fit.json"))

    def environment(self) -> dict[str, Any]:
        """Versions, machine and seconds of a finished job; empty where they were not recorded. Jobs of version 0.1
        have no hash of them, so of those they are taken as they stand.

        Raises:
            StoreError: they are not what was written.
        """
        name = "environment.json"
        marker = read_json(self.path / "done.json")
        if isinstance(marker, dict) and name in (marker.get("files") or {}):
            return _json_object(self.read(name))
        values = read_json(self.path / name)
        return values if isinstance(values, dict) else {}

    def add_evaluation(self, name: str, content: bytes) -> None:
        """Writes the outputs of a finished job under more conditions, their marker last.

        Args:
            name: of the evaluation.
            content: of a Parquet file.
        """
        file = self._evaluation(name)
        inside(file.parent).mkdir(exist_ok=True)
        write_atomic(file, content)
        marker = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        write_json(file.with_suffix(".json"), {"schema": SCHEMA, **marker})

    def evaluations(self) -> list[str]:
        """The names of the further outputs that are there whole, in alphabetic order."""
        folder = self.path / "evaluations"
        return [name for name in self.evaluation_names() if self._is_whole(folder / f"{name}.json")]

    def evaluation_names(self) -> list[str]:
        """The names of the further outputs that were written, whether they are still whole or not."""
        try:
            names = os.listdir(self.path / "evaluations")
        except OSError:
            return []
        return sorted(name.removesuffix(".json") for name in names if name.endswith(".json"))

    def read_evaluation(self, name: str) -> bytes:
        """Further outputs, checked against their marker.

        Raises:
            StoreError: they are not what was written.
        """
        file = self._evaluation(name)
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

    def _evaluation(self, name: str) -> Path:
        return self.path / "evaluations" / f"{safe_name(name)}.parquet"

    def _is_whole(self, marker: Path) -> bool:
        values = read_json(marker)
        try:
            return marker.with_suffix(".parquet").stat().st_size == values["size"]
        except (OSError, KeyError, TypeError):
            return False

    @contextmanager
    def hold(self) -> Iterator[Claim]:
        """Holds a job; waits while another process holds it, here or on another machine."""
        with hold(self.path) as claim:
            clear(self.path, self.is_done())
            try:
                yield claim
            finally:
                claim.release(forget=self.is_done())

    def tidy(self) -> None:
        """Clears what is left of a finished job whose process was killed before it could."""
        with suppress(OSError):
            if is_cluttered(self.path) and not self.is_held():
                with self.hold():
                    pass

    def holder(self) -> Mapping[str, Any] | None:
        """The claim of the living process that holds the job, here or on another machine; None without one."""
        try:
            return holder(self.path)
        except OSError:
            return None

    def is_held(self) -> bool:
        """Whether a living process holds the job, here or on another machine."""
        return self.holder() is not None


def _write_into(folder: Path, file: tuple[str, bytes]) -> None:
    name, content = file
    write_atomic(folder / name, content)


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _submission(values: Any) -> Submission | None:
    """What a file says of a submission; None where it says nothing of one."""
    if not isinstance(values, dict) or not all(
        isinstance(values.get(key), str) and values[key] for key in ("launcher", "id")
    ):
        return None
    known = {key: values[key] for key in Submission.__dataclass_fields__ if key in values}
    return Submission(**known)
