"""A table from outside: how often each method is right on the class that it knows worst.

mmbench leaderboard --what worst_class --plugin table.py
mmbench check table worst_class --plugin table.py
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd
from mmbench.leaderboards.catalog import Table
from mmbench.leaderboards.labels import CLEAN
from mmbench.leaderboards.metrics.base import Mean, Metric, ratio
from mmbench.leaderboards.metrics.classification import class_terms
from mmbench.leaderboards.stats.bootstrap import FEWER_DRAWS
from mmbench.leaderboards.tables.accuracy import table_of
from mmbench.leaderboards.tables.groups import groups_of, score
from mmbench.leaderboards.tables.results import Result

TABLES = {"worst_class": "WORST_CLASS"}


def lowest_recall(mean: np.ndarray) -> np.ndarray:
    """[..., 3 C] means of one-hot target, prediction and their agreement -> [...]: the lowest recall of a class."""
    truth, _, both = np.split(mean, 3, axis=-1)
    return ratio(both, truth, otherwise=1.0).min(axis=-1)


RECALL = Metric(
    name="worst_class_recall",
    convention="The lowest recall over the classes that occur in the target.",
    direction="higher",
    range=(0.0, 1.0),
    unit="fraction",
    source="Sagawa et al. 2020, with classes as groups",
    measure=Mean("classification", class_terms, lowest_recall),
)


def worst_class(results: Iterable[Result], draws: int = FEWER_DRAWS, seed: int = 0) -> pd.DataFrame:
    """The recall of the worst class, on clean data and under every condition that was tested.

    Args:
        results: one a job.
        draws: number of resamples behind the intervals.
        seed: of the resampling.

    Returns:
        A frame as ``tables.missing`` gives it.

    Raises:
        ValueError: no result is of a classification.
    """
    groups = [
        replace(group, metrics=(RECALL,))
        for group in groups_of(results)
        if group.metrics[0].task == "classification"
    ]
    if not groups:
        raise ValueError("no result is of a classification: there are no classes")
    # The scores are stored beside the predictions under this name, which is the table's own.
    cells = [
        score(group, "worst_class", lambda condition: True, draws, seed, further=True) for group in groups
    ]
    return table_of(groups, cells)


WORST_CLASS = Table(
    name="worst_class",
    title="Recall of the worst class",
    maker=worst_class,
    reads={"predictions", "conditions"},
    across="condition",
    needs=lambda results: any(result.family == "classification" for result in results),
    shown=lambda condition: condition == CLEAN or condition.startswith("missing:"),
)
