"""Datasets and encoders that do not come with mmbench: of plug-in files and installed packages.

This folder knows only its own tables. Who reads plug-ins (the harness) tells it what they bring, once a process, with
``use``; encoders and raw media are then found by name as mmbench's own are, wherever they are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class Outsider(Protocol):
    """A class that a plug-in file or an installed package brings."""

    @property
    def origin(self) -> str:
        """The file and the beginning of its SHA-256, or the distribution and its version."""
        ...

    @property
    def attribute(self) -> str:
        """The name of the class."""
        ...

    def source(self) -> Path:
        """The file that defines it, found without importing it."""
        ...

    def load(self) -> Any:
        """Imports and returns the class."""
        ...


#: Name -> the class, as ``use`` was told last.
DATASETS: dict[str, Outsider] = {}
ENCODERS: dict[str, Outsider] = {}


def use(datasets: Mapping[str, Outsider], encoders: Mapping[str, Outsider]) -> None:
    """Makes these names known to this process, in place of those that were known from outside before.

    Args:
        datasets: name -> a class as ``datasets.dataset.Dataset`` describes it.
        encoders: name -> a class as ``datasets.encoders.encoder.Encoder`` describes it.
    """
    for known, given in ((DATASETS, datasets), (ENCODERS, encoders)):
        known.clear()
        known.update(given)
