"""Are predicted probabilities, or predicted variances, what they say?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import ndtr, ndtri

from .base import Counts, UndefinedError, by_name, once, rank_metric
from .confidence import log_softmax, softmax

BINS = 15


def reliability_bins(
    target: np.ndarray, logits: np.ndarray, bins: int = BINS, equal_mass: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count, mean confidence and accuracy of each bin, [bins] each; NaN where a bin is empty.

    Args:
        target: [N] class indices.
        logits: [N, C].
        bins: number of bins.
        equal_mass: bins with the same number of samples, instead of (k / bins, (k + 1) / bins].
    """
    confidence, right = _top(target, logits)
    count, sure, good = _binned(confidence, right, once(confidence)[0], bins, equal_mass)
    with np.errstate(invalid="ignore"):
        return count[0], sure[0] / count[0], good[0] / count[0]


def ece(target: np.ndarray, logits: np.ndarray, bins: int = BINS, equal_mass: bool = False) -> float:
    """Expected calibration error of the top class, L1 (Naeini et al. 2015; Guo et al. 2017, eq. 3).

    Args:
        target: [N] class indices, int64.
        logits: [N, C], finite.
        bins: number of bins, at least 1.
        equal_mass: bins with the same number of samples, instead of the same width.

    Returns:
        A fraction, in [0, 1].
    """
    return float(_ece((target, logits), once(target), bins, equal_mass)[0])


def _ece(
    arrays: tuple[np.ndarray, ...], counts: Counts, bins: int = BINS, equal_mass: bool = False
) -> np.ndarray:
    confidence, right = _top(arrays[0], arrays[1])
    count, sure, good = _binned(confidence, right, counts[0], bins, equal_mass)
    return np.abs(sure - good).sum(axis=1) / count.sum(axis=1)


def adaptive_calibration_error(target: np.ndarray, logits: np.ndarray, bins: int = BINS) -> float:
    """Class by class, with bins of equal mass, the mean of |accuracy - confidence| (Nixon et al. 2019).

    Args:
        target: [N] class indices, int64.
        logits: [N, C], finite.
        bins: number of bins of each class, at least 1.

    Returns:
        A fraction, in [0, 1]; the mean over bins, then over classes.
    """
    return float(_ace((target, logits), once(target), bins)[0])


def _ace(arrays: tuple[np.ndarray, ...], counts: Counts, bins: int = BINS) -> np.ndarray:
    target, logits = arrays
    probability = softmax(logits)
    gaps = []
    for column in range(probability.shape[1]):
        right = (target == column).astype(np.float64)
        count, sure, good = _binned(probability[:, column], right, counts[0], bins, True)
        gap = np.divide(np.abs(sure - good), count, out=np.zeros_like(count), where=count > 0)
        gaps.append(gap.sum(axis=1) / (count > 0).sum(axis=1))
    return np.mean(gaps, axis=0)


