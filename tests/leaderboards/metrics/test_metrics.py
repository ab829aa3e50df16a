import math
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mmbench.leaderboards.metrics.base import checked
from mmbench.leaderboards.metrics.registry import FAMILIES, METRICS, family_metrics, find, scores
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

#: Those that are means of terms of samples; the others have tests of their own.
MEANS = {name: metric for name, metric in METRICS.items() if metric.kind == "mean"}

# Bin borders, halves, zeros and values beyond the range, so that ties and border cases are the rule.
EDGES = [
    0.0,
    -0.0,
    0.5,
    -0.5,
    1.5,
    -1.5,
    2.5,
    -2.5,
    0.1,
    -0.1,
    0.7,
    -0.7,
    1.0,
    -1.0,
    2.0,
    3.0,
    -3.0,
    3.2,
    -3.2,
    0.3,
]
edge_values = st.sampled_from(EDGES)


@st.composite
def pairs(draw, elements=edge_values, largest=12):
    n = draw(st.integers(1, largest))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    target = np.array(draw(st.lists(elements, min_size=n, max_size=n)), dtype=dtype)
    prediction = np.array(draw(st.lists(elements, min_size=n, max_size=n)), dtype=dtype)
    return target, prediction


@st.composite
def class_pairs(draw):
    n, classes = draw(st.integers(1, 12)), draw(st.integers(2, 4))
    target = draw(hnp.arrays(np.int64, n, elements=st.integers(0, classes - 1)))
    logits = draw(hnp.arrays(np.float64, (n, classes), elements=st.sampled_from([-1.0, 0.0, 0.5])))
    return target, logits


def same(actual, expected, tolerance=1e-12):
    if math.isnan(expected):
        return math.isnan(actual)
    return abs(actual - expected) <= tolerance


def half_even(value):
    low = math.floor(value)
    rest = value - low
    if rest == 0.5:
        return low if low % 2 == 0 else low + 1
    return low if rest < 0.5 else low + 1


def clip(value, limit):
    return max(-limit, min(limit, value))


def by_hand(target, prediction, label):
    return sum(label(y) == label(p) for y, p in zip(target, prediction, strict=True)) / len(target)


def sims_label(cuts, dtype):
    # As MMSA does it: the last bin (low, high] that holds the value, in the precision of the values.
    edges = [dtype.type(edge) for edge in (-1.01, *cuts, 1.01)]

    def label(value):
        value = dtype.type(clip(value, 1.0))
        return [i for i in range(len(edges) - 1) if edges[i] < value <= edges[i + 1]][-1]

    return label


@given(pairs())
def test_accuracies_of_mosi_equal_the_description(pair):
    target, prediction = pair
    y, p = target.tolist(), prediction.tolist()
    for name, limit in (("acc7", 3), ("acc5", 2), ("acc3", 1)):
        expected = by_hand(y, p, lambda v, limit=limit: half_even(clip(v, limit)))
        assert METRICS[name](target, prediction) == pytest.approx(expected, abs=1e-12)
    assert METRICS["acc2_has0"](target, prediction) == pytest.approx(
        by_hand(y, p, lambda v: v >= 0), abs=1e-12
    )
    assert METRICS["acc2_mmdg"](target, prediction) == pytest.approx(
        by_hand(y, p, lambda v: v > 0), abs=1e-12
    )
    kept = [(a, b) for a, b in zip(y, p, strict=True) if a != 0]
    expected = sum((a > 0) == (b > 0) for a, b in kept) / len(kept) if kept else math.nan
    assert same(METRICS["acc2_non0"](target, prediction), expected)


@pytest.mark.filterwarnings("ignore")
@given(pairs())
def test_weighted_f1_of_sentiment_equals_scikit_learn(pair):
    target, prediction = pair
    for name, label in (("f1_has0", np.greater_equal), ("f1_mmdg", np.greater), ("sims_f1", np.greater)):
        expected = f1_score(label(target, 0), label(prediction, 0), average="weighted")
        assert same(METRICS[name](target, prediction), expected)
    kept = target != 0
    expected = math.nan
    if kept.any():
        expected = f1_score(target[kept] > 0, prediction[kept] > 0, average="weighted")
    assert same(METRICS["f1_non0"](target, prediction), expected)


