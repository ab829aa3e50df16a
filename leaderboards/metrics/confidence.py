"""How sure a network is of each answer: higher is surer. Whether it is right to be, ``selective`` judges."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import log_softmax as _log_softmax


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """[N, C] logits -> [N, C] logarithms of probabilities, float64; safe for logits of any size."""
    return _log_softmax(np.asarray(logits, dtype=np.float64), axis=1)


def softmax(logits: np.ndarray) -> np.ndarray:
    """[N, C] logits -> [N, C] probabilities, float64."""
    return np.exp(log_softmax(logits))


def max_softmax(logits: np.ndarray) -> np.ndarray:
    """[N, C] -> [N]: the largest probability (Hendrycks and Gimpel 2017)."""
    return softmax(logits).max(axis=1)


def margin(logits: np.ndarray) -> np.ndarray:
    """[N, C] -> [N]: the largest probability minus the second."""
    ordered = np.sort(softmax(logits), axis=1)
    return ordered[:, -1] - ordered[:, -2]


def negative_entropy(logits: np.ndarray) -> np.ndarray:
    """[N, C] -> [N]: sum of p log p, in nats; 0 is the surest."""
    logarithms = log_softmax(logits)
    return (np.exp(logarithms) * logarithms).sum(axis=1)


def ensemble(answers: np.ndarray) -> np.ndarray:
    """Minus the distance of each network's answer from the mean answer of all seeds.

    Args:
        answers: [S, N] scores, or [S, N, C] probabilities.

    Returns:
        [S, N]: 0 where all agree; minus the Euclidean distance else.
    """
    answers = np.asarray(answers, dtype=np.float64)
    away = answers - answers.mean(axis=0)
    return -np.abs(away) if answers.ndim == 2 else -np.sqrt((away**2).sum(axis=2))


#: name -> confidence from logits
LOGITS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "max_softmax": max_softmax,
    "margin": margin,
    "negative_entropy": negative_entropy,
}
