"""Folders of jobs that were forgotten: moved out of the results, to where they can be moved back from."""

from __future__ import annotations

import os
from pathlib import Path

from ..core.errors import UsageError
from .names import inside


def move_aside(store: Path, folder: Path) -> Path:
    """Moves the folder of a job to ``STORE/set-aside``.

    Args:
        store: the folder of all results.
        folder: of a job that no process holds.

    Returns:
        Where its folder is now.

    Raises:
        UsageError: the folder cannot be moved.
    """
    aside = inside(store / "set-aside")
    try:
        aside.mkdir(exist_ok=True)
        known = len(list(aside.glob(f"{folder.name}*")))
        place = aside / (f"{folder.name}.{known + 1}" if known else folder.name)
        os.rename(folder, place)
    except OSError as error:
        raise UsageError(f"{folder.name} cannot be moved to {aside} ({error.strerror})") from None
    return place
