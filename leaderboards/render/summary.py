"""All tables at a glance: one row a method, one column for each question that a table answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ..labels import AVERAGE, BY_NAME, CLEAN, KEYS, MISSING, OWN, UPPER_BOUND
from ..stats.ranks import DECIMALS
from ..tables.accuracy import task_label
from .text import HOLE, UNVERIFIED, count_text, records, rounded

#: What rows must share to be ranked together, beside their main metric: all of ``KEYS`` but the task.
_FIELD = ("modalities", "protocol", "data")
#: What is read of a leaderboard: a part of its columns, because pandas takes rows column by column.
_READ = [*_FIELD, "task", "method", "draw", "condition", "metric", "direction", "unit", "mean"]
#: What is written behind the best and the second-best value of a column.
BEST, SECOND = "¹", "²"


@dataclass(frozen=True)
class Axis:
    """A question, and where its answer stands.

    Attributes:
        name: of its column; the name of its metric is put before it where ``metric`` is empty.
        table: which leaderboard's frame has it.
        condition: whose values are read; of several that begin so the worst, where ``worst``, else the mean. None for
            the first condition of a row that is no confidence of the method's own.
        metric: which is read; empty for the main metric of the row, ``first`` for the first of the table.
        worst: whether the worst condition counts and not their mean.
    """

    name: str
    table: str
    condition: str | None = CLEAN
    metric: str = ""
    worst: bool = False


AXES = (
    Axis("clean", "accuracy"),
    Axis("missing, mean", "missing", AVERAGE),
    Axis("missing, worst", "missing", MISSING, worst=True),
    Axis("corrupted, mean", "robustness", "mean_corruption"),
    Axis("reliability volume", "robustness", "reliability_volume"),
    Axis("misclassified", "misd", None, "first"),
    Axis("OOD", "ood", "", "first"),
    Axis("calibration", "calibration", None, "first"),
    Axis("training s", "cost", CLEAN, "seconds_fit"),
)
RANK = "rank"


@dataclass(frozen=True)
class Panel:
    """Methods that are ranked together.

    Attributes:
        shared: the columns of ``KEYS`` that they have in common; the task where there is one, else how many.
        values: [methods, axes], float64, best first; each the mean over the tasks, NaN where a task lacks it. The index
            holds the methods' names, the columns the headings.
        lower: of each column, whether lower is better.
        units: of each column, as ``labels.rounded`` takes them.
        counts: of each method, how many networks of how many there are.
        compared: of each method, whether it is compared with others: not what was only stated elsewhere.
    """

    shared: Mapping[str, str]
    values: pd.DataFrame
    lower: tuple[bool, ...]
    units: tuple[str, ...]
    counts: tuple[str, ...]
    compared: tuple[bool, ...]

    @property
    def title(self) -> str:
        """What they were tested on, and under which protocol."""
        return "; ".join(self.shared[name] for name in KEYS)


def panels(frames: Mapping[str, pd.DataFrame]) -> list[Panel]:
    """The panels of a store.

    Rows are put together that share modalities, protocol, kind of data and main metric; each value is the plain mean
    over their tasks. Upper bounds are left out: they see the target.

    Args:
        frames: leaderboard -> tidy frame; ``accuracy`` decides which methods and tasks there are, and nothing is
            returned without it.

    Returns:
        One panel for each set of rows, in the order of the first; a column stands in it only where some method has a
        value.
    """
    if "accuracy" not in frames:
        return []
    rows = main_rows(frames["accuracy"])
    rows = rows.loc[~rows["protocol"].str.endswith(UPPER_BOUND)]
    rows = rows.assign(method=_names(rows))
    out = []
    for key, chosen in rows.groupby([*_FIELD, "metric"], sort=False):
        assert isinstance(key, tuple)
        out.append(_panel(dict(zip([*_FIELD, "metric"], map(str, key), strict=True)), chosen, frames))
    return out


def main_rows(accuracy: pd.DataFrame) -> pd.DataFrame:
    """The rows of the table ``accuracy`` that hold each method's main metric, the first of its family."""
    main = accuracy.groupby([*KEYS, "method", "draw"], sort=False)["metric"].transform("first")
    return accuracy.loc[(accuracy["metric"] == main) & (accuracy["condition"] == CLEAN)]


def _names(rows: pd.DataFrame) -> list[str]:
    """The method of each row, with its draw where there are several."""
    both = zip(rows["method"].tolist(), rows["draw"].tolist(), strict=True)
    return [f"{method} (draw {draw})" if draw else str(method) for method, draw in both]


def _panel(shared: Mapping[str, str], rows: pd.DataFrame, frames: Mapping[str, pd.DataFrame]) -> Panel:
    tasks = list(dict.fromkeys(rows["task"]))
    methods = list(dict.fromkeys(rows["method"]))
    stated = set(rows.loc[rows["mark"] == "unverified", "method"])
    columns: dict[str, pd.Series] = {}
    lower, units = [], []
    for axis in AXES:
        found = _column(axis, shared, frames)
        if found is None:
            continue
        values, heading, is_lower, unit = found
        table = values.unstack("task").reindex(index=methods, columns=tasks)
        mean = table.mean(axis=1, skipna=False)
        if mean.isna().all():
            continue
        columns[heading], lower, units = mean, [*lower, is_lower], [*units, unit]
        if axis.name == CLEAN and len(tasks) > 1 and len(methods) > 1:
            ranked = table.loc[[method not in stated for method in methods]]
            columns[RANK] = (
                ranked.round(DECIMALS).rank(ascending=is_lower).mean(axis=1, skipna=False).reindex(methods)
            )
            lower, units = [*lower, True], [*units, RANK]
    values = pd.DataFrame(columns, index=pd.Index(methods, name="method"))
    order = list(range(len(methods)))
    if len(values.columns):
        first = values.iloc[:, 0].round(DECIMALS).to_numpy() * (1 if lower[0] else -1)
        order = np.argsort(np.where(np.isnan(first), np.inf, first), kind="stable").tolist()
    counts = [count_text(records(rows.loc[rows["method"] == method])) for method in methods]
    on = task_label(tasks[0]) if len(tasks) == 1 else f"mean over {len(tasks)} tasks"
    return Panel(
        {**{name: shared[name] for name in _FIELD}, "task": on},
        values.iloc[order],
        tuple(lower),
        tuple(units),
        tuple(counts[place] for place in order),
        tuple(methods[place] not in stated for place in order),
    )


