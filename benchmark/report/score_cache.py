"""Scores on disk, beside the predictions that they are made of. They may be deleted at any time.

A prediction file is hashed when it is first scored, and again when its size or time of change, or that of its
marker, is another than then: what was checked once is not read again for each table.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from ..core.atomic_files import read_json, write_atomic, write_json
from ..planning.evaluations import on_features
from ..store.names import StoreError, inside
from ..store.store import Store

_PREDICTIONS = "predictions.parquet"
_CHECKED = "checked.json"
#: What an evaluation consists of: its outputs, and the marker that says what was written.
_KINDS = ("parquet", "json")


class DiskKeeper:
    """Keeps the sheets of a finished job in its folder, under ``scores/``."""

    def __init__(self, store: Store, job_id: str) -> None:
        self._store, self._job = store, job_id
        self._folder = os.path.join(store.job(job_id).path, "scores")

    def fingerprint(self, sheet: str) -> str:
        """A hash of the predictions that a sheet is made of.

        Raises:
            StoreError: they are not what was written.
        """
        parts = [f"{name} {self._hash(name)}" for name in self._files(sheet)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def read(self, file: str) -> bytes | None:
        """The content of a sheet, or None."""
        try:
            with open(os.path.join(self._folder, file), "rb") as stream:
                return stream.read()
        except OSError:
            return None

    def write(self, file: str, content: bytes) -> None:
        """Keeps a sheet; where the store cannot be written, it is made again next time."""
        with suppress(OSError, StoreError):
            os.makedirs(inside(Path(self._folder)), exist_ok=True)
            write_atomic(Path(self._folder) / file, content, durable=False)
            self._forget_others(file)

    def has(self, file: str) -> bool:
        """Whether a sheet is kept under that name."""
        return os.path.exists(os.path.join(self._folder, file))

    def _forget_others(self, file: str) -> None:
        """Removes what was scored another way and is of no more use."""
        sheet = file.partition("-")[0]
        for entry in os.scandir(self._folder):
            if entry.name.partition("-")[0] == sheet and entry.name != file:
                os.unlink(entry.path)

    def _files(self, sheet: str) -> list[str]:
        if sheet not in ("robustness", "ood"):
            return [_PREDICTIONS]
        names = [name for name in self._evaluated if on_features(name) == (sheet == "ood")]
        return names if sheet == "ood" else [_PREDICTIONS, *names]

    @cached_property
    def _evaluated(self) -> list[str]:
        return self._store.job(self._job).evaluated()

    @cached_property
    def _digests(self) -> dict[str, str]:
        """What was looked at once in this process: a table reads several sheets of a job."""
        return {}

    @cached_property
    def _checked(self) -> Mapping[str, list]:
        found = read_json(Path(self._folder) / _CHECKED)
        return found if isinstance(found, dict) else {}

    def _hash(self, name: str) -> str:
        if name not in self._digests:
            self._digests[name] = self._digest(name)
        return self._digests[name]

    def _digest(self, name: str) -> str:
        """The hash of a prediction file, checked against its marker if it has not been yet."""
        own = name == _PREDICTIONS
        folder = self._store.job(self._job).path
        files = (_PREDICTIONS, "done.json") if own else (f"evaluations/{name}.{kind}" for kind in _KINDS)
        stamp: list | None = []
        try:
            for file in files:
                status = os.stat(os.path.join(folder, file))
                stamp += [status.st_size, status.st_mtime_ns]
        except OSError:
            stamp = None  # the store says what is wrong
        known = self._checked.get(name)
        if known is not None and known[:-1] == stamp:
            return known[-1]
        folder = self._store.job(self._job)
        read = folder.read if own else folder.read_evaluation
        digest = hashlib.sha256(read(name)).hexdigest()
        if stamp is not None:
            self._checked = {**self._checked, name: [*stamp, digest]}
            with suppress(OSError, StoreError):
                os.makedirs(inside(Path(self._folder)), exist_ok=True)
                write_json(Path(self._folder) / _CHECKED, self._checked)
        return digest
