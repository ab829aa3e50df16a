"""Ranks over tasks, against published figures, brute force and scipy."""

from __future__ import annotations

import math
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmbench.leaderboards.stats.ranks import critical_difference, rank, signed_rank_p, tasks_needed
from scipy import stats

# Demsar (2006), table 6: AUC of C4.5 with four settings on fourteen datasets. The 0.9751 is printed as 0.975, but
# ranked before the 0.975 beside it.
DEMSAR = np.array(
    [
        (0.763, 0.768, 0.771, 0.798),
        (0.599, 0.591, 0.590, 0.569),
        (0.954, 0.971, 0.968, 0.967),
        (0.628, 0.661, 0.654, 0.657),
        (0.882, 0.888, 0.886, 0.898),
        (0.936, 0.931, 0.916, 0.931),
        (0.661, 0.668, 0.609, 0.685),
        (0.583, 0.583, 0.563, 0.625),
        (0.775, 0.838, 0.866, 0.875),
        (1.000, 1.000, 1.000, 1.000),
        (0.940, 0.962, 0.965, 0.962),
        (0.619, 0.666, 0.614, 0.669),
        (0.972, 0.981, 0.9751, 0.975),
        (0.957, 0.978, 0.946, 0.970),
    ]
)


def test_the_published_example():
    found = rank(DEMSAR)
    assert found.ranks.round(3).tolist() == [3.143, 2.0, 2.893, 1.964]
    assert found.critical_difference == pytest.approx(1.25, abs=0.005)
    ranks = stats.rankdata(-DEMSAR, axis=1)  # Conover's form of the statistic, with ties
    spread = (ranks**2).sum() - 14 * 4 * 25 / 4
    statistic = 3 * ((ranks.sum(axis=0) - 14 * 5 / 2) ** 2).sum() / spread
    assert found.friedman == pytest.approx(stats.chi2.sf(statistic, 3), abs=1e-12)
    assert found.wins.tolist() == [3, 5, 2, 7]
    assert found.enough


@pytest.mark.parametrize(("methods", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_critical_values_are_those_of_the_paper(methods: int, q: float):
    unit = math.sqrt(methods * (methods + 1) / (6 * 14))
    assert critical_difference(methods, 14) / unit == pytest.approx(q, abs=1.1e-3)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
def test_p_is_the_share_of_sign_patterns_at_least_as_far_out(d: list[int]):
    ranks = stats.rankdata(np.abs(d))
    ranks = [r for r, x in zip(ranks, d, strict=True) if x]
    seen = sum(r for r, x in zip(ranks, [x for x in d if x], strict=True) if x > 0)
    sums = [
        sum(r for r, up in zip(ranks, signs, strict=True) if up)
        for signs in product((0, 1), repeat=len(ranks))
    ]
    below = np.mean([s <= seen for s in sums])
    above = np.mean([s >= seen for s in sums])
    assert signed_rank_p(d) == pytest.approx(min(1.0, 2 * min(below, above)), abs=1e-12)
    assert signed_rank_p(d) == pytest.approx(signed_rank_p([-x for x in d]), abs=1e-12)


@pytest.mark.parametrize("n", [5, 12, 40])
def test_p_without_ties_is_that_of_scipy(n: int):
    d = np.random.default_rng(n).normal(0.3, 1, n)
    assert signed_rank_p(d) == pytest.approx(stats.wilcoxon(d, method="exact")[1], abs=1e-12)


def test_rounding_is_no_difference():
    assert signed_rank_p([0.3 - (0.1 + 0.2)] * 8) == 1.0
    tied = rank([[0.3, 0.1 + 0.2], [0.5, 0.4]])
    assert tied.ranks.tolist() == [1.25, 1.75]
    assert tied.wins.tolist() == [2, 1]


@pytest.mark.parametrize("methods", [2, 3, 4, 6])
def test_enough_tasks_are_the_fewest_that_can_tell_a_pair_apart(methods: int):
    pairs = methods * (methods - 1) // 2
    n = tasks_needed(pairs)
    clear = np.tile(np.arange(methods, dtype=float), (n, 1)) + np.arange(n)[:, None]
    assert rank(clear).p_holm.min() < 0.05
    assert rank(clear).enough
    fewer = rank(clear[:-1])
    assert fewer.p_holm.min() >= 0.05  # though one wins everywhere
    assert not fewer.enough
    assert not fewer.different.any()


@given(st.integers(0, 10_000), st.integers(2, 6))
def test_cliques_are_the_largest_sets_without_a_different_pair(seed: int, methods: int):
    values = np.random.default_rng(seed).normal(size=(14, methods)) + np.arange(methods) * 0.7
    found = rank(values)
    alike = ~found.different
    sets = [
        set(some)
        for size in range(2, methods + 1)
        for some in combinations(range(methods), size)
        if all(alike[a, b] for a, b in combinations(some, 2))
    ]
    largest = [one for one in sets if not any(one < other for other in sets)]
    assert sorted(map(sorted, found.cliques)) == sorted(map(sorted, largest))


def test_equal_methods_are_rarely_told_apart():
    draw = np.random.default_rng(0)
    runs = 600
    wrong = sum(rank(draw.normal(size=(12, 4))).different.any() for _ in range(runs))
    assert wrong / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)


def test_a_clear_order_is_found():
    draw = np.random.default_rng(1)
    found = sum(rank(draw.normal((0, 0, 2), size=(20, 3))).different[:, 2].sum() == 2 for _ in range(50))
    assert found >= 45


def test_no_task_and_one_method():
    empty = rank(np.empty((0, 3)))
    assert np.isnan(empty.ranks).all()
    assert np.isnan(empty.p_holm).all()
    assert not empty.enough
    with pytest.raises(ValueError, match="two methods"):
        rank([[1.0], [2.0]])
    with pytest.raises(ValueError, match="leave the task out"):
        rank([[1.0, math.nan]])
    with pytest.raises(ValueError, match="finite differences"):
        signed_rank_p([])