def _column(
    axis: Axis, shared: Mapping[str, str], frames: Mapping[str, pd.DataFrame]
) -> tuple[pd.Series, str, bool, str] | None:
    """The values of an axis by method and task, its heading, whether lower is better, and its unit; None where the
    rows have none."""
    frame = frames.get(axis.table)
    if frame is not None:
        wanted = np.logical_and.reduce([frame[name] == shared[name] for name in _FIELD])
        frame = frame[_READ].loc[wanted]
    if frame is None or frame.empty:
        return None
    frame = frame.loc[~frame["condition"].str.rpartition("/")[2].str.startswith(OWN)]
    if axis.condition is None:
        by = frame.groupby(["task", "method", "draw"], sort=False)["condition"]
        frame = frame.loc[frame["condition"] == by.transform("first")]
    else:
        frame = frame.loc[frame["condition"].str.startswith(axis.condition)]
    if axis.metric == "first" and len(frame):
        frame = frame.loc[frame["metric"] == frame["metric"].iloc[0]]
    else:
        frame = frame.loc[frame["metric"] == (axis.metric or shared["metric"])]
    if frame.empty:
        return None
    one = frame.iloc[0]
    is_lower, arrow = one["direction"] == "lower", "↓" if one["direction"] == "lower" else "↑"
    by_row = frame.assign(method=_names(frame)).groupby(["method", "task"], sort=False)["mean"]
    worst = "max" if is_lower else "min"
    whole = by_row.count() == by_row.size()
    values = by_row.agg(worst if axis.worst else "mean").where(whole)
    name = {"": axis.name, "first": f"{axis.name}: {one['metric']}"}.get(axis.metric, axis.name)
    if axis.name == CLEAN:
        name = f"{one['metric']}, clean"
    percent = " %" if one["unit"] == "fraction" else ""
    return values, f"{name}{percent} {arrow}", is_lower, str(one["unit"])


def rows_of(panel: Panel) -> pd.DataFrame:
    """A panel as text, the best value of each column marked ``¹`` and the second ``²``, equal values alike; what is not
    compared is marked ``†``.

    Args:
        panel: what is written.

    Returns:
        A frame of text: method, n, and a column for each axis.
    """
    columns = {"method": list(panel.values.index), "n": list(panel.counts)}
    for place, heading in enumerate(panel.values):
        numbers = panel.values[heading].to_numpy(dtype=float)
        columns[str(heading)] = list(_marked(numbers, panel, place))
    return pd.DataFrame(columns).astype("str")


def sorted_panel(panel: Panel, column: str) -> Panel:
    """A panel ordered by a column.

    Args:
        panel: best first by its first column.
        column: how the heading begins; ``BY_NAME`` for the names of methods; where there is no such, nothing changes.
    """
    order = list(range(len(panel.values)))
    place = next((p for p, name in enumerate(panel.values) if column and str(name).startswith(column)), None)
    if column == BY_NAME:
        order.sort(key=lambda row: str(panel.values.index[row]))
    elif place is not None:
        values = panel.values.iloc[:, place].round(DECIMALS).to_numpy(float) * (
            1 if panel.lower[place] else -1
        )
        order = np.argsort(np.where(np.isnan(values), np.inf, values), kind="stable").tolist()
    else:
        return panel
    counts, compared = (tuple(one[row] for row in order) for one in (panel.counts, panel.compared))
    return replace(panel, values=panel.values.iloc[order], counts=counts, compared=compared)


def frame_of(parts: Sequence[Panel]) -> pd.DataFrame:
    """The panels as one frame: ``KEYS``, method, n, and a column for each axis, fractions in percent; NaN where a panel has
    none."""
    frames = []
    for part in parts:
        scale = [100 if unit == "fraction" else 1 for unit in part.units]
        frame = (part.values * scale).round(3).reset_index()
        for place, name in enumerate(KEYS):
            frame.insert(place, name, part.shared[name])
        frame.insert(len(KEYS) + 1, "n", list(part.counts))
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _marked(numbers: np.ndarray, panel: Panel, place: int) -> Iterator[str]:
    """The numbers of a column as text, with marks where there are different ones to compare."""
    numbers = np.round(numbers, DECIMALS)  # what differs only by the rounding of sums is equal
    known = {float(number) for number in numbers[np.array(panel.compared)] if not np.isnan(number)}
    ranked = sorted(known, reverse=not panel.lower[place])
    marks = dict(zip(ranked, (BEST, SECOND), strict=False)) if len(ranked) > 1 else {}
    for number, compared in zip(numbers, panel.compared, strict=True):
        text = _text(number, panel.units[place])
        yield text + marks.get(float(number), "") if compared else f"{UNVERIFIED} {text}"


def _text(number: float, unit: str) -> str:
    if np.isnan(number):
        return HOLE
    return f"{number:.2f}" if unit == RANK else rounded(number, unit)
