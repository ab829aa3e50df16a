"""Scores of how much a sample looks like those that a network was trained on: higher is more familiar.

Scores on logits need nothing else. Scores on features are fitted on source training features, and never see a
test or OOD sample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp, softmax

from .base import UndefinedError

#: fused features [N, D] or None, logits [N, C] or None -> score [N]
Scorer = Callable[[np.ndarray | None, np.ndarray | None], np.ndarray]
#: training features, targets and logits -> the fitted score
Fit = Callable[[np.ndarray | None, np.ndarray, np.ndarray | None], Scorer]


@dataclass(frozen=True)
class OODScore:
    """A score: its name, whose it is, and how it is fitted (``fit`` raises UndefinedError where it cannot be)."""

    name: str
    source: str
    fit: Fit


def msp(logits: np.ndarray) -> np.ndarray:
    """The largest probability (Hendrycks and Gimpel 2017)."""
    return softmax(logits, axis=1).max(axis=1)


def max_logit(logits: np.ndarray) -> np.ndarray:
    """The largest logit (Hendrycks et al. 2022)."""
    return logits.max(axis=1)


def energy(logits: np.ndarray) -> np.ndarray:
    """Minus the free energy at temperature 1: log sum exp of the logits (Liu et al. 2020)."""
    return np.asarray(logsumexp(logits, axis=1))


def gen(logits: np.ndarray, gamma: float = 0.1, top: int = 100) -> np.ndarray:
    """Minus the generalised entropy, sum of (p (1 - p))^gamma over the largest probabilities (Liu et al.
    2023).

    Args:
        logits: [N, C].
        gamma: the exponent, in (0, 1).
        top: how many of the largest probabilities are summed; all, where there are fewer.

    Returns:
        [N], at most 0; higher is more familiar.
    """
    largest = -np.sort(-softmax(logits, axis=1), axis=1)[:, :top]
    return -((largest * (1 - largest)) ** gamma).sum(axis=1)


def fit_mahalanobis(features: np.ndarray, target: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Minus the squared distance from the nearest class mean under one shared covariance (Lee et al. 2018).

    Directions without variance are left out.

    Args:
        features: [N, D], of source training samples.
        target: [N] class indices. Targets that are no classes (floats) count as one class.

    Returns:
        [M, D] features -> [M] scores, at most 0; higher is more familiar.

    Raises:
        UndefinedError: the training features do not vary.
    """
    labels = target.astype(np.int64) if target.dtype.kind in "iu" else np.zeros(len(target), np.int64)
    classes, member = np.unique(labels, return_inverse=True)
    means = np.stack([features[member == index].mean(axis=0) for index in range(len(classes))])
    centred = features - means[member]
    whiten = _whitening(centred.T @ centred / len(features))

    def score(values: np.ndarray) -> np.ndarray:
        distances = [(((values - mean) @ whiten) ** 2).sum(axis=1) for mean in means]
        return -np.min(distances, axis=0)

    return score


def _whitening(covariance: np.ndarray) -> np.ndarray:
    """[D, R]: a square root of the pseudo-inverse."""
    values, vectors = np.linalg.eigh(covariance)
    varies = values > max(values.max(initial=0.0), 0.0) * 1e-10
    if not varies.any():
        raise UndefinedError("the training features do not vary")
    return vectors[:, varies] / np.sqrt(values[varies])


