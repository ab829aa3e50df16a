"""Metrics of classification. A class is the argmax of the logits; of equal logits the first wins."""

from __future__ import annotations

import numpy as np

from .base import Mean, Metric, ratio


def accuracy_terms(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Whether the predicted class is the target.

    Args:
        target: [N] class indices, int64.
        prediction: [N] class indices, or [N, C] logits.

    Returns:
        [N, 1] float64, 1 where it is.
    """
    return (predicted_class(prediction) == target)[:, None].astype(np.float64)


def predicted_class(prediction: np.ndarray) -> np.ndarray:
    """[N] class indices from [N, C] logits (the first of equal logits), or [N] indices as they are."""
    return prediction if prediction.ndim == 1 else prediction.argmax(axis=1)


def class_terms(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """What precision and recall of each class need, as of ``one_hot_terms``.

    Args:
        target: [N] class indices, int64.
        prediction: [N, C] logits, or [N] class indices; of these C is one more than the largest index that
            occurs.

    Returns:
        [N, 3 C] float64.
    """
    predicted = predicted_class(prediction)
    classes = int(max(target.max(), predicted.max())) + 1 if prediction.ndim == 1 else prediction.shape[1]
    return one_hot_terms(target, predicted, classes)


def one_hot_terms(target: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """What precision and recall of each class need.

    Args:
        target: [N] class indices, int64, from 0.
        predicted: [N] class indices, int64, from 0.
        classes: their number, above every index.

    Returns:
        [N, 3 classes] float64: one-hot target, one-hot predicted class, and one-hot target where both agree.
    """
    identity = np.eye(classes)
    truth, guess = identity[target], identity[predicted]
    return np.concatenate([truth, guess, truth * guess], axis=1)


def finish_share(mean: np.ndarray) -> np.ndarray:
    """[..., 1] -> [...]: the mean itself."""
    return mean[..., 0]


def finish_balanced_accuracy(mean: np.ndarray) -> np.ndarray:
    """[..., 3 C] -> [...]: mean recall over the classes that occur in the target."""
    truth, _, both = np.split(mean, 3, axis=-1)
    return ratio(ratio(both, truth, 0.0).sum(axis=-1), (truth > 0).sum(axis=-1))


def finish_f1_macro(mean: np.ndarray) -> np.ndarray:
    """[..., 3 C] -> [...]: mean F1 over the classes that occur in the target or in the prediction."""
    truth, guess, both = np.split(mean, 3, axis=-1)
    return ratio(ratio(2 * both, truth + guess, 0.0).sum(axis=-1), (truth + guess > 0).sum(axis=-1))


def finish_f1_weighted(mean: np.ndarray) -> np.ndarray:
    """[..., 3 C] -> [...]: F1 of each class, weighted by how often it occurs in the target."""
    truth, guess, both = np.split(mean, 3, axis=-1)
    f1 = ratio(2 * both, truth + guess, 0.0)
    return ratio((truth * f1).sum(axis=-1), truth.sum(axis=-1))


CLASSIFICATION = (
    Metric(
        name="accuracy",
        convention="Top-1: the share of samples whose largest logit is that of the target; of equal logits "
        "the first counts as the largest.",
        direction="higher",
        range=(0.0, 1.0),
        unit="fraction",
        undefined="",
        source="scikit-learn accuracy_score",
        measure=Mean("classification", accuracy_terms, finish_share),
    ),
    Metric(
        name="balanced_accuracy",
        convention="The mean recall over the classes that occur in the target; others are left out.",
        direction="higher",
        range=(0.0, 1.0),
        unit="fraction",
        undefined="",
        source="scikit-learn balanced_accuracy_score (not adjusted for chance)",
        measure=Mean("classification", class_terms, finish_balanced_accuracy),
    ),
    Metric(
        name="f1_macro",
        convention="The plain mean of F1 over the classes that occur in the target or in the prediction; a "
        "class that is only predicted counts as 0.",
        direction="higher",
        range=(0.0, 1.0),
        unit="fraction",
        undefined="",
        source="scikit-learn f1_score(average='macro', zero_division=0)",
        measure=Mean("classification", class_terms, finish_f1_macro),
    ),
    Metric(
        name="f1_weighted",
        convention="F1 of each class, weighted by how often the class occurs in the target.",
        direction="higher",
        range=(0.0, 1.0),
        unit="fraction",
        undefined="",
        source="scikit-learn f1_score(average='weighted', zero_division=0)",
        measure=Mean("classification", class_terms, finish_f1_weighted),
    ),
)
