"""Which files are there, and which of them no clip names. Each folder is listed once, however many clips lie in it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from .clip import Problem


class Shelf:
    """The files in the folders that clips name."""

    def __init__(self) -> None:
        self._folders: dict[Path, frozenset[str]] = {}
        self._taken: set[Path] = set()

    def take(self, file: Path) -> bool:
        """Whether a file is there. It is then no longer left over."""
        file = Path(os.path.normpath(file))
        if file.name not in self._names(file.parent):
            return False
        self._taken.add(file)
        return True

    def left(self, folders: Iterable[Path] = (), *, root: Path) -> list[Problem]:
        """The files below ``root`` that no clip took: those in ``folders``, and those beside taken ones, that
        have the suffix of a taken one of the same folder, or any suffix where the folder has no taken one."""
        for folder in folders:
            self._names(Path(os.path.normpath(folder)))
        root = Path(os.path.normpath(root))
        found = []
        for folder in sorted(self._folders):
            if not folder.is_relative_to(root):
                continue
            suffixes = {file.suffix.lower() for file in self._taken if file.parent == folder}
            for name in sorted(self._folders[folder]):
                file = folder / name
                fits = not suffixes or file.suffix.lower() in suffixes
                if file not in self._taken and fits and not name.startswith("."):
                    found.append(Problem("", "", str(file.relative_to(root)), "no clip names this file"))
        return found

    def _names(self, folder: Path) -> frozenset[str]:
        if folder not in self._folders:
            try:
                with os.scandir(folder) as entries:
                    self._folders[folder] = frozenset(entry.name for entry in entries if entry.is_file())
            except OSError:  # not there, or not ours to read: no file is found in it
                self._folders[folder] = frozenset()
        return self._folders[folder]
