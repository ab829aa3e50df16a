"""Spearman's correlation is that of SciPy, on samples and on resamples that repeat and leave out samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmbench.leaderboards.stats.rank_correlation import ranks, spearman
from scipy.stats import rankdata, spearmanr

whole = st.integers(-3, 3).map(float)  # few values, so that many are tied


@given(
    st.lists(st.tuples(whole, st.one_of(whole, st.floats(-5, 5)), st.integers(0, 3)), min_size=2, max_size=40)
)
def test_it_is_scipy_s_on_the_repeated_samples(rows: list[tuple[float, float, int]]) -> None:
    first, second, count = (np.array(column) for column in zip(*rows, strict=True))
    first, second = first.astype(float), second.astype(float)
    one, two = np.repeat(first, count), np.repeat(second, count)
    (found,) = spearman(first, second, count[None])
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(two) == 0:
        assert np.isnan(found)
        return
    assert found == pytest.approx(spearmanr(one, two)[0], abs=1e-9)
    assert ranks(first, count[None])[0][np.repeat(np.arange(len(count)), count)] == pytest.approx(
        rankdata(one)
    )


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3,\) and \(2,\)"):
        spearman(np.zeros(3), np.zeros(2), np.ones((1, 3), dtype=int))
