"""Missing modalities of many methods: a row for each method under its own name, a panel for each condition. Needs
matplotlib."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..labels import AVERAGE, CLEAN, KEYS
from ..render.notes import holes, title
from ..render.text import records
from ..tables.accuracy import condition_label, task_label
from .figure import COLOURS, Drawing, Drawings, stem_of
from .look import NATURAL, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Panels beside each other, and inches of a row, of a panel and of what lies around them.
_ACROSS = 8
_ROW, _PANEL, _NAMES, _AROUND = 0.165, 1.35, 1.9, 1.3

Row = dict[str, Any]


def missing_by_method(frame: pd.DataFrame, look: Look = NATURAL) -> Figure:
    """Draws what each of many methods is worth as modalities go missing.

    One panel for each condition, all on one scale; a method is a row, the best at the top: by its average over missing
    modalities, or on clean data where there is none. A dot is its mean, with its 95 % interval. The line from top to foot is
    erm's mean. A hole is a cross at the left edge.

    Args:
        frame: the rows of one task, modality set, protocol and data of what ``missing`` gave. Its first metric is drawn.
        look: says how wide it is.

    Returns:
        The figure.

    Raises:
        ValueError: the frame has no rows.
    """
    from matplotlib.figure import Figure

    if frame.empty:
        raise ValueError("the table has no rows")
    rows = frame.loc[frame["metric"] == frame["metric"].iloc[0]]
    conditions = list(dict.fromkeys(rows["condition"]))
    cells = _cells(rows)
    leading = AVERAGE if AVERAGE in conditions else CLEAN if CLEAN in conditions else conditions[0]
    names = _best_first(cells, leading)
    across = min(_ACROSS, len(conditions))
    width = look.room(_NAMES + _PANEL * across)
    across = min(across, max(1, int((width - _NAMES) / 1.0)))
    down = math.ceil(len(conditions) / across)
    height = look.height_room(down * (_ROW * len(names) + 0.5) + _AROUND)
    figure = Figure(figsize=(width, height), layout="constrained")
    axes: list[Axes] = list(figure.subplots(down, across, squeeze=False, sharex=True, sharey=True).flat)
    first = rows.iloc[0]
    scale = 100 if first["unit"] == "fraction" else 1
    for axis, condition in zip(axes, conditions, strict=False):
        _panel(axis, [cells[name].get(condition) for name in names], scale)
        axis.set_title(condition_label(condition), fontsize=8)
        if "erm" in cells and condition in cells["erm"]:
            axis.axvline(scale * cells["erm"][condition]["mean"], color="0.45", linewidth=0.8, zorder=0.9)
    axes[0].set_yticks(range(len(names)), names, fontsize=7)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    for axis in axes[len(conditions) :]:
        axis.set_visible(False)
    better = "higher" if first["direction"] == "higher" else "lower"
    figure.supxlabel(f"{first['metric']}{' in %' if scale == 100 else ''} ({better} is better)", fontsize=8)
    where = f"{task_label(first['task'])}; {first['modalities']}; {first['protocol']}"
    notes = ["best at the top by " + condition_label(leading)]
    notes += ["line: erm"] if "erm" in cells else []
    notes += ["× at the left edge: no value, the table says why"] if holes(rows) else []
    figure.suptitle(f"{title(rows, 'Missing modalities')}\n{where}\n{'; '.join(notes)}", fontsize=9)
    return figure


def forest_pictures(frame: pd.DataFrame, look: Look = NATURAL) -> Drawings:
    """``missing_by_method`` of every task, modality set, protocol and data: ``missing``, or with what they are of in the
    name where they are several.

    Args:
        frame: what ``missing`` gave.
        look: says how wide they are.
    """
    blocks = [
        (tuple(str(rows[name].iloc[0]) for name in KEYS), rows)
        for _, rows in frame.groupby(list(KEYS), sort=False)
    ]
    differing = [place for place in range(len(KEYS)) if len({keys[place] for keys, _ in blocks}) > 1]
    for keys, rows in blocks:
        stem = stem_of(["missing", *(keys[place] for place in differing)])
        yield Drawing(stem, missing_by_method(rows, look), rows)


def _cells(rows: pd.DataFrame) -> dict[str, dict[str, Row]]:
    """Method, with its draw where it has several -> condition -> row."""
    draws = Counter(name for name, _ in set(zip(rows["method"], rows["draw"], strict=True)))
    cells: dict[str, dict[str, Row]] = {}
    for row in records(rows.loc[:, ["method", "draw", "condition", "mean", "low", "high", "direction"]]):
        name = f"{row['method']} (draw {row['draw']})" if draws[row["method"]] > 1 else row["method"]
        cells.setdefault(name, {})[row["condition"]] = row
    return cells


def _best_first(cells: dict[str, dict[str, Row]], leading: str) -> list[str]:
    """Names by their mean under a condition; those without one come last."""

    def worse(name: str) -> tuple[float, str]:
        row = cells[name].get(leading)
        if row is None or math.isnan(row["mean"]):
            return math.inf, name
        return (row["mean"] if row["direction"] == "lower" else -row["mean"]), name

    return sorted(cells, key=worse)


def _panel(axis: Axes, rows: list[Row | None], scale: int) -> None:
    """Dots and intervals from the top down."""
    from matplotlib.collections import LineCollection
    from matplotlib.ticker import MaxNLocator

    means = scale * np.array([math.nan if row is None else row["mean"] for row in rows])
    spans = [
        [(scale * row["low"], place), (scale * row["high"], place)]
        for place, row in enumerate(rows)
        if row is not None and not math.isnan(row["low"])
    ]
    for place in range(0, len(rows), 2):
        axis.axhspan(place - 0.5, place + 0.5, color="0.96", zorder=0, linewidth=0)
    axis.add_collection(LineCollection(spans, colors=COLOURS[0], linewidths=1.1))
    axis.plot(means, np.arange(len(rows)), "o", color=COLOURS[0], markersize=3)
    gone = [place for place, row in enumerate(rows) if row is not None and math.isnan(row["mean"])]
    axis.plot(
        [0.04] * len(gone), gone, "x", color=COLOURS[1], markersize=4, transform=axis.get_yaxis_transform()
    )
    axis.xaxis.set_major_locator(MaxNLocator(3))
    axis.tick_params(labelsize=7, length=2)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color="0.88", linewidth=0.5)
    axis.set_axisbelow(True)
    axis.spines[["top", "right", "left"]].set_visible(False)
