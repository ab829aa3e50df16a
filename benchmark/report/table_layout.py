"""How a table of texts fits into a terminal: which columns and rows are shown, in how many parts, and where texts are broken."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from rich.cells import cell_len

from ...leaderboards.render.text import HOLE
from ..core.strings import printable

#: From this many rows on, what is the same in all of them is said once.
ENOUGH_TO_COMPARE = 3
#: What stands in a cell without a value.
_NOTHING = ("", HOLE)
#: Headings are not broken into lines shorter than this, nor names of rows into lines shorter than that.
_SHORTEST_HEADING, _SHORTEST_NAME = 12, 20
#: Names of rows may take this share of the width before they are broken.
_SHARE_OF_NAMES = 3
#: Characters between two columns.
GAP = 2


@dataclass(frozen=True)
class Layout:
    """A table as it is printed.

    Attributes:
        facts: column and value of what is the same in every row, for a line above the table.
        keys: the columns that begin every part.
        parts: the other columns of each part.
        headings: column -> its heading, with line feeds where it is broken.
        rows: those that are shown, with names that are broken where they are long.
        without: the names of columns in which no row has a value.
        empty: the names of rows without any value; they are not among ``rows``.
    """

    facts: list[tuple[str, str]]
    keys: list[str]
    parts: list[list[str]]
    headings: dict[str, str]
    rows: pd.DataFrame
    without: list[str]
    empty: list[str]

    @property
    def row_lines(self) -> float:
        """How many lines a row takes in all parts, on average."""
        names = self.rows[self.keys].map(lambda cell: cell.count("\n") + 1).max(axis=1)
        return len(self.parts) * (float(names.mean()) if len(names) else 1.0)

    @property
    def heading_lines(self) -> int:
        """How many lines the headings of all parts take."""
        return sum(
            max(self.headings[name].count("\n") + 1 for name in [*self.keys, *part]) for part in self.parts
        )


def layout_of(frame: pd.DataFrame, names: Collection[str], width: int) -> Layout:
    """How a table is printed.

    Args:
        frame: [rows, columns] of text.
        names: the columns that name a row; they begin every part.
        width: of the terminal, in characters.
    """
    frame = frame.map(lambda cell: printable(str(cell)))  # before widths are measured
    keys = [str(name) for name in frame if name in names]
    values = [str(name) for name in frame if name not in names]
    shown, empty = _with_values(frame, keys, values)
    without = [name for name in values if all(cell in _NOTHING for cell in shown[name])]
    without = without if len(without) < len(values) else without[1:]
    many = len(shown) >= ENOUGH_TO_COMPARE
    same = [name for name in keys if len(set(shown[name])) == 1 and name not in ("method", "n")]
    alike = [name for name in values if many and name not in without and len(set(shown[name])) == 1]
    alike = alike if len(alike) + len(without) < len(values) else alike[1:]
    keys = [name for name in keys if name not in same]
    values = [name for name in values if name not in {*alike, *without}]
    facts = [(name, shown[name].iloc[0]) for name in [*same, *alike]]
    headings = {name: name for name in [*keys, *values]}
    parts = _parts(shown, keys, values, headings, width)
    if len(parts) > 1:
        longest = max(_SHORTEST_NAME, width // _SHARE_OF_NAMES)
        shown = shown.assign(**{name: [_broken(cell, longest) for cell in shown[name]] for name in keys})
        headings = {
            name: _broken(name, max(_SHORTEST_HEADING, *map(_width, shown[name]))) for name in headings
        }
        parts = _parts(shown, keys, values, headings, width)
    return Layout(facts, keys, parts, headings, shown, [one for one in without if one != "95 %"], empty)


def _with_values(
    frame: pd.DataFrame, keys: Sequence[str], values: Sequence[str]
) -> tuple[pd.DataFrame, list[str]]:
    """The rows that have a value, and the names of the others; all rows where few or none have one, or where a seed failed: a
    result that lacks is a hole that must be seen."""
    if "method" not in keys or not values:
        return frame, []
    nothing = frame[list(values)].isin(_NOTHING).to_numpy().all(axis=1)
    if "n" in frame:
        nothing &= np.array([" of " not in count for count in frame["n"]])
    if nothing.all() or nothing.sum() < ENOUGH_TO_COMPARE:
        return frame, []
    return frame.loc[~nothing], list(dict.fromkeys(frame.loc[nothing, "method"]))


def _parts(
    frame: pd.DataFrame, keys: Sequence[str], values: Sequence[str], headings: dict[str, str], width: int
) -> list[list[str]]:
    """The columns of each part, so that none is wider than the terminal where that is possible."""
    widths = {name: max(map(_width, [headings[name], *frame[name]])) + GAP for name in headings}
    parts: list[list[str]] = [[]]
    for name in values:
        taken = sum(widths[other] for other in [*keys, *parts[-1], name])
        if parts[-1] and taken > width:
            parts.append([])
        parts[-1].append(name)
    return parts


def _width(text: str) -> int:
    """Of the longest line of a text, in characters of a terminal."""
    return max(map(cell_len, text.split("\n")))


def _broken(text: str, longest: int) -> str:
    """A text with line feeds behind spaces, commas, underscores and the like, so that no line is longer than ``longest`` where
    that is possible."""
    lines = [""]
    for piece in re.findall(r"[^ ,_:(/@]*[ ,_:(/@]*", text):
        if lines[-1] and cell_len((lines[-1] + piece).rstrip()) > longest:
            lines.append("")
        lines[-1] += piece
    if len(lines) > 1 and lines[-1] in ("↑", "↓"):  # not alone on a line
        lines[-2:] = [lines[-2] + lines[-1]]
    return "\n".join(line.rstrip() for line in lines)
