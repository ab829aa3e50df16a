"""Metrics of regimes against scikit-learn, values computed by hand, and what must not change them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mmbench.leaderboards.metrics import segmentation as of
from mmbench.leaderboards.metrics.base import UndefinedError

LABELS = hnp.arrays(np.int64, 24, elements=st.integers(0, 4))


@settings(max_examples=40)
@given(LABELS, LABELS)
def test_agreement_is_that_of_scikit_learn(first: np.ndarray, second: np.ndarray):
    from sklearn import metrics

    assert of.adjusted_rand_index(first, second) == pytest.approx(metrics.adjusted_rand_score(first, second))
    if len(np.unique(first)) > 1:
        assert of.v_measure(first, second) == pytest.approx(metrics.v_measure_score(first, second), abs=1e-9)


@settings(max_examples=25)
@given(LABELS, st.permutations(range(5)))
def test_names_of_regimes_change_nothing(labels: np.ndarray, names: list[int]):
    other, points = np.array(names)[labels], np.random.default_rng(0).standard_normal((24, 2))
    truth = np.repeat([0, 1, 2], 8)
    assert of.adjusted_rand_index(truth, labels) == pytest.approx(of.adjusted_rand_index(truth, other))
    assert of.v_measure(truth, labels) == pytest.approx(of.v_measure(truth, other))
    assert np.array_equal(of.boundaries(labels), of.boundaries(other))
    if len(np.unique(labels)) > 1:
        for metric in (of.silhouette, of.davies_bouldin, of.calinski_harabasz, of.separation):
            assert metric(points, labels) == pytest.approx(metric(points, other))


def test_geometry_is_that_of_scikit_learn():
    from sklearn import metrics

    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=700)
    points = rng.standard_normal((700, 3)) + labels[:, None]
    labels[0] = 9  # a regime of one step
    assert of.silhouette(points, labels) == pytest.approx(metrics.silhouette_score(points, labels))
    assert of.davies_bouldin(points, labels) == pytest.approx(metrics.davies_bouldin_score(points, labels))
    expected = metrics.calinski_harabasz_score(points, labels)
    assert of.calinski_harabasz(points, labels) == pytest.approx(expected)


def test_separation_by_hand():
    points = np.array([[0.0], [2.0], [10.0], [14.0]])
    assert of.separation(points, [0, 0, 1, 1]) == pytest.approx(11 / 1.5)


def test_boundaries_match_within_a_step_and_once():
    truth = [0, 0, 0, 1, 1, 1, 2, 2]
    assert of.boundary_f1([truth], [truth]) == 1
    assert of.boundary_f1([truth], [[0, 0, 1, 1, 1, 1, 1, 2]]) == 1  # each off by one
    assert of.boundary_f1([truth], [[0, 0, 0, 0, 0, 1, 1, 1]]) == pytest.approx(2 / 3)
    assert of.boundary_f1([truth], [[0, 1, 0, 1, 0, 1, 0, 1]]) == pytest.approx(2 * 2 / (2 + 7))
    assert of.boundary_f1([truth], [[0] * 8]) == 0
    assert of.boundary_matches([0, 0, 1, 1], [0, 1, 0, 1]).tolist() == [1, 1, 3]
    with pytest.raises(UndefinedError, match="no boundary"):
        of.boundary_f1([[0, 0]], [[1, 1]])


def test_what_is_undefined_is_no_number():
    points = np.arange(8.0).reshape(4, 2)
    for metric in (of.silhouette, of.davies_bouldin, of.calinski_harabasz, of.separation):
        with pytest.raises(UndefinedError, match="one regime alone"):
            metric(points, [1, 1, 1, 1])
        with pytest.raises(UndefinedError, match="a regime for each step"):
            metric(points, [0, 1, 2, 3])
    with pytest.raises(UndefinedError, match="same centre"):
        of.davies_bouldin(np.zeros((4, 1)), [0, 0, 1, 1])
    with pytest.raises(UndefinedError, match="nothing varies"):
        of.separation(np.zeros((4, 1)), [0, 0, 1, 1])
    with pytest.raises(UndefinedError, match="one label"):
        of.v_measure([0, 0], [0, 1])


def test_dwells_are_lengths_of_segments():
    assert of.dwells([3, 3, 1, 3, 3, 3]).tolist() == [2, 1, 3]
    assert of.dwells([0]).tolist() == [1]
