"""All metrics by name, and the families that judge a dataset together. Imports numpy only.

Examples:
    >>> from mmbench.leaderboards.metrics.registry import METRICS
    >>> METRICS["acc2_non0"]([1.0, -2.0, 0.0], [0.5, 0.3, 9.0])
    0.5
"""

from __future__ import annotations

from difflib import get_close_matches

from numpy.typing import ArrayLike

from .base import Metric
from .classification import CLASSIFICATION
from .regression import REGRESSION

__all__ = ["FAMILIES", "METRICS", "Metric", "family_metrics", "find", "scores"]

METRICS: dict[str, Metric] = {metric.name: metric for metric in (*REGRESSION, *CLASSIFICATION)}

# Family -> its metrics in the order in which a paper prints them; the first is the main one.
FAMILIES: dict[str, tuple[str, ...]] = {
    "mosi": (
        "acc2_has0",
        "acc2_non0",
        "f1_has0",
        "f1_non0",
        "acc7",
        "acc5",
        "mae",
        "corr",
        "acc2_mmdg",
        "f1_mmdg",
    ),
    "sims": ("sims_acc2", "sims_acc3", "sims_acc5", "sims_f1", "sims_mae", "sims_corr"),
    "regression": ("mae", "rmse", "corr"),
    "classification": ("accuracy", "balanced_accuracy", "f1_macro", "f1_weighted"),
}


def find(name: str) -> Metric:
    """The metric of that name. Raises ValueError, with the nearest known names, where there is none."""
    if name in METRICS:
        return METRICS[name]
    near = get_close_matches(name, METRICS, n=3) or list(METRICS)
    raise ValueError(f"unknown metric {name!r}; known: {', '.join(near)}")


def family_metrics(family: str) -> tuple[Metric, ...]:
    """The metrics of a family, the main one first. Raises ValueError for an unknown family."""
    if family not in FAMILIES:
        raise ValueError(f"unknown family of metrics {family!r}; known: {', '.join(FAMILIES)}")
    return tuple(METRICS[name] for name in FAMILIES[family])


def scores(family: str, target: ArrayLike, prediction: ArrayLike) -> dict[str, float]:
    """Every metric of a family, at full precision.

    Args:
        family: a key of ``FAMILIES``.
        target: [N], labels or class indices.
        prediction: [N] scores, or [N, C] logits.

    Returns:
        metric name -> value; NaN where a metric is undefined for these samples.

    Raises:
        ValueError: an unknown family, or what ``Metric`` refuses.
    """
    return {metric.name: metric(target, prediction) for metric in family_metrics(family)}
