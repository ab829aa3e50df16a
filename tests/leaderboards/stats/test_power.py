"""Seeds needed, against an independent integral and against simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbench.leaderboards.stats.power import MOST, power_of, seeds_needed
from scipy import integrate, stats


def by_integral(effect: float, n: int) -> float:
    """P(|T| > t) as an integral over the sample deviation s: T = (Z + effect sqrt(n)) / s."""
    df, shift = n - 1, effect * math.sqrt(n)
    border = stats.t.ppf(0.975, df)

    def density(s):
        outside = stats.norm.sf(border * s - shift) + stats.norm.cdf(-border * s - shift)
        return outside * stats.chi.pdf(s * math.sqrt(df), df) * math.sqrt(df)

    return integrate.quad(density, 0, 1 + 10 / math.sqrt(df), limit=300, epsabs=1e-12)[0]


@pytest.mark.parametrize("effect", [0.05, 0.3, 1.0, 2.5, 10.0])
@pytest.mark.parametrize("n", [2, 3, 5, 20, 100])
def test_power_is_the_integral(effect: float, n: int):
    assert power_of(effect, n) == pytest.approx(by_integral(effect, n), abs=1e-9)
    assert power_of(-effect, n) == power_of(effect, n)


def test_without_an_effect_power_is_the_level():
    assert power_of(0.0, 7) == pytest.approx(0.05, abs=1e-12)


@pytest.mark.parametrize(("effect", "needed"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10)])
def test_the_numbers_of_the_textbooks(effect: float, needed: int):
    assert seeds_needed(effect, 1.0) == needed


def test_simulated_tests_find_the_difference_as_often_as_promised():
    n = seeds_needed(0.9, 1.0)
    assert n is not None
    draw = np.random.default_rng(0)
    runs = 20_000
    p = np.asarray(stats.ttest_1samp(draw.normal(0.9, 1.0, size=(runs, n)), 0.0, axis=1)[1])
    found, error = (p < 0.05).mean(), math.sqrt(0.16 / runs)
    assert found == pytest.approx(power_of(0.9, n), abs=4 * error)
    assert found > 0.8 - 4 * error


@settings(max_examples=60)
@given(st.floats(1e-6, 1e6), st.floats(0.03, 300))
def test_one_seed_fewer_is_too_few(scale: float, effect: float):
    n = seeds_needed(effect * scale, scale)
    assert n is not None
    assert power_of(effect, n) >= 0.8 - 1e-12
    if n > 2:
        assert power_of(effect, n - 1) < 0.8
    assert seeds_needed(-effect * scale, scale) == n


def test_what_has_no_answer():
    assert seeds_needed(0.0, 1.0) is None
    assert seeds_needed(1e-4, 1.0) is None  # more than MOST
    assert power_of(1e-4, MOST) < 0.8
    assert seeds_needed(1.0, 0.0) == 2
    for mean, sd in ((math.nan, 1.0), (1.0, -1.0), (1.0, math.inf)):
        with pytest.raises(ValueError, match="say nothing"):
            seeds_needed(mean, sd)
    with pytest.raises(ValueError, match="no spread"):
        power_of(1.0, 1)
