"""Which files are there, and which of them no clip names. Each folder is listed once, however many clips lie in it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from .clip import Problem


class Shelf:
    """The files in the folders that clips name."""

    def __init__(self) -> None:
        self._names: dict[str, frozenset[str]] = {}  # folder -> its files
        self._taken: dict[str, set[str]] = {}

    def take(self, file: Path) -> bool:
        """Whether a file is there. It is then no longer left over."""
        folder, name = os.path.split(os.path.normpath(file))
        if name not in self._files(folder):
            return False
        self._taken[folder].add(name)
        return True

    def left(self, folders: Iterable[Path] = (), *, root: Path) -> list[Problem]:
        """The files below ``root`` that no clip took: those in ``folders``, and those beside taken ones. Where a
        folder has taken files, only files with a suffix of those count."""
        for folder in folders:
            self._files(os.path.normpath(folder))
        top = Path(os.path.normpath(root))
        found = []
        for folder in sorted(self._names):
            place = Path(folder)
            if not place.is_relative_to(top):
                continue
            taken = self._taken[folder]
            suffixes = {os.path.splitext(name)[1].lower() for name in taken}
            for name in sorted(self._names[folder] - taken):
                fits = not suffixes or os.path.splitext(name)[1].lower() in suffixes
                if fits and not name.startswith("."):
                    shown = str((place / name).relative_to(top))
                    found.append(Problem("", "", shown, "no clip names this file"))
        return found

    def _files(self, folder: str) -> frozenset[str]:
        if folder not in self._names:
            self._taken[folder] = set()
            try:
                with os.scandir(folder or ".") as entries:
                    self._names[folder] = frozenset(entry.name for entry in entries if entry.is_file())
            except OSError:  # not there, or not ours to read: no file is found in it
                self._names[folder] = frozenset()
        return self._names[folder]