@given(pairs())
def test_sims_bins_equal_the_description(pair):
    target, prediction = pair
    y, p = list(target), list(prediction)
    for name, cuts in (
        ("sims_acc2", (0.0,)),
        ("sims_acc3", (-0.1, 0.1)),
        ("sims_acc5", (-0.7, -0.1, 0.1, 0.7)),
    ):
        expected = by_hand(y, p, sims_label(cuts, target.dtype))
        assert same(METRICS[name](target, prediction), expected)


@given(pairs(st.one_of(edge_values, st.floats(-10, 10, width=32))))
def test_errors_and_correlations_equal_numpy(pair):
    target, prediction = (side.astype(np.float64) for side in pair)
    for prefix, y, p in (("", target, prediction), ("sims_", target.clip(-1, 1), prediction.clip(-1, 1))):
        assert same(METRICS[prefix + "mae"](target, prediction), float(np.abs(y - p).mean()))
        expected = math.nan
        if np.ptp(y) > 0 and np.ptp(p) > 0:
            dy, dp = (y - y.mean()) / np.ptp(y), (p - p.mean()) / np.ptp(p)
            expected = float((dy * dp).sum() / math.sqrt((dy**2).sum() * (dp**2).sum()))
        assert same(METRICS[prefix + "corr"](target, prediction), expected, 1e-9)
    assert same(METRICS["rmse"](target, prediction), math.sqrt(float(((target - prediction) ** 2).mean())))


