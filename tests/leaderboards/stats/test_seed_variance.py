"""The variance over seeds: the formulas against a slow reading of them, and what the intervals hold in simulations."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbench.leaderboards.labels import CLEAN
from mmbench.leaderboards.metrics.registry import METRICS
from mmbench.leaderboards.stats.bootstrap import Resampled, resample, resample_weights
from mmbench.leaderboards.stats.intervals import bootstrap_interval, interval
from mmbench.leaderboards.stats.seed_variance import MOST_DEGREES, seed_part, seed_prior, variation_of
from mmbench.leaderboards.tables.block import Numbers, numbers_of
from mmbench.leaderboards.tables.cells import Block, Cell, Group
from mmbench.leaderboards.tables.results import Result
from scipy import stats

ACCURACY = METRICS["accuracy"]
SAMPLES = 752


def right(rate: float, samples: int = SAMPLES, seed: int = 0) -> np.ndarray:
    """[samples]: 1 where a network with this accuracy is right."""
    answers = np.zeros(samples, dtype=int)
    answers[: round(rate * samples)] = 1
    return np.random.default_rng(seed).permutation(answers)


def block(networks: Sequence[Resampled]) -> Numbers:
    """The numbers of a block with a row for each method."""
    groups = []
    for place, scored in enumerate(networks):
        jobs = (
            Result(f"{place}-{s}", str(place), "t", "a", "fair", s, 0, "failed", "", "classification", False)
            for s in range(len(scored.values))
        )
        groups.append(Group(Block("t", "a", "fair", False), str(place), 0, tuple(jobs), (ACCURACY,)))
    return numbers_of(groups, [{CLEAN: Cell("", len(one.values), one, "same")} for one in networks])


def test_two_seeds_have_an_interval_that_says_something() -> None:
    networks = [right(0.46, seed=0), right(0.53, seed=1)]
    found = bootstrap_interval(ACCURACY, np.ones(SAMPLES, dtype=int), networks)
    assert 0.06 < (found.high - found.low) / 2 < 0.15
    assert found.low < 0.46 < 0.53 < found.high


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_a_method_alone_has_one_degree_more(seeds: int) -> None:
    rates = np.random.default_rng(seeds).uniform(0.4, 0.6, seeds)
    target = np.ones(SAMPLES, dtype=int)
    scored = resample([ACCURACY], target, [right(rate, seed=s) for s, rate in enumerate(rates)], 500)
    own = variation_of(scored)
    share = scored.values.mean()
    unit = float(np.mean(scored.values * (1 - scored.values)))
    assert own.unit[0] == pytest.approx(unit, rel=0.15)  # the variance of one answer
    scale, degrees = seed_part(own, seed_prior(own))
    weak = 0.05**2 * own.unit + own.together
    variance = (weak + (seeds - 1) * scored.values.var(ddof=1)) / seeds
    assert degrees.tolist() == [seeds]
    assert scale**2 * seeds == pytest.approx(np.maximum(variance, own.together))
    low, high = interval(scored, None)
    assert low[0] < share < high[0]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.lists(st.integers(1, 4), min_size=1, max_size=5))
def test_the_others_have_a_say_and_the_method_itself_has_none(own_seeds: int, others: list[int]) -> None:
    draw = np.random.default_rng([own_seeds, *others])
    weights = resample_weights(100, 50, 0)

    def network(seeds: int) -> Resampled:
        ok = (draw.random((seeds, 100)) < draw.uniform(0.4, 0.6, (seeds, 1))).astype(float)
        return Resampled(ok.mean(axis=1)[:, None], (weights @ ok.T)[..., None], 100)

    networks = [network(seeds) for seeds in (own_seeds, *others)]
    numbers = block(networks)
    known = sum(seeds - 1 for seeds in others)
    own = variation_of(networks[0])
    rest = [variation_of(one) for one in networks[1:]]
    between, together = (
        sum((one.seeds - 1) * getattr(one, name) for one in rest) for name in ("between", "together")
    )
    scale, degrees = seed_part(own, seed_prior(own, between, together, np.array([known])))
    half = scale[0] * stats.t.ppf(0.975, degrees[0])
    assert degrees[0] == min(MOST_DEGREES, 1 + known) + own_seeds - 1
    assert scale[0] > 0 or own_seeds == 1
    middle = own.centres[0].mean()
    ends = np.quantile(own.centres[0], [0.025, 0.975], method="hazen")
    assert numbers.low[0, 0, 0] == pytest.approx(max(0.0, middle - math.hypot(middle - ends[0], half)))
    assert numbers.high[0, 0, 0] == pytest.approx(min(1.0, middle + math.hypot(ends[1] - middle, half)))
    assert numbers.shared[0, 0, 0] == (own_seeds == 1 and known > 0)


def coverage(
    seeds: int, methods: int, seed_sd: float, together_sd: float, rounds: int, samples: int = 200
) -> tuple[float, float]:
    """How many intervals of a block hold the accuracy over all seeds and samples, and their median half-width.

    A network is right where hardness of the sample, ability of the seed and both together are above 0 (probit model).
    """
    rng = np.random.default_rng([seeds, methods, round(100 * seed_sd)])
    level = rng.normal(0.5, 0.3, methods)
    truth = stats.norm.cdf(level / math.sqrt(1 + seed_sd**2 + together_sd**2))
    weights = resample_weights(samples, 200, 0)
    held, widths = [], []
    for _ in range(rounds):
        hard = rng.normal(0, 1, samples)
        networks = []
        for method in range(methods):
            ability = rng.normal(0, seed_sd, (seeds, 1)) + rng.normal(0, together_sd, (seeds, samples))
            ok = (level[method] + hard + ability > 0).astype(float)
            networks.append(Resampled(ok.mean(axis=1)[:, None], (weights @ ok.T)[..., None], samples))
        numbers = block(networks)
        low, high = numbers.low[:, 0, 0], numbers.high[:, 0, 0]
        held.append((low <= truth) & (truth <= high))
        widths.append((high - low) / 2)
    return float(np.mean(held)), float(np.median(widths))


@pytest.mark.parametrize("methods", [1, 5])
@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize(("seed_sd", "together_sd"), [(0.0, 0.6), (0.1, 0.4), (0.2, 0.4)])
def test_coverage(seeds: int, methods: int, seed_sd: float, together_sd: float) -> None:
    rounds = 400 // methods
    held, half = coverage(seeds, methods, seed_sd, together_sd, rounds)
    assert held >= 0.93
    # Of known variances the half-width would be 1.96 standard errors.
    density = stats.norm.pdf(0.5)
    best = 1.96 * math.hypot(density * seed_sd / math.sqrt(seeds), 0.45 / math.sqrt(200))
    assert half < 2 * best


@pytest.mark.parametrize("seed_sd", [0.0, 0.2])
def test_one_seed_is_covered_by_the_variance_of_the_others(seed_sd: float) -> None:
    rng = np.random.default_rng(7)
    weights, samples, rounds = resample_weights(200, 200, 0), 200, 120
    truth = stats.norm.cdf(0.5 / math.sqrt(1.16 + seed_sd**2))
    held = {1: 0, 3: 0}
    for _ in range(rounds):
        hard = rng.normal(0, 1, samples)
        networks = []
        for seeds in (1, 3, 3, 3):
            ability = rng.normal(0, seed_sd, (seeds, 1)) + rng.normal(0, 0.4, (seeds, samples))
            ok = (0.5 + hard + ability > 0).astype(float)
            networks.append(Resampled(ok.mean(axis=1)[:, None], (weights @ ok.T)[..., None], samples))
        numbers = block(networks)
        for row, seeds in ((0, 1), (1, 3)):
            held[seeds] += bool(numbers.low[row, 0, 0] <= truth <= numbers.high[row, 0, 0])
    assert all(count / rounds >= 0.93 for count in held.values())


def test_samples_alone_would_hold_a_seed_too_seldom() -> None:
    """The control: without other methods one seed has an interval of samples, which speaks of that network."""
    held, _ = coverage(1, 1, 0.4, 0.4, 300)
    assert held < 0.85
    same, _ = coverage(1, 1, 0.0, 0.4, 300)
    assert same >= 0.9  # where seeds do not vary, it is right but for the bootstrap's own shortness


def test_a_method_that_never_varies_tells_nothing() -> None:
    same = Resampled(np.ones((3, 1)), np.ones((100, 3, 1)), 50)
    draw = np.random.default_rng(0)
    varied = Resampled(np.array([[0.4], [0.5]]), 0.45 + 0.1 * draw.normal(size=(100, 2, 1)), 50)
    both, alone = block([varied, same]), block([varied])
    assert both.low[0] == pytest.approx(alone.low[0])
    assert (both.low[1, 0, 0], both.high[1, 0, 0]) == (1.0, 1.0)
