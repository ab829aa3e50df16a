"""Misclassification detection and selective prediction: does confidence order answers by their error?

Everything takes the loss of each sample (0 or 1, or an absolute error) and the confidence in it. Equal
confidences have no order: risks inside a tie are the expectation over all orders.
"""

from __future__ import annotations

import numpy as np

from .detection import auroc, average_precision, fpr_at_tpr, fpr_nearest_tpr
from .judge import Judge, UndefinedError, table


def risk_coverage_curve(loss: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coverage [N] (1/N to 1) and the mean loss [N] of the most confident share of samples.

    Raises:
        UndefinedError: there is no sample.
    """
    accepted = np.arange(1, len(loss) + 1)
    return accepted / len(loss), _accepted_loss(loss, confidence) / accepted


def aurc(loss: np.ndarray, confidence: np.ndarray) -> float:
    """The mean over n of the mean loss of the n most confident samples (Geifman, Uziel, El-Yaniv 2019)."""
    return float(risk_coverage_curve(loss, confidence)[1].mean())


def e_aurc(loss: np.ndarray, confidence: np.ndarray) -> float:
    """AURC minus that of the best order, smallest losses first (Geifman, Uziel, El-Yaniv 2019, eq. 4; the
    exact value of the best order, not its approximation)."""
    return aurc(loss, confidence) - aurc(loss, -np.asarray(loss, dtype=np.float64))


def augrc(loss: np.ndarray, confidence: np.ndarray) -> float:
    """The mean over n of the loss of the n most confident samples, divided by all N (Traub et al. 2024)."""
    return float(_accepted_loss(loss, confidence).mean() / len(loss))


def mean_loss_at_coverage(loss: np.ndarray, confidence: np.ndarray, coverage: float) -> float:
    """The mean loss of the ceil(coverage N) most confident samples."""
    count = int(np.ceil(coverage * len(loss) - 1e-9))
    return float(_accepted_loss(loss, confidence)[count - 1] / count)


def _accepted_loss(loss: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """[N]: the expected sum of the losses of the n most confident samples, n = 1 ... N."""
    if len(loss) == 0:
        raise UndefinedError("there is no sample")
    order = np.argsort(-np.asarray(confidence, dtype=np.float64), kind="stable")
    ordered = np.asarray(confidence)[order]
    losses = np.asarray(loss, dtype=np.float64)[order]
    starts = np.append(0, np.flatnonzero(ordered[1:] != ordered[:-1]) + 1)
    sizes = np.diff(np.append(starts, len(losses)))
    return np.cumsum(np.repeat(np.add.reduceat(losses, starts) / sizes, sizes))


def _split(loss: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The confidences of right and of wrong answers."""
    wrong = np.asarray(loss) > 0
    if wrong.all() or not wrong.any():
        raise UndefinedError(f"every answer is {'wrong' if len(wrong) and wrong.all() else 'right'}")
    confidence = np.asarray(confidence, dtype=np.float64)
    return confidence[~wrong], confidence[wrong]


def _right_positive(measure):
    return lambda loss, confidence: measure(*_split(loss, confidence))


def _aupr_error(loss: np.ndarray, confidence: np.ndarray) -> float:
    right, wrong = _split(loss, confidence)
    return average_precision(-wrong, -right)


_AREAS = (
    Judge(
        "aurc",
        "The mean over n of the mean loss of the n most confident samples; equal confidences in expectation "
        "over their orders. MMDG-Bench prints it times 1000.",
        "lower",
        (0.0, float("inf")),
        "label",
        "Geifman, Uziel, El-Yaniv 2019",
        aurc,
    ),
    Judge(
        "e_aurc",
        "AURC minus that of the best possible order.",
        "lower",
        (0.0, float("inf")),
        "label",
        "Geifman, Uziel, El-Yaniv 2019",
        e_aurc,
    ),
    Judge(
        "augrc",
        "The mean over n of the summed loss of the n most confident samples, divided by all samples.",
        "lower",
        (0.0, float("inf")),
        "label",
        "Traub et al. 2024",
        augrc,
    ),
)

CLASSIFICATION = table(
    [
        *_AREAS,
        Judge(
            "misd_auroc",
            "The probability that a right answer has the higher confidence than a wrong one; ties count half.",
            "higher",
            (0.0, 1.0),
            "fraction",
            "Hendrycks and Gimpel 2017",
            _right_positive(auroc),
        ),
        Judge(
            "misd_fpr95_correct_positive",
            "The share of wrong answers accepted where at least 95 % of right ones are.",
            "lower",
            (0.0, 1.0),
            "fraction",
            "Hendrycks and Gimpel 2017; first threshold with TPR >= 0.95",
            _right_positive(fpr_at_tpr),
        ),
        Judge(
            "misd_fpr95_nearest_mmdg",
            "The share of wrong answers accepted at the threshold whose true positive rate is nearest 0.95.",
            "lower",
            (0.0, 1.0),
            "fraction",
            "MMDG-Bench (arXiv 2605.06643), code",
            _right_positive(fpr_nearest_tpr),
        ),
        Judge(
            "aupr_success",
            "Average precision with right answers as positives.",
            "higher",
            (0.0, 1.0),
            "fraction",
            "Hendrycks and Gimpel 2017",
            _right_positive(average_precision),
        ),
        Judge(
            "aupr_error",
            "Average precision with wrong answers as positives and minus the confidence.",
            "higher",
            (0.0, 1.0),
            "fraction",
            "Hendrycks and Gimpel 2017",
            _aupr_error,
        ),
        *(
            Judge(
                f"accuracy_at_{share}",
                f"The accuracy of the {share} % most confident samples.",
                "higher",
                (0.0, 1.0),
                "fraction",
                "El-Yaniv and Wiener 2010",
                lambda loss, confidence, share=share: (
                    1 - mean_loss_at_coverage(loss, confidence, share / 100)
                ),
            )
            for share in (90, 80, 50)
        ),
    ]
)

REGRESSION = table(
    [
        *_AREAS,
        *(
            Judge(
                f"mae_at_{share}",
                f"The mean absolute error of the {share} % most confident samples.",
                "lower",
                (0.0, float("inf")),
                "label",
                "El-Yaniv and Wiener 2010, with absolute loss",
                lambda loss, confidence, share=share: mean_loss_at_coverage(loss, confidence, share / 100),
            )
            for share in (100, 90, 80, 50)
        ),
    ]
)
