"""Metrics of regression, among them those of the sentiment sets MOSI, MOSEI and CH-SIMS.

The sentiment metrics are those of MMSA (thuiar/MMSA, commit a94e65d, utils/metricsTop.py), without its
rounding to four digits, and the Acc-2 of MMDG-Bench. ``np.round`` rounds half to even: 2.5 -> 2, 0.5 -> 0,
-1.5 -> -2.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .base import Mean, Metric, ratio
from .classification import finish_f1_weighted, finish_share, one_hot_terms

MMSA = "thuiar/MMSA a94e65d, utils/metricsTop.py"
MMDG = "MMDG-Bench (arXiv 2605.06643), sentiment"

Terms = Callable[[np.ndarray, np.ndarray], np.ndarray]
Finish = Callable[[np.ndarray], np.ndarray]
Labels = Callable[[np.ndarray], np.ndarray]

# Differences from the mean that are smaller than this share of the values are rounding, not variance.
CONSTANT = 1e-13
# As above for a variance in a resample: the terms' weighted sums are exact to about this share.
RESAMPLE_CONSTANT = 1e-12


def not_negative(values: np.ndarray) -> np.ndarray:
    """[N] -> [N] class: 1 where >= 0, 0 where negative."""
    return (values >= 0).astype(np.int64)


def positive(values: np.ndarray) -> np.ndarray:
    """[N] -> [N] class: 1 where > 0, 0 where zero or negative."""
    return (values > 0).astype(np.int64)


def rounded_class(limit: int) -> Labels:
    """[N] -> [N] class: clipped to [-limit, limit], rounded half to even, counted from 0."""
    return lambda values: np.round(np.clip(values, -limit, limit)).astype(np.int64) + limit


def binned(*borders: float) -> Labels:
    """[N] -> [N] class: clipped to [-1, 1], in bins that are open on the left and closed on the right.

    The borders are taken in the precision of the values, so that a float32 0.1 lies on the border 0.1.
    """

    def labels(values: np.ndarray) -> np.ndarray:
        return np.searchsorted(np.array(borders, dtype=values.dtype), np.clip(values, -1, 1), side="left")

    return labels


def agreement(labels: Labels) -> Terms:
    """Terms [N, 1]: 1 where target and prediction have the same label."""
    return lambda target, prediction: (labels(target) == labels(prediction))[:, None].astype(np.float64)


def agreement_non0(labels: Labels) -> Terms:
    """Terms [N, 2]: weight of the sample (0 where the target is 0) times agreement, and the weight."""

    def terms(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        weight = (target != 0).astype(np.float64)
        return np.stack([weight * (labels(target) == labels(prediction)), weight], axis=1)

    return terms


def two_classes(labels: Labels) -> Terms:
    """Terms [N, 6] of an F1 over two classes."""
    return lambda target, prediction: one_hot_terms(labels(target), labels(prediction), 2)


def two_classes_non0(labels: Labels) -> Terms:
    """Terms [N, 6] of an F1 over two classes, all 0 where the target is 0."""

    def terms(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        return one_hot_terms(labels(target), labels(prediction), 2) * (target != 0)[:, None]

    return terms


def absolute_error(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """The distance of each prediction from its label.

    Args:
        target: [N] labels.
        prediction: [N], in label units.

    Returns:
        Terms [N, 1] float64, in label units.
    """
    return np.abs(target.astype(np.float64) - prediction.astype(np.float64))[:, None]


def squared_error(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """The squared distance of each prediction from its label.

    Args:
        target: [N] labels.
        prediction: [N], in label units.

    Returns:
        Terms [N, 1] float64, in squared label units.
    """
    return np.square(target.astype(np.float64) - prediction.astype(np.float64))[:, None]


def moments(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """What a correlation needs: x, y, x x, y y, x y.

    Both are centred and scaled to at most about 1 first, which a correlation ignores; what does not vary is
    0.

    Args:
        target: [N] labels, x.
        prediction: [N], y.

    Returns:
        Terms [N, 5] float64.
    """
    x, y = _centred(target), _centred(prediction)
    return np.stack([x, y, x * x, y * y, x * y], axis=1)


def clipped(terms: Terms) -> Terms:
    """The same terms of target and prediction clipped to [-1, 1]."""
    return lambda target, prediction: terms(np.clip(target, -1, 1), np.clip(prediction, -1, 1))


def finish_ratio(mean: np.ndarray) -> np.ndarray:
    """[..., 2] -> [...]: weighted mean; NaN where no sample has weight."""
    return ratio(mean[..., 0], mean[..., 1])


def finish_root(mean: np.ndarray) -> np.ndarray:
    """[..., 1] -> [...]: square root."""
    return np.sqrt(mean[..., 0])


def finish_correlation(mean: np.ndarray) -> np.ndarray:
    """[..., 5] -> [...]: Pearson's correlation; NaN where one side is constant."""
    x, y, xx, yy, xy = np.moveaxis(mean, -1, 0)
    x_variance, y_variance = xx - x * x, yy - y * y
    varies = (x_variance > RESAMPLE_CONSTANT * xx) & (y_variance > RESAMPLE_CONSTANT * yy)
    scale = np.sqrt(np.where(varies, x_variance, 0.0)) * np.sqrt(np.where(varies, y_variance, 0.0))
    return np.clip(ratio(xy - x * y, scale), -1.0, 1.0)


