"""How much is left under corruption, at missing rates, and on the reliability grid.

Each summary is a weighted mean over conditions, taken resample by resample, so that it has an interval and is
compared like any other cell. Where one of its conditions was not tested, it is a hole and not a mean over the
rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ..labels import CLEAN, MASK, MISSING
from ..stats.bootstrap import FEWER_DRAWS
from .accuracy import table_of
from .cells import Cell, Group
from .groups import groups_of, led, once_for_each, score, with_clean
from .results import Result
from .seen_families import HELD_OUT, SEEN, by_training, damage_of, marked
from .worst_domain import WORST, domain_cells

MEAN = "mean_corruption"
VOLUME = "reliability_volume"
SEVERITIES = (1, 2, 3, 4, 5)
GRID = tuple(step / 10 for step in range(10))
#: Rates of the missing-rate curves, beyond 0 which is clean: kind -> rates.
RATES = {
    "random-modality": tuple(k / 10 for k in range(1, 8)),
    "random-frames": tuple(k / 10 for k in range(1, 11)),
}

#: The kind of the conditions in which modalities are missing at unequal rates, each once at each.
IMBALANCED = "imbalanced-rates"
#: How conditions begin that say a rate for each modality.
_MODALITY_RATES = (f"{IMBALANCED}:", "missing-rates:")

#: What is said of single domains and of the worst: name of its rows -> condition.
_IN_DOMAINS = {WORST: CLEAN, f"{WORST}:{MEAN}": MEAN}

_SEVERE = re.compile(r"(?P<kind>[^:@]+):(?P<modality>[^@]+)@(?P<severity>[1-5])")


@dataclass(frozen=True)
class WeightedMean:
    """A weighted mean over conditions: its name, and condition -> weight."""

    name: str
    weights: Mapping[str, float]


def robustness(results: Iterable[Result], draws: int = FEWER_DRAWS, seed: int = 0) -> pd.DataFrame:
    """Each network's main metric, or the one that leads, under what it was tested on, and summaries of it.

    Conditions: ``clean``; ``mean_corruption``, the mean over kinds, modalities and severities;
    ``mean_severity@3``; ``mean:KIND:MODALITY``; ``auc:random-modality``, the area under the curve over missing
    rates 0 to 0.7, divided by 0.7; ``mean:random-frames``, the mean over rates 0 to 0.9 (LNLN);
    ``auilc:random-frames``, sum of (s_i + s_i+1) / 2 * 0.1 over rates 0 to 1 (TFR-Net; for models trained at
    each rate); ``mean:imbalanced-rates``, the mean over the ways to lay unequal missing rates on the modalities;
    ``reliability_volume``, the mean height of the surface over noise and missing rate, each 0 to
    0.9 (trapezoid rule); then every single condition. ``mean_corruption_seen`` and
    ``mean_corruption_held_out`` part the mean by whether the corruption's family was in training, where
    anything was damaged in training; the column ``held_out`` marks single kinds then. Where the test has
    several domains: ``worst_domain``, on clean data, ``worst_domain:mean_corruption``, and ``domain:NAME``.

    Args:
        results: one a job. Those without any such condition have a hole.
        draws: number of resamples.
        seed: of the resampling.

    Returns:
        A frame as ``tables.missing`` gives it, with the main metric of each family only.
    """
    groups, cells = scored_groups(results, draws, seed)
    rows = [
        {**row, **domain_cells(group, _IN_DOMAINS, lambda part: _cells(part, draws, seed))}
        for group, row in zip(groups, cells, strict=True)
    ]
    return marked(table_of(groups, rows), groups)


@once_for_each
def scored_groups(
    results: Iterable[Result], draws: int = FEWER_DRAWS, seed: int = 0
) -> tuple[list[Group], list[dict[str, Cell]]]:
    """The rows of the table, scored by the main metric of each.

    Args:
        results: one a job.
        draws: number of resamples.
        seed: of the resampling.

    Returns:
        The groups with their main metric alone and, of each, condition -> cell.
    """
    whole = led(groups_of(results))
    groups = [replace(group, metrics=group.metrics[:1]) for group in whole]
    cells = [
        with_clean(_cells(group, draws, seed), group, one.metrics, seed)
        for group, one in zip(groups, whole, strict=True)
    ]
    return groups, cells


def is_summary(condition: str) -> bool:
    """Whether a condition belongs into a printed table: not one kind, severity, rate or point alone. Masks from outside
    are summarised by nothing else."""
    return condition in (CLEAN, MEAN, SEEN, HELD_OUT, VOLUME, *_IN_DOMAINS) or condition.startswith(
        (
            "mean_severity@",
            "auc:",
            "auilc:",
            "mean:random-frames",
            f"mean:{IMBALANCED}",
            *_MODALITY_RATES,
            MASK,
        )
    )


def summaries(conditions: Iterable[str]) -> list[WeightedMean]:
    """Every summary for which at least one of its conditions is among ``conditions``."""
    tested = set(conditions)
    kinds = sorted(
        {(match["kind"], match["modality"]) for name in tested if (match := _SEVERE.fullmatch(name))}
    )
    out: list[WeightedMean] = []
    if kinds:
        every = {f"{kind}:{modality}@{s}": 1.0 for kind, modality in kinds for s in SEVERITIES}
        out.append(_mean(MEAN, every))
        for s in SEVERITIES:
            out.append(_mean(f"mean_severity@{s}", [name for name in every if name.endswith(f"@{s}")]))
    for kind, rates in RATES.items():
        if any(f"{kind}@{rate:.1f}" in tested for rate in rates):
            out.extend(_curve(kind, rates))
    if imbalanced := sorted(name for name in tested if name.startswith(f"{IMBALANCED}:")):
        out.append(_mean(f"mean:{IMBALANCED}", imbalanced))
    if any(name.startswith("reliability:") for name in tested):
        out.append(_volume())
    for kind, modality in kinds:
        out.append(_mean(f"mean:{kind}:{modality}", [f"{kind}:{modality}@{s}" for s in SEVERITIES]))
    return out


def reliability_point(noise: float, missing: float) -> str:
    """The condition of a point of the reliability grid.

    Args:
        noise: in [0, 0.9], a tenth each step.
        missing: the missing rate, likewise.

    Returns:
        ``"clean"`` where both are 0, else such as ``"reliability:noise=0.3+missing=0.1"``.
    """
    if noise == missing == 0:
        return CLEAN
    return f"reliability:noise={noise:.1f}+missing={missing:.1f}"


def _mean(name: str, conditions: Iterable[str]) -> WeightedMean:
    names = list(conditions)
    return WeightedMean(name, dict.fromkeys(names, 1 / len(names)))


def _curve(kind: str, rates: Sequence[float]) -> list[WeightedMean]:
    names = [CLEAN, *(f"{kind}@{rate:.1f}" for rate in rates)]
    if kind == "random-modality":
        return [WeightedMean(f"auc:{kind}", dict(zip(names, _trapezoid(len(names)), strict=True)))]
    steps = _trapezoid(len(names)) * (len(names) - 1) * 0.1
    return [
        _mean(f"mean:{kind}", names[:-1]),
        WeightedMean(f"auilc:{kind}", dict(zip(names, steps, strict=True))),
    ]


def _trapezoid(count: int) -> np.ndarray:
    """Weights of evenly spaced values whose sum is the area under them over the width."""
    weights = np.ones(count)
    weights[[0, -1]] = 0.5
    return weights / (count - 1)


def _volume() -> WeightedMean:
    weights = np.outer(_trapezoid(len(GRID)), _trapezoid(len(GRID)))
    points = [(i, j) for i in range(len(GRID)) for j in range(len(GRID))]
    return WeightedMean(
        VOLUME, {reliability_point(GRID[i], GRID[j]): float(weights[i, j]) for i, j in points}
    )


def _cells(group: Group, draws: int, seed: int) -> dict[str, Cell]:
    tested = score(group, "robustness", lambda name: not name.startswith(MISSING), draws, seed, further=True)
    clean = tested[CLEAN]
    singles = {name: cell for name, cell in tested.items() if name != CLEAN}
    wanted = summaries(tested)
    every = next((summary.weights for summary in wanted if summary.name == MEAN), {})
    wanted += [WeightedMean(name, weights) for name, weights in by_training(every, *damage_of(group)).items()]
    if not wanted and not any(name.startswith(MASK) for name in singles):
        reason = clean.hole or "no corruption was tested: run again with --corruptions features"
        return {CLEAN: clean, MEAN: Cell(reason, clean.done)}
    return {CLEAN: clean, **weighted(wanted, tested), **singles}


def weighted(wanted: Sequence[WeightedMean], cells: Mapping[str, Cell]) -> dict[str, Cell]:
    """The cell of each summary, computed resample by resample.

    Args:
        wanted: the summaries.
        cells: condition -> cell, of one group.

    Returns:
        Name of the summary -> cell; a hole where one of its conditions is one or was not tested.
    """
    summed: dict[str, Cell] = {}
    whole = []
    for summary in wanted:
        parts = [cells.get(name) for name in summary.weights]
        reason = _reason(summary, parts)
        if reason:
            done = min((part.done for part in parts if part is not None), default=0)
            summed[summary.name] = Cell(reason, done)
        else:
            whole.append(summary)
            summed[summary.name] = cells[next(iter(summary.weights))]  # its place; the scores follow
    names = list(dict.fromkeys(name for summary in whole for name in summary.weights))
    if not names:
        return summed
    place = {name: row for row, name in enumerate(names)}
    matrix = np.zeros((len(whole), len(names)))
    for row, summary in enumerate(whole):
        matrix[row, [place[name] for name in summary.weights]] = list(summary.weights.values())
    scores = [score for name in names if (score := cells[name].scores) is not None]
    values = _product(matrix, np.stack([score.values for score in scores]))
    sampled = _product(matrix, np.stack([score.draws for score in scores]))
    for row, summary in enumerate(whole):
        first = summed[summary.name]
        together = replace(scores[0], values=values[row], draws=sampled[row], finer=None)
        summed[summary.name] = Cell("", first.done, together, first.of)
    return summed


def _product(matrix: np.ndarray, values: np.ndarray) -> np.ndarray:
    """[summaries, conditions] times [conditions, ...]."""
    return (matrix @ values.reshape(len(values), -1)).reshape(len(matrix), *values.shape[1:])


def _reason(summary: WeightedMean, parts: Sequence[Cell | None]) -> str:
    """Why there is no such mean; empty where there is."""
    holes: dict[str, None] = {}
    for name, part in zip(summary.weights, parts, strict=True):
        if part is None:
            holes[f"no predictions under {name}"] = None
        elif part.hole:
            holes[part.hole] = None
    if holes:
        return "; ".join(list(holes)[:2] + (["…"] if len(holes) > 2 else []))
    alike = len({part.of for part in parts if part is not None}) == 1
    return "" if alike else "the conditions were tested on different samples"
