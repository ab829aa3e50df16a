"""Robustness in relation to something: to the network's own clean value, and to a stored reference run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from ..labels import CLEAN
from ..metrics.base import Metric, ratio
from ..metrics.derived import RELATIVE
from ..stats.bootstrap import FEWER_DRAWS, Resampled
from .accuracy import table_of
from .cells import Block, Cell, Group
from .results import Result
from .robustness import MEAN, SEVERITIES, scored_groups

#: The method whose run is the reference where none is named.
REFERENCE = "erm"

_SEVERE = re.compile(rf"(?P<kind>[^:@]+:[^@]+)@[{SEVERITIES[0]}-{SEVERITIES[-1]}]")


def relative(
    results: Iterable[Result], draws: int = FEWER_DRAWS, seed: int = 0, reference: str = ""
) -> pd.DataFrame:
    """What each network loses under corruption, in relation to its clean value and to a reference run.

    Args:
        results: one a job.
        draws: number of resamples.
        seed: of the resampling.
        reference: the label of the rows that others are divided by, in each block; by default ``erm``.

    Returns:
        A frame as ``tables.accuracy`` gives it, of the condition ``mean_corruption``.

    Raises:
        ValueError: no result was tested under corruptions, or no row has the label of the reference.
    """
    groups, cells = scored_groups(results, draws, seed)
    if not any(map(kinds_of, cells)):
        raise ValueError("no corruption was tested: run with --corruptions features")
    places = reference_places(groups, reference or REFERENCE)
    if reference and not places:
        known = ", ".join(dict.fromkeys(group.method for group in groups))
        raise ValueError(f"no row is called {reference!r}, to be the reference; there are {known}")
    rows = []
    for group, row in zip(groups, cells, strict=True):
        place = places.get(group.block)
        other = f"there is no run of {reference or REFERENCE} to compare with: name one with --reference"
        against = other if place is None else cells[place]
        rows.append({MEAN: relative_cell(row, against, group.metrics[0])})
    frame = table_of([replace(group, metrics=tuple(RELATIVE.values())) for group in groups], rows)
    return frame.drop(columns=["drop", "drop_low", "drop_high"])


def reference_places(groups: Sequence[Group], label: str) -> dict[Block, int]:
    """Which group each block is compared with: the one that has the label; else the one of that method, if
    there is one alone.

    Args:
        groups: the rows of the table.
        label: of the reference, such as ``"erm"`` or ``"erm(width=64)"``.

    Returns:
        Block -> place among the groups; without the blocks that have no such group, or several.
    """
    candidates: dict[Block, list[int]] = {}
    exact = {group.block for group in groups if group.method == label}
    for index, group in enumerate(groups):
        name = group.method if group.block in exact else re.split(r"\(| \[", group.method)[0]
        if name == label:
            candidates.setdefault(group.block, []).append(index)
    return {block: places[0] for block, places in candidates.items() if len(places) == 1}


def kinds_of(cells: Iterable[str]) -> dict[str, list[str]]:
    """Corruption and modality -> its conditions, of five severities."""
    kinds: dict[str, list[str]] = {}
    for name in cells:
        severe = _SEVERE.fullmatch(name)
        if severe:
            kinds.setdefault(severe["kind"], []).append(name)
    return kinds


def relative_cell(cells: dict[str, Cell], reference: dict[str, Cell] | str, metric: Metric) -> Cell:
    """The cell of all metrics of ``RELATIVE`` of one group.

    Args:
        cells: condition -> its cell, of one metric: clean, every corruption, and ``mean_corruption``.
        reference: the same of the reference; or why there is none.
        metric: their metric.
    """
    clean, mean = cells[CLEAN], cells.get(MEAN, Cell("no corruption of five severities was tested", 0))
    holes = dict.fromkeys(cell.hole for cell in (clean, mean) if cell.hole)
    if clean.scores is None or mean.scores is None or not clean.comparable(mean):
        reason = "; ".join(holes) or "clean and damaged data are different samples"
        return Cell(reason, min(clean.done, mean.done))
    sign = 1 if metric.direction == "higher" else -1
    drop = _each(
        lambda before, after: ratio(sign * (before - after), before),
        _only(clean.scores),
        _only(mean.scores),
    )
    nothing = replace(drop, values=np.full_like(drop.values, np.nan), draws=np.full_like(drop.draws, np.nan))
    why = reference if isinstance(reference, str) else _why_not(cells, reference, metric)
    reasons = dict.fromkeys(("mce", "relative_mce"), why) if why else {}
    errors = [nothing, nothing]
    if not why and not isinstance(reference, str):
        errors = [_mce(cells, reference, metric, clean=False), _mce(cells, reference, metric, clean=True)]
    return replace(clean, scores=_side_by_side([drop, *errors]), reasons=reasons)


def _why_not(cells: dict[str, Cell], reference: dict[str, Cell], metric: Metric) -> str:
    """Why errors cannot be divided by those of the reference; empty where they can."""
    if metric.direction == "higher" and metric.unit != "fraction":
        return f"{metric.name} is no share of right answers, so that there is no error"
    for name in (CLEAN, *(name for names in kinds_of(cells).values() for name in names)):
        other = reference.get(name)
        if other is None or other.scores is None:
            reason = f": {other.hole}" if other is not None and other.hole else ""
            return f"the reference was not tested under {name}{reason}"
        if not other.comparable(cells[name]):
            return f"the reference was tested on other samples under {name}"
    return ""


def _mce(cells: dict[str, Cell], reference: dict[str, Cell], metric: Metric, clean: bool) -> Resampled:
    """Mean over corruptions of summed errors over those of the reference; above the clean error or in all."""
    kinds = list(kinds_of(cells))

    def errors(row: dict[str, Cell]) -> tuple[np.ndarray, np.ndarray]:
        """[kinds, seeds, 1] and [kinds, draws, seeds, 1]."""
        means = [_error(row[f"mean:{kind}"], metric) for kind in kinds]  # a quotient of sums is one of means
        values, sampled = np.stack([one.values for one in means]), np.stack([one.draws for one in means])
        if clean:
            own = _error(row[CLEAN], metric)
            values, sampled = values - own.values, sampled - own.draws
        return values, sampled

    (values, sampled), (other, others) = errors(cells), errors(reference)
    shares = _share(values, other.mean(axis=1, keepdims=True))
    drawn = _share(sampled, others.mean(axis=2, keepdims=True))
    first = _error(cells[f"mean:{kinds[0]}"], metric)
    return replace(first, values=shares.mean(axis=0), draws=drawn.mean(axis=0))


def _share(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Own over other; NaN where the other is not above 0 by more than what rounding leaves of a difference."""
    return ratio(own, np.where(other > 1e-12, other, 0.0))


def _error(cell: Cell, metric: Metric) -> Resampled:
    assert cell.scores is not None
    scores = _only(cell.scores)
    if metric.direction == "lower":
        return scores
    return replace(scores, values=1 - scores.values, draws=1 - scores.draws)


def _only(scores: Resampled) -> Resampled:
    """Of the first metric, the main one."""
    return replace(scores, values=scores.values[:, :1], draws=scores.draws[:, :, :1], finer=None)


def _each(
    function: Callable[[np.ndarray, np.ndarray], np.ndarray], one: Resampled, other: Resampled
) -> Resampled:
    return replace(
        one,
        values=function(one.values, other.values),
        draws=function(one.draws, other.draws),
        samples=min(one.samples, other.samples),
    )


def _side_by_side(scores: Sequence[Resampled]) -> Resampled:
    values = np.concatenate([score.values for score in scores], axis=1)
    draws = np.concatenate([score.draws for score in scores], axis=2)
    return replace(scores[0], values=values, draws=draws)
