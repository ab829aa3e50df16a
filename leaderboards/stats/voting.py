"""Several networks as one: the vote of their answers, the weights of stacking, and how alike their errors are.

A vote is a weighted mean: of probabilities (soft voting, as in deep ensembles, Lakshminarayanan et al. 2017, NeurIPS) or
of scores. It is taken of answers as they are; no threshold is tuned.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
from scipy.special import expit, log_softmax, logsumexp

#: What an answer is: a score, logits of exclusive classes, or logits of several labels.
Answer = Literal["score", "classes", "labels"]
#: Iterations of the weights of stacking at the most, and a change below which they stand.
_MOST, _STILL = 2000, 1e-7
#: The smallest probability, so that its logarithm is finite.
_TINY = np.finfo(np.float64).tiny


def vote(answers: Iterable[np.ndarray], weights: np.ndarray, kind: Answer) -> np.ndarray:
    """The vote of some networks, in the form in which a network answers.

    Args:
        answers: of each network, [N] scores or [N, C] logits; read one after the other.
        weights: of each network, 0 or more; those of logits sum to 1.
        kind: what the answers are.

    Returns:
        float64. Scores: their weighted sum. Classes: logits whose softmax is the weighted mean of the probabilities; as
        softmax leaves their sum open, their log-sum-exp is the weighted mean of the networks', so that scores of energy
        keep a meaning. Labels: logits whose sigmoid is the weighted mean of the probabilities.
    """
    pairs = zip(weights, answers, strict=True)
    if kind == "score":
        return np.sum([weight * np.asarray(one, dtype=np.float64) for weight, one in pairs], axis=0)
    mean, level = None, None
    for weight, one in pairs:
        logits = np.asarray(one, dtype=np.float64)
        probability = weight * probabilities(logits, kind)
        mean = probability if mean is None else mean + probability
        if kind == "classes":
            own = weight * logsumexp(logits, axis=1, keepdims=True)
            level = own if level is None else level + own
    assert mean is not None
    logarithm = np.log(np.maximum(mean, _TINY))
    if kind == "labels":
        return logarithm - np.log(np.maximum(1 - mean, _TINY))
    return logarithm + level


def probabilities(logits: np.ndarray, kind: Answer) -> np.ndarray:
    """[N, C] logits -> [N, C] probabilities: of exclusive classes by softmax, of labels by the sigmoid.

    Args:
        logits: finite.
        kind: ``"classes"`` or ``"labels"``.
    """
    return expit(logits) if kind == "labels" else np.exp(log_softmax(logits, axis=1))


def stacking_weights(answers: Iterable[np.ndarray], target: np.ndarray, kind: Answer) -> np.ndarray:
    """The weights of stacking (Wolpert 1992), fitted on samples that no network was trained on.

    Scores: least squares with weights of 0 or more (Breiman 1996, Machine Learning 24, 49). Classes and labels: the
    weights, 0 or more with the sum 1, under which the weighted mean of the probabilities gives the targets the greatest
    likelihood; found by expectation and maximisation, each step of which is exact and never lowers it.

    Args:
        answers: of each network on the same held-out samples, [N] scores or [N, C] logits.
        target: [N], or [N, C] of 0 and 1 for labels.
        kind: what the answers are.

    Returns:
        [networks] float64; all equal where the samples favour none.
    """
    if kind == "score":
        from scipy.optimize import nnls

        columns = np.stack([np.asarray(one, dtype=np.float64) for one in answers], axis=1)
        weights, _ = nnls(columns, np.asarray(target, dtype=np.float64))
        return weights if weights.any() else np.full(columns.shape[1], 1 / columns.shape[1])
    likely = np.stack([_likelihood(np.asarray(one), target, kind) for one in answers], axis=1)
    likely = np.maximum(likely, _TINY)
    weights = np.full(likely.shape[1], 1 / likely.shape[1])
    for _ in range(_MOST):
        shares = likely * weights
        new = (shares / shares.sum(axis=1, keepdims=True)).mean(axis=0)
        still = np.abs(new - weights).max() < _STILL
        weights = new
        if still:
            break
    return weights / weights.sum()


def _likelihood(logits: np.ndarray, target: np.ndarray, kind: Answer) -> np.ndarray:
    """The probability of each target: [N], or of labels [N x C]."""
    probability = probabilities(logits.astype(np.float64), kind)
    if kind == "labels":
        return np.where(target == 1, probability, 1 - probability).ravel()
    return probability[np.arange(len(target)), target.astype(np.int64)]


def error_correlation(wrong: np.ndarray) -> np.ndarray:
    """How alike the errors of networks are, pair by pair.

    Args:
        wrong: [networks, N]: whether each answer is wrong (the correlation is then phi), or the signed error of each score
            (Pearson's).

    Returns:
        [pairs] in the order of ``numpy.triu_indices``; NaN where a network of the pair has the same error everywhere.
    """
    errors = np.asarray(wrong, dtype=np.float64)
    away = errors - errors.mean(axis=1, keepdims=True)
    norm = np.sqrt((away**2).sum(axis=1))
    product = norm[:, None] * norm[None, :]
    correlation = np.divide(away @ away.T, product, out=np.full(product.shape, np.nan), where=product > 0)
    return np.clip(correlation[np.triu_indices(len(errors), 1)], -1, 1)
