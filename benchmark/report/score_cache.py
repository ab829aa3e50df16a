"""Scores on disk, beside the predictions that they are made of. They may be deleted at any time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Set
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ...leaderboards.catalog import READABLE
from ..core.atomic_files import write_atomic
from ..store.names import StoreError, inside
from .prediction_files import PredictionFiles


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
        """The same cache for a table of these ``reads`` and this ``code``.

        Args:
            reads: kinds of outputs, of ``READABLE``.
            code: a hash of what makes the table; empty for that of mmbench.

        Returns:
            The cache.
        """
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
        """Stores a sheet; where the store cannot be written, it is made again next time.

        Args:
            file: its name.
            content: its bytes.
        """
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
