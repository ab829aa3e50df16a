"""Tables as tidy frames at full precision: one row for each method, condition and metric."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from ..labels import (
    AVERAGE,
    CLEAN,
    FOLDS,
    MISSING,
    OTHERS_SEEDS,
    OVER_TARGETS,
    REAL,
    SYNTHETIC,
    TARGET,
    WITHIN_MARGIN,
    WORST_TARGET,
)
from ..metrics.registry import METRICS
from ..stats.bootstrap import DRAWS, FEWER_DRAWS
from .block import ALPHA, Numbers, numbers_of
from .cells import Cell, Group
from .groups import groups_of, score, with_clean
from .results import Result, missing_patterns, one_line

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
    WITHIN_MARGIN: "boolean",
    "hole": "str",
    "seeds": "str",
    "values": "str",
    "jobs": "str",
}


def accuracy(
    results: Iterable[Result], metrics: Sequence[str] | None = None, draws: int = DRAWS, seed: int = 0
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
        from it). ``within_margin`` says of each row that is tied and of the best whether an equivalence test (two one-sided
        tests at 5 %) shows it, or another row, to be within ``labels.MARGIN`` of the best; missing where not compared.

    Raises:
        ValueError: no results, an unknown metric or none that applies, or a seed twice in one group.
    """
    groups = groups_of(results, metrics)
    frame = table_of(groups, [score(group, "clean", CLEAN.__eq__, draws, seed) for group in groups])
    return frame.drop(columns=["drop", "drop_low", "drop_high"])


