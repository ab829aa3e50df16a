"""How well a score tells two kinds of samples apart: areas under curves, and errors at a true positive rate.

Two conventions of the false positive rate at 95 % are in use and differ on the same scores; each has its name.
"""

from __future__ import annotations

import numpy as np

from .judge import Judge, UndefinedError, table


def auroc(positive: np.ndarray, negative: np.ndarray) -> float:
    """The probability that a positive has the higher score than a negative; a tie counts one half.

    Args:
        positive: [P] scores.
        negative: [N] scores.

    Raises:
        UndefinedError: one of them is empty.
    """
    _both(positive, negative)
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([positive, negative]))
    count = len(positive)
    return float((ranks[:count].sum() - count * (count + 1) / 2) / (count * len(negative)))


def average_precision(positive: np.ndarray, negative: np.ndarray) -> float:
    """Area under precision and recall by steps, sum of (R_n - R_n-1) P_n over distinct thresholds.

    Raises:
        UndefinedError: one of them is empty.
    """
    hits, alarms = _curve(positive, negative)
    recall = hits / hits[-1]
    precision = hits / (hits + alarms)
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def fpr_at_tpr(positive: np.ndarray, negative: np.ndarray, tpr: float = 0.95) -> float:
    """The share of negatives accepted at the highest threshold that accepts ``tpr`` of the positives.

    Raises:
        UndefinedError: one of them is empty.
    """
    hits, alarms = _curve(positive, negative)
    first = int(np.argmax(hits >= tpr * hits[-1] - 1e-12 * hits[-1]))
    return float(alarms[first] / alarms[-1])


def fpr_nearest_tpr(positive: np.ndarray, negative: np.ndarray, tpr: float = 0.95) -> float:
    """The share of negatives accepted at the threshold whose true positive rate is nearest to ``tpr``, the
    first of equally near ones (MMDG-Bench's code; (0, 0) is a threshold too).

    Raises:
        UndefinedError: one of them is empty.
    """
    hits, alarms = _curve(positive, negative)
    rates = np.concatenate([[0.0], hits / hits[-1]])
    nearest = int(np.argmin(np.abs(rates - tpr)))
    return float(np.concatenate([[0.0], alarms / alarms[-1]])[nearest])


def _both(positive: np.ndarray, negative: np.ndarray) -> None:
    if len(positive) == 0 or len(negative) == 0:
        raise UndefinedError("there is only one kind of sample")


def _curve(positive: np.ndarray, negative: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positives and negatives accepted at each distinct threshold, from the highest score down."""
    _both(positive, negative)
    scores = np.concatenate([positive, negative])
    order = np.argsort(-scores, kind="stable")
    is_positive = (order < len(positive)).astype(np.int64)
    ordered = scores[order]
    last = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)
    hits = np.cumsum(is_positive)[last]
    return hits.astype(np.float64), (last + 1 - hits).astype(np.float64)


#: Called with the scores of in-distribution and of OOD samples; a score is higher in distribution.
JUDGES = table(
    [
        Judge(
            "ood_auroc",
            "The probability that an in-distribution sample has the higher score than an OOD one; ties count "
            "one half.",
            "higher",
            (0.0, 1.0),
            "fraction",
            "Hendrycks and Gimpel 2017; scikit-learn roc_auc_score",
            lambda own, foreign: auroc(own, foreign),
            "no OOD sample or no in-distribution sample",
        ),
        Judge(
            "aupr_in",
            "Average precision with in-distribution samples as positives.",
            "higher",
            (0.0, 1.0),
            "fraction",
            "scikit-learn average_precision_score",
            lambda own, foreign: average_precision(own, foreign),
        ),
        Judge(
            "aupr_out",
            "Average precision with OOD samples as positives and minus the score.",
            "higher",
            (0.0, 1.0),
            "fraction",
            "scikit-learn average_precision_score",
            lambda own, foreign: average_precision(-foreign, -own),
        ),
        Judge(
            "fpr95_id_positive",
            "The share of OOD samples accepted where at least 95 % of in-distribution samples are (ODIN, "
            "energy).",
            "lower",
            (0.0, 1.0),
            "fraction",
            "Liang et al. 2018",
            lambda own, foreign: fpr_at_tpr(own, foreign),
        ),
        Judge(
            "fpr95_ood_positive",
            "The share of in-distribution samples rejected where at least 95 % of OOD samples are (OpenOOD, "
            "MMDG-Bench).",
            "lower",
            (0.0, 1.0),
            "fraction",
            "OpenOOD; MMDG-Bench",
            lambda own, foreign: fpr_at_tpr(-foreign, -own),
        ),
    ]
)
