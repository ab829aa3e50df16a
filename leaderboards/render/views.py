"""Tidy frames as tables that a page shows: what stands in each row, column and cell.

A board has several views: the one that the other formats print comes first; the others show the conditions and
metrics that it leaves out. Rounding is that of ``render``; the numbers beside the texts have full precision.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..labels import CLEAN, KEYS, MARGIN, WITHIN_MARGIN, Across, is_tidy, rounded
from ..metrics.registry import METRICS
from ..stats.ranks import DECIMALS
from ..tables.accuracy import condition_label
from ..tables.cost import QUANTITIES
from .notes import holes
from .plain import texts
from .text import cell_text, count_text, heading, interval_text, records, rows_to_show, shown_mark

Record = dict[str, Any]


class PrintedCell(NamedTuple):
    """A cell: texts as they are shown, numbers as they were computed (None where there is none).

    Attributes:
        text: mean and standard deviation, ``≈`` where it is the best's equal within a margin, ``—`` for a hole.
        interval: ``"[79.0, 83.4]"``.
        over: what the interval is over.
        drop: what is lost against clean data, with its interval.
        verdict: how it stands to the best of its block, in words.
        mark: ``"best"``, ``"second"`` or empty. Best: every other row of the block is significantly worse.
        hole: why there is no value.
        n: seeds that are done.
        n_planned: seeds.
        samples: of the test set.
        mean, sd, low, high, p: full precision.
    """

    text: str
    interval: str
    over: str
    drop: str
    verdict: str
    mark: str
    hole: str
    n: int
    n_planned: int
    samples: int
    mean: float | None
    sd: float | None
    low: float | None
    high: float | None
    p: float | None


@dataclass(frozen=True)
class Column:
    """A column of values: its heading, and the metric and condition of its cells where they are all the same."""

    heading: str
    metric: str
    condition: str
    direction: str


@dataclass(frozen=True)
class PrintedRow:
    """A row: what it is about (an index into the facts of the page), its names, its cells (None: does not apply)."""

    fact: int
    names: list[str]
    cells: list[PrintedCell | None]


@dataclass(frozen=True)
class TableView:
    """A table: its label among the views of a board, the headings of its names, its columns and rows."""

    label: str
    names: list[str]
    columns: list[Column]
    rows: list[PrintedRow]


@dataclass(frozen=True)
class Fact:
    """What a row is about: equal facts are kept once a page."""

    method: str
    task: str
    modalities: str
    protocol: str
    data: str
    seeds: str
    audit: dict[str, str]


class Facts:
    """The facts of a page, each once, in the order in which they were first named."""

    def __init__(self) -> None:
        self._places: dict[tuple, int] = {}
        self.all: list[Fact] = []

    def place(self, fact: Fact) -> int:
        """Its index in ``all``."""
        key = tuple(tuple(part.items()) if isinstance(part, dict) else part for part in vars(fact).values())
        if key not in self._places:
            self._places[key] = len(self.all)
            self.all.append(fact)
        return self._places[key]


def views_of(
    frame: pd.DataFrame, across: Across, is_shown: Callable[[str], bool], facts: Facts
) -> list[TableView]:
    """Every view of a board.

    Args:
        frame: its tidy frame, or, as the audit table is, a frame of text.
        across: what its columns are, as in ``text.wide``.
        is_shown: whether a condition is printed by the other formats.
        facts: is added to.

    Returns:
        One view or more, the printed one first.

    Raises:
        ValueError: the frame has no rows.
    """
    if not is_tidy(frame):
        return [_text_view(frame, facts)]
    names = [name for name in KEYS if name == "data" or len(set(frame[name])) > 1]
    frame = frame.reset_index(drop=True)
    every = records(frame)
    return [
        _view(label, [every[place] for place in rows.index], across, names, facts)
        for label, rows in _parts(frame, across, is_shown)
    ]


def same_everywhere(frame: pd.DataFrame) -> dict[str, str]:
    """What all rows have in common and no column of a view says."""
    if not is_tidy(frame):
        return {}
    return {name: str(frame[name].iloc[0]) for name in KEYS if name != "data" and len(set(frame[name])) == 1}


def gone(frame: pd.DataFrame) -> list[str]:
    """One line a hole, without the dash at its beginning."""
    return [line[2:] for line in holes(frame)] if is_tidy(frame) else []


def metric_conventions() -> dict[str, str]:
    """Metric -> what it is, in a sentence."""
    return {name: f"{metric.convention} ({metric.source})" for name, metric in METRICS.items()} | {
        quantity.name: quantity.convention for quantity in QUANTITIES
    }


def _parts(
    frame: pd.DataFrame, across: Across, is_shown: Callable[[str], bool]
) -> Iterator[tuple[str, pd.DataFrame]]:
    main = rows_to_show(frame, across, None)
    if across == "metric":
        yield _label(main, "condition"), main
        rest = frame.drop(index=main.index)
        for condition, rows in rest.groupby("condition", sort=False):
            yield condition_label(str(condition)), rows
        return
    first = _printed(main, is_shown)
    clean = main.loc[main["condition"] == CLEAN]
    single = main.drop(index=first.index)
    yield _label(main, "metric") + ("" if single.empty else ": summaries"), first
    for family, rows in single.groupby(single["condition"].map(_family), sort=False):
        yield str(family), pd.concat([clean, rows])
    for metric, rows in frame.groupby("metric", sort=False):
        if not set(rows.index) <= set(main.index):
            yield str(metric), _printed(rows, is_shown)


def _printed(rows: pd.DataFrame, is_shown: Callable[[str], bool]) -> pd.DataFrame:
    """The rows under conditions that are printed; all where none is."""
    wanted = [is_shown(condition) for condition in rows["condition"]]
    return rows.loc[wanted] if any(wanted) else rows


def _label(rows: pd.DataFrame, name: str) -> str:
    """What the first view is called: its condition or metric where all rows share one."""
    values = set(rows[name])
    if len(values) > 1:
        return f"main {name} of each row"
    return condition_label(values.pop()) if name == "condition" else values.pop()


def _family(condition: str) -> str:
    """Which conditions are looked at together: ``"noise:text@3"`` -> ``"noise:text"``."""
    return condition.partition("@" if "@" in condition else ":")[0]


def _view(
    label: str, rows_of: Sequence[Record], across: Across, names: Sequence[str], facts: Facts
) -> TableView:
    seconds = _seconds(rows_of, across)
    groups: dict[tuple, dict[str, Record]] = {}
    for row in rows_of:
        key = (*(row[name] for name in KEYS), row["method"], row["draw"])
        groups.setdefault(key, {})[row[across]] = row
    draws = Counter(key[:-1] for key in groups)
    columns = {name: _column(row, across) for name, row in {row[across]: row for row in rows_of}.items()}
    rows: list[tuple[tuple, PrintedRow]] = []
    blocks = {block: place for place, block in enumerate(dict.fromkeys(key[:-2] for key in groups))}
    for key, cells in groups.items():
        first = next(iter(cells.values()))
        method = f"{first['method']} (draw {first['draw']})" if draws[key[:-1]] > 1 else first["method"]
        audit = {name.removeprefix("audit_"): first[name] for name in first if name.startswith("audit_")}
        seeds = " ".join(
            dict.fromkeys(first["seeds"].split())
        )  # of folds each seed stands once for every fold
        fact = Fact(method=method, audit=audit, seeds=seeds, **{name: first[name] for name in KEYS})
        own = [method, *(str(first[name]) for name in names), count_text(list(cells.values()))]
        if across == "condition":
            own.append(heading(first))
        row_cells = [
            _cell(cells[name], id(cells[name]) in seconds) if name in cells else None for name in columns
        ]
        mean, sign = first["mean"], -1 if first["direction"] == "higher" else 1
        order = (blocks[key[:-2]], *((1, 0.0) if math.isnan(mean) else (0, sign * mean)))
        rows.append((order, PrintedRow(facts.place(fact), own, row_cells)))
    headings = ["method", *names, "n", *(["metric"] if across == "condition" else [])]
    return TableView(
        label, headings, list(columns.values()), [row for _, row in sorted(rows, key=lambda r: r[0])]
    )


def _text_view(frame: pd.DataFrame, facts: Facts) -> TableView:
    table = texts(frame)
    names = ["method", *(str(name) for name in table if name != "method")]
    rows = []
    for record in table.to_dict("records"):
        row = {str(name): str(value) for name, value in record.items()}
        said = {name: row.get(name, "") for name in ("method", *KEYS, "seeds")}
        fact = Fact(audit={}, **said)
        rows.append(PrintedRow(facts.place(fact), [row[name] for name in names], []))
    if not rows:
        raise ValueError("the table has no rows")
    return TableView("all", names, [], rows)


def _column(row: Record, across: Across) -> Column:
    if across == "metric":
        return Column(heading(row), row["metric"], row["condition"], row["direction"])
    return Column(condition_label(row["condition"]), "", row["condition"], row["direction"])


def _seconds(rows_of: Sequence[Record], across: Across) -> set[int]:
    """The ids of the records with the second best mean of their block and column, of three or more compared."""
    columns: dict[tuple, list[Record]] = {}
    for row in rows_of:
        columns.setdefault((*(row[name] for name in KEYS), row[across], row["metric"]), []).append(row)
    seconds = set()
    for rows in columns.values():
        known = [row for row in rows if not math.isnan(row["mean"])]
        means = sorted((_rounded(row) for row in known), reverse=rows[0]["direction"] == "higher")
        if len(known) >= 3 and any(row["mark"] for row in known) and means[0] != means[1]:
            seconds |= {id(row) for row in known if _rounded(row) == means[1]}
    return seconds


def _rounded(row: Record) -> float:
    """A mean, without what the rounding of sums adds."""
    return round(row["mean"], DECIMALS)


def _cell(row: Record, second: bool) -> PrintedCell:
    drop = row.get("drop", math.nan)
    lost = ""
    if not math.isnan(drop) and row["condition"] != CLEAN:
        ends = f" [{rounded(row['drop_low'], row['unit'])}, {rounded(row['drop_high'], row['unit'])}]"
        lost = rounded(drop, row["unit"]) + ("" if math.isnan(row["drop_low"]) else ends)
    return PrintedCell(
        text=cell_text(row, intervals=False, best="{}"),
        interval="" if row["hole"] else interval_text(row),
        over=row["interval"],
        drop=lost,
        verdict=_verdict(row),
        mark="best" if shown_mark(row) == "best" else "second" if second else "",
        hole=row["hole"],
        n=int(row["n"]),
        n_planned=int(row["n_planned"]),
        samples=int(row["samples"]),
        mean=_number(row["mean"]),
        sd=_number(row["sd"]),
        low=_number(row["low"]),
        high=_number(row["high"]),
        p=_number(row["p_vs_best"]),
    )


def _verdict(row: Record) -> str:
    if row["interval"] == "samples":
        return "of one seed: it says nothing of the method, so that nothing is marked" if row["mark"] else ""
    if row["mark"] == "best":
        return "best: every other row of its block is significantly worse"
    if row["best"] is True and row["mark"]:
        which = "highest" if row["direction"] == "higher" else "lowest"
        return f"{which} mean of its block, but not significantly better than every other"
    p = row["p_vs_best"]
    if math.isnan(p):
        return ""
    words = "not told apart from" if row["mark"] == "tied" else "worse than"
    if row.get(WITHIN_MARGIN) is True:
        words = f"within {100 * MARGIN:g} % of"
    return f"{words} the best, p {'< 0.001' if p < 0.001 else f'= {p:.3f}'} (paired, Holm)"


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