def brier(target: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """The squared distance of the probabilities from the one-hot target (Brier 1950: summed over classes).

    Args:
        target: [N] class indices, int64.
        logits: [N, C], finite.

    Returns:
        [N], 0 to 2.
    """
    probability = softmax(logits)
    probability[np.arange(len(target)), target] -= 1
    return (probability**2).sum(axis=1)


def negative_log_likelihood(target: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Minus the logarithm of the target's probability.

    Args:
        target: [N] class indices, int64.
        logits: [N, C], finite.

    Returns:
        [N], in nats, at least 0.
    """
    return -log_softmax(logits)[np.arange(len(target)), target]


def inside_interval(target: np.ndarray, mean: np.ndarray, variance: np.ndarray, level: float) -> np.ndarray:
    """Whether a target lies inside the central interval of a Gaussian, its ends included.

    Args:
        target: [N] labels.
        mean: [N], in label units.
        variance: [N], at least 0, in squared label units.
        level: the probability of the interval, in (0, 1).

    Returns:
        [N] float64, 0 or 1.
    """
    half = ndtri((1 + level) / 2) * np.sqrt(variance)
    return (np.abs(target - mean) <= half).astype(np.float64)


def interval_coverage(target: np.ndarray, mean: np.ndarray, variance: np.ndarray, level: float) -> float:
    """The share of targets inside the central interval of a Gaussian.

    Args:
        target: [N] labels.
        mean: [N], in label units.
        variance: [N], at least 0, in squared label units.
        level: the probability of the interval, in (0, 1).

    Returns:
        A fraction, in [0, 1].
    """
    return float(inside_interval(target, mean, variance, level).mean())


def interval_calibration_error(target: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> float:
    """The mean of |coverage - level| over the levels 0.05, 0.10, ..., 0.95 (after Kuleshov et al. 2018).

    Args:
        target: [N] labels.
        mean: [N], in label units.
        variance: [N], at least 0, in squared label units.

    Returns:
        A fraction, in [0, 1].
    """
    return float(_interval_error((target, mean, variance), once(target))[0])


def _interval_miss(arrays: tuple[np.ndarray, ...], counts: Counts, level: float) -> np.ndarray:
    coverage = _weighted_mean(inside_interval(arrays[0], arrays[1], arrays[2], level)[:, None], counts)[:, 0]
    return np.abs(coverage - level)


def _interval_error(arrays: tuple[np.ndarray, ...], counts: Counts) -> np.ndarray:
    target, mean, variance = arrays
    levels = np.arange(1, 20) / 20
    inside = 2 * ndtr(np.abs(target - mean) / np.sqrt(variance)) - 1  # the level whose border the target is
    coverage = _weighted_mean(inside[:, None] <= levels, counts)
    return np.abs(coverage - levels).mean(axis=1)


def crps_gaussian(target: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """The continuous ranked probability score of a Gaussian (Gneiting and Raftery 2007, eq. 21); lower is
    better.

    Args:
        target: [N] labels.
        mean: [N], in label units.
        variance: [N], above 0, in squared label units.

    Returns:
        [N], in label units, at least 0.
    """
    deviation = np.sqrt(variance)
    z = (target - mean) / deviation
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    return deviation * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi))


def gaussian_nll(target: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Minus the logarithm of the Gaussian density.

    Args:
        target: [N] labels.
        mean: [N], in label units.
        variance: [N], above 0, in squared label units.

    Returns:
        [N], in nats; below 0 where the density is above 1.
    """
    return 0.5 * np.log(2 * np.pi * variance) + (target - mean) ** 2 / (2 * variance)


def _mean_of(terms: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """A measure that is the mean of what a function gives for each sample."""
    return lambda arrays, counts: _weighted_mean(terms(*arrays)[:, None], counts)[:, 0]


def _weighted_mean(terms: np.ndarray, counts: Counts) -> np.ndarray:
    """[draws, K]: the mean of terms [N, K] over the samples of each resample."""
    return counts[0].astype(np.float64) @ terms / counts[0].sum(axis=1, keepdims=True)


def _top(target: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(target) == 0:
        raise UndefinedError("there is no sample")
    probability = softmax(logits)
    return probability.max(axis=1), (np.argmax(logits, axis=1) == target).astype(np.float64)


def _binned(
    confidence: np.ndarray, right: np.ndarray, counts: np.ndarray, bins: int, equal_mass: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count, summed confidence and number of right answers of each bin on each resample, [draws, bins] each.

    Bins of equal mass are made anew on each resample, by rank. A tie is not torn apart: it goes to the bin of
    its first rank.
    """
    weights = counts.astype(np.float64)
    if not equal_mass:
        member = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
        inside = (member[:, None] == np.arange(bins)).astype(np.float64)
        terms = np.concatenate([inside, inside * confidence[:, None], inside * right[:, None]], axis=1)
        count, sure, good = np.split(weights @ terms, 3, axis=1)
        return count, sure, good
    order = np.argsort(confidence, kind="stable")
    ordered, weights = confidence[order], weights[:, order]
    first = np.searchsorted(ordered, ordered, side="left")
    rank = (np.cumsum(weights, axis=1) - weights)[:, first]  # that of the first of equal confidences
    member = (rank * bins / weights.sum(axis=1, keepdims=True) + 1e-9).astype(np.int64).clip(max=bins - 1)
    place = (member + bins * np.arange(len(member))[:, None]).ravel()
    size = len(member) * bins

    def summed(values: np.ndarray) -> np.ndarray:
        return np.bincount(place, weights=values.ravel(), minlength=size).reshape(-1, bins)

    return summed(weights), summed(weights * ordered), summed(weights * right[order])


#: Called with class indices [N] and logits [N, C].
CLASSIFICATION = by_name(
    [
        rank_metric(
            "ece_equal_width_15",
            "Expected calibration error of the top class: 15 bins (k/15, (k+1)/15] of confidence, L1.",
            "lower",
            (0.0, 1.0),
            "fraction",
            "Guo et al. 2017; torchmetrics MulticlassCalibrationError",
            _ece,
        ),
        rank_metric(
            "ece_equal_mass_15",
            "As ece_equal_width_15, with 15 bins of equally many samples.",
            "lower",
            (0.0, 1.0),
            "fraction",
            "Nguyen and O'Connor 2015",
            lambda arrays, counts: _ece(arrays, counts, equal_mass=True),
        ),
        rank_metric(
            "ace_15",
            "Adaptive calibration error: the mean over classes and bins of equal mass of |accuracy - "
            "confidence|.",
            "lower",
            (0.0, 1.0),
            "fraction",
            "Nixon et al. 2019",
            _ace,
        ),
        rank_metric(
            "brier",
            "Squared distance of the probabilities from the one-hot target, summed over classes.",
            "lower",
            (0.0, 2.0),
            "label",
            "Brier 1950",
            _mean_of(brier),
        ),
        rank_metric(
            "nll",
            "Minus the logarithm of the target's probability, in nats.",
            "lower",
            (0.0, float("inf")),
            "label",
            "scikit-learn log_loss",
            _mean_of(negative_log_likelihood),
        ),
    ]
)

#: Called with targets, predicted means and predicted variances, [N] each.
REGRESSION = by_name(
    [
        rank_metric(
            "crps_gaussian",
            "Continuous ranked probability score of the predicted Gaussian.",
            "lower",
            (0.0, float("inf")),
            "label",
            "Gneiting and Raftery 2007",
            _mean_of(crps_gaussian),
        ),
        rank_metric(
            "nll_gaussian",
            "Minus the logarithm of the predicted Gaussian density, in nats.",
            "lower",
            (-float("inf"), float("inf")),
            "label",
            "Nix and Weigend 1994",
            _mean_of(gaussian_nll),
        ),
        rank_metric(
            "interval_calibration_error",
            "The mean of |coverage - level| of central intervals at the levels 0.05 to 0.95.",
            "lower",
            (0.0, 1.0),
            "fraction",
            "after Kuleshov et al. 2018",
            _interval_error,
        ),
        *(
            rank_metric(
                f"interval_miss_{level}",
                f"|coverage - {level} %| of the central {level} % interval.",
                "lower",
                (0.0, 1.0),
                "fraction",
                "Gneiting and Raftery 2007",
                lambda arrays, counts, level=level: _interval_miss(arrays, counts, level / 100),
            )
            for level in (50, 90, 95)
        ),
    ]
)
