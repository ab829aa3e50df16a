"""How well a score tells two kinds of samples apart: areas under curves, and errors at a true positive rate.

Two conventions of the false positive rate at 95 % are in use and differ on the same scores; each has its name.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .base import Counts, UndefinedError, by_name, once, rank_metric


def auroc(positive: np.ndarray, negative: np.ndarray) -> float:
    """The probability that a positive has the higher score than a negative; a tie counts one half.

    Args:
        positive: [P] scores.
        negative: [N] scores.

    Raises:
        UndefinedError: one of them is empty.
    """
    return float(area_of(curve(positive, negative))[0])


def average_precision(positive: np.ndarray, negative: np.ndarray) -> float:
    """Area under precision and recall by steps, sum of (R_n - R_n-1) P_n over distinct thresholds.

    Args:
        positive: [P] scores.
        negative: [N] scores.

    Returns:
        A fraction, in (0, 1].

    Raises:
        UndefinedError: one of them is empty.
    """
    return float(precision_of(curve(positive, negative))[0])


def fpr_at_tpr(positive: np.ndarray, negative: np.ndarray) -> float:
    """The share of negatives accepted at the highest threshold that accepts 95 % of the positives.

    Args:
        positive: [P] scores.
        negative: [N] scores.

    Returns:
        A fraction, in [0, 1].

    Raises:
        UndefinedError: one of them is empty.
    """
    return float(false_rate_of(curve(positive, negative))[0])


def fpr_nearest_tpr(positive: np.ndarray, negative: np.ndarray) -> float:
    """The share of negatives accepted at the threshold whose true positive rate is nearest to 0.95, the
    first of equally near ones (MMDG-Bench's code; (0, 0) is a threshold too).

    Args:
        positive: [P] scores.
        negative: [N] scores.

    Returns:
        A fraction, in [0, 1].

    Raises:
        UndefinedError: one of them is empty.
    """
    return float(nearest_false_rate_of(curve(positive, negative))[0])


#: Positives and negatives accepted at each distinct threshold, from the highest score down, on each resample:
#: [draws, thresholds] each.
Curve = tuple[np.ndarray, np.ndarray]

_TPR = 0.95


def curve(positive: np.ndarray, negative: np.ndarray, counts: Counts | None = None) -> Curve:
    """How many are accepted at each threshold.

    Args:
        positive: [P] scores.
        negative: [N] scores.
        counts: how often each stands in each resample, [draws, P] and [draws, N]; by default once.

    Raises:
        UndefinedError: one of them is empty.
    """
    if len(positive) == 0 or len(negative) == 0:
        raise UndefinedError("there is only one kind of sample")
    hits, misses = counts or once(positive, negative)
    scores = np.concatenate([positive, negative])
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)
    group = np.empty(len(order), dtype=np.int64)
    group[order] = np.searchsorted(last, np.arange(len(order)))
    return (
        _accepted(hits, group[: len(positive)], len(last)),
        _accepted(misses, group[len(positive) :], len(last)),
    )


def mirrored(accepted: Curve) -> Curve:
    """The curve of the negatives against the positives, with scores of the other sign."""
    hits, alarms = (np.concatenate([np.zeros((len(side), 1)), side], axis=1) for side in accepted)
    return (alarms[:, -1:] - alarms[:, -2::-1], hits[:, -1:] - hits[:, -2::-1])


def area_of(accepted: Curve) -> np.ndarray:
    """[draws]: the area under the ROC curve."""
    hits, alarms = accepted
    before = np.concatenate([np.zeros((len(hits), 1)), hits[:, :-1]], axis=1)
    new = np.diff(alarms, axis=1, prepend=0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (new * (hits + before)).sum(axis=1) / 2 / (hits[:, -1] * alarms[:, -1])


def precision_of(roc: Curve) -> np.ndarray:
    """[draws]: the average precision; NaN without a positive or without a negative."""
    hits, alarms = roc
    accepted = hits + alarms
    precision = np.divide(hits, accepted, out=np.zeros_like(hits), where=accepted > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = (np.diff(hits, axis=1, prepend=0.0) * precision).sum(axis=1) / hits[:, -1]
    return np.where(alarms[:, -1] > 0, value, np.nan)


def false_rate_of(roc: Curve) -> np.ndarray:
    """[draws]: the false positive rate at the first threshold whose true positive rate is at least 0.95."""
    hits, alarms = roc
    first = np.argmax(hits >= (_TPR - 1e-12) * hits[:, -1:], axis=1)
    return _rate_at(roc, alarms[np.arange(len(alarms)), first])


def nearest_false_rate_of(roc: Curve) -> np.ndarray:
    """[draws]: the false positive rate where the true positive rate is nearest to 0.95."""
    hits, alarms = (np.concatenate([np.zeros((len(side), 1)), side], axis=1) for side in roc)
    with np.errstate(invalid="ignore"):
        away = np.abs(hits / hits[:, -1:] - _TPR)
    nearest = np.argmin(np.where(np.isnan(away), np.inf, away), axis=1)
    return _rate_at(roc, alarms[np.arange(len(alarms)), nearest])


def _rate_at(roc: Curve, accepted: np.ndarray) -> np.ndarray:
    hits, alarms = roc
    with np.errstate(invalid="ignore"):
        return np.where(hits[:, -1] > 0, accepted / alarms[:, -1], np.nan)


def _accepted(counts: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """[draws, groups]: how many lie in the first, the first two, ... groups."""
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    sums = np.zeros((len(counts), groups))
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    sums[:, ordered[starts]] = np.add.reduceat(counts[:, order], starts, axis=1)
    return np.cumsum(sums, axis=1)


def _in_positive(measure: Callable[[Curve], np.ndarray]) -> Callable[..., np.ndarray]:
    return lambda arrays, counts: measure(curve(arrays[0], arrays[1], counts))


def _out_positive(measure: Callable[[Curve], np.ndarray]) -> Callable[..., np.ndarray]:
    return lambda arrays, counts: measure(mirrored(curve(arrays[0], arrays[1], counts)))


_NONE = "no OOD sample or no in-distribution sample"

#: Called with the scores of in-distribution and of OOD samples; a score is higher in distribution.
OOD = by_name(
    [
        rank_metric(
            "ood_auroc",
            "The probability that an in-distribution sample has the higher score than an OOD one; ties count "
            "one half.",
            "higher",
            (0.0, 1.0),
            "fraction",
            "Hendrycks and Gimpel 2017; scikit-learn roc_auc_score",
            _in_positive(area_of),
            _NONE,
            2,
        ),
        rank_metric(
            "aupr_in",
            "Average precision with in-distribution samples as positives.",
            "higher",
            (0.0, 1.0),
            "fraction",
            "scikit-learn average_precision_score",
            _in_positive(precision_of),
            _NONE,
            2,
        ),
        rank_metric(
            "aupr_out",
            "Average precision with OOD samples as positives and minus the score.",
            "higher",
            (0.0, 1.0),
            "fraction",
            "scikit-learn average_precision_score",
            _out_positive(precision_of),
            _NONE,
            2,
        ),
        rank_metric(
            "fpr95_id_positive",
            "The share of OOD samples accepted where at least 95 % of in-distribution samples are (ODIN, "
            "energy).",
            "lower",
            (0.0, 1.0),
            "fraction",
            "Liang et al. 2018",
            _in_positive(false_rate_of),
            _NONE,
            2,
        ),
        rank_metric(
            "fpr95_ood_positive",
            "The share of in-distribution samples rejected where at least 95 % of OOD samples are (OpenOOD, "
            "MMDG-Bench).",
            "lower",
            (0.0, 1.0),
            "fraction",
            "OpenOOD; MMDG-Bench",
            _out_positive(false_rate_of),
            _NONE,
            2,
        ),
    ]
)
