"""Tables as tidy frames at full precision: one row for each method, condition and metric."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from .metric import Metric
from .results import CLEAN, MISSING, Result, missing_patterns, one_line
from .scoring import ALPHA, Cell, Group, compare, groups_of, score
from .statistics import Resampled, interval, summary
from .untested import filled

AVERAGE = "average_missing"
SYNTHETIC = "synthetic stand-in"
REAL = "real"

# Column -> type of every frame, in order; columns "audit_..." follow as text.
COLUMNS: dict[str, str] = {
    "task": "str",
    "modalities": "str",
    "protocol": "str",
    "data": "str",
    "method": "str",
    "draw": "int64",
    "condition": "str",
    "metric": "str",
    "direction": "str",
    "unit": "str",
    "mean": "float64",
    "sd": "float64",
    "n": "int64",
    "n_planned": "int64",
    "low": "float64",
    "high": "float64",
    "interval": "str",
    "samples": "int64",
    "drop": "float64",
    "drop_low": "float64",
    "drop_high": "float64",
    "best": "boolean",
    "p_vs_best": "float64",
    "significantly_worse": "boolean",
    "mark": "str",
    "hole": "str",
    "seeds": "str",
    "values": "str",
    "jobs": "str",
}


def accuracy(
    results: Iterable[Result], metrics: Sequence[str] | None = None, draws: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """How good each method is on complete test data.

    Rows are ordered as the results first name each task, modality set, protocol and method; then as the
    metrics. A row whose planned seeds are not all done has no mean, and says why in ``hole``: nothing is
    averaged over what happens to exist.

    Args:
        results: one a job, whatever its state.
        metrics: names; None for every metric of each result's family.
        draws: number of resamples for intervals and comparisons.
        seed: of the resampling.

    Returns:
        A frame with the columns of ``COLUMNS`` (without those of ``drop``) and ``audit_...``: ``mean`` and
        ``sd`` (ddof = 1) over ``n`` of ``n_planned`` seeds, ``values`` of each of the ``seeds``, ``low`` to ``high`` (95 %, over what ``interval``
        names), ``p_vs_best`` (paired difference from the best row of the same task, modalities, protocol and
        data, corrected by Holm), ``significantly_worse`` (that p is below 0.05; missing where not compared)
        and ``mark`` (``"best"``: all others are significantly worse; ``"tied"``: the best, or not told apart
        from it).

    Raises:
        ValueError: no results, an unknown metric or none that applies, or a seed twice in one group.
    """
    groups = groups_of(results, metrics)
    frame = table_of(groups, [{CLEAN: score(group, [CLEAN], draws, seed)[CLEAN]} for group in groups])
    return frame.drop(columns=["drop", "drop_low", "drop_high"])


def missing(
    results: Iterable[Result], metrics: Sequence[str] | None = None, draws: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """How good each method is when modalities are missing in the whole test set.

    As ``accuracy``, with a row for each condition: ``clean``, every pattern (``missing:text`` names what is
    missing), and ``average_missing``, the plain mean over the patterns in which something is missing, only
    where all of them are there. Results with a single modality have no such patterns and are left out.

    Args:
        results: one a job, whatever its state.
        metrics: names; None for every metric of each result's family.
        draws: number of resamples for intervals and comparisons.
        seed: of the resampling.

    Returns:
        A frame with all ``COLUMNS`` and ``audit_...``. ``drop``, with its interval, is what is lost against
        ``clean``, paired by seed and sample, positive where the condition is worse, whatever the metric's
        direction.

    Raises:
        ValueError: as ``accuracy``; or no result has more than one modality.
    """
    groups = [group for group in groups_of(results, metrics) if missing_patterns(group.block.modalities)]
    if not groups:
        raise ValueError("no result has more than one modality: nothing can be missing")
    cells = []
    for group in groups:
        patterns = missing_patterns(group.block.modalities)
        row = score(group, [CLEAN, *patterns], draws, seed)
        cells.append({**row, AVERAGE: _average([row[name] for name in patterns])})
    return table_of(groups, cells)


def condition_label(condition: str) -> str:
    """A condition as a heading: ``"missing:text+audio"`` -> ``"no text, audio"``."""
    if condition == AVERAGE:
        return "average of missing"
    if condition.startswith(MISSING):
        return "no " + condition.removeprefix(MISSING).replace("+", ", ")
    return condition


def data_label(frame: pd.DataFrame) -> str:
    """What the data of a frame are: ``"real"``, ``"synthetic stand-in"``, or both, said so."""
    kinds = set(frame["data"])
    if len(kinds) > 1:
        return f"partly {SYNTHETIC}"
    return kinds.pop() if kinds else REAL


def _average(cells: Sequence[Cell]) -> Cell:
    holes = dict.fromkeys(cell.hole for cell in cells if cell.hole)
    first = cells[0]
    if holes or any(not first.comparable(cell) for cell in cells):
        reason = "; ".join(holes) or "the patterns were tested on different samples"
        return Cell(hole=reason, done=min(cell.done for cell in cells))
    scores = [cell.scores for cell in cells if cell.scores is not None]
    together = Resampled(
        values=np.mean([score.values for score in scores], axis=0),
        draws=np.mean([score.draws for score in scores], axis=0),
        samples=scores[0].samples,
    )
    return Cell("", first.done, together, first.sample_id, first.target)


def table_of(groups: Sequence[Group], cells: Sequence[dict[str, Cell]]) -> pd.DataFrame:
    """The frame of scored groups: rows of a block are compared, condition by condition and metric by metric.

    Args:
        groups: one a row of the printed table.
        cells: of each group, condition -> cell. Without ``clean`` there is no drop.
    """
    cells = filled(groups, cells)
    blocks: dict[tuple, list[int]] = {}
    for index, group in enumerate(groups):
        blocks.setdefault(group.block, []).append(index)
    rows: list[dict[str, object]] = []
    for members in blocks.values():
        marks = _marks([groups[index] for index in members], [cells[index] for index in members])
        for place, index in enumerate(members):
            rows.extend(_group_rows(groups[index], cells[index], marks, place))
    audits = list(dict.fromkeys(name for row in rows for name in row if name not in COLUMNS))
    types = {**COLUMNS, **dict.fromkeys(audits, "str")}
    columns = {name: [row.get(name, "") for row in rows] for name in types}
    return pd.DataFrame({name: pd.Series(values, dtype=types[name]) for name, values in columns.items()})


def _marks(groups: Sequence[Group], cells: Sequence[dict[str, Cell]]) -> dict[tuple[str, str], list[dict]]:
    """(condition, metric) -> for each group of a block, the columns that say how it stands to the best."""
    metrics = dict.fromkeys(metric for group in groups for metric in group.metrics)
    out: dict[tuple[str, str], list[dict]] = {}
    for condition in dict.fromkeys(name for row in cells for name in row):
        for metric in metrics:
            found = compare([row[condition] for row in cells], groups, metric)
            out[condition, metric.name] = [
                {
                    "best": bool(best),
                    "p_vs_best": p,
                    "significantly_worse": bool(p < ALPHA) if np.isfinite(p) else (False if best else None),
                    "mark": mark,
                }
                for best, p, mark in zip(found.best, found.p, found.mark, strict=True)
            ]
    return out


def _group_rows(
    group: Group, cells: dict[str, Cell], marks: dict[tuple[str, str], list[dict]], place: int
) -> list[dict[str, object]]:
    block = group.block
    shared: dict[str, object] = {
        "task": block.task,
        "modalities": block.modalities,
        "protocol": block.protocol,
        "data": SYNTHETIC if block.synthetic else REAL,
        "method": group.method,
        "draw": group.draw,
        "n_planned": len(group.results),
        "seeds": " ".join(map(str, group.seeds)),
        "jobs": " ".join(result.job for result in group.results),
        **audit_columns(group),
    }
    rows = []
    for condition, cell in cells.items():
        numbers = _numbers(group, cell, cells.get(CLEAN, cell))
        for metric, columns in zip(group.metrics, numbers, strict=True):
            mark = marks[condition, metric.name][place]
            if columns["hole"]:
                mark = {"best": None, "p_vs_best": np.nan, "significantly_worse": None, "mark": ""}
            head = {
                "condition": condition,
                "metric": metric.name,
                "direction": metric.direction,
                "unit": metric.unit,
            }
            rows.append({**shared, **head, "n": cell.done, **columns, **mark})
    return rows


def _numbers(group: Group, cell: Cell, clean: Cell) -> list[dict[str, object]]:
    """The number columns of a group under one condition, one entry a metric."""
    names = ("mean", "sd", "low", "high", "drop", "drop_low", "drop_high")
    empty: dict[str, object] = {
        **dict.fromkeys(names, np.nan),
        "interval": "",
        "samples": 0,
        "values": "",
        "hole": cell.hole,
    }
    if cell.scores is None:
        return [dict(empty) for _ in group.metrics]
    low, high = interval(cell.scores, group.metrics)
    drop, drop_low, drop_high = None, low, high
    if clean.scores is not None and cell.comparable(clean):
        drop = clean.scores.minus(cell.scores)
        drop_low, drop_high = interval(drop, None)
    rows = []
    for index, metric in enumerate(group.metrics):
        values = cell.scores.values[:, index]
        row = {**empty, "samples": cell.scores.samples}
        if not np.isfinite(values).all():
            row["hole"] = _undefined(group, metric, values, cell.reasons.get(metric.name, metric.undefined))
        else:
            over = summary(values)
            row |= {"mean": over.mean, "sd": over.sd, "low": low[index], "high": high[index]}
            row["values"] = " ".join(map(repr, values.tolist()))
            row["interval"] = cell.scores.kind
            if drop is not None:
                sign = 1 if metric.direction == "higher" else -1
                ends = sorted([sign * float(drop_low[index]), sign * float(drop_high[index])])
                row |= {
                    "drop": sign * drop.values[:, index].mean(),
                    "drop_low": ends[0],
                    "drop_high": ends[1],
                }
        rows.append(row)
    return rows


def _undefined(group: Group, metric: Metric, values: np.ndarray, reason: str) -> str:
    seeds = [str(seed) for seed, value in zip(group.seeds, values, strict=True) if not np.isfinite(value)]
    why = f": {reason}" if reason else ""
    return f"{len(seeds)} of {len(group.seeds)} seeds undefined (seed {', '.join(seeds)}{why})"


def audit_columns(group: Group) -> dict[str, str]:
    """``audit_NAME`` -> value of a group; values that differ between its jobs are joined."""
    names = dict.fromkeys(name for result in group.results for name in result.audit)
    return {
        f"audit_{name}": one_line(
            " / ".join(dict.fromkeys(str(result.audit.get(name, "not stated")) for result in group.results))
        )
        for name in names
    }
