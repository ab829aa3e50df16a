"""A metric from outside: Cohen's kappa, the agreement of predicted and true classes beyond chance.

mmbench leaderboard --plugin metric.py
mmbench check metric cohen_kappa --plugin metric.py
"""

from __future__ import annotations

import numpy as np
from mmbench.leaderboards.metrics.base import Mean, Metric, ratio
from mmbench.leaderboards.metrics.classification import class_terms

METRICS = {"cohen_kappa": "COHEN_KAPPA"}


def finish(mean: np.ndarray) -> np.ndarray:
    """[..., 3 C] means of one-hot target, prediction and their agreement -> [...]: kappa; NaN without a second class."""
    truth, guess, both = np.split(mean, 3, axis=-1)
    by_chance = (truth * guess).sum(axis=-1)
    return ratio(both.sum(axis=-1) - by_chance, 1 - by_chance)


COHEN_KAPPA = Metric(
    name="cohen_kappa",
    convention="(accuracy - agreement by chance) / (1 - agreement by chance), unweighted.",
    direction="higher",
    range=(-1.0, 1.0),
    unit="correlation",
    source="Cohen 1960; scikit-learn cohen_kappa_score",
    undefined="target and prediction are of one and the same class",
    measure=Mean("classification", class_terms, finish),
    families=("classification",),
)
