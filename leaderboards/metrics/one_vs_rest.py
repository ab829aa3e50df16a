"""How well logits order samples, class by class: areas that no threshold and no class frequency decides.

They are called with class indices [N] and logits [N, C]. A class is told from the rest by its log odds (its logit minus
the log-sum-exp of the others), which order samples as its probability does and saturate nowhere. With two classes, class
1 is told from class 0; with more, the value is the plain mean over the classes that occur and are not all.
"""

from __future__ import annotations

import numpy as np

from .base import Counts, Metric, UndefinedError, by_name, rank_metric
from .detection import area_of, curve, precision_of

#: At most so many counts are held at once: resamples are taken in parts.
_HELD = 2_000_000

#: The arrays that were scored last, and both areas: a table asks for one after the other.
_last: list[tuple[tuple[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]] = []


def log_odds(logits: np.ndarray) -> np.ndarray:
    """[N, C]: the log odds of each class against the rest, from logits [N, C], C >= 2."""
    values = np.asarray(logits, dtype=np.float64)
    columns = range(values.shape[1])
    return np.stack([values[:, c] - _log_sum(np.delete(values, c, axis=1)) for c in columns], axis=1)


def _log_sum(values: np.ndarray) -> np.ndarray:
    largest = values.max(axis=1, keepdims=True)
    return largest[:, 0] + np.log(np.exp(values - largest).sum(axis=1))


def _areas(target: np.ndarray, logits: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[draws] each: the mean over classes of the area under the ROC curve, and of the average precision."""
    key = (target, logits, counts)
    if _last and all(one is other for one, other in zip(_last[0][0], key, strict=True)):
        return _last[0][1]
    if logits.ndim < 2:
        raise UndefinedError("there are class indices and no logits")
    odds = log_odds(logits)
    classes = [1] if logits.shape[1] == 2 else list(range(logits.shape[1]))
    known = [c for c in classes if 0 < (target == c).sum() < len(target)]
    if not known:
        raise UndefinedError("there is only one class")
    step = max(1, _HELD // len(target))
    parts = [
        [_of_class(target == c, odds[:, c], counts[start : start + step]) for c in known]
        for start in range(0, len(counts), step)
    ]
    roc, precision = (
        np.concatenate([_mean(np.stack([both[place] for both in part])) for part in parts])
        for place in (0, 1)
    )
    _last[:] = [(key, (roc, precision))]
    return roc, precision


def _of_class(positive: np.ndarray, score: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    accepted = curve(score[positive], score[~positive], (counts[:, positive], counts[:, ~positive]))
    return area_of(accepted), precision_of(accepted)


def _mean(values: np.ndarray) -> np.ndarray:
    """[classes, draws] -> [draws]: over the classes that occur on a resample; NaN where none does."""
    there = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(there, values, 0.0).sum(axis=0) / there.sum(axis=0)


def _auroc(arrays: tuple[np.ndarray, ...], counts: Counts) -> np.ndarray:
    return _areas(arrays[0], arrays[1], counts[0])[0]


def _auprc(arrays: tuple[np.ndarray, ...], counts: Counts) -> np.ndarray:
    return _areas(arrays[0], arrays[1], counts[0])[1]


_NONE = "there is only one class, or there are no logits"

CLASSIFICATION: dict[str, Metric] = by_name(
    [
        rank_metric(
            "auroc_ovr",
            "The probability that a sample of a class has the higher probability of it than one of another; ties count "
            "half. Two classes: of class 1; more: the plain mean over the classes that occur (macro, one versus rest).",
            "higher",
            (0.0, 1.0),
            "fraction",
            "scikit-learn roc_auc_score(multi_class='ovr', average='macro')",
            _auroc,
            _NONE,
        ),
        rank_metric(
            "auprc_ovr",
            "Average precision, by steps: of class 1 for two classes; for more, the plain mean over the classes that "
            "occur (macro, one versus rest). The value of chance is the share of the class.",
            "higher",
            (0.0, 1.0),
            "fraction",
            "scikit-learn average_precision_score(average='macro')",
            _auprc,
            _NONE,
        ),
    ]
)
