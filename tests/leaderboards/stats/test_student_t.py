"""Student's t against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from mmbench.leaderboards.stats.student_t import t_cdf
from scipy import stats


@pytest.mark.parametrize("degrees", [*range(1, 13), 30, 99])
def test_it_is_the_distribution_of_scipy(degrees: int) -> None:
    t = np.concatenate([np.linspace(-60, 60, 999), [0.0, -1e6, 1e6]]).reshape(-1, 2)
    assert t_cdf(degrees, t) == pytest.approx(stats.t.cdf(t, degrees), rel=1e-9, abs=1e-12)


def test_no_degree_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        t_cdf(0, np.zeros(1))