def _centred(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    centred = values - values.mean()
    largest = np.abs(centred).max()
    if largest <= CONSTANT * np.abs(values).max():
        return np.zeros_like(values)
    centred /= largest
    return centred - centred.mean()


def _accuracy(name: str, convention: str, source: str, terms: Terms) -> Metric:
    return _fraction(name, convention, source, "", terms, finish_share)


def _f1(name: str, convention: str, source: str, terms: Terms) -> Metric:
    return _fraction(name, convention, source, "", terms, finish_f1_weighted)


def _non0(name: str, convention: str, source: str, terms: Terms, finish: Finish) -> Metric:
    return _fraction(name, convention, source, "every target is 0", terms, finish)


def _fraction(
    name: str, convention: str, source: str, undefined: str, terms: Terms, finish: Finish
) -> Metric:
    return Metric(
        name=name,
        convention=convention,
        direction="higher",
        range=(0.0, 1.0),
        unit="fraction",
        undefined=undefined,
        source=source,
        measure=Mean("regression", terms, finish),
    )


def _error(name: str, convention: str, source: str, highest: float, terms: Terms, finish: Finish) -> Metric:
    return Metric(
        name=name,
        convention=convention,
        direction="lower",
        range=(0.0, highest),
        unit="label",
        undefined="",
        source=source,
        measure=Mean("regression", terms, finish),
    )


def _correlation(name: str, convention: str, source: str, terms: Terms) -> Metric:
    return Metric(
        name=name,
        convention=convention,
        direction="higher",
        range=(-1.0, 1.0),
        unit="correlation",
        undefined="target or prediction is constant",
        source=source,
        measure=Mean("regression", terms, finish_correlation),
    )


REGRESSION = (
    _accuracy(
        "acc2_has0",
        "Negative against non-negative (>= 0), all samples.",
        MMSA + ": Has0_acc_2",
        agreement(not_negative),
    ),
    _non0(
        "acc2_non0",
        "Negative against positive (> 0), samples with target 0 left out; a predicted 0 is negative.",
        MMSA + ": Non0_acc_2",
        agreement_non0(positive),
        finish_ratio,
    ),
    _f1(
        "f1_has0",
        "Weighted F1 of the classes of acc2_has0.",
        MMSA + ": Has0_F1_score",
        two_classes(not_negative),
    ),
    _non0(
        "f1_non0",
        "Weighted F1 of the classes and samples of acc2_non0.",
        MMSA + ": Non0_F1_score",
        two_classes_non0(positive),
        finish_f1_weighted,
    ),
    _accuracy(
        "acc7",
        "Target and prediction clipped to [-3, 3] and rounded half to even agree.",
        MMSA + ": Mult_acc_7",
        agreement(rounded_class(3)),
    ),
    _accuracy(
        "acc5",
        "Target and prediction clipped to [-2, 2] and rounded half to even agree.",
        MMSA + ": Mult_acc_5",
        agreement(rounded_class(2)),
    ),
    _accuracy(
        "acc3",
        "Target and prediction clipped to [-1, 1] and rounded half to even agree.",
        MMSA + ", which does not report it",
        agreement(rounded_class(1)),
    ),
    _error(
        "mae", "Mean absolute error, nothing clipped.", MMSA + ": MAE", np.inf, absolute_error, finish_share
    ),
    _error(
        "rmse",
        "Root of the mean squared error, nothing clipped.",
        "textbook",
        np.inf,
        squared_error,
        finish_root,
    ),
    _correlation("corr", "Pearson's correlation, nothing clipped.", MMSA + ": Corr", moments),
    _accuracy(
        "acc2_mmdg",
        "Positive (> 0) against the rest, all samples: a 0 counts as negative on both sides.",
        MMDG,
        agreement(positive),
    ),
    _f1("f1_mmdg", "Weighted F1 of the classes of acc2_mmdg.", MMDG, two_classes(positive)),
    _accuracy(
        "sims_acc2",
        "Clipped to [-1, 1]; bins (-1.01, 0] and (0, 1.01]: neutral counts as negative.",
        MMSA + ": Mult_acc_2 of SIMS",
        agreement(binned(0.0)),
    ),
    _accuracy(
        "sims_acc3",
        "Clipped to [-1, 1]; bins, closed on the right, cut at -0.1 and 0.1.",
        MMSA + ": Mult_acc_3 of SIMS",
        agreement(binned(-0.1, 0.1)),
    ),
    _accuracy(
        "sims_acc5",
        "Clipped to [-1, 1]; bins, closed on the right, cut at -0.7, -0.1, 0.1 and 0.7.",
        MMSA + ": Mult_acc_5 of SIMS",
        agreement(binned(-0.7, -0.1, 0.1, 0.7)),
    ),
    _f1(
        "sims_f1",
        "Weighted F1, target first, of the classes of sims_acc2.",
        MMSA + ": F1_score of SIMS",
        two_classes(binned(0.0)),
    ),
    _error(
        "sims_mae",
        "Mean absolute error, target and prediction clipped to [-1, 1].",
        MMSA + ": MAE of SIMS",
        2.0,
        clipped(absolute_error),
        finish_share,
    ),
    _correlation(
        "sims_corr",
        "Pearson's correlation, target and prediction clipped to [-1, 1].",
        MMSA + ": Corr of SIMS",
        clipped(moments),
    ),
)
