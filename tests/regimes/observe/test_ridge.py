"""A regression that valence is from."""

from __future__ import annotations

import numpy as np
import pytest
from mmbench.regimes.observe.ridge import DECIMALS, PENALTIES, errors, fit_ridge
from mmbench.regimes.segmenter import SegmenterError


def plant(seed: int, samples: int, noise: float, width: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Features of different sizes, one of them constant, and scores that are linear in them but for noise."""
    rng = np.random.default_rng(seed)
    features = rng.normal(3, 1, (samples, width)) * 10.0 ** np.arange(width) / 100
    features[:, -1] = 7
    scores = 1.5 + features[:, 0] * 50 - features[:, 2] / 2 + noise * rng.standard_normal(samples)
    return features, scores


def test_it_is_the_penalised_least_squares_fit_of_the_best_penalty():
    """Against the fit of samples to which one is added for each feature, whose score is 0: its squared error is the penalty."""
    train, valid = plant(0, 40, 1.0), plant(1, 30, 1.0)
    fitted = fit_ridge(*train, *valid)
    mean, deviation = train[0].mean(axis=0), train[0].std(axis=0)
    deviation[-1] = np.inf

    def predict(penalty: float, features: np.ndarray) -> np.ndarray:
        added = np.sqrt(40 * penalty) * np.eye(6)
        scores = np.append(train[1] - train[1].mean(), np.zeros(6))
        weight, *_ = np.linalg.lstsq(np.vstack([(train[0] - mean) / deviation, added]), scores, rcond=None)
        return (features - mean) / deviation @ weight + train[1].mean()

    off = {penalty: ((predict(penalty, valid[0]) - valid[1]) ** 2).mean() for penalty in PENALTIES}
    assert fitted.penalty == min(off, key=off.__getitem__)
    assert np.allclose(fitted.predict(valid[0]), predict(fitted.penalty, valid[0]), atol=10.0**-DECIMALS)
    assert (fitted.trained, fitted.validated) == (40, 30)


def test_noise_asks_for_a_larger_penalty_and_what_cannot_be_told_is_the_mean():
    quiet = fit_ridge(*plant(0, 40, 0.1), *plant(1, 200, 0.1))
    loud = fit_ridge(*plant(0, 40, 30.0), *plant(1, 200, 30.0))
    assert quiet.penalty < loud.penalty
    features, scores = plant(2, 200, 0.1)
    found = errors(quiet.predict(features), scores, quiet.bias)
    assert found["r"] > 0.95
    assert found["mae"] < 0.2 < found["mae_of_mean"]
    alike = fit_ridge(np.ones((5, 3)), np.arange(5.0), np.ones((2, 3)), np.arange(2.0))
    assert alike.predict(np.array([[1.0, 5.0, 9.0]])).tolist() == [2.0]


def test_a_sample_without_features_is_left_out_and_has_no_prediction():
    (features, scores), valid = plant(0, 40, 1.0), plant(1, 30, 1.0)
    with_holes = np.vstack([features, np.full((3, 6), np.nan)])
    fitted = fit_ridge(with_holes, np.append(scores, [1e6] * 3), *valid)
    expected = fit_ridge(features, scores, *valid).predict(features)
    found = fitted.predict(with_holes)
    assert np.array_equal(found[:40], expected)
    assert np.isnan(found[40:]).all()
    assert errors(found, np.append(scores, [1e6] * 3), fitted.bias)["samples"] == 40
    with pytest.raises(SegmenterError, match="no test sample has features"):
        errors(found[40:], np.ones(3), 0.0)
    with pytest.raises(SegmenterError, match="1 samples train and 30 validate"):
        fit_ridge(features[:1], scores[:1], *valid)
    with pytest.raises(SegmenterError, match="40 samples train and 0 validate"):
        fit_ridge(features, scores, valid[0][:0], valid[1][:0])
