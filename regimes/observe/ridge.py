"""Valence by a regression: scores that people gave to other samples, predicted from features of the same encoder.

A linear regression with a penalty on its squared coefficients (Hoerl and Kennard 1970, Technometrics 12, 55), of centred scores
on standardised features, has one solution, which a singular value decomposition gives for every penalty at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..segmenter import SegmenterError

#: The penalties that are tried, per training sample: from nearly none to one that leaves little but the mean.
PENALTIES = tuple(float(10**power) for power in np.arange(-3, 3.5, 0.5))
#: Decimals of a prediction. Further ones differ between machines, and would give the same observations another fingerprint.
DECIMALS = 6


@dataclass(frozen=True)
class Ridge:
    """A fitted regression.

    Attributes:
        mean: [features], what is taken from them.
        scale: [features], what they are then multiplied by; 0 of a constant one.
        weight: [features].
        bias: the mean of the training scores.
        penalty: the factor of the squared coefficients, per training sample.
        trained, validated: samples that it was fitted to, and by which the penalty was chosen.
    """

    mean: np.ndarray
    scale: np.ndarray
    weight: np.ndarray
    bias: float
    penalty: float
    trained: int
    validated: int

    def predict(self, features: np.ndarray) -> np.ndarray:
        """[samples]: the scores of samples; NaN of one whose features are NaN.

        Args:
            features: [samples, features].
        """
        return np.round((features - self.mean) * self.scale @ self.weight + self.bias, DECIMALS)


def fit_ridge(
    features: np.ndarray, scores: np.ndarray, valid_features: np.ndarray, valid_scores: np.ndarray
) -> Ridge:
    """Fits the training samples with each penalty, and keeps the one with the least squared error on the validation samples.

    Args:
        features, scores: [samples, features] and [samples], of training; rows with NaN are left out.
        valid_features, valid_scores: the same of validation.

    Raises:
        SegmenterError: fewer than two training samples, or no validation sample, have features.
    """
    features, scores = _complete(features, scores)
    valid_features, valid_scores = _complete(valid_features, valid_scores)
    if len(scores) < 2 or not len(valid_scores):
        raise SegmenterError(
            f"{len(scores)} samples train and {len(valid_scores)} validate: two and one or more are expected"
        )
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    varies = deviation > 1e-12 * np.maximum(1, np.abs(mean))
    scale = np.where(varies, 1 / np.where(varies, deviation, 1), 0.0)
    bias = float(scores.mean())
    left, singular, right = np.linalg.svd((features - mean) * scale, full_matrices=False)
    along = left.T @ (scores - bias)

    def fitted_with(penalty: float) -> Ridge:
        weight = right.T @ (singular / (singular**2 + len(scores) * penalty) * along)
        return Ridge(mean, scale, weight, bias, penalty, len(scores), len(valid_scores))

    fitted = [fitted_with(penalty) for penalty in PENALTIES]
    return min(fitted, key=lambda one: float(((one.predict(valid_features) - valid_scores) ** 2).mean()))


def errors(predicted: np.ndarray, scores: np.ndarray, mean: float) -> dict[str, float]:
    """How far predictions are off: ``mae``, the mean absolute error; ``mae_of_mean``, that of one and the same score for all;
    ``r``, Pearson's correlation, 0 where either is constant; and the number of ``samples``. Those without a prediction are left out.

    Args:
        predicted: [samples].
        scores: [samples].
        mean: the score that is predicted without features.

    Raises:
        SegmenterError: no sample has a prediction.
    """
    seen = np.isfinite(predicted)
    predicted, scores = predicted[seen], scores[seen]
    if not len(scores):
        raise SegmenterError("no test sample has features")
    off, around = predicted - predicted.mean(), scores - scores.mean()
    size = float(np.sqrt((off**2).sum() * (around**2).sum()))
    return {
        "samples": len(scores),
        "mae": float(np.abs(predicted - scores).mean()),
        "mae_of_mean": float(np.abs(mean - scores).mean()),
        "r": float((off * around).sum() / size) if size else 0.0,
    }


def _complete(features: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    seen = np.isfinite(features).all(axis=1)
    return features[seen], scores[seen].astype(np.float64)
