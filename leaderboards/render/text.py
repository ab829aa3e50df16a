"""Tables for people, as strings in rows and columns. Numbers are rounded here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ..labels import BY_NAME, CLEAN, FOLDS, KEYS, OWN, WITHIN_MARGIN, Across, count_of, rounded
from ..tables.accuracy import condition_label

HOLE = "—"
TIED = "≈"
UNVERIFIED = "†"


def wide(
    frame: pd.DataFrame,
    across: Across = "metric",
    metric: str | None = None,
    intervals: bool = True,
    best: str = "{} *",
    sort: str = "",
) -> pd.DataFrame:
    """One row a method, one column a metric or a condition, cells as text: ``"81.3 ± 0.6 [79.0, 83.4]"``.

    Fractions are printed as percent with one decimal, anything else with three. A hole is ``—``; a metric
    that does not judge a row's task is empty. The best of a block (same task, modalities, protocol and data)
    is marked only where every other row is significantly worse; ``≈`` marks it and those that are shown to be the same but for
    a margin (see ``shown_mark``). Within a block rows are sorted by the first column, best first, holes last.

    Args:
        frame: what ``accuracy`` or ``missing`` gave.
        across: ``"metric"`` (of clean data) or ``"condition"`` (of one metric).
        metric: which metric, for ``"condition"``; None for each row's main one, which is the frame's first.
        intervals: whether cells show the 95 % interval.
        best: how the best cell is marked, ``{}`` being its mean and standard deviation.
        sort: the metric or condition whose column orders the rows of a block, where it is a column; ``BY_NAME`` for the
            names of methods.

    Returns:
        A frame of strings: task, modalities, protocol, data, method, n (``"4 of 5"`` where seeds are
        missing), for ``"condition"`` the metric, and one column a metric or condition.

    Raises:
        ValueError: nothing in the frame fits, or ``across`` is neither.
    """
    rows = records(rows_to_show(frame, across, metric))
    by_metric = across == "metric"
    headings = {row[across]: heading(row) if by_metric else condition_label(row[across]) for row in rows}
    draws: dict[tuple, set[int]] = {}
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        key = tuple(row[name] for name in (*KEYS, "method"))
        draws.setdefault(key, set()).add(row["draw"])
        groups.setdefault((*key, row["draw"]), []).append(row)
    blocks: dict[tuple, list[tuple[tuple, dict[str, str]]]] = {}
    for (*key, draw), cells in groups.items():
        line: dict[str, str] = {str(n): str(v) for n, v in zip((*KEYS, "method"), key, strict=True)}
        if len(draws[tuple(key)]) > 1:
            line["method"] += f" (draw {draw})"
        line["n"] = count_text(cells)
        if not by_metric:
            line["metric"] = heading(cells[0])
        line |= dict.fromkeys(headings.values(), "")
        line |= {headings[row[across]]: cell_text(row, intervals, best) for row in cells}
        lead = next((row for row in cells if row[across] == sort), cells[0])
        mean, sign = lead["mean"], -1 if lead["direction"] == "higher" else 1
        order = (1, 0.0) if math.isnan(mean) else (0, sign * mean)
        order = (0, line["method"]) if sort == BY_NAME else order
        blocks.setdefault(tuple(key[:-1]), []).append((order, line))
    lines = [line for block in blocks.values() for _, line in sorted(block, key=lambda item: item[0])]
    return pd.DataFrame(lines).astype("str")


def rows_to_show(frame: pd.DataFrame, across: Across, metric: str | None) -> pd.DataFrame:
    """The rows of a frame that ``wide`` prints. A confidence of a method's own has a row beside that of the
    method, whose name says so.

    Args:
        frame: a tidy frame.
        across: as in ``wide``.
        metric: as in ``wide``; read where the columns are conditions.

    Returns:
        A part of the frame, in its order.

    Raises:
        ValueError: the frame has no such rows, or ``across`` is neither.
    """
    if across == "metric":
        # A table without clean rows (a confidence, an OOD score) shows each row's main condition, its first.
        first = frame.groupby([*KEYS, "method", "draw"])["condition"].transform("first")
        clean = (frame["condition"] == CLEAN).tolist()
        wanted = clean if any(clean) else (frame["condition"] == first).tolist()
        own = frame["condition"].str.startswith(OWN)
        if own.any():
            named = frame["method"].where(~own, frame["method"] + ", " + frame["condition"])
            return frame.assign(method=named).loc[own | pd.Series(wanted, index=frame.index)]
    elif across != "condition":
        raise ValueError(f"across is {across!r}, expected 'metric' or 'condition'")
    elif metric is not None:
        wanted = (frame["metric"] == metric).tolist()
    else:
        main = frame.groupby([*KEYS, "method", "draw"])["metric"].transform("first")
        wanted = (frame["metric"] == main).tolist()
    if not any(wanted):
        raise ValueError("the table has no such rows" + (f": metric {metric}" if metric else ""))
    return frame.loc[wanted]


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame, as ``DataFrame.to_dict("records")`` gives them, in a quarter of its time."""
    names = [str(name) for name in frame]
    columns = [_plain_values(column) for _, column in frame.items()]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _plain_values(column: pd.Series) -> list[Any]:
    """The values of a column as Python has them, with None where a nullable type has none."""
    if isinstance(column.dtype, pd.StringDtype) or not pd.api.types.is_extension_array_dtype(column.dtype):
        return column.to_numpy().tolist()
    return [None if value is pd.NA else value for value in column.tolist()]


