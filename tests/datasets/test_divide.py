"""Splits that are drawn by whole groups."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from mmbench.datasets.dataset import SPLITS
from mmbench.datasets.divide import divide


@given(
    groups=st.lists(st.sampled_from("abcdefgh"), min_size=3, max_size=60).filter(lambda g: len(set(g)) >= 3),
    parts=st.tuples(*[st.integers(1, 8)] * 3),
    seed=st.text(max_size=4),
    order=st.randoms(use_true_random=False),
)
def test_no_group_is_on_two_sides_and_the_order_of_clips_decides_nothing(
    groups: list[str], parts: tuple[int, int, int], seed: str, order: Any
):
    shares = {split: part / sum(parts) for split, part in zip(SPLITS, parts, strict=True)}
    drawn = divide(groups, shares, seed)
    assert set(drawn) == set(SPLITS)
    of_group = dict(zip(groups, drawn, strict=True))
    assert [of_group[name] for name in groups] == drawn
    shuffled = list(groups)
    order.shuffle(shuffled)
    assert divide(shuffled, shares, seed) == [of_group[name] for name in shuffled]


def test_shares_are_met_where_groups_are_small_and_seeds_differ():
    groups = [str(number // 5) for number in range(1000)]
    shares = {"train": 0.6, "valid": 0.15, "test": 0.25}
    draws = [divide(groups, shares, seed) for seed in ("1", "2")]
    for drawn, (split, share) in itertools.product(draws, shares.items()):
        assert abs(drawn.count(split) - 1000 * share) <= 5
    assert draws[0] != draws[1]
