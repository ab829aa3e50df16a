"""The summary of all tables on a page: the numbers and marks of the terminal, in cells that sort as numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ..labels import KEYS
from .summary import Panel, rows_of
from .text import HOLE
from .views import Column, Fact, Facts, PrintedCell, PrintedRow, TableView

#: What a summary calls the tasks that its values are means over.
_TASKS = "tasks"


def summary_view(panels: Sequence[Panel], facts: Facts) -> TableView:
    """The panels as one table; what all of them have in common has no column.

    Args:
        panels: one or more.
        facts: is added to.

    Returns:
        A row for each method of each panel, and a column for each axis that a panel has.
    """
    shared = [name for name in KEYS if name == "data" or len({panel.shared[name] for panel in panels}) > 1]
    headings = list(dict.fromkeys(str(heading) for panel in panels for heading in panel.values))
    rows = [row for panel in panels for row in _rows(panel, shared, headings, facts)]
    names = ["method", *(_TASKS if name == "task" else name for name in shared), "n"]
    return TableView("all", names, [_column(heading) for heading in headings], rows)


def _rows(panel: Panel, shared: Sequence[str], headings: Sequence[str], facts: Facts) -> Iterator[PrintedRow]:
    own = [str(heading) for heading in panel.values]
    keys = {name: panel.shared[name] for name in KEYS}
    about = {**keys, "task": ""}  # a mean over tasks is of none
    for place, text in enumerate(rows_of(panel).to_dict("records")):
        method = str(text["method"])
        fact = facts.place(Fact(method=method, seeds="", audit={}, **about))
        values = panel.values.iloc[place].to_numpy(dtype=float)
        cells = [
            _cell(str(text[heading]), float(values[own.index(heading)]), panel, place)
            if heading in own
            else None
            for heading in headings
        ]
        yield PrintedRow(fact, [method, *(keys[name] for name in shared), str(text["n"])], cells)


def _column(heading: str) -> Column:
    return Column(heading, "", "", "lower" if heading.endswith("↓") else "higher")


def _cell(text: str, value: float, panel: Panel, row: int) -> PrintedCell:
    count = int(panel.counts[row].split()[0])
    known = None if math.isnan(value) else value
    return PrintedCell(
        text=text,
        interval="",
        over="",
        drop="",
        verdict=f"of {panel.shared['task']}; intervals and tests are in the tables below",
        mark="",
        hole="a task lacks it" if text == HOLE else "",
        n=count,
        n_planned=count,
        samples=0,
        mean=known,
        sd=None,
        low=None,
        high=None,
        p=None,
    )
