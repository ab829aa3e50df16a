"""Arrays in MATLAB's ``.mat`` files (versions 4 to 7), as multi-view datasets are published: named as in MATLAB.

``gt`` is a variable, ``X{2}`` an entry of a cell array, counted from 1, and ``X{2}'`` its transpose, for views that are
stored as [features, samples]. Nothing that a file holds is executed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from ..dataset import data_error

_NAME = re.compile(r"(?P<variable>\w+)(?:\{(?P<entry>\d+)\})?(?P<transposed>')?", re.ASCII)


def read_matlab(file: Path, name: str) -> np.ndarray:
    """Reads one array.

    Args:
        file: a ``.mat`` file.
        name: as in MATLAB, see above.

    Returns:
        A matrix [rows, columns] of numbers, sparse ones filled up; a single row or column as [values], whole numbers
        among these as int64, such as labels; text as [rows].

    Raises:
        DataError: there is no such variable or entry, or it is a struct, a cell array or the like.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise data_error(file, name, "no name of an array", "such as gt, X{1} or X{1}'")
    stored = _load(file, match["variable"])
    if match["entry"] is not None:
        stored = _entry(stored, file, match["variable"], int(match["entry"]))
    values = _plain(stored, file, name)
    return _vector(values.T if match["transposed"] else values)


def matlab_names(file: Path) -> set[str]:
    """The variables of a ``.mat`` file, each entry of a cell array by its own name."""
    names: set[str] = set()
    for name, stored in _load_all(file).items():
        cells = stored.size if isinstance(stored, np.ndarray) and stored.dtype == object else 0
        names |= {f"{name}{{{place}}}" for place in range(1, cells + 1)} if cells else {name}
    return names


def _load(file: Path, variable: str) -> Any:
    found = _load_all(file, variable)
    if variable not in found:
        known = ", ".join(sorted(matlab_names(file))[:20])
        raise data_error(
            file, variable, "no such array", f"one of {known}" if known else "an array of that name"
        )
    return found[variable]


def _load_all(file: Path, variable: str | None = None) -> dict[str, Any]:
    from scipy.io import loadmat

    try:
        found = loadmat(file, variable_names=variable)
    except NotImplementedError:  # an HDF5 file
        raise data_error(
            file, variable or "", "of version 7.3", "a file that MATLAB saved with -v7"
        ) from None
    return {name: stored for name, stored in found.items() if not name.startswith("__")}


def _entry(stored: Any, file: Path, variable: str, place: int) -> Any:
    """An entry of a cell array, counted from 1 along its columns, as MATLAB counts."""
    if not isinstance(stored, np.ndarray) or stored.dtype != object:
        raise data_error(file, variable, "no cell array", f"{variable} without {{{place}}}")
    cells = stored.ravel(order="F")
    if not 1 <= place <= len(cells):
        raise data_error(file, f"{variable}{{{place}}}", "no such entry", f"1 to {len(cells)}")
    return cells[place - 1]


def _plain(stored: Any, file: Path, name: str) -> np.ndarray:
    from scipy.sparse import issparse

    values = np.asarray(stored.toarray() if issparse(stored) else stored)
    if values.dtype.kind not in "biufU" or values.dtype.names:
        kind = "a cell array" if values.dtype == object else f"of type {values.dtype}"
        raise data_error(file, name, kind, "numbers or text; an entry of a cell array is X{1}")
    return values


def _vector(values: np.ndarray) -> np.ndarray:
    """A single row or column without its other axis; whole numbers in it as int64."""
    if values.ndim != 2 or 1 not in values.shape:
        return values
    values = values.ravel()
    whole = values.dtype.kind in "bf" and np.isfinite(values).all() and (values == np.round(values)).all()
    return values.astype(np.int64) if whole or values.dtype.kind in "iu" else values