def missing(
    results: Iterable[Result], metrics: Sequence[str] | None = None, draws: int = FEWER_DRAWS, seed: int = 0
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
        wanted = [CLEAN, *patterns]
        row = score(group, "missing", set(wanted).__contains__, draws, seed, wanted)
        row = with_clean(row, group, group.metrics, seed)
        cells.append({**row, AVERAGE: _average([row[name] for name in patterns])})
    return table_of(groups, cells)


_HEADINGS = {AVERAGE: "average of missing", OVER_TARGETS: "mean over targets", WORST_TARGET: "worst target"}


def condition_label(condition: str) -> str:
    """A condition as a heading: ``"missing:text+audio"`` -> ``"no text, audio"``."""
    if condition in _HEADINGS:
        return _HEADINGS[condition]
    if condition.startswith(TARGET):
        return condition.removeprefix(TARGET)
    if condition.startswith(MISSING):
        return "no " + condition.removeprefix(MISSING).replace("+", ", ")
    return condition


def task_label(task: str, most: int = 40) -> str:
    """A task as a heading; of a long one the sources are counted: ``"7 sources->dsads/p1"``.

    Args:
        task: such as ``"mosei->mosi"``.
        most: characters that are not too long.
    """
    sources, arrow, target = task.partition("->")
    return f"{sources.count('+') + 1} sources->{target}" if arrow and len(task) > most else task


def data_label(frame: pd.DataFrame) -> str:
    """What the data of a frame are: ``"real"``, ``"synthetic stand-in"``, or both, said so."""
    kinds = set(frame["data"].unique())
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
    together = replace(
        scores[0],
        values=np.mean([score.values for score in scores], axis=0),
        draws=np.mean([score.draws for score in scores], axis=0),
        finer=None,
    )
    return Cell("", first.done, together, first.of)


def table_of(groups: Sequence[Group], cells: Sequence[dict[str, Cell]]) -> pd.DataFrame:
    """The frame of scored groups: rows of a block are compared, condition by condition and metric by metric.

    Args:
        groups: one a row of the printed table.
        cells: of each group, condition -> cell. Without ``clean`` there is no drop.
    """
    blocks: dict[tuple, list[int]] = {}
    for index, group in enumerate(groups):
        blocks.setdefault(group.block, []).append(index)
    parts: list[dict[str, list]] = []
    for members in blocks.values():
        block = _whole([cells[index] for index in members])
        numbers = numbers_of([groups[index] for index in members], block)
        for place, index in enumerate(members):
            parts.append(_columns(groups[index], block[place], numbers, place))
    audits = list(dict.fromkeys(name for part in parts for name in part if name not in COLUMNS))
    columns = {}
    for name, kind in {**COLUMNS, **dict.fromkeys(audits, "str")}.items():
        values = [part.get(name) or [""] * len(part["condition"]) for part in parts]
        columns[name] = pd.Series([value for part in values for value in part], dtype=kind)
    return pd.DataFrame(columns)


def _whole(cells: Sequence[dict[str, Cell]]) -> list[dict[str, Cell]]:
    """The cells of a block with a hole where a condition is lacking, or some samples of the others are."""
    names = dict.fromkeys(name for row in cells for name in row)
    sizes = {_samples(cell) for row in cells for cell in row.values() if cell.scores is not None}
    if len(sizes) <= 1 and all(len(row) == len(names) for row in cells):
        return list(cells)
    most: dict[str, int] = {}
    for row in cells:
        for name, cell in row.items():
            most[_tested(name)] = max(most.get(_tested(name), 0), _samples(cell))
    out = []
    for row in cells:
        first = next(iter(row.values()))
        whole: dict[str, Cell] = {}
        for name in names:
            cell = row.get(name, Cell(first.hole or "not tested under it", first.done))
            if cell.scores is not None and _samples(cell) < most[_tested(name)]:
                cell = Cell(f"tested on {_samples(cell)} of {most[_tested(name)]} samples", 0)
            whole[name] = cell
        out.append(whole)
    return out


def _samples(cell: Cell) -> int:
    return 0 if cell.scores is None else cell.scores.samples


def _tested(condition: str) -> str:
    """Conditions with the same samples: all, but for single domains, targets and the sets of the OOD table
    (``SET/SCORE``)."""
    if condition.startswith(("domain:", TARGET)) or condition in (OVER_TARGETS, WORST_TARGET):
        return condition
    return condition.partition("/")[0] if "/" in condition else ""


def _columns(group: Group, cells: dict[str, Cell], numbers: Numbers, place: int) -> dict[str, list]:
    """The columns of a group: a row for each condition and metric."""
    block, metrics = group.block, group.metrics
    count = len(cells) * len(metrics)
    shared: dict[str, object] = {
        "task": block.task,
        "modalities": block.modalities,
        "protocol": block.protocol,
        "data": SYNTHETIC if block.synthetic else REAL,
        "method": group.method,
        "draw": group.draw,
        "n_planned": len(group.results) + len(group.absent),
        "seeds": " ".join(map(str, group.seeds)),
        "jobs": " ".join(result.job for result in group.results),
        **fold_column(group),
        **audit_columns(group),
    }
    out: dict[str, list] = {name: [value] * count for name, value in shared.items()}
    for name in ("direction", "unit"):
        out[name] = [getattr(metric, name) for metric in metrics] * len(cells)
    out["metric"] = [metric.name for metric in metrics] * len(cells)
    out["condition"] = [name for name in cells for _ in metrics]
    out["n"] = [cell.done for cell in cells.values() for _ in metrics]
    known = [metric.name for metric in numbers.metrics]
    own = [known.index(metric.name) for metric in metrics]
    for name in ("mean", "sd", "low", "high", "drop", "drop_low", "drop_high", "best", "mark"):
        out[name] = getattr(numbers, name)[place][:, own].ravel().tolist()
    out[WITHIN_MARGIN] = [
        bool(near) if mark else None
        for near, mark in zip(numbers.near[place][:, own].ravel(), out["mark"], strict=True)
    ]
    p = numbers.p[place][:, own].ravel().tolist()
    out["p_vs_best"] = p
    out["significantly_worse"] = [
        q < ALPHA if q == q else (False if best else None) for q, best in zip(p, out["best"], strict=True)
    ]
    out |= _words(group, cells, numbers.values[place][:, own], numbers.shared[place][:, own], out)
    return out


def _words(
    group: Group, cells: dict[str, Cell], values: np.ndarray, shared: np.ndarray, out: dict[str, list]
) -> dict[str, list]:
    """What is said of each number: its seeds' values, what its interval is over, or why it is not there."""
    said: dict[str, list] = {name: [] for name in ("values", "interval", "hole", "samples")}
    worse, best, means = list(out["significantly_worse"]), list(out["best"]), out["mean"]
    for row, cell in enumerate(cells.values()):
        scores = cell.scores
        for column, metric in enumerate(group.metrics):
            place = row * len(group.metrics) + column
            hole = cell.hole
            if scores is not None and means[place] != means[place]:
                reason = cell.reasons.get(metric.name, metric.undefined)
                hole = _undefined(group, scores.values[:, column], reason)
            if hole:
                worse[place] = best[place] = None
            kind = "" if scores is None or hole else scores.kind
            if kind == "samples" and shared[row, column]:
                kind = OTHERS_SEEDS
            said["values"].append(" ".join(map(repr, values[row, column])) if kind else "")
            said["interval"].append(kind)
            said["hole"].append(hole)
            said["samples"].append(0 if scores is None else scores.samples)
    return {**said, "significantly_worse": worse, "best": best}


def _undefined(group: Group, values: np.ndarray, reason: str) -> str:
    lacking = [one for one, value in zip(group.results, values, strict=True) if not np.isfinite(value)]
    which = ", ".join(f"{one.fold} of seed {one.seed}" if group.folds else str(one.seed) for one in lacking)
    why = f": {reason}" if reason else ""
    return f"{len(lacking)} of {len(values)} {group.unit} undefined ({group.unit[:-1]} {which}{why})"


def fold_column(group: Group) -> dict[str, str]:
    """The column ``folds`` of a group, which is there only in tables of cross-validation: the fold of each job, as
    ``seeds`` has its seed."""
    return {FOLDS: " ".join(str(result.fold) for result in group.results)} if group.folds else {}


def audit_columns(group: Group) -> dict[str, str]:
    """``audit_NAME`` -> value of a group; values that differ between its jobs are joined."""
    names = dict.fromkeys(name for result in group.results for name in result.audit)
    return {
        f"audit_{name}": one_line(
            " / ".join(dict.fromkeys(str(result.audit.get(name, "not stated")) for result in group.results))
        )
        for name in names
    }


def unscored(frame: pd.DataFrame) -> np.ndarray:
    """Which rows lack a number that they should have, bool [rows].

    A metric that has no value for predictions that are whole lacks nothing: a constant answer has no correlation, and
    samples of one class no AUROC.

    Args:
        frame: a table with the columns ``COLUMNS``.
    """
    may_lack = [name for name, metric in METRICS.items() if metric.undefined]
    holes, samples, metrics = (np.asarray(frame[name]) for name in ("hole", "samples", "metric"))
    return (holes != "") & ~((samples > 0) & np.isin(metrics.astype(str), may_lack))
