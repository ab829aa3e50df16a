"""The results of segmenters on disk: ``regimes/<job id>/`` in a store, beside the jobs of networks.

::

    job.json            what was asked
    states.parquet      a row a step: conversation, step, speaker, label, regime, uncertainty; state_0, posterior_0, ... of the
                        factors; text.valence, ... what was observed, standardised
    held_out.parquet    a row a conversation: steps at which anything was observed, log-likelihood where it was left out; and the
                        agreement with a fit without its first step
    fit.json            sweeps, R-hat, traces, facts; of each regression that valence is from, its data and its error
    environment.json    versions, machine and seconds
    done.json           written last: size and SHA-256 of all of them
    failed.json         the reason, where it failed
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..core.atomic_files import as_json, read_json, write_atomic, write_json
from ..core.errors import UsageError
from ..store.locks import hold
from ..store.names import REGIMES, StoreError, inside, safe_name
from .job import RegimeJob

#: Raised when files are written otherwise.
SCHEMA = 1
FILES = ("states.parquet", "held_out.parquet", "fit.json", "environment.json")


class RegimeFolder:
    """The files of one job.

    Args:
        store: the folder of all results.
        job_id: the id of the job.
    """

    def __init__(self, store: Path, job_id: str) -> None:
        self.path = store / REGIMES / safe_name(job_id)

    def write_down(self, job: RegimeJob) -> None:
        """Writes the description of a job that is to be run. Raises UsageError where that is not possible."""
        try:
            inside(self.path.parent.parent).mkdir(parents=True, exist_ok=True)
            inside(self.path.parent).mkdir(exist_ok=True)
            inside(self.path).mkdir(exist_ok=True)
            if not (self.path / "job.json").exists():
                write_json(self.path / "job.json", {"schema": SCHEMA, **asdict(job)})
        except OSError as error:
            raise UsageError(
                f"store {self.path.parent.parent}: cannot be written ({error.strerror})"
            ) from None

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Holds the job; waits while another process holds it."""
        with hold(self.path) as claim:
            try:
                yield
            finally:
                claim.release(forget=self.is_done())

    def is_done(self) -> bool:
        """Whether the marker is there and the files have the sizes that it states."""
        marker = read_json(self.path / "done.json")
        try:
            return marker is not None and all(
                (self.path / name).stat().st_size == marker["files"][name]["size"] for name in FILES
            )
        except (OSError, KeyError, TypeError):
            return False

    def failure(self) -> str:
        """Why the last try failed; empty where it did not."""
        note = read_json(self.path / "failed.json")
        return str(note.get("reason", "no reason given")) if isinstance(note, dict) else ""

    def fail(self, reason: str) -> None:
        """Writes down why a job failed."""
        write_json(self.path / "failed.json", {"reason": reason})

    def finish(self, files: Mapping[str, bytes]) -> None:
        """Writes the results, the marker last."""
        for name, content in files.items():
            write_atomic(self.path / name, content)
        marker = {
            name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in files.items()
        }
        write_json(self.path / "done.json", {"schema": SCHEMA, "files": marker})
        (self.path / "failed.json").unlink(missing_ok=True)

    def job(self) -> RegimeJob:
        """What was asked. Raises StoreError where it cannot be read."""
        values = read_json(self.path / "job.json")
        if not isinstance(values, dict) or values.pop("schema", None) != SCHEMA:
            raise StoreError(f"{self.path / 'job.json'}: is not a job of a segmenter that this version wrote")
        try:
            job = RegimeJob(**values)
        except TypeError:
            raise StoreError(f"{self.path / 'job.json'}: is not a job of a segmenter") from None
        if job.id != self.path.name:
            raise StoreError(
                f"{self.path / 'job.json'}: describes another job than its folder is named after"
            )
        return job

    def read(self, name: str) -> bytes:
        """A result, checked against the marker. Raises StoreError where it is not what was written."""
        marker = read_json(self.path / "done.json")
        try:
            content = (self.path / name).read_bytes()
            whole = hashlib.sha256(content).hexdigest() == marker["files"][name]["sha256"]
        except (OSError, KeyError, TypeError) as error:
            raise StoreError(f"{self.path / name}: cannot be read: {error}") from None
        if not whole:
            raise StoreError(
                f"{self.path / name}: has changed since it was written; delete {self.path} and run again"
            )
        return content

    def read_object(self, name: str) -> dict[str, Any]:
        """A result in JSON."""
        return json.loads(self.read(name))


def encode(values: Any) -> bytes:
    """A value as JSON."""
    return as_json(values)


def folders(store: Path) -> list[RegimeFolder]:
    """The folders of all jobs of segmenters, in the order of their ids."""
    try:
        names = sorted(os.listdir(store / REGIMES))
    except OSError:
        return []
    return [RegimeFolder(store, name) for name in names if (store / REGIMES / name / "job.json").exists()]
