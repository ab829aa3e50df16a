"""How much better each method is than the baseline and plain learners, paired sample by sample and seed by seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from mmbench.benchmark.report.results import Filter, results
from mmbench.leaderboards.labels import AVERAGE, CLEAN, MISSING, UPPER_BOUND
from mmbench.leaderboards.stats.bootstrap import DRAWS, Resampled
from mmbench.leaderboards.stats.intervals import interval, p_value
from mmbench.leaderboards.tables.groups import groups_of, led, score

#: What each method is compared with, where the store has it.
REFERENCES = ("erm", "logistic", "random_forest", "gradient_boosting")


def against(
    store: Path,
    references: Sequence[str] = REFERENCES,
    asked: frozenset[str] = frozenset(),
    lead: str = "",
) -> pd.DataFrame:
    """The difference between each method and each reference by the main metric, on complete data and with modalities missing.

    Over several tasks it is the mean over them, each resampled by itself.

    Args:
        store: a store.
        references: names of what the methods are compared with, whatever their parameters. A method is also compared with itself
            under other parameters, its controls.
        asked: the tasks that are compared; all of the store where it is empty.
        lead: the metric that judges; empty for the main one of the data.

    Returns:
        ``condition`` (clean, or the average over all patterns of missing modalities), ``method``, ``reference``, ``metric``, ``tasks``, ``n``
        (seeds), ``gain`` (positive where the method is better, in the unit of the metric), ``low``, ``high`` (95 %, over seeds and samples) and
        ``p`` (two-sided, not corrected for the number of comparisons).
    """
    scores: dict[tuple[str, str], dict[str, Resampled]] = {}
    metric = sign = None
    tasks: list[str] = []
    for group in led(groups_of(results(store, Filter(tasks=asked, lead=lead)))):
        if group.block.protocol.endswith(UPPER_BOUND):
            continue
        task = group.block.task
        tasks += [task] if task not in tasks else []
        metric = group.metrics[0]
        sign = 1 if metric.direction == "higher" else -1
        cells = score(
            replace(group, metrics=(metric,)),
            "against",
            lambda name: name == CLEAN or name.startswith(MISSING),
            DRAWS,
            tasks.index(task),  # so that the resamples of tasks have nothing in common
        )
        found = {name: cell.scores for name, cell in cells.items() if cell.scores is not None}
        if CLEAN in found:
            clean = found.pop(CLEAN)
            scores.setdefault((CLEAN, group.method), {})[task] = clean
            if found:
                scores.setdefault((AVERAGE, group.method), {})[task] = _mean(list(found.values()))
    rows = []
    for (condition, method), own in scores.items():
        for (under, reference), other in scores.items():
            if under != condition or not _is_reference(reference, method, references):
                continue
            if own.keys() != other.keys():
                continue
            pair = _mean([own[task].minus(other[task]) for task in own])
            low, high = (float(end[0]) for end in interval(pair, None))
            ends = (low, high) if sign == 1 else (-high, -low)
            rows.append(
                {
                    "condition": condition,
                    "method": method,
                    "reference": reference,
                    "metric": metric.name if metric else "",
                    "tasks": len(own),
                    "n": len(pair.values),
                    "gain": (sign or 1) * float(pair.values.mean()),
                    "low": ends[0],
                    "high": ends[1],
                    "p": float(p_value(pair)[0]),
                }
            )
    return pd.DataFrame(rows)


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
