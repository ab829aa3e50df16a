"""Tidy frames as CSV files at full precision, and back."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import pandas as pd
import pyarrow as pa

from ..tables.accuracy import COLUMNS
from .files import file_name, write_parts


def write_csv(frame: pd.DataFrame, folder: Path, stem: str) -> Path:
    """Writes a frame at full precision, so that ``read_csv`` gives it back exactly.

    Text that a spreadsheet would take for a formula (beginning with ``=``, ``+``, ``-``, ``@``, tab or
    carriage return) gets a ``'`` in front; numbers are written as they are. The file appears whole or not.

    Args:
        frame: what ``accuracy`` or ``missing`` gave.
        folder: where to, made if need be.
        stem: what the file name begins with; it says so where data are synthetic.

    Returns:
        The path.

    Raises:
        OSError: it cannot be written.
    """
    parts = [csv_header(map(str, frame)), csv_rows(frame)]
    return write_parts(folder / file_name(frame, stem, ".csv"), parts)


def csv_header(columns: Iterable[str]) -> bytes:
    """The first line of a CSV file."""
    return (",".join(map(_quoted, columns)) + "\n").encode()


def csv_rows(frame: pd.DataFrame | pa.Table) -> bytes:
    """What ``write_csv`` writes below the header, by Arrow: tables of large benchmarks have millions of cells."""
    from pyarrow import csv

    table = frame if isinstance(frame, pa.Table) else pa.Table.from_pandas(frame, preserve_index=False)
    text = _text_columns(table.column_names)
    columns = [_csv_column(table[name], name in text) for name in table.column_names]
    stream = io.BytesIO()
    csv.write_csv(
        pa.table(columns, table.column_names),
        stream,
        csv.WriteOptions(include_header=False, quoting_style="needed"),
    )
    return stream.getvalue()


def _csv_column(cells: pa.ChunkedArray, text: bool) -> pa.ChunkedArray:
    from pyarrow import compute

    if pa.types.is_boolean(cells.type):
        words = compute.call_function("if_else", [cells, pa.scalar("True"), pa.scalar("False")])
        return compute.call_function("coalesce", [words, pa.scalar("")])
    if not text:
        return cells
    cells = cells.cast(pa.large_string())
    alike = compute.call_function("unique", [cells])
    formula = compute.ReplaceSubstringOptions(r"^('*[=+\-@\t\r])", r"'\1")
    if compute.call_function("replace_substring_regex", [alike], formula).equals(alike):
        return cells
    return compute.call_function("replace_substring_regex", [cells], formula)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if re.search(r'[",\r\n]', text) else text


def read_csv(path: Path | BinaryIO) -> pd.DataFrame:
    """Reads what ``write_csv`` wrote, exactly; all columns but those of ``COLUMNS`` are text.

    Raises:
        OSError, ValueError, KeyError: it cannot be read.
    """
    raw = pd.read_csv(path, dtype="str", keep_default_na=False)
    text = _text_columns(raw)
    out: dict[str, pd.Series] = {}
    for name in map(str, raw):
        cells = [str(cell) for cell in raw[name]]
        if name in text:
            out[name] = pd.Series([re.sub(r"^'(?='*[=+\-@\t\r])", "", cell) for cell in cells], dtype="str")
        elif COLUMNS[name] == "boolean":
            out[name] = pd.Series([_BOOLEANS[cell] for cell in cells], dtype="boolean")
        elif COLUMNS[name] == "int64":
            out[name] = pd.Series([int(cell) for cell in cells], dtype="int64")
        else:
            out[name] = pd.Series([float(cell or "nan") for cell in cells], dtype="float64")
    return pd.DataFrame(out)


_BOOLEANS = {"True": True, "False": False, "": None}


def _text_columns(names: Iterable[str]) -> list[str]:
    return [str(name) for name in names if COLUMNS.get(str(name), "str") == "str"]
