"""What the script of a page reads: the views of its tables as compressed JSON.

Numbers have six significant digits. A text that shows nothing but numbers of its cell, such as ``"81.7 ± 0.4"``, is kept
as a pattern of those numbers and not beside them: each is on the page once.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .views import Fact, PrintedCell, TableView, metric_conventions

_PLACES = {name: place for place, name in enumerate(PrintedCell._fields)}
#: The texts of a cell that show its numbers, with the fields of these in the order in which they stand there, as places
#: among the fields.
SHOWN = {
    _PLACES[text]: [_PLACES[number] for number in numbers]
    for text, numbers in {"text": ("mean", "sd"), "interval": ("low", "high"), "verdict": ("p",)}.items()
}
#: Texts, and numbers as (field, factor, digits behind the point).
Pattern = tuple[str | tuple[int, int, int], ...]

_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?)")


class PageData:
    """The data of a page. What a view is as JSON is made once, and its patterns are kept in the order in which they were
    first needed.

    Args:
        facts: what the rows of the views are about.
    """

    def __init__(self, facts: Sequence[Fact]) -> None:
        self._facts = facts
        self._patterns: dict[Pattern, int] = {}
        self._texts: dict[int, tuple[TableView, str]] = {}

    def text_of(self, view: TableView) -> str:
        """A view as JSON."""
        if id(view) not in self._texts:
            self._texts[id(view)] = view, as_json(_plain(view, self._patterns))
        return self._texts[id(view)][1]

    def packed(self, views: Mapping[str, Sequence[TableView]]) -> str:
        """JSON, compressed by gzip to a tenth, in base64, in which nothing can end an element.

        Args:
            views: table -> its views.
        """
        shown = [view for board in views.values() for view in board]
        used = {column.metric for view in shown for column in view.columns}
        used |= {
            row.names[-1].split()[0] for view in shown if view.names[-1] == "metric" for row in view.rows
        }
        tables = ",".join(
            f"{as_json(name)}:[{','.join(map(self.text_of, board))}]" for name, board in views.items()
        )
        content = {
            "fields": PrintedCell._fields,
            "texts": list(SHOWN),
            "facts": [vars(fact) for fact in self._facts],
            "conventions": {name: text for name, text in metric_conventions().items() if name in used},
            "patterns": list(self._patterns),
        }
        text = f'{as_json(content)[:-1]},"tables":{{{tables}}}}}'
        return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def as_json(content: object) -> str:
    """JSON in as few characters as there are."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def six_digits(value: float) -> float:
    """The number as the page has it: with six significant digits, as more would be most of the page."""
    return float(f"{value:.6g}")


def _plain(view: TableView, patterns: dict[Pattern, int]) -> dict[str, object]:
    """A view as JSON has it: of each field of its cells the values in a row, row after row, which compress to half of what
    cell after cell does; None where a cell is missing."""
    nothing = (None,) * len(PrintedCell._fields)
    values = [_values(cell, patterns) if cell else nothing for row in view.rows for cell in row.cells]
    return {
        "label": view.label,
        "names": view.names,
        "columns": [vars(column) for column in view.columns],
        "rows": [[row.fact, row.names] for row in view.rows],
        "cells": list(zip(*values, strict=True)) if values else [()] * len(nothing),
    }


def _values(cell: PrintedCell, patterns: dict[Pattern, int]) -> list[Any]:
    """The values of a cell. A text is the place of the pattern from which the script builds this very text, where there is one."""
    values: list[Any] = [six_digits(value) if isinstance(value, float) else value for value in cell]
    for place, numbers in SHOWN.items():
        pattern = _pattern(values[place], [(number, values[number]) for number in numbers])
        if pattern is not None:
            values[place] = patterns.setdefault(pattern, len(patterns))
    return values


def _pattern(text: str, numbers: Sequence[tuple[int, float | None]]) -> Pattern | None:
    """The text with each of its numbers as a field; None where one is none of the fields'."""
    left = iter(numbers)
    parts: list[str | tuple[int, int, int]] = []
    for place, part in enumerate(_NUMBER.split(text)):
        if place % 2 == 0:
            parts.append(part)
            continue
        field, value = next(left, (0, None))
        digits = len(part.partition(".")[2])
        scale = next(
            (one for one in (1, 100) if value is not None and _fixed(one * value, digits) == part), 0
        )
        if not scale:
            return None
        parts.append((field, scale, digits))
    return tuple(parts)


def _fixed(value: float, digits: int) -> str:
    """What ``Number.prototype.toFixed`` of a script gives; nothing where it may differ from Python's rounding: half-way
    between two numbers, and where numbers are so large that it writes them otherwise."""
    if abs(value) >= 1e15 or value * 10**digits % 1 == 0.5:
        return ""
    return f"{value or 0.0:.{digits}f}"
