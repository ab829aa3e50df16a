"""Finds a dataset's files: by the class of the registry, or a folder with a ``dataset.yaml``."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...datasets.locate import locate as locate_files
from .errors import UsageError, nearest
from .registry import entries

if TYPE_CHECKING:
    from ...datasets.dataset import Located

LOG = logging.getLogger("mmbench.data")


def locate(
    name: str, root: Path, given: Mapping[str, Path] | None = None, plugins: tuple[Path, ...] = ()
) -> Located:
    """Finds the files of a dataset.

    Args:
        name: a registered dataset, or a folder of ``root`` that holds a ``dataset.yaml``.
        root: the folder of the datasets.
        given: datasets whose place was named.
        plugins: files that bring datasets.

    Raises:
        UsageError: nothing has that name.
        DataNotFound: the dataset is known, its files are not there.
        DataError: several files could be meant, or the description is faulty.
    """
    path = (given or {}).get(name)
    known = entries("dataset", plugins)
    dataset = known[name].load()() if name in known else None
    own = own_datasets(root)
    if dataset is None and path is None and name not in own:
        raise UsageError(f"unknown dataset {name!r}: {_advice(name, root, [*known, *own])}")
    located = locate_files(name, root, path, dataset)
    LOG.info("dataset %s: format %s, in %s", name, located.format, located.files[0])
    return located


def _advice(name: str, root: Path, known: Sequence[str]) -> str:
    """What may have been meant by the name of a dataset that there is not.

    Args:
        name: what was asked for.
        root: the folder of the datasets.
        known: the names that there are.
    """
    if name.endswith(("-", "=")):  # the shell has made a file of the rest
        return "a shift stands in quotes, as the shell takes > for itself: --datasets 'mosi->mosei'"
    if any(arrow in name for arrow in ("=>", "→", "⇒", "~>", "-->")):
        return "a shift is written with ->, in quotes: --datasets 'mosi->mosei'"
    if (root / name).is_dir():
        files = sorted(file.name for file in (root / name).iterdir())
        shown = ", ".join(files[:5]) + (" ..." if len(files) > 5 else "")
        return f"the folder {root / name} has no dataset.yaml, which says what is in it; it has {shown or 'nothing'}"
    near = nearest(name, dict.fromkeys(known))
    return f"{near} (one of your own is a folder {root / name} with a dataset.yaml)"


def own_datasets(root: Path) -> list[str]:
    """The folders below ``root`` that hold a ``dataset.yaml``."""
    return sorted(file.parent.name for file in root.glob("*/dataset.yaml")) if root.is_dir() else []


def root_from(given: Path | None) -> Path:
    """The folder of the datasets: the one given, else ``$MMBENCH_DATA``, else ``data``.

    Raises:
        UsageError: it is a file.
    """
    root = given.expanduser() if given else default_data_root()
    if root.exists() and not root.is_dir():
        raise UsageError(f"data root {root} is not a folder")
    return root


def default_data_root() -> Path:
    """``$MMBENCH_DATA``, else ``data`` in the working directory."""
    return Path(os.environ.get("MMBENCH_DATA") or "data").expanduser()