@given(class_pairs())
@settings(max_examples=150)
def test_classification_equals_scikit_learn(pair):
    target, logits = pair
    predicted = logits.argmax(axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {
            "accuracy": accuracy_score(target, predicted),
            "balanced_accuracy": balanced_accuracy_score(target, predicted),
            "f1_macro": f1_score(target, predicted, average="macro"),
            "f1_weighted": f1_score(target, predicted, average="weighted"),
        }
    for name, value in expected.items():
        assert same(METRICS[name](target, logits), value)
        assert same(METRICS[name](target, predicted), value)
        assert same(METRICS[name](target.astype(np.float32), logits.astype(np.float32)), value)


@given(pairs(), st.integers(0, 2**32 - 1))
def test_a_resample_is_a_weighted_mean_of_terms_in_regression(pair, seed):
    resample_identity(pair, seed, "regression")


@given(class_pairs(), st.integers(0, 2**32 - 1))
def test_a_resample_is_a_weighted_mean_of_terms_in_classification(pair, seed):
    resample_identity(pair, seed, "classification")


def resample_identity(pair, seed, task):
    target, prediction = pair
    picks = np.random.default_rng(seed).integers(len(target), size=(3, len(target)))
    counts = np.stack([np.bincount(row, minlength=len(target)) for row in picks])
    for metric in (metric for metric in MEANS.values() if metric.task == task):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            means = counts / len(target) @ metric.mean.terms(*checked(task, target, prediction))
            finished = metric.mean.finish(means)
            again = [metric(target[row], prediction[row]) for row in picks]
        assert finished.shape == (3,)
        np.testing.assert_allclose(finished, again, rtol=0, atol=1e-9, err_msg=metric.name)


@pytest.mark.parametrize("name", MEANS)
def test_value_lies_in_range_and_nothing_warns(name):
    metric = METRICS[name]
    rng = np.random.default_rng(3)
    cases = [
        (np.zeros(1), np.zeros(1)),
        (np.zeros(4), np.full(4, 0.1)),
        (np.array([1.0, 1.0, 1.0]), np.array([0.5, -2.0, 0.0])),
        (rng.normal(size=30), rng.normal(size=30)),
        (rng.normal(size=30), np.full(30, 0.1, dtype=np.float32)),
    ]
    if metric.task == "classification":
        cases = [(np.abs(y.round()).astype(int) % 2, np.stack([-p, p], axis=1)) for y, p in cases]
    if metric.task == "multi-label":
        cases = [
            (np.stack([y > 0.4, y < -0.4], axis=1).astype(int), np.stack([-p, p], axis=1)) for y, p in cases
        ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for target, prediction in cases:
            value = metric(target, prediction)
            assert isinstance(value, float)
            if math.isnan(value):
                assert metric.undefined
            else:
                assert metric.range[0] <= value <= metric.range[1]


def test_undefined_values_are_nan():
    zero, some = np.zeros(3), np.array([0.3, -1.0, 2.0])
    assert math.isnan(METRICS["acc2_non0"](zero, some))
    assert math.isnan(METRICS["f1_non0"](zero, some))
    assert math.isnan(METRICS["corr"](some, np.full(3, 0.1)))
    assert math.isnan(METRICS["corr"](np.full(3, 0.1), some))
    assert math.isnan(METRICS["sims_corr"](some + 5, some))
    assert math.isnan(METRICS["corr"](some[:1], some[:1]))


def test_correlation_is_exact_far_from_zero():
    y = np.array([1e8, 1e8 + 1, 1e8 + 2, 1e8 + 4])
    assert METRICS["corr"](y, 3 * y - 7) == pytest.approx(1.0, abs=1e-12)
    assert METRICS["corr"](y, -y * 1e-150) == pytest.approx(-1.0, abs=1e-9)


def test_borders_by_hand():
    assert METRICS["acc7"](np.array([2.0]), np.array([2.5])) == 1.0
    assert METRICS["acc7"](np.array([0.0]), np.array([-0.5])) == 1.0
    assert METRICS["acc7"](np.array([3.0]), np.array([7.9])) == 1.0
    assert METRICS["acc5"](np.array([3.0]), np.array([1.6])) == 1.0
    assert METRICS["acc2_has0"](np.array([0.0]), np.array([-0.01])) == 0.0
    assert METRICS["acc2_mmdg"](np.array([0.0]), np.array([-0.01])) == 1.0
    assert METRICS["acc2_non0"](np.array([-1.0, 0.0]), np.array([0.0, 5.0])) == 1.0
    for dtype in (np.float32, np.float64):
        value = np.array([0.1, -0.1, 0.7, -0.7], dtype=dtype)
        inside = np.array([0.05, -0.5, 0.5, -0.9], dtype=dtype)
        assert METRICS["sims_acc5"](value, inside) == 1.0


def test_first_of_equal_logits_wins():
    assert METRICS["accuracy"](np.array([0]), np.array([[1.0, 1.0]])) == 1.0
    assert METRICS["accuracy"](np.array([1]), np.array([[1.0, 1.0]])) == 0.0


@pytest.mark.parametrize(
    ("task", "target", "prediction", "message"),
    [
        ("regression", [], [], "empty"),
        ("regression", [1.0, 2.0], [1.0], "shape"),
        ("regression", [[1.0]], [1.0], "shape"),
        ("regression", [1.0], [[1.0]], "shape"),
        ("regression", [1.0, 2.0], [1.0, math.nan], "1 of 2 values that are not finite"),
        ("regression", [math.inf], [1.0], "target has 1 of 1"),
        ("regression", ["a"], [1.0], "expected numbers"),
        ("classification", [0, 1], [[0.0, 1.0]], "shape"),
        ("classification", [2], [[0.0, 1.0]], "names class 2"),
        ("classification", [-1], [[0.0, 1.0]], "whole numbers"),
        ("classification", [0.5], [[0.0, 1.0]], "whole numbers"),
        ("classification", [0], [[1.0]], "at least 2"),
        ("classification", [0], [0.3], "logits"),
        ("classification", [0], [-1], "whole numbers"),
        ("classification", [0], [[0.0, -math.inf]], "not finite"),
    ],
)
def test_bad_input_is_refused(task, target, prediction, message):
    metric = METRICS["mae" if task == "regression" else "accuracy"]
    with pytest.raises(ValueError, match=message):
        metric(target, prediction)


def test_families_and_names():
    assert all(name == metric.name for name, metric in METRICS.items())
    assert all(metric.convention.endswith(".") for metric in MEANS.values())
    for family, names in FAMILIES.items():
        assert [metric.name for metric in family_metrics(family)] == list(names)
        assert len({metric.task for metric in family_metrics(family) if metric.kind == "mean"}) == 1
    assert FAMILIES["mosi"][:4] == ("acc2_has0", "acc2_non0", "f1_has0", "f1_non0")
    values = scores("regression", [0.0, 1.0], [0.0, 2.0])
    assert list(values) == ["mae", "rmse", "corr"]
    assert values["mae"] == 0.5
    with pytest.raises(ValueError, match="acc2_has0"):
        find("acc2_has")
    with pytest.raises(ValueError, match="classification"):
        family_metrics("images")


def test_listing_metrics_loads_numpy_and_scipy_only():
    code = (
        "import sys, mmbench.leaderboards.metrics.registry\n"
        "print([n for n in ('pandas', 'sklearn', 'torch', 'matplotlib') if n in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
