"""What the rows of a folder of one's own clips say: names, labels, numbers, and which media are whose."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from ..class_labels import class_indices
from ..dataset import Target, data_error
from ..layout.entries import nearest
from .clip import Medium
from .files import seconds_text
from .table import ClipTable, seconds

#: A column's name in a path that is made of columns.
PLACE = re.compile(r"\{([^{}]*)\}")
_SLACK = 1e-4  # labels outside of the range by this are rounded


@dataclass(frozen=True)
class MediaColumns:
    """Which cells of a row name the media of a modality.

    Attributes:
        medium: what they are.
        columns: one, or two for flow; empty where ``patterns`` are given.
        patterns: paths with names of columns in braces.
        times: the column whose ``.start`` and ``.stop`` cut the media.
    """

    medium: Medium
    columns: tuple[str, ...]
    patterns: tuple[str, ...]
    times: str


def read_sample_ids(table: ClipTable, column: str) -> list[str]:
    """The names of the clips.

    Args:
        table: a row for each clip.
        column: that says them.

    Raises:
        DataError: one is empty, not printable or given twice.
    """
    first: dict[str, int] = {}
    for row, cell in enumerate(table.column(column)):
        if not cell or not cell.isprintable():
            raise table.wrong(row, column, repr(cell) if cell else "empty", "a printable name of the clip")
        if cell in first:
            wrong = f"{cell!r} again, first in row {table.numbers[first[cell]]}"
            raise table.wrong(row, column, wrong, "each sample once")
        first[cell] = row
    return list(first)


def read_labels(table: ClipTable, column: str, target: Target) -> list[float | int]:
    """The label of every row: an index of a class, or a score.

    Args:
        table: a row for each clip.
        column: that says them.
        target: the classes, or the range of scores.

    Raises:
        DataError: a cell is no class, or no score within the range.
    """
    cells = table.column(column)
    if target.kind == "classification":
        shown = ", ".join(target.classes[:20])
        expected = f"{shown}, or 0 to {len(target.classes) - 1}"
        try:
            indices = class_indices(cells, target.classes)
        except ValueError as error:
            raise data_error(
                table.file, f"column {column}", str(error), "all names, or all indices"
            ) from None
        for row, (cell, index) in enumerate(zip(cells, indices, strict=True)):
            if index is None:
                wrong = f"unknown class {cell!r}{nearest(cell, target.classes)}" if cell else "no label"
                raise table.wrong(row, column, wrong, expected)
        return [index for index in indices if index is not None]
    low, high = target.label_range or (-math.inf, math.inf)
    scores: list[float | int] = []
    for row, cell in enumerate(cells):
        try:
            score = float(cell)
        except ValueError:
            score = math.nan
        if not low - _SLACK <= score <= high + _SLACK:
            raise table.wrong(row, column, repr(cell) if cell else "no label", f"{low:g} to {high:g}")
        scores.append(score)
    return scores


def finite_number(cell: str) -> float | None:
    """The number of a cell; None where it is none."""
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def optional_column(table: ClipTable, column: str | None) -> tuple[str, ...]:
    """The cells of a column.

    Args:
        table: a row for each clip.
        column: its name; None where nothing says them, and all are empty.
    """
    return table.column(column) if column else ("",) * len(table)


def clip_numbers(table: ClipTable, column: str | None) -> list[int]:
    """Where each clip stands in its video; 0 without a column.

    Args:
        table: a row for each clip.
        column: that says it.

    Raises:
        DataError: a cell is no whole number.
    """
    numbers = []
    for row, cell in enumerate(optional_column(table, column)):
        if column and not (cell.isascii() and cell.isdecimal()):
            raise table.wrong(row, column, repr(cell), "a whole number: where the clip stands in its video")
        numbers.append(int(cell or 0))
    return numbers


def media_cells(table: ClipTable, source: MediaColumns) -> list[tuple[str, ...]]:
    """The one or two paths, or the text, of every row.

    Args:
        table: a row for each clip.
        source: says where they are.
    """
    if source.columns:
        return list(zip(*(table.column(column) for column in source.columns), strict=True))
    return [
        tuple(PLACE.sub(lambda part, row=row: table.column(part[1])[row], one) for one in source.patterns)
        for row in range(len(table))
    ]


def cut_times(table: ClipTable, row: int, name: str) -> tuple[float | None, float | None]:
    """When the media of a row start and stop, in seconds; None where nothing says it.

    Args:
        table: a row for each clip.
        row: its place.
        name: the column whose ``.start`` and ``.stop`` are read.

    Raises:
        DataError: a cell is no time, or the stop is before the start.
    """
    times: list[float | None] = []
    for column in (f"{name}.start", f"{name}.stop"):
        cell = table.column(column)[row] if column in table.columns else ""
        times.append(seconds(cell) if cell else None)
        if cell and times[-1] is None:
            raise table.wrong(row, column, repr(cell), "seconds, or hours:minutes:seconds")
    start, stop = times
    # a clip of no length is a problem of its own, once it is decoded
    if stop is not None and stop < (start or 0):
        raise table.wrong(
            row, f"{name}.stop", seconds_text(stop), f"later than the start, {seconds_text(start or 0)}"
        )
    return start, stop
