"""Are predicted probabilities, or predicted variances, what they say?"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri

from .confidence import log_softmax, softmax
from .judge import Judge, UndefinedError, table

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
    return _binned(confidence, right, _membership(confidence, bins, equal_mass), bins)


def ece(target: np.ndarray, logits: np.ndarray, bins: int = BINS, equal_mass: bool = False) -> float:
    """Expected calibration error of the top class, L1 (Naeini et al. 2015; Guo et al. 2017, eq. 3)."""
    count, confidence, accuracy = reliability_bins(target, logits, bins, equal_mass)
    filled = count > 0
    return float((count[filled] * np.abs(confidence[filled] - accuracy[filled])).sum() / count.sum())


def adaptive_calibration_error(target: np.ndarray, logits: np.ndarray, bins: int = BINS) -> float:
    """Class by class, with bins of equal mass, the mean of |accuracy - confidence| (Nixon et al. 2019)."""
    probability = softmax(logits)
    gaps = []
    for column in range(probability.shape[1]):
        confidence, right = probability[:, column], (target == column).astype(np.float64)
        count, mean, share = _binned(confidence, right, _membership(confidence, bins, True), bins)
        gaps.append(np.abs(mean - share)[count > 0].mean())
    return float(np.mean(gaps))


def brier(target: np.ndarray, logits: np.ndarray) -> float:
    """Mean over samples of the squared distance of the probabilities from the one-hot target, 0 to 2
    (Brier 1950: summed over classes)."""
    probability = softmax(logits)
    probability[np.arange(len(target)), target] -= 1
    return float((probability**2).sum(axis=1).mean())


def negative_log_likelihood(target: np.ndarray, logits: np.ndarray) -> float:
    """Mean over samples of minus the logarithm of the target's probability, in nats."""
    return float(-log_softmax(logits)[np.arange(len(target)), target].mean())


def interval_coverage(target: np.ndarray, mean: np.ndarray, variance: np.ndarray, level: float) -> float:
    """The share of targets inside the central interval of that level of a Gaussian."""
    half = ndtri((1 + level) / 2) * np.sqrt(variance)
    return float((np.abs(target - mean) <= half).mean())


def interval_calibration_error(target: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> float:
    """The mean of |coverage - level| over the levels 0.05, 0.10, ..., 0.95 (after Kuleshov et al. 2018)."""
    levels = np.arange(1, 20) / 20
    inside = 2 * ndtr(np.abs(target - mean) / np.sqrt(variance)) - 1  # the level whose border the target is
    return float(np.abs((inside[:, None] <= levels).mean(axis=0) - levels).mean())


def crps_gaussian(target: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> float:
    """Mean continuous ranked probability score of Gaussian predictions (Gneiting and Raftery 2007, eq. 21)."""
    deviation = np.sqrt(variance)
    z = (target - mean) / deviation
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    return float((deviation * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi))).mean())


def gaussian_nll(target: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> float:
    """Mean over samples of minus the logarithm of the Gaussian density, in nats."""
    return float((0.5 * np.log(2 * np.pi * variance) + (target - mean) ** 2 / (2 * variance)).mean())


def _top(target: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(target) == 0:
        raise UndefinedError("there is no sample")
    probability = softmax(logits)
    return probability.max(axis=1), (np.argmax(logits, axis=1) == target).astype(np.float64)


def _membership(confidence: np.ndarray, bins: int, equal_mass: bool) -> np.ndarray:
    """[N]: the bin of each sample. Of equal mass: by rank; a tie is not torn apart, it goes to the bin of its
    first rank."""
    if not equal_mass:
        return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    first = np.searchsorted(np.sort(confidence), confidence, side="left")
    return first * bins // len(confidence)


def _binned(
    confidence: np.ndarray, right: np.ndarray, member: np.ndarray, bins: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count = np.bincount(member, minlength=bins).astype(np.float64)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(member, weights=confidence, minlength=bins) / count
        share = np.bincount(member, weights=right, minlength=bins) / count
    return count, mean, share


#: Called with class indices [N] and logits [N, C].
CLASSIFICATION = table(
    [
        Judge(
            "ece_equal_width_15",
            "Expected calibration error of the top class: 15 bins (k/15, (k+1)/15] of confidence, L1.",
            "lower",
            (0.0, 1.0),
            "fraction",
            "Guo et al. 2017; torchmetrics MulticlassCalibrationError",
            ece,
        ),
        Judge(
            "ece_equal_mass_15",
            "As ece_equal_width_15, with 15 bins of equally many samples.",
            "lower",
            (0.0, 1.0),
            "fraction",
            "Nguyen and O'Connor 2015",
            lambda target, logits: ece(target, logits, equal_mass=True),
        ),
        Judge(
            "ace_15",
            "Adaptive calibration error: the mean over classes and bins of equal mass of |accuracy - "
            "confidence|.",
            "lower",
            (0.0, 1.0),
            "fraction",
            "Nixon et al. 2019",
            adaptive_calibration_error,
        ),
        Judge(
            "brier",
            "Squared distance of the probabilities from the one-hot target, summed over classes.",
            "lower",
            (0.0, 2.0),
            "label",
            "Brier 1950",
            brier,
        ),
        Judge(
            "nll",
            "Minus the logarithm of the target's probability, in nats.",
            "lower",
            (0.0, float("inf")),
            "label",
            "scikit-learn log_loss",
            negative_log_likelihood,
        ),
    ]
)

#: Called with targets, predicted means and predicted variances, [N] each.
REGRESSION = table(
    [
        Judge(
            "crps_gaussian",
            "Continuous ranked probability score of the predicted Gaussian.",
            "lower",
            (0.0, float("inf")),
            "label",
            "Gneiting and Raftery 2007",
            crps_gaussian,
        ),
        Judge(
            "nll_gaussian",
            "Minus the logarithm of the predicted Gaussian density, in nats.",
            "lower",
            (-float("inf"), float("inf")),
            "label",
            "Nix and Weigend 1994",
            gaussian_nll,
        ),
        Judge(
            "interval_calibration_error",
            "The mean of |coverage - level| of central intervals at the levels 0.05 to 0.95.",
            "lower",
            (0.0, 1.0),
            "fraction",
            "after Kuleshov et al. 2018",
            interval_calibration_error,
        ),
        *(
            Judge(
                f"interval_miss_{level}",
                f"|coverage - {level} %| of the central {level} % interval.",
                "lower",
                (0.0, 1.0),
                "fraction",
                "Gneiting and Raftery 2007",
                lambda target, mean, variance, level=level: abs(
                    interval_coverage(target, mean, variance, level / 100) - level / 100
                ),
            )
            for level in (50, 90, 95)
        ),
    ]
)