def heading(row: dict) -> str:
    """A metric as the heading of its column: ``"acc7 % ↑"``."""
    percent = " %" if row["unit"] == "fraction" else ""
    return f"{row['metric']}{percent} {'↑' if row['direction'] == 'higher' else '↓'}"


def interval_text(row: dict) -> str:
    """The 95 % interval of a row, ``"[79.0, 83.4]"``; empty where there is none."""
    if math.isnan(row["low"]):
        return ""
    return f"[{rounded(row['low'], row['unit'])}, {rounded(row['high'], row['unit'])}]"


def shown_mark(row: Mapping[str, Any]) -> str:
    """The mark of a row of a tidy frame as it is shown, so that none misleads.

    Returns:
        ``"best"``: every other row is significantly worse. ``"tied"``: the best, or not told apart from it, and within a margin
        by an equivalence test. ``"unverified"``. Empty otherwise: also of single seeds that say nothing of their
        method, and where there are too few seeds to show either.
    """
    if row["interval"] == "samples" or (row["mark"] == "tied" and row.get(WITHIN_MARGIN) is not True):
        return "unverified" if row["mark"] == "unverified" else ""
    return str(row["mark"])


def cell_text(row: dict, intervals: bool, best: str) -> str:
    """A row of a tidy frame as a cell, as ``wide`` writes it.

    Args:
        row: column -> value.
        intervals: whether the 95 % interval stands behind the mean.
        best: as in ``wide``.
    """
    if row["hole"]:
        return HOLE
    text = rounded(row["mean"], row["unit"])
    if not math.isnan(row["sd"]):
        text += f" ± {rounded(row['sd'], row['unit'])}"
    mark = shown_mark(row)
    if mark == "best":
        text = best.format(text)
    if mark == "unverified":
        text = f"{UNVERIFIED} {text}"
    if intervals and not math.isnan(row["low"]):
        text += f" {interval_text(row)}"
    return f"{text} {TIED}" if mark == "tied" else text


def count_text(rows: Sequence[dict]) -> str:
    """How many of the planned seeds or folds are there, as ``count_of`` writes it."""
    n, planned = min(row["n"] for row in rows), max(row["n_planned"] for row in rows)
    folds = set(str(rows[0].get(FOLDS, "")).split())
    return count_of(n, planned, len(folds), len(set(rows[0]["seeds"].split())))
