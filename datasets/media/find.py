"""Where raw media lie."""

from __future__ import annotations

from pathlib import Path

from ..dataset import DataNotFound
from .clip import MediaSet
from .own import FILE_NAME, read_own


def find_media(name: str, root: Path, given: Path | None = None) -> MediaSet:
    """The clips of a folder with a ``media.yaml``, or of one below ``root``. Raises DataError."""
    for folder in [given] if given else [root / name, Path(name)]:
        if (folder / FILE_NAME).is_file():
            return read_own(folder / FILE_NAME)
    raise DataNotFound(f"{name}: no {FILE_NAME} in {given or root / name}")
