"""Metrics of several labels a sample. A label is predicted where its logit is above 0, that is, its probability above 1/2.

They are called with targets [N, C] of 0 and 1, and logits [N, C].
"""

from __future__ import annotations

import numpy as np

from .base import Counts, Mean, Metric, UndefinedError, by_name, rank_metric, ratio
from .classification import finish_f1_macro, finish_f1_weighted, finish_share
from .detection import curve, precision_of


def label_terms(target: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Which labels a sample has, which are predicted, and which are both.

    Args:
        target: [N, C], 0 or 1.
        logits: [N, C].

    Returns:
        [N, 3 C] float64, 0 or 1, in this order.
    """
    said = logits > 0
    return np.concatenate([target, said, target * said], axis=1).astype(np.float64)


def finish_f1_micro(mean: np.ndarray) -> np.ndarray:
    """[..., 3 C] -> [...]: F1 of all labels of all samples together; NaN where there is none, nor a predicted one."""
    truth, guess, both = (part.sum(axis=-1) for part in np.split(mean, 3, axis=-1))
    return ratio(2 * both, truth + guess)


def sample_terms(target: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """F1 of the labels of each sample.

    Args:
        target: [N, C], 0 or 1.
        logits: [N, C].

    Returns:
        [N, 1] float64, in [0, 1]; 1 where a sample has no label and none is predicted.
    """
    said = logits > 0
    both, either = (target * said).sum(axis=1), target.sum(axis=1) + said.sum(axis=1)
    return ratio(2.0 * both, either.astype(np.float64), 1.0)[:, None]


def subset_terms(target: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Whether exactly the labels that a sample has are predicted.

    Args:
        target: [N, C], 0 or 1.
        logits: [N, C].

    Returns:
        [N, 1] float64, 1 where they are.
    """
    return ((logits > 0) == target).all(axis=1)[:, None].astype(np.float64)


def _average_precision(arrays: tuple[np.ndarray, ...], counts: Counts) -> np.ndarray:
    """[draws]: the mean over the labels that occur on a resample of their average precision."""
    target, logits = arrays[0] > 0, np.asarray(arrays[1], dtype=np.float64)
    known = np.flatnonzero(target.any(axis=0))
    if not len(known):
        raise UndefinedError("no sample has a label")
    values = np.stack([_of_label(target[:, c], logits[:, c], counts[0]) for c in known])
    there = np.isfinite(values)
    return ratio(np.where(there, values, 0.0).sum(axis=0), there.sum(axis=0).astype(np.float64))


def _of_label(positive: np.ndarray, score: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """[draws]: the average precision of a label; NaN on a resample of which no sample has it."""
    own, others = counts[:, positive], counts[:, ~positive]
    if not others.shape[1]:
        return np.where(own.sum(axis=1) > 0, 1.0, np.nan)
    value = precision_of(curve(score[positive], score[~positive], (own, others)))
    return np.where(others.sum(axis=1) > 0, value, np.where(own.sum(axis=1) > 0, 1.0, np.nan))


_NONE = "no sample has a label, and none is predicted"


def _mean(name: str, convention: str, source: str, measure: Mean, undefined: str = "") -> Metric:
    return Metric(name, convention, "higher", (0.0, 1.0), "fraction", source, measure, undefined)


MULTI_LABEL: dict[str, Metric] = by_name(
    [
        _mean(
            "f1_macro_labels",
            "The plain mean of F1 over the labels that occur in the target or in the prediction; a label is predicted where "
            "its probability is above 1/2.",
            "scikit-learn f1_score(average='macro') of the labels that occur",
            Mean("multi-label", label_terms, finish_f1_macro),
            _NONE,
        ),
        _mean(
            "f1_micro_labels",
            "F1 of all labels of all samples together; a label is predicted where its probability is above 1/2.",
            "scikit-learn f1_score(average='micro')",
            Mean("multi-label", label_terms, finish_f1_micro),
            _NONE,
        ),
        _mean(
            "f1_weighted_labels",
            "F1 of each label, weighted by how many samples have it.",
            "scikit-learn f1_score(average='weighted')",
            Mean("multi-label", label_terms, finish_f1_weighted),
            "no sample has a label",
        ),
        _mean(
            "f1_samples",
            "The mean over samples of F1 of their labels; 1 for a sample that has none and of which none is predicted.",
            "scikit-learn f1_score(average='samples', zero_division=1)",
            Mean("multi-label", sample_terms, finish_share),
        ),
        rank_metric(
            "map_labels",
            "Mean average precision: the plain mean over the labels that occur of the average precision, by steps.",
            "higher",
            (0.0, 1.0),
            "fraction",
            "scikit-learn average_precision_score(average='macro') of the labels that occur",
            _average_precision,
            "no sample has a label",
        ),
        _mean(
            "subset_accuracy",
            "The share of samples of which exactly the labels that they have are predicted.",
            "scikit-learn accuracy_score of label sets",
            Mean("multi-label", subset_terms, finish_share),
        ),
    ]
)
