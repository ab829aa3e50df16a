"""Misclassification detection and selective prediction: does confidence order answers by their error?

Everything takes the loss of each sample (0 or 1, or an absolute error) and the confidence in it. Equal
confidences have no order: risks inside a tie are the expectation over all orders.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .base import Counts, UndefinedError, by_name, once, rank_metric
from .detection import (
    Curve,
    area_of,
    curve,
    false_rate_of,
    mirrored,
    nearest_false_rate_of,
    precision_of,
)


def risk_coverage_curve(loss: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean loss of the most confident share of samples, for every share.

    Args:
        loss: [N], 0 or 1, or absolute errors.
        confidence: [N], higher is surer.

    Returns:
        Coverage [N], 1/N to 1, and risk [N], in the unit of the loss.

    Raises:
        UndefinedError: there is no sample.
    """
    accepted = np.arange(1, len(loss) + 1)
    return accepted / len(loss), _accepted_loss(loss, confidence) / accepted


def aurc(loss: np.ndarray, confidence: np.ndarray) -> float:
    """The mean over n of the mean loss of the n most confident samples (Geifman, Uziel, El-Yaniv 2019).

    Args:
        loss: [N], 0 or 1, or absolute errors.
        confidence: [N], higher is surer.

    Returns:
        In the unit of the loss; lower is better.

    Raises:
        UndefinedError: there is no sample.
    """
    return float(_aurc(ranked(loss, confidence))[0])


def e_aurc(loss: np.ndarray, confidence: np.ndarray) -> float:
    """AURC minus that of the best order, smallest losses first (Geifman, Uziel, El-Yaniv 2019, eq. 4; the
    exact value of the best order, not its approximation).

    Args:
        loss: [N], 0 or 1, or absolute errors.
        confidence: [N], higher is surer.

    Returns:
        In the unit of the loss, at least 0 up to rounding; lower is better.

    Raises:
        UndefinedError: there is no sample.
    """
    return aurc(loss, confidence) - aurc(loss, -np.asarray(loss, dtype=np.float64))


def augrc(loss: np.ndarray, confidence: np.ndarray) -> float:
    """The mean over n of the loss of the n most confident samples, divided by all N (Traub et al. 2024).

    Args:
        loss: [N], 0 or 1, or absolute errors.
        confidence: [N], higher is surer.

    Returns:
        In the unit of the loss; lower is better.

    Raises:
        UndefinedError: there is no sample.
    """
    return float(_augrc(ranked(loss, confidence))[0])


def mean_loss_at_coverage(loss: np.ndarray, confidence: np.ndarray, coverage: float) -> float:
    """The mean loss of the ceil(coverage N) most confident samples.

    Args:
        loss: [N], 0 or 1, or absolute errors.
        confidence: [N], higher is surer.
        coverage: the share that is accepted, in (0, 1].

    Returns:
        In the unit of the loss.

    Raises:
        UndefinedError: there is no sample.
    """
    return float(_loss_at(ranked(loss, confidence), coverage)[0])


@dataclass(frozen=True)
class Ranked:
    """Samples from the most to the least confident, those of equal confidence together, on each resample.

    Attributes:
        count: [draws, groups], how many samples have each confidence.
        loss: [draws, groups], the sum of their losses.
    """

    count: np.ndarray
    loss: np.ndarray

    @property
    def before(self) -> tuple[np.ndarray, np.ndarray]:
        """Count and loss of all groups before each, [draws, groups]."""
        return np.cumsum(self.count, axis=1) - self.count, np.cumsum(self.loss, axis=1) - self.loss

    @property
    def mean(self) -> np.ndarray:
        """[draws, groups]: the mean loss of each group, 0 where it is empty."""
        return np.divide(self.loss, self.count, out=np.zeros_like(self.loss), where=self.count > 0)


def ranked(loss: np.ndarray, confidence: np.ndarray, counts: np.ndarray | None = None) -> Ranked:
    """Groups samples by confidence.

    Args:
        loss: [N].
        confidence: [N].
        counts: [draws, N], how often each stands in each resample; by default once.

    Raises:
        UndefinedError: there is no sample.
    """
    loss, confidence = np.asarray(loss, dtype=np.float64), np.asarray(confidence, dtype=np.float64)
    if len(loss) == 0:
        raise UndefinedError("there is no sample")
    order = np.argsort(-confidence, kind="stable")
    ordered = confidence[order]
    starts = np.append(0, np.flatnonzero(ordered[1:] != ordered[:-1]) + 1)
    weights = (once(loss)[0] if counts is None else counts)[:, order].astype(np.float64)
    return Ranked(
        np.add.reduceat(weights, starts, axis=1), np.add.reduceat(weights * loss[order], starts, axis=1)
    )


def _aurc(samples: Ranked) -> np.ndarray:
    """Inside a group, accepted one by one, the summed loss grows evenly from ``loss`` by ``mean``: the sum of
    (loss + (k - count) mean) / k over the group's k."""
    count, loss = samples.before
    total = round(float(samples.count[0].sum()))
    harmonic = np.append(0.0, np.cumsum(1 / np.arange(1, total + 1)))
    first, last = count.round().astype(np.int64), (count + samples.count).round().astype(np.int64)
    mean = samples.mean
    parts = mean * samples.count + (loss - count * mean) * (harmonic[last] - harmonic[first])
    return parts.sum(axis=1) / total


def _augrc(samples: Ranked) -> np.ndarray:
    _, loss = samples.before
    parts = loss * samples.count + samples.mean * samples.count * (samples.count + 1) / 2
    return parts.sum(axis=1) / samples.count.sum(axis=1) ** 2


