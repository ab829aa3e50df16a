"""What plug-in files and installed packages bring, made known to the folders that do not read them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...datasets import outside
from .registry import OWN, Entry, Kind, entries


def use_plugins(plugins: Sequence[Path]) -> None:
    """Lets this process find the datasets and encoders of plug-in files and installed packages by name.

    Args:
        plugins: the files; what those of an earlier call brought is forgotten.

    Raises:
        UsageError: a file cannot be read, or a name is defined twice.
    """
    outside.use(_outsiders("dataset", plugins), _outsiders("encoder", plugins))


def _outsiders(kind: Kind, plugins: Sequence[Path]) -> dict[str, Entry]:
    known = entries(kind, tuple(plugins))
    return {name: entry for name, entry in known.items() if entry.origin != OWN}
