"""Checks of names and folders, so that nothing is read or written outside the store."""

from __future__ import annotations

import unicodedata
from pathlib import Path

#: The folder of the jobs of segmenters, beside that of networks.
REGIMES = "regimes"
#: What the name of a job or an evaluation may hold beside letters, digits and their marks, but not begin with.
_FURTHER = ".~+ -"


class StoreError(ValueError):
    """A result on disk that is not what was written."""


class OtherVersionError(StoreError):
    """A job that another version of mmbench wrote, in another form than this one reads."""


def safe_name(name: str) -> str:
    """The name of a job or an evaluation, checked.

    Raises:
        StoreError: it could lead out of its folder.
    """
    if not name or name[0] in _FURTHER or not all(map(_is_harmless, name)):
        raise StoreError(f"{name!r} is no name of a job or an evaluation")
    return name


def inside(folder: Path) -> Path:
    """Returns a folder of the store that is to be written to. Raises StoreError where it is a symbolic link."""
    if folder.is_symlink():
        raise StoreError(f"{folder}: is a link, and nothing is written outside the store; remove it")
    return folder


def _is_harmless(character: str) -> bool:
    """Whether a character stays inside one part of a path. Vowels of Hindi, Thai and others are marks of a letter."""
    return (
        character.isalnum() or character in f"_{_FURTHER}" or unicodedata.category(character).startswith("M")
    )
