"""Checks of names and folders, so that nothing is read or written outside the store."""

from __future__ import annotations

import re
from pathlib import Path

#: The names of jobs and evaluations: a single part of a path, which leads into no other folder.
_NAME = re.compile(r"\w[\w.~+ -]*")


class StoreError(ValueError):
    """A result on disk that is not what was written."""


def checked_name(name: str) -> str:
    """Returns the name of a job or an evaluation. Raises StoreError for one that could lead out of its folder."""
    if not _NAME.fullmatch(name):
        raise StoreError(f"{name!r} is no name of a job or an evaluation")
    return name


def inside(folder: Path) -> Path:
    """Returns a folder of the store that is to be written to. Raises StoreError where it is a symbolic link."""
    if folder.is_symlink():
        raise StoreError(f"{folder}: is a link, and nothing is written outside the store; remove it")
    return folder
