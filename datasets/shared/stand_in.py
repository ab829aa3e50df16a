"""Where a stand-in may be written: into an empty folder, or over another stand-in."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..dataset import SYNTHETIC_FILE, DataError, data_error
from ..layout.description import FILE_NAME
from ..layout.open_layout import locate_open
from ..pickles.mmsa import is_synthetic


def clear_for_stand_in(folder: Path) -> Path:
    """Removes a stand-in of raw media that lies in a folder, which is then made anew where it is written.

    Returns:
        The folder.

    Raises:
        DataError: something else is there.
    """
    if (folder / SYNTHETIC_FILE).is_file():
        shutil.rmtree(folder)
    elif folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise data_error(
            folder, "", "is there and is no stand-in", "an empty folder, or a stand-in to replace"
        )
    return folder


def check_replaceable(file: Path) -> None:
    """Nothing, or a stand-in, is in the way of a file. Raises DataError otherwise."""
    if file.exists() and not is_stand_in(file):
        raise data_error(file, "", "is there and is no stand-in", "nothing, or a stand-in to replace")


def is_stand_in(file: Path) -> bool:
    """Whether a ``dataset.yaml``, or any other file by its first bytes, is that of a stand-in."""
    try:
        return locate_open(file).synthetic if file.name == FILE_NAME else is_synthetic(file)
    except DataError:
        return False
