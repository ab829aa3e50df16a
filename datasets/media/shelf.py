"""Lists the files of a set and finds those that no clip names. Each folder is listed once."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from unicodedata import normalize

from .clip import MediaError, Problem


class Shelf:
    """The files in the folders that clips name.

    Args:
        root: the folder of the set; problems name paths below it.
    """

    def __init__(self, root: Path) -> None:
        self._root = Path(os.path.normpath(root))
        self._names: dict[
            str, dict[str, str]
        ] = {}  # folder -> what lies in it -> why that is no file, or nothing
        self._closed: dict[str, str] = {}  # folder -> why it cannot be listed
        self._spelt: dict[str, dict[str, str]] = {}  # folder -> a name in Unicode's form C -> as it is stored
        self._taken: dict[str, set[str]] = {}

    def take(self, file: Path) -> Path:
        """Takes a file, which is then no longer left over.

        Returns: where it lies. Where there is none of exactly this name, one is taken that differs in nothing but
            how accents are stored: a Mac stores them apart from their letters (Unicode's form D), most tables do not.

        Raises:
            MediaError: it is not there, or no file.
        """
        place = os.path.normpath(file)
        if os.path.basename(place) not in self._list_folder(os.path.dirname(place)):
            place = self._stored_path(place)
        folder, name = os.path.split(place)
        names = self._list_folder(folder)
        if folder in self._closed:
            raise MediaError(f"its folder cannot be listed: {self._closed[folder]}")
        fault = names.get(name, "no such file")
        if fault:
            raise MediaError(fault)
        self._taken[folder].add(name)
        return file if place == os.path.normpath(file) else Path(place)

    def media(
        self, sample_id: str, modality: str, files: Iterable[Path]
    ) -> tuple[tuple[Path, ...], list[Problem]]:
        """Takes the files of one modality of a clip.

        Args:
            sample_id, modality: which, for the problems.
            files: as the clip names them.

        Returns:
            The paths of the files that exist, and a problem for each other.
        """
        there, problems = [], []
        for file in files:
            try:
                there.append(self.take(file))
            except MediaError as error:
                problems.append(Problem(sample_id, modality, relative_path(file, self._root), str(error)))
        return tuple(there), problems

    def unused_files(self, folders: Iterable[Path] = ()) -> list[Problem]:
        """The files below the root that no clip took: those in ``folders``, and those beside taken ones. Where a folder has
        taken files, only files with a suffix of those count. A folder that cannot be listed is a problem, wherever it is.
        """
        for folder in folders:
            self._list_folder(os.path.normpath(folder))
        problems = [
            Problem(
                "",
                "",
                relative_path(Path(folder), self._root),
                f"this folder cannot be listed: {self._closed[folder]}",
            )
            for folder in sorted(self._closed)
        ]
        for folder in sorted(self._names):
            place = Path(folder)
            if not place.is_relative_to(self._root):
                continue
            taken = self._taken[folder]
            suffixes = {os.path.splitext(name)[1].lower() for name in taken}
            files = {name for name, fault in self._names[folder].items() if not fault}
            for name in sorted(files - taken):
                fits = not suffixes or os.path.splitext(name)[1].lower() in suffixes
                if fits and not name.startswith("."):
                    problems.append(
                        Problem("", "", relative_path(place / name, self._root), "no clip names this file")
                    )
        return problems

    def _list_folder(self, folder: str) -> dict[str, str]:
        if folder not in self._names:
            self._taken[folder], self._names[folder] = set(), {}
            try:
                with os.scandir(folder or ".") as entries:
                    self._names[folder] = {entry.name: _fault(entry) for entry in entries}
            except (FileNotFoundError, ValueError):  # so is every file in it; no path has a null character
                pass
            except OSError as error:
                self._closed[folder] = error.strerror or str(error)
        return self._names[folder]

    def _stored_path(self, place: str) -> str:
        """A path as the disk spells it; as it is where there is none that differs in the form of accents alone."""
        if place.isascii() or os.path.lexists(place):
            return place
        folder, name = os.path.split(place)
        folder = self._stored_path(folder) if name else folder
        if folder not in self._spelt:
            try:
                self._spelt[folder] = {
                    normalize("NFC", one): one for one in sorted(os.listdir(folder or "."))
                }
            except (OSError, ValueError):  # nothing is found in it
                self._spelt[folder] = {}
        return os.path.join(folder, self._spelt[folder].get(normalize("NFC", name), name))


def _fault(entry: os.DirEntry[str]) -> str:
    """The reason why an entry of a folder is no file; empty for a file."""
    try:
        if entry.is_file():
            return ""
        if entry.is_dir():
            return "is a folder, not a file"
        return "no such file: the link leads nowhere" if entry.is_symlink() else "is no file"
    except OSError as error:  # such as a link to itself
        return f"cannot be opened: {error.strerror}"


def relative_path(file: Path, top: Path) -> str:
    """A path relative to a folder, for messages.

    Args:
        file: the path.
        top: the folder; a path outside of it stays whole.
    """
    file, top = Path(os.path.normpath(file)), Path(os.path.normpath(top))
    return str(file.relative_to(top)) if file.is_relative_to(top) else str(file)
