"""Names of jobs and evaluations, and folders that may be written to: nothing leads out of the store."""

from __future__ import annotations

import re
from pathlib import Path

#: Names of jobs and evaluations: one part of a path that leads nowhere else.
_NAME = re.compile(r"\w[\w.~+ -]*")


class StoreError(ValueError):
    """A result on disk that is not what was written."""


def checked_name(name: str) -> str:
    """The name of a job or an evaluation. Raises StoreError for one that could lead out of its folder."""
    if not _NAME.fullmatch(name):
        raise StoreError(f"{name!r} is no name of a job or an evaluation")
    return name


def inside(folder: Path) -> Path:
    """A folder of the store that is to be written to. Raises StoreError where it is a link to elsewhere."""
    if folder.is_symlink():
        raise StoreError(f"{folder}: is a link, and nothing is written outside the store; remove it")
    return folder
