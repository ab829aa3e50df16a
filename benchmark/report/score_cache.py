"""Scores on disk, beside the predictions that they are made of. They may be deleted at any time.

A prediction file is hashed when it is first scored, and again when its size or time of change, or that of its
marker, is another than then: what was checked once is not read again for each table.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from ...leaderboards.catalog import READABLE
from ..core.atomic_files import read_json, write_atomic, write_json
from ..planning.evaluations import holds_features
from ..store.names import StoreError, inside
from ..store.store import Store

_PREDICTIONS = "predictions.parquet"
_CHECKED = "checked.json"
#: What an evaluation consists of: its outputs, and the marker that says what was written.
_PARTS = ("parquet", "json")


class PredictionFiles:
    """The prediction files of a finished job and their hashes.

    Args:
        store: where the job is.
        job_id: its id.
    """

    def __init__(self, store: Store, job_id: str) -> None:
        self._job = store.job(job_id)
        self.scores = os.path.join(self._job.path, "scores")
        self._digests: dict[str, str] = {}  # of this process: the tables share the files of a job

    def names(self, reads: Set[str]) -> list[str]:
        """The files that hold some outputs, of ``READABLE``; without a look into the folder where none is needed."""
        own = [_PREDICTIONS] if "predictions" in reads else []
        if not reads & {"conditions", "features"}:
            return own
        kind = {True: "features", False: "conditions"}
        return own + [name for name in self._evaluations if kind[holds_features(name)] in reads]

    def digest(self, name: str) -> str:
        """The SHA-256 of a file. Raises StoreError where it is not what was written."""
        if name not in self._digests:
            self._digests[name] = self._checked_digest(name)
        return self._digests[name]

    @cached_property
    def _evaluations(self) -> list[str]:
        return self._job.evaluation_names()

    @cached_property
    def _checked(self) -> Mapping[str, list]:
        record = read_json(Path(self.scores) / _CHECKED)
        return record if isinstance(record, dict) else {}

    def _checked_digest(self, name: str) -> str:
        """The hash of a file, checked against its marker if it has not been yet."""
        own = name == _PREDICTIONS
        files = (_PREDICTIONS, "done.json") if own else (f"evaluations/{name}.{part}" for part in _PARTS)
        stamp: list | None = []
        try:
            for file in files:
                status = os.stat(os.path.join(self._job.path, file))
                stamp += [status.st_size, status.st_mtime_ns]
        except OSError:
            stamp = None  # the store says what is wrong
        known = self._checked.get(name)
        if known is not None and known[:-1] == stamp:
            return known[-1]
        read = self._job.read if own else self._job.read_evaluation
        digest = hashlib.sha256(read(name)).hexdigest()
        if stamp is not None:
            self._checked = {**self._checked, name: [*stamp, digest]}
            with suppress(OSError, StoreError):
                os.makedirs(inside(Path(self.scores)), exist_ok=True)
                write_json(Path(self.scores) / _CHECKED, self._checked)
        return digest


@dataclass(frozen=True)
class ScoreCache:
    """The stored sheets of a finished job, in its folder under ``scores/``, as one table reads them.

    Attributes:
        files: of the job.
        reads: the outputs that the table reads, of ``READABLE``.
        code: what changes when the code of a table from outside does; empty for tables of mmbench.
    """

    files: PredictionFiles
    reads: Set[str] = READABLE
    code: str = ""

    def reading(self, reads: frozenset[str], code: str = "") -> ScoreCache:
        """The same cache for a table of these ``reads`` and this ``code``."""
        return replace(self, reads=reads, code=code)

    def fingerprint(self) -> str:
        """A hash of the outputs that the table reads.

        Raises:
            StoreError: they are not what was written.
        """
        parts = [f"{name} {self.files.digest(name)}" for name in self.files.names(self.reads)]
        return hashlib.sha256("\n".join([*parts, *filter(None, [self.code])]).encode()).hexdigest()

    def read(self, file: str) -> bytes | None:
        """The content of a stored sheet, or None."""
        try:
            with open(os.path.join(self.files.scores, file), "rb") as stream:
                return stream.read()
        except OSError:
            return None

    def write(self, file: str, content: bytes) -> None:
        """Stores a sheet; where the store cannot be written, it is made again next time."""
        folder = self.files.scores
        with suppress(OSError, StoreError):
            os.makedirs(inside(Path(folder)), exist_ok=True)
            write_atomic(Path(folder) / file, content, durable=False)
            self._remove_others(file)

    def _remove_others(self, file: str) -> None:
        """Removes what was scored another way and is of no more use."""
        sheet = file.partition("-")[0]
        for entry in os.scandir(self.files.scores):
            if entry.name.partition("-")[0] == sheet and entry.name != file:
                os.unlink(entry.path)
