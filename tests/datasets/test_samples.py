from __future__ import annotations

from pathlib import Path

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
    with pytest.raises(DataError, match=r"1 labels out of range, first 1.01 \(sample 0\); expected -1 to 1"):
        make.labels([1.01, -1], target, FILE, "y")
