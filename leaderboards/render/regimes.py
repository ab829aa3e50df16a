"""The table of segmenters as people read it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from ..tables.regimes import COLUMNS, KEYS
from .text import HOLE, records

#: The digits of a column, where they are not three.
_DIGITS = {"regimes": 1, "mean_dwell": 1, "median_dwell": 1, "calinski_harabasz": 1, "seconds": 1}


def regimes_wide(frame: pd.DataFrame, metrics: list[str] | None = None) -> pd.DataFrame:
    """One row a segmenter, one column a metric, cells as ``mean ± sd [low, high]``; a hole is ``—``.

    Args:
        frame: what ``regimes_table`` gave.
        metrics: the columns; None for all.
    """
    shown = metrics or list(COLUMNS)
    lines: dict[tuple, dict[str, str]] = {}
    for row in records(frame):
        key = tuple(row[name] for name in (*KEYS, "segmenter"))
        line = lines.setdefault(
            key,
            {**{name: str(row[name]) for name in (*KEYS, "segmenter")}, "n": str(row["seeds"])},
        )
        if row["metric"] in shown:
            line[regimes_heading(row["metric"])] = regimes_cell(row)
    return pd.DataFrame(list(lines.values()))


def regimes_heading(metric: str) -> str:
    """The heading of a column: ``held_out ↑``."""
    sign = {"higher": " ↑", "lower": " ↓"}.get(COLUMNS[metric].direction, "")
    return f"{metric}{sign}"


def regimes_cell(row: dict) -> str:
    """A cell."""
    if row["hole"]:
        return HOLE
    digits = _DIGITS.get(row["metric"], 3)
    text = f"{row['mean']:.{digits}f}"
    if not math.isnan(row["sd"]):
        text += f" ± {row['sd']:.{digits}f}"
    if not math.isnan(row["low"]):
        text += f" [{row['low']:.{digits}f}, {row['high']:.{digits}f}]"
    return text


def regimes_notes(frame: pd.DataFrame) -> list[str]:
    """What a reader of the table should know: conventions, controls, and the reasons of holes."""
    notes = [f"{metric.name}: {metric.convention}" for metric in COLUMNS.values()]
    notes.append(
        "intervals: 95 %, over conversations (bootstrap, the same resamples for every row) and seeds (Student's t); none where a "
        "metric is no sum over conversations"
    )
    notes.append(
        "constant and per-utterance are controls: constant has the best switches, dwell and shifted_ari that there are, and only "
        "held_out and the metrics against labels show what it misses"
    )
    reasons: dict[str, list[str]] = {}
    for row in records(frame):
        if row["hole"]:
            reasons.setdefault(f"{row['segmenter']}: {row['hole']}", []).append(row["metric"])
    notes += [f"{HOLE} {reason} ({', '.join(dict.fromkeys(names))})" for reason, names in reasons.items()]
    return notes


def regimes_markdown(frame: pd.DataFrame, metrics: list[str] | None = None, notes: Sequence[str] = ()) -> str:
    """The table and its notes as Markdown.

    Args:
        frame: what ``regimes_table`` gave.
        metrics: the columns; None for all.
        notes: what is to be said first.
    """
    table = regimes_wide(frame, metrics)
    lines = ["| " + " | ".join(table) + " |", "|" + " --- |" * table.shape[1]]
    for _, row in table.iterrows():
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |")
    lines += ["", *(f"- {note}" for note in [*notes, *regimes_notes(frame)])]
    return "\n".join(lines) + "\n"
