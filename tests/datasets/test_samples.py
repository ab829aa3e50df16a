from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mmbench.datasets import samples as make
from mmbench.datasets.dataset import DataError, Target

FILE = Path("some.npz")


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.int8, hnp.array_shapes(min_dims=3, max_dims=3), elements=st.integers(0, 1)))
def test_nonzero_mask_is_the_span_of_the_data(array: np.ndarray) -> None:
    mask = make.mask_nonzero(array)
    for row, valid in zip(array, mask, strict=True):
        filled = np.flatnonzero(row.any(axis=1))
        expected = np.zeros(len(row), bool)
        if len(filled):
            expected[filled[0] : filled[-1] + 1] = True
        np.testing.assert_array_equal(valid, expected)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 30)), min_size=1, unique=True))
def test_previous_is_the_nearest_lower_clip(rows: list[tuple[str, int]]) -> None:
    video = np.array([one for one, _ in rows])
    clip = np.array([str(number) for _, number in rows])
    for row, before in enumerate(make.previous_rows(video, clip).tolist()):
        lower = [number for other, number in rows if other == rows[row][0] and number < rows[row][1]]
        assert (rows[before] == (rows[row][0], max(lower))) if lower else before == -1


def test_clips_with_names_follow_those_with_numbers() -> None:
    clip = np.array(["b", "10", "a", "2", "nan", "0007"])
    assert make.previous_rows(np.full(6, "v"), clip).tolist() == [2, 5, 1, -1, 0, 3]


def test_float16_is_kept_and_the_rest_becomes_float32() -> None:
    for kind, expected in ((np.float16, np.float16), (np.float64, np.float32), (np.int8, np.float32)):
        found = make.features(np.ones((2, 3), kind), FILE, "x")
        assert found.dtype == expected
        assert found.shape == (2, 1, 3)


def test_labels_may_miss_the_range_by_rounding_only() -> None:
    target = Target("regression", label_range=(-1.0, 1.0))
    assert make.labels([1.00001, -1], target, FILE, "y").dtype == np.float32
    with pytest.raises(DataError, match=r"1 label out of range, first 1.01 \(sample 0\); expected -1 to 1"):
        make.labels([1.01, -1], target, FILE, "y")


@pytest.mark.parametrize(
    ("classes", "labels", "expected"),
    [
        (("neg", "pos"), ["0", "1"], [0, 1]),
        (("neg", "pos"), ["pos", "0"], [1, 0]),
        (("neg", "pos"), [b"0", b"pos"], [0, 1]),
        (("neg", "pos"), ["1.0", "0.0"], [1, 0]),
        (("neg", "pos"), [1.0, 0.0], [1, 0]),
        (("neg", "pos"), [True, False], [1, 0]),
        (("neg", "pos"), ["True", "False"], [1, 0]),
        (("True", "False"), [True, False], [0, 1]),
        (("-1", "1"), [-1, 1], [0, 1]),
        (("-1", "1"), [-1.0, 1.0], [0, 1]),
        (("-1", "1"), ["-1", "1.0"], [0, 1]),
        (("1", "2", "3"), [3, 1, 2], [2, 0, 1]),
        (("1", "2", "3"), [0, 1, 2], [0, 1, 2]),
        (("1", "2", "3"), ["2", "1"], [1, 0]),
        (("0", "1", "2"), [0, 2], [0, 2]),
    ],
)
def test_a_label_is_the_name_of_a_class_or_else_an_index(
    classes: tuple[str, ...], labels: list[Any], expected: list[int]
) -> None:
    target = Target("classification", classes=classes)
    found = make.labels(np.array(labels), target, FILE, "y")
    assert found.dtype == np.int64
    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("classes", "labels", "message"),
    [
        (("1", "2", "3"), [1, 2], "the numbers 1, 2 may be names of classes or their indices"),
        (("1", "0"), [0, 1], "may be names of classes or their indices"),
        (("1", "2", "3"), ["0", "3"], "class 0 is an index alone, others are names alone"),
        (("neg", "pos"), ["2"], r"unknown class 2 \(sample 0\); expected 0 to 1 or one of neg, pos"),
        (("neg", "pos"), [0, 0.5], r"unknown class 0.5 \(sample 1\)"),
        (("neg", "pos"), ["pos", "nan"], r"unknown class nan \(sample 1\)"),
        (("neg", "pos"), [b"pos", b"\xff"], r"bytes that are not UTF-8 \(sample 1\)"),
    ],
)
def test_a_label_that_means_nothing_or_two_things_is_refused(
    classes: tuple[str, ...], labels: list[Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        make.labels(np.array(labels), Target("classification", classes=classes), FILE, "y")


def test_all_splits_decide_together_what_numbers_mean() -> None:
    target = Target("classification", classes=("1", "2", "3"))
    parts = [np.array([1, 2]), np.array([3])]
    assert make.labels(parts[0], target, FILE, "y", among=parts).tolist() == [0, 1]
    assert make.labels(parts[0], target, FILE, "y", indices=True).tolist() == [1, 2]


def test_what_is_no_text_is_named_with_its_sample() -> None:
    with pytest.raises(DataError, match=r"nothing \(sample 1\)"):
        make.text(np.array(["a", None], object), FILE, "id")
    with pytest.raises(DataError, match=r"a value of type list \(sample 0\)"):
        make.text(np.array([["a"], "b"], object), FILE, "id")
    assert make.text(np.array([b"\xc3\xa9"]), FILE, "id").tolist() == ["é"]


@pytest.mark.parametrize("kind", [np.float64, np.int64])
def test_features_that_32_bits_cannot_tell_apart_are_refused(kind: type) -> None:
    clock = (1.7e9 + np.random.default_rng(0).normal(size=(50, 6, 2)) * [10, 1e6]).astype(kind)
    with pytest.raises(DataError, match=r"feature 0 varies by .* about 1.7e\+09.*subtracted before"):
        make.features(clock, FILE, "audio")
    padded = np.where(np.arange(6)[None, :, None] < 3, clock, 0)
    with pytest.raises(DataError, match="feature 0 varies by"):
        make.features(padded, FILE, "audio")


@given(
    offset=st.floats(-1e6, 1e6),
    deviation=st.floats(0.01, 100),
    steps=st.integers(1, 5),
    unobserved=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_features_lose_at_most_a_hundredth_of_their_deviation(
    offset: float, deviation: float, steps: int, unobserved: bool
) -> None:
    exact = np.random.default_rng(0).normal(offset, deviation, (30, steps, 1))
    if unobserved:
        exact[3] = np.nan
    rounding = np.nanstd(exact.astype(np.float32) - exact)
    try:
        make.shape_features(exact, FILE, "audio")
        refused = False
    except DataError:
        refused = True
    assert refused == (rounding > 0.01 * np.nanstd(exact)) or 0.008 < rounding / np.nanstd(exact) < 0.012


def test_constants_and_what_was_rounded_before_are_read() -> None:
    noise = np.random.default_rng(0).normal(size=(20, 3, 2))
    for values in (
        1 + 1e-14 * noise,
        (1.7e9 + noise).astype(np.float32).astype(np.float64),
        np.full((20, 3, 2), 2**40),
    ):
        assert make.features(values, FILE, "audio").dtype == np.float32