def fit_knn(features: np.ndarray, neighbours: int = 50) -> Callable[[np.ndarray], np.ndarray]:
    """Minus the distance to the k-th nearest training feature, all of length one (Sun et al. 2022).

    Args:
        features: [N, D], of source training samples.
        neighbours: k. With fewer than 10 k training samples it is a tenth of them, at least 1.

    Returns:
        [M, D] features -> [M] scores, in [-2, 0]; higher is more familiar.
    """
    k = max(1, min(neighbours, len(features) // 10))
    bank = _unit(features)

    def score(values: np.ndarray) -> np.ndarray:
        scores = []
        for start in range(0, len(values), 256):
            similar = _unit(values[start : start + 256]) @ bank.T
            kth = -np.partition(-similar, k - 1, axis=1)[:, k - 1]
            scores.append(-np.sqrt(np.maximum(2 - 2 * kth, 0)))
        return np.concatenate(scores) if scores else np.empty(0)

    return score


def _unit(features: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(length > 0, length, 1.0)


def fit_residual(features: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Minus the length of what lies outside the principal space of the training features (Wang et al. 2022;
    the origin is their mean, the space holds 95 % of their variance, at most D - 1 dimensions)."""
    mean = features.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov((features - mean).T, bias=True).reshape(features.shape[1], -1))
    if values.max(initial=0.0) <= 0:
        raise UndefinedError("the training features do not vary")
    descending = np.clip(values[::-1], 0, None)
    dimensions = int(np.searchsorted(np.cumsum(descending) / descending.sum(), 0.95)) + 1
    outside = vectors[:, : max(1, len(values) - dimensions)]

    def score(foreign: np.ndarray) -> np.ndarray:
        return -np.linalg.norm((foreign - mean) @ outside, axis=1)

    return score


def fit_vim(features: np.ndarray, logits: np.ndarray) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Virtual-logit matching: energy minus the residual, scaled so that its mean on training data is that of
    the largest logit (Wang et al. 2022; minus the log-odds of their virtual class, which orders alike).

    Args:
        features: [N, D], of source training samples.
        logits: [N, C], of the same samples.

    Returns:
        [M, D] features and [M, C] logits -> [M] scores; higher is more familiar.

    Raises:
        UndefinedError: the training features do not vary, or lie within their principal space.
    """
    residual = fit_residual(features)
    length = -residual(features)
    if not length.sum() > 0:
        raise UndefinedError("the training features have no residual")
    alpha = logits.max(axis=1).sum() / length.sum()

    def score(foreign: np.ndarray, its_logits: np.ndarray) -> np.ndarray:
        return energy(its_logits) + alpha * residual(foreign)

    return score


def _on_logits(function: Callable[[np.ndarray], np.ndarray]) -> Fit:
    def fit(features: np.ndarray | None, target: np.ndarray, logits: np.ndarray | None) -> Scorer:
        if logits is None:
            raise UndefinedError("a regression has no logits")
        return lambda values, its_logits: function(_given(its_logits, "logits"))

    return fit


def _on_features(fitter: Callable[[np.ndarray, np.ndarray], Callable[[np.ndarray], np.ndarray]]) -> Fit:
    def fit(features: np.ndarray | None, target: np.ndarray, logits: np.ndarray | None) -> Scorer:
        score = fitter(_given(features, "fused feature"), target)
        return lambda values, its_logits: score(_given(values, "fused feature"))

    return fit


def _vim(features: np.ndarray | None, target: np.ndarray, logits: np.ndarray | None) -> Scorer:
    if logits is None:
        raise UndefinedError("a regression has no logits")
    score = fit_vim(_given(features, "fused feature"), logits)
    return lambda values, its_logits: score(_given(values, "fused feature"), _given(its_logits, "logits"))


def _given(values: np.ndarray | None, what: str) -> np.ndarray:
    if values is None:
        raise UndefinedError(f"the method gives no {what}")
    return values


SCORES: dict[str, OODScore] = {
    score.name: score
    for score in (
        OODScore("msp", "Hendrycks and Gimpel 2017", _on_logits(msp)),
        OODScore("max_logit", "Hendrycks et al. 2022", _on_logits(max_logit)),
        OODScore("energy", "Liu et al. 2020", _on_logits(energy)),
        OODScore("gen", "Liu et al. 2023", _on_logits(gen)),
        OODScore("mahalanobis", "Lee et al. 2018", _on_features(fit_mahalanobis)),
        OODScore("knn", "Sun et al. 2022", _on_features(lambda features, target: fit_knn(features))),
        OODScore(
            "residual", "Wang et al. 2022", _on_features(lambda features, target: fit_residual(features))
        ),
        OODScore("vim", "Wang et al. 2022", _vim),
    )
}
