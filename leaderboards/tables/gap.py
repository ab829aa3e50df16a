"""How much of the gap from ERM to the oracle a method closes. The oracle is ERM trained on the target itself.

With means over seeds of the main metric on the same test samples, the share is

    (method - erm) / (oracle - erm),

whatever the metric's direction: 0 is no better than ERM, 1 as good as the oracle. Its interval is that of every table
(see ``stats.intervals``), over seeds and samples. For the seeds' part the quotient of means is linearised (delta method):
with share r, seed s counts as r + (method_s - erm_s - r (oracle_s - erm_s)) / (oracle - erm). The mean of these over
seeds is r itself, and their spread has that of all three networks in it. A share of a gap that may be none says
nothing, so there is one only where the interval of the gap lies above 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from ..labels import CLEAN, UPPER_BOUND, rounded
from ..metrics.base import Metric, ratio
from ..metrics.derived import CLOSED, GAP, LEFT
from ..stats.bootstrap import DRAWS, Resampled
from ..stats.intervals import interval
from .accuracy import table_of
from .cells import Cell, Group
from .groups import groups_of, led, score
from .relative import REFERENCE, reference_places
from .results import Result


def gap(results: Iterable[Result], draws: int = DRAWS, seed: int = 0) -> pd.DataFrame:
    """What each method closes of the gap from ERM to the oracle, on each shift, and what it leaves.

    Args:
        results: one a job; those with ``bound`` are the oracle of the task that they name.
        draws: number of resamples.
        seed: of the resampling.

    Returns:
        A frame as ``tables.accuracy`` gives it, of the metrics ``GAP``, with a row for each method of a shift.

    Raises:
        ValueError: no result is of a shift.
    """
    groups = [group for group in led(groups_of(results)) if "->" in group.block.task]
    own = [group for group in groups if not group.results[0].bound]
    if not own:
        raise ValueError(
            "there is no shift: an oracle needs a target that is not a source, such as 'mosi->sims'"
        )
    oracles = {group.block: group for group in groups if group.results[0].bound}
    erms = {block: own[place] for block, place in reference_places(own, REFERENCE).items()}
    cells: dict[int, Cell] = {}

    def clean(group: Group | None) -> Cell | None:
        if group is None:
            return None
        if id(group) not in cells:
            cells[id(group)] = score(group, "clean", CLEAN.__eq__, draws, seed)[CLEAN]
        return cells[id(group)]

    rows = []
    for group in own:
        bound = oracles.get(group.block._replace(protocol=group.block.protocol + UPPER_BOUND))
        others = {"erm": erms.get(group.block), "the oracle": bound}
        whys = {name: _why_not(group, clean(group), name, one, clean(one)) for name, one in others.items()}
        own_cell, erm, oracle = (clean(one) for one in (group, *others.values()))
        rows.append({CLEAN: gap_cell(group.metrics[0], own_cell, erm, oracle, whys)})
    frame = table_of([replace(group, metrics=tuple(GAP.values())) for group in own], rows)
    return frame.drop(columns=["drop", "drop_low", "drop_high"])


def gap_cell(
    metric: Metric, own: Cell | None, erm: Cell | None, oracle: Cell | None, whys: Mapping[str, str]
) -> Cell:
    """The cell of all ``GAP`` of one group.

    Args:
        metric: the main metric, the first of each cell.
        own, erm, oracle: the clean cells of the group and of those that it is compared with.
        whys: why each of these two cannot be compared; empty where it can.
    """
    assert own is not None
    if own.scores is None:
        return own
    sign = 1.0 if metric.direction == "higher" else -1.0
    mine = _signed(own, sign)
    nothing = Resampled(np.full_like(mine.values, np.nan), np.full_like(mine.draws, np.nan), mine.samples)
    reason = whys["the oracle"]
    if reason or oracle is None:
        return replace(own, scores=_beside(nothing, nothing), reasons={CLOSED: reason, LEFT: reason})
    upper = _signed(oracle, sign)
    left = _over_mean(upper.minus(mine), mine)
    reason = whys["erm"]
    if reason or erm is None:
        return replace(own, scores=_beside(nothing, left), reasons={CLOSED: reason})
    lower = _signed(erm, sign)
    whole = upper.minus(lower)
    reason = _no_gap(metric, whole)
    closed = nothing if reason else _share(mine.minus(lower), whole)
    return replace(own, scores=_beside(closed, left), reasons={CLOSED: reason} if reason else {})


def _why_not(group: Group, own: Cell | None, name: str, other: Group | None, theirs: Cell | None) -> str:
    """Why a group cannot be compared with another; empty where it can."""
    if other is None or theirs is None:
        absent = {"erm": "no run of erm to compare with", "the oracle": "no oracle: run again with --oracle"}
        return absent[name]
    if theirs.hole:
        return f"{name}: {theirs.hole}"
    if other.seeds != group.seeds:
        return f"{name} has other seeds: {', '.join(map(str, other.seeds))}"
    if own is not None and not own.comparable(theirs):
        return f"{name} was tested on other samples"
    return ""


def _no_gap(metric: Metric, whole: Resampled) -> str:
    """Why there is no gap to close a share of; empty where its interval lies above 0."""
    low, high = (float(end[0]) for end in interval(whole, None))
    if low > 0:
        return ""
    size, *ends = (rounded(value, metric.unit) for value in (float(whole.values.mean()), low, high))
    unit = " %" if metric.unit == "fraction" else ""
    return (
        f"the gap from erm to the oracle is not above 0: {size}{unit} [{ends[0]}, {ends[1]}] of {metric.name}"
    )


def _share(gain: Resampled, whole: Resampled) -> Resampled:
    """The quotient of means over seeds, linearised seed by seed."""

    def linear(one: np.ndarray, other: np.ndarray, axis: int) -> np.ndarray:
        base = other.mean(axis=axis, keepdims=True)
        share = ratio(one.mean(axis=axis, keepdims=True), base)
        return share + ratio(one - share * other, base)

    return Resampled(linear(gain.values, whole.values, 0), linear(gain.draws, whole.draws, 1), gain.samples)


def _over_mean(what: Resampled, own: Resampled) -> Resampled:
    """What, over the absolute mean over seeds of the own values; NaN where that is 0 but for rounding."""

    def over(one: np.ndarray, other: np.ndarray, axis: int) -> np.ndarray:
        base = np.abs(other.mean(axis=axis, keepdims=True))
        return ratio(one, np.where(base > 1e-12, base, 0.0))

    return Resampled(over(what.values, own.values, 0), over(what.draws, own.draws, 1), own.samples)


def _signed(cell: Cell, sign: float) -> Resampled:
    """The main metric, turned so that higher is better."""
    assert cell.scores is not None
    scores = cell.scores
    return Resampled(sign * scores.values[:, :1], sign * scores.draws[:, :, :1], scores.samples)


def _beside(one: Resampled, other: Resampled) -> Resampled:
    return Resampled(
        np.concatenate([one.values, other.values], axis=1),
        np.concatenate([one.draws, other.draws], axis=2),
        one.samples,
    )
