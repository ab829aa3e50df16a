"""Metrics of several labels a sample, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from mmbench.leaderboards.metrics.base import UndefinedError
from mmbench.leaderboards.metrics.registry import METRICS, scores
from mmbench.leaderboards.stats.bootstrap import resample, resample_counts
from sklearn.metrics import accuracy_score, average_precision_score, f1_score

SHAPES = st.tuples(st.integers(1, 12), st.integers(2, 4))


@st.composite
def answers(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Targets and logits, some of which are equal."""
    shape = draw(SHAPES)
    target = draw(arrays(np.int64, shape, elements=st.integers(0, 1)))
    return target, draw(arrays(np.float64, shape, elements=st.integers(-3, 3).map(float)))


@given(answers())
def test_every_metric_is_that_of_scikit_learn(given: tuple[np.ndarray, np.ndarray]):
    target, logits = given
    said = (logits > 0).astype(np.int64)
    either, there = (target | said).any(0), target.any(0)
    found = scores("multi-label", target, logits)
    assert found["subset_accuracy"] == accuracy_score(target, said)
    samples = f1_score(target, said, average="samples", zero_division=1)  # pyright: ignore[reportArgumentType]
    assert found["f1_samples"] == pytest.approx(samples)
    if either.any():
        kept = np.flatnonzero(either)
        assert found["f1_micro_labels"] == pytest.approx(f1_score(target, said, average="micro"))
        macro = f1_score(target, said, average="macro", labels=kept, zero_division=0)  # pyright: ignore[reportArgumentType]
        assert found["f1_macro_labels"] == pytest.approx(macro)
    if there.any():
        weighted = f1_score(target, said, average="weighted", zero_division=0)  # pyright: ignore[reportArgumentType]
        assert found["f1_weighted_labels"] == pytest.approx(weighted)
        precision = [average_precision_score(target[:, c], logits[:, c]) for c in np.flatnonzero(there)]
        assert found["map_labels"] == pytest.approx(np.mean(precision))
    assert np.isnan(found["map_labels"]) == (not there.any())
    assert np.isnan(found["f1_micro_labels"]) == np.isnan(found["f1_macro_labels"]) == (not either.any())


def test_an_interval_is_of_repeated_samples():
    draw = np.random.default_rng(0)
    target = (draw.random((30, 3)) < [0.5, 0.2, 0.05]).astype(np.int64)
    logits = draw.normal(size=(30, 3)) + 2 * target - 1
    metrics = [METRICS[name] for name in scores("multi-label", target, logits)]
    together = resample(metrics, target, [logits], draws=20, seed=4)
    for number, counts in enumerate(resample_counts(30, 20, 4)):
        rows = np.repeat(np.arange(30), counts)
        for place, metric in enumerate(metrics):
            assert together.draws[number, 0, place] == pytest.approx(metric(target[rows], logits[rows]))


@pytest.mark.parametrize(
    ("target", "logits", "said"),
    [
        (np.array([0, 1]), np.zeros((2, 2)), "expected .samples, classes. of both"),
        (np.array([[0, 2]]), np.zeros((1, 2)), "other than 0 and 1"),
        (np.array([[0, 1]]), np.array([[0.0, np.nan]]), "no finite logits"),
        (np.zeros((0, 2)), np.zeros((0, 2)), "at least one sample"),
    ],
)
def test_what_is_no_answer_is_refused(target: np.ndarray, logits: np.ndarray, said: str):
    with pytest.raises(ValueError, match=said):
        METRICS["f1_macro_labels"](target, logits)


def test_without_a_label_there_is_no_average_precision():
    with pytest.raises(UndefinedError, match="no sample has a label"):
        METRICS["map_labels"](np.zeros((3, 2)), np.ones((3, 2)))