def _loss_at(samples: Ranked, coverage: float) -> np.ndarray:
    count, loss = samples.before
    wanted = np.ceil(coverage * samples.count.sum(axis=1) - 1e-9)
    place = np.argmax(count + samples.count >= wanted[:, None] - 0.5, axis=1)
    rows = np.arange(len(count))
    inside = wanted - count[rows, place]
    return (loss[rows, place] + inside * samples.mean[rows, place]) / wanted


def _accepted_loss(loss: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """[N]: the expected sum of the losses of the n most confident samples, n = 1 ... N."""
    samples = ranked(loss, confidence)
    return np.cumsum(np.repeat(samples.mean[0], samples.count[0].round().astype(np.int64)))


def _over_ranks(measure: Callable[[Ranked], np.ndarray]) -> Callable[..., np.ndarray]:
    return lambda arrays, counts: measure(ranked(arrays[0], arrays[1], counts[0]))


def _excess(arrays: tuple[np.ndarray, ...], counts: Counts) -> np.ndarray:
    loss, confidence = arrays
    best = ranked(loss, -np.asarray(loss, dtype=np.float64), counts[0])
    return _aurc(ranked(loss, confidence, counts[0])) - _aurc(best)


def _right_positive(measure: Callable[[Curve], np.ndarray]) -> Callable[..., np.ndarray]:
    return lambda arrays, counts: measure(_right_and_wrong(arrays, counts))


def _wrong_positive(measure: Callable[[Curve], np.ndarray]) -> Callable[..., np.ndarray]:
    return lambda arrays, counts: measure(mirrored(_right_and_wrong(arrays, counts)))


def _right_and_wrong(arrays: tuple[np.ndarray, ...], counts: Counts) -> Curve:
    """The curve of the confidences of right answers against those of wrong ones."""
    loss, confidence = (np.asarray(array, dtype=np.float64) for array in arrays)
    wrong = loss > 0
    if wrong.all() or not wrong.any():
        raise UndefinedError(f"every answer is {'wrong' if len(wrong) and wrong.all() else 'right'}")
    return curve(confidence[~wrong], confidence[wrong], (counts[0][:, ~wrong], counts[0][:, wrong]))


_AREAS = (
    rank_metric(
        "aurc",
        "The mean over n of the mean loss of the n most confident samples; equal confidences in expectation "
        "over their orders. MMDG-Bench prints it times 1000.",
        "lower",
        (0.0, float("inf")),
        "label",
        "Geifman, Uziel, El-Yaniv 2019",
        _over_ranks(_aurc),
    ),
    rank_metric(
        "e_aurc",
        "AURC minus that of the best possible order.",
        "lower",
        (0.0, float("inf")),
        "label",
        "Geifman, Uziel, El-Yaniv 2019",
        _excess,
    ),
    rank_metric(
        "augrc",
        "The mean over n of the summed loss of the n most confident samples, divided by all samples.",
        "lower",
        (0.0, float("inf")),
        "label",
        "Traub et al. 2024",
        _over_ranks(_augrc),
    ),
)

CLASSIFICATION = by_name(
    [
        *(replace(area, range=(0.0, 1.0)) for area in _AREAS),  # the losses are 0 and 1
        rank_metric(
            "misd_auroc",
            "The probability that a right answer has the higher confidence than a wrong one; ties count half.",
            "higher",
            (0.0, 1.0),
            "fraction",
            "Hendrycks and Gimpel 2017",
            _right_positive(area_of),
        ),
        rank_metric(
            "misd_fpr95_correct_positive",
            "The share of wrong answers accepted where at least 95 % of right ones are.",
            "lower",
            (0.0, 1.0),
            "fraction",
            "Hendrycks and Gimpel 2017; first threshold with TPR >= 0.95",
            _right_positive(false_rate_of),
        ),
        rank_metric(
            "misd_fpr95_nearest_mmdg",
            "The share of wrong answers accepted at the threshold whose true positive rate is nearest 0.95.",
            "lower",
            (0.0, 1.0),
            "fraction",
            "MMDG-Bench (arXiv 2605.06643), code",
            _right_positive(nearest_false_rate_of),
        ),
        rank_metric(
            "aupr_success",
            "Average precision with right answers as positives.",
            "higher",
            (0.0, 1.0),
            "fraction",
            "Hendrycks and Gimpel 2017",
            _right_positive(precision_of),
        ),
        rank_metric(
            "aupr_error",
            "Average precision with wrong answers as positives and minus the confidence.",
            "higher",
            (0.0, 1.0),
            "fraction",
            "Hendrycks and Gimpel 2017",
            _wrong_positive(precision_of),
        ),
        *(
            rank_metric(
                f"accuracy_at_{share}",
                f"The accuracy of the {share} % most confident samples.",
                "higher",
                (0.0, 1.0),
                "fraction",
                "El-Yaniv and Wiener 2010",
                _over_ranks(lambda found, share=share: 1 - _loss_at(found, share / 100)),
            )
            for share in (90, 80, 50)
        ),
    ]
)

REGRESSION = by_name(
    [
        *_AREAS,
        *(
            rank_metric(
                f"mae_at_{share}",
                f"The mean absolute error of the {share} % most confident samples.",
                "lower",
                (0.0, float("inf")),
                "label",
                "El-Yaniv and Wiener 2010, with absolute loss",
                _over_ranks(lambda found, share=share: _loss_at(found, share / 100)),
            )
            for share in (100, 90, 80, 50)
        ),
    ]
)
