"""Finds a dataset's files: below a data root, or where the user says."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from .dataset import DataError, DataNotFound, Dataset, Located, data_error
from .layout.description import FILE_NAME, SUFFIXES
from .layout.open_layout import locate_open

_DESCRIPTIONS = (".yaml", ".yml")
_PROCESSED = "processed"  # MMSA keeps its files in MOSI/Processed/


def locate(name: str, root: Path, given: Path | None = None, dataset: Dataset | None = None) -> Located:
    """Finds a dataset: ``root/<name>/dataset.yaml``, or a published file if ``dataset`` is known.

    Upper and lower case do not matter below ``root``.

    Args:
        name: what the dataset is asked for as.
        root: the folder of all data.
        given: the dataset's own file (published, or a ``.yaml``) or folder, instead of a search.
        dataset: the registered dataset of that name; without it, only the open layout is looked for.

    Raises:
        DataNotFound: nothing is there; the message says where it was looked for and what to do.
        DataError: several files are there, or the one that is there is wrong.
    """
    patterns = (FILE_NAME, *(dataset.patterns if dataset is not None else ()))
    if given is not None:
        given = given.expanduser()
        if given.is_file():
            return _describe(name, given, dataset)
        if not given.is_dir():
            raise DataNotFound(
                f"{name}: {given} is not there; expected a file or a folder with {_any(patterns)}"
            )
        files, places = _in_folder(given, patterns), [given]
    else:
        files, places = _below(root, name, patterns)
    if not files:
        raise _not_found(name, root, given, places, patterns, dataset)
    if len(files) > 1:
        listed = ", ".join(str(file) + _mark(name, file, dataset) for file in files)
        raise DataError(
            f"{name}: {len(files)} files could be meant: {listed}; choose with --data {name}=PATH"
        )
    return _describe(name, files[0], dataset)


class FoundByName:
    """A dataset that lies in the folder of its name, or in a published file. ``Dataset`` says what else it has."""

    def locate(self: Dataset, root: Path, given: Path | None = None) -> Located:
        """Finds the dataset below ``root``, or at the file or folder ``given``.

        Args:
            root: the folder of all datasets.
            given: a file or folder to use instead.

        Raises:
            DataNotFound: nothing is there.
            DataError: several files are there, or what is there is wrong.
        """
        return locate(self.name, root, given, self)


def _describe(name: str, file: Path, dataset: Dataset | None) -> Located:
    suffix = file.suffix.lower()
    if suffix in _DESCRIPTIONS:
        return locate_open(file, name)
    published = dataset is not None and any(fnmatchcase(file.name.casefold(), p) for p in dataset.patterns)
    if suffix in SUFFIXES and not published:
        raise data_error(file, "", "an array file says nothing about itself", f"a {FILE_NAME} that names it")
    if dataset is None:
        raise data_error(file, "", f"no reader for {name!r} knows this file", f"a {FILE_NAME}")
    return dataset.describe(file)


def _below(root: Path, name: str, patterns: tuple[str, ...]) -> tuple[list[Path], list[Path]]:
    root = root.expanduser()
    files: list[Path] = []
    for entry in _entries(root):
        if entry.name.casefold() == name.casefold() and entry.is_dir():
            files += _in_folder(entry, patterns)
    single = f"{name}.pkl"
    if single in patterns:
        files += _matching_files(root, (single,))
    return _distinct_files(files), [root / name, *([root / single] if single in patterns else [])]


def _in_folder(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    files = _matching_files(folder, patterns)
    for entry in _entries(folder):
        if entry.name.casefold() == _PROCESSED and entry.is_dir():
            files += _matching_files(entry, patterns)
    return _distinct_files(files)


def _matching_files(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    return [
        entry
        for entry in _entries(folder)
        if any(fnmatchcase(entry.name.casefold(), pattern) for pattern in patterns) and entry.is_file()
    ]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # not there, not a folder, or not ours to read: nothing is found in it
        return []


def _distinct_files(files: Iterable[Path]) -> list[Path]:
    return list({file.resolve(): file for file in files}.values())


def _mark(name: str, file: Path, dataset: Dataset | None) -> str:
    try:
        return " (synthetic)" if _describe(name, file, dataset).synthetic else ""
    except DataError:
        return ""


def _any(patterns: Iterable[str]) -> str:
    return " or ".join(patterns)


def _not_found(
    name: str,
    root: Path,
    given: Path | None,
    places: list[Path],
    patterns: tuple[str, ...],
    dataset: Dataset | None,
) -> DataNotFound:
    where = " and ".join(str(place) for place in places)
    parts = [f"{name}: no data in {where} (looked for {', '.join(patterns)})"]
    kinds = {Path(pattern).suffix for pattern in patterns} - set(_DESCRIPTIONS)
    files = [file for place in places for file in _entries(place) if file.is_file()]
    others = [file for file in files if file.suffix.casefold() in kinds]
    if dataset is not None:  # the data root may be the dataset's own folder
        others += [file for file in _in_folder(root.expanduser(), patterns) if file.name != FILE_NAME]
    if dataset is not None and others:
        parts.append(f"{others[0]} is there: --data {name}={others[0]} reads a file of any name")
    if dataset is not None:
        parts.append(f"real data: {dataset.how_to_get}")
        place = f"--data-root {root}" if given is None else f"--data-root {given.parent}"
        parts.append(f"synthetic stand-in: mmbench data synth {name} {place}")
    else:
        parts.append(f"your own data: describe them in {root / name / FILE_NAME}")
    return DataNotFound("; ".join(parts))
