"""All metrics by name, and the families that score a dataset or a question together. Imports numpy and scipy only.

Examples:
    >>> from mmbench.leaderboards.metrics.registry import METRICS
    >>> METRICS["acc2_non0"]([1.0, -2.0, 0.0], [0.5, 0.3, 9.0])
    0.5
"""

from __future__ import annotations

from difflib import get_close_matches

from numpy.typing import ArrayLike

from . import calibration, detection, multi_label, one_vs_rest, selective
from .base import Metric, UndefinedError, by_name
from .classification import CLASSIFICATION
from .derived import GAP, RELATIVE
from .families import FAMILIES, judges_answers
from .regression import REGRESSION

__all__ = [
    "FAMILIES",
    "METRICS",
    "RANK_FAMILIES",
    "Metric",
    "add",
    "applies",
    "family_metrics",
    "find",
    "forget_outside",
    "scores",
]

#: Every metric of every kind; those from outside are added by ``add``.
METRICS: dict[str, Metric] = {
    **by_name((*REGRESSION, *CLASSIFICATION)),
    **one_vs_rest.CLASSIFICATION,
    **multi_label.MULTI_LABEL,
    **selective.CLASSIFICATION,
    **selective.REGRESSION,
    **detection.OOD,
    **calibration.CLASSIFICATION,
    **calibration.REGRESSION,
    **RELATIVE,
    **GAP,
}


#: Family of a question -> its rank metrics, the main one first. They are called with: losses and confidences (both of
#: ``misclassification``), scores of in-distribution and of OOD samples (``ood``), class indices and logits
#: (``calibration``), targets, means and variances (``calibration_regression``).
RANK_FAMILIES: dict[str, tuple[str, ...]] = {
    "misclassification": tuple(selective.CLASSIFICATION),
    "misclassification_regression": tuple(selective.REGRESSION),
    "ood": tuple(detection.OOD),
    "calibration": tuple(calibration.CLASSIFICATION),
    "calibration_regression": tuple(calibration.REGRESSION),
}


def find(name: str) -> Metric:
    """The metric of a name that judges answers against targets.

    Args:
        name: of the metric.

    Raises:
        ValueError: there is none; the message has the nearest known names.
    """
    known = [known for known, metric in METRICS.items() if judges_answers(known, metric.kind)]
    if name in known:
        return METRICS[name]
    near = get_close_matches(name, known, n=3) or known
    raise ValueError(f"unknown metric {name!r}; known: {', '.join(near)}")


def family_metrics(family: str) -> tuple[Metric, ...]:
    """The metrics of a family, the main one first. Raises ValueError for an unknown family."""
    names = FAMILIES.get(family) or RANK_FAMILIES.get(family)
    if names is None:
        raise ValueError(f"unknown family of metrics {family!r}; known: {', '.join(FAMILIES)}")
    return tuple(METRICS[name] for name in names)


def add(metric: Metric) -> None:
    """Makes a metric from outside known, at the end of each of its families. Adding it again changes nothing.

    Raises:
        ValueError: it is no mean and no rank metric, another metric has its name, or it names no family of its kind.
    """
    known = METRICS.get(metric.name)
    if known is not None and known.version == metric.version:
        return
    if known is not None and not known.version:
        raise ValueError(f"metric {metric.name!r} is one of mmbench's: choose another name")
    families = _families_of(metric)
    unknown = [family for family in metric.families if family not in families]
    if unknown or not metric.families:
        raise ValueError(
            f"metric {metric.name!r} has the family {unknown[0]!r}, which is none of {', '.join(families)}"
            if unknown
            else f"metric {metric.name!r} names no family; give it families=(...) of {', '.join(families)}"
        )
    METRICS[metric.name] = metric
    for family in metric.families:
        if metric.name not in families[family]:
            families[family] = (*families[family], metric.name)


def forget_outside() -> None:
    """Leaves the metrics of mmbench alone: what ``add`` made known in this process is unknown again."""
    for name in [name for name, metric in METRICS.items() if metric.version]:
        del METRICS[name]
    for families in (FAMILIES, RANK_FAMILIES):
        for family, names in families.items():
            families[family] = tuple(name for name in names if name in METRICS)


def _families_of(metric: Metric) -> dict[str, tuple[str, ...]]:
    """The families that a metric of its kind can join, of its task where it has one."""
    if metric.kind == "derived":
        raise ValueError(f"metric {metric.name!r} has no measure: give it a Mean or a Rank")
    return RANK_FAMILIES if metric.kind == "rank" else FAMILIES


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
    values = {}
    for metric in family_metrics(family):
        try:
            values[metric.name] = metric(target, prediction)
        except UndefinedError:
            values[metric.name] = float("nan")
    return values


def applies(metric: Metric, family: str) -> bool:
    """Whether a metric that judges answers can judge those of a family: a mean those of its task, a rank
    metric those of the families that have it.

    Args:
        metric: the metric.
        family: a key of ``FAMILIES``.
    """
    names = FAMILIES[family]
    return metric.task == METRICS[names[0]].task if metric.kind == "mean" else metric.name in names
