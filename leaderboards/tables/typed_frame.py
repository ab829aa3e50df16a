"""Rows to a tidy frame whose columns have the types that a table states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

#: What stands where a row lacks a column, by the column's type. Of any other type no row may lack one.
_EMPTY = {"str": "", "float64": np.nan}


def typed_frame(rows: Sequence[Mapping[str, object]], types: Mapping[str, str]) -> pd.DataFrame:
    """The frame of rows.

    Args:
        rows: column -> value. What stands under other names than those of ``types`` is left out; text and floats that a row
            lacks are empty and NaN.
        types: column -> dtype, in the order of the columns.

    Raises:
        KeyError: a row lacks a column of another type.
    """
    return pd.DataFrame(
        {
            name: pd.Series([_cell(row, name, kind) for row in rows], dtype=kind)
            for name, kind in types.items()
        }
    )


def _cell(row: Mapping[str, object], name: str, kind: str) -> object:
    return row[name] if name in row or kind not in _EMPTY else _EMPTY[kind]
