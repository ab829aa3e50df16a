"""How much better each method is than the baseline and plain learners, paired sample by sample and seed by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from mmbench.benchmark.report.results import Filter, results
from mmbench.leaderboards.labels import AVERAGE, CLEAN, MISSING, UPPER_BOUND
from mmbench.leaderboards.metrics.base import Metric
from mmbench.leaderboards.stats.bootstrap import DRAWS, Resampled
from mmbench.leaderboards.stats.intervals import interval, p_value
from mmbench.leaderboards.tables.cells import Cell
from mmbench.leaderboards.tables.groups import groups_of, led, score
from mmbench.leaderboards.tables.robustness import summaries, weighted

#: What each method is compared with, where the store has it.
REFERENCES = ("erm", "logistic", "random_forest", "gradient_boosting")
#: Metrics that are compared beside the main one, where a task has them.
BESIDE = ("mae",)
#: The mean over rates of lost steps, 0 to 0.9, as the table of robustness has it.
RATES = "mean:random-frames"


def against(
    store: Path,
    references: Sequence[str] = REFERENCES,
    asked: frozenset[str] = frozenset(),
    lead: str = "",
) -> pd.DataFrame:
    """The difference between each method and each reference, on complete data, with modalities missing, and with steps lost at rates.

    Over several tasks it is the mean over them, each resampled by itself. Two methods are paired over the seeds that both have.

    Args:
        store: a store.
        references: names of what the methods are compared with, whatever their parameters. A method is also compared with itself
            under other parameters, its controls.
        asked: the tasks that are compared; all of the store where it is empty.
        lead: the metric that judges; empty for the main one of the data.

    Returns:
        ``condition`` (clean, the average over all patterns of missing modalities, or ``RATES``), ``method``, ``reference``, ``metric`` (the main
        one first, then those of ``BESIDE``), ``tasks``, ``n``
        (seeds), ``gain`` (positive where the method is better, in the unit of the metric), ``low``, ``high`` (95 %, over seeds and samples) and
        ``p`` (two-sided, not corrected for the number of comparisons).
    """
    scores: dict[tuple[str, str], dict[str, Resampled]] = {}
    metrics: tuple[Metric, ...] = ()
    tasks: list[str] = []
    seeds: dict[tuple[str, str], list[int]] = {}
    for group in led(groups_of(results(store, Filter(tasks=asked, lead=lead)))):
        if group.block.protocol.endswith(UPPER_BOUND):
            continue
        task = group.block.task
        tasks += [task] if task not in tasks else []
        metrics = _compared(group.metrics)
        cells = score(
            replace(group, metrics=metrics),
            "gains",
            _is_read,
            DRAWS,
            tasks.index(task),  # so that the resamples of tasks have nothing in common
            further=True,
        )
        rates = weighted([summary for summary in summaries(cells) if summary.name == RATES], cells)
        for condition, found in _means({**cells, **rates}).items():
            scores.setdefault((condition, group.method), {})[task] = found
        seeds[group.method, task] = [result.seed for result in group.results]
    rows = []
    for (condition, method), own in scores.items():
        for (under, reference), other in scores.items():
            if under != condition or not _is_reference(reference, method, references):
                continue
            if own.keys() != other.keys():
                continue
            kept = [{task: seeds[label, task] for task in own} for label in (method, reference)]
            both = sorted(set.intersection(*(set(some) for one in kept for some in one.values())))
            if not both:
                continue
            first, second = (
                _mean([_of_seeds(one[task], [places[task].index(seed) for seed in both]) for task in own])
                for one, places in zip((own, other), kept, strict=True)
            )
            pair = first.minus(second)
            low, high = interval(pair, None)
            p = p_value(pair)
            for place, metric in enumerate(metrics):
                sign = 1 if metric.direction == "higher" else -1
                ends = sorted((sign * float(low[place]), sign * float(high[place])))
                rows.append(
                    {
                        "condition": condition,
                        "method": method,
                        "reference": reference,
                        "metric": metric.name,
                        "tasks": len(own),
                        "n": len(pair.values),
                        "gain": sign * float(pair.values[:, place].mean()),
                        "low": ends[0],
                        "high": ends[1],
                        "p": float(p[place]),
                    }
                )
    return pd.DataFrame(rows)


def _compared(metrics: Sequence[Metric]) -> tuple[Metric, ...]:
    """The main metric, and those of ``BESIDE`` that there are."""
    return (*metrics[:1], *(metric for metric in metrics[1:] if metric.name in BESIDE))


def _is_read(condition: str) -> bool:
    """Whether a condition is compared, or is part of a mean that is."""
    return condition == CLEAN or condition.startswith((MISSING, RATES.removeprefix("mean:")))


def _means(cells: Mapping[str, Cell]) -> dict[str, Resampled]:
    """Condition -> scores, on complete data, over all patterns of missing modalities, and over rates of lost steps, as far as tested."""
    found = {name: cell.scores for name, cell in cells.items() if cell.scores is not None}
    if CLEAN not in found:
        return {}
    patterns = [scores for name, scores in found.items() if name.startswith(MISSING)]
    out = {CLEAN: found[CLEAN], **({AVERAGE: _mean(patterns)} if patterns else {})}
    return {**out, RATES: found[RATES]} if RATES in found else out


def _of_seeds(scores: Resampled, places: Sequence[int]) -> Resampled:
    """The scores of some of the seeds, by their places."""
    return replace(
        scores, values=scores.values[list(places)], draws=scores.draws[:, list(places)], finer=None
    )


def _is_reference(reference: str, method: str, references: Sequence[str]) -> bool:
    """Whether a method is compared with what another label stands for."""
    name = reference.partition("(")[0]
    return reference != method and (reference in references or name in (*references, method))


def _mean(scores: list[Resampled]) -> Resampled:
    """The mean over conditions or tasks, seed by seed and resample by resample."""
    return replace(
        scores[0],
        values=np.mean([one.values for one in scores], axis=0),
        draws=np.mean([one.draws for one in scores], axis=0),
        finer=None,
    )
