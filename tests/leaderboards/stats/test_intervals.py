import itertools
import math

import numpy as np
import pytest
from mmbench.leaderboards.metrics.registry import METRICS
from mmbench.leaderboards.stats.bootstrap import resample, resample_weights, summary
from mmbench.leaderboards.stats.intervals import bootstrap_interval, holm, interval, paired_difference
from scipy import stats

MAE, ACCURACY, CORR = METRICS["mae"], METRICS["accuracy"], METRICS["corr"]


def test_summary_by_hand():
    found = summary([1.0, 2.0, 6.0])
    assert (found.mean, found.n) == (3.0, 3)
    assert found.sd == pytest.approx(math.sqrt(7.0))
    assert found.sem == pytest.approx(math.sqrt(7.0 / 3))
    alone = summary([2.0])
    assert alone.mean == 2.0
    assert math.isnan(alone.sd)
    assert math.isnan(alone.sem)
    with pytest.raises(ValueError, match="at least one"):
        summary([])


def test_resample_equals_scoring_the_resampled_data():
    rng = np.random.default_rng(0)
    target = rng.normal(size=20).round(1)
    predictions = [target + rng.normal(size=20) for _ in range(2)]
    metrics = [METRICS[name] for name in ("acc2_non0", "mae", "corr", "f1_has0")]
    found = resample(metrics, target, predictions, draws=5, seed=3)
    counts = np.rint(resample_weights(20, 5, 3) * 20).astype(int)
    assert (counts.sum(axis=1) == 20).all()
    for s, prediction in enumerate(predictions):
        for m, metric in enumerate(metrics):
            assert found.values[s, m] == pytest.approx(metric(target, prediction), abs=1e-12)
            for d in range(5):
                again = metric(np.repeat(target, counts[d]), np.repeat(prediction, counts[d]))
                assert found.draws[d, s, m] == pytest.approx(again, abs=1e-9)


def test_interval_with_equal_samples_is_the_t_interval_of_the_seeds():
    # Every sample of a seed has the same error, so that only seeds vary.
    errors = np.array([1.0, 1.2, 1.1, 1.5, 0.9])
    target = np.zeros(40)
    found = bootstrap_interval(MAE, target, [np.full(40, error) for error in errors])
    # The weak prior counts as one degree, and is stated in how much samples vary: not at all.
    low, high = stats.t.interval(0.95, 5, errors.mean(), stats.sem(errors) * math.sqrt(4 / 5))
    assert found.kind == "seeds+samples"
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_interval_with_equal_seeds_is_that_of_the_samples():
    target = np.zeros(100)
    prediction = np.random.default_rng(0).exponential(size=100)
    one = bootstrap_interval(MAE, target, [prediction])
    five = bootstrap_interval(MAE, target, [prediction] * 5)
    assert one.kind == "samples"
    assert five.kind == "seeds+samples"
    assert (one.low, one.high) == pytest.approx((five.low, five.high), rel=3e-3)
    assert five.low < one.low  # five seeds that agree are not all seeds
    assert five.high > one.high
    half = 1.96 * prediction.std(ddof=1) / 10
    assert one.high - one.low == pytest.approx(2 * half, rel=0.1)


def test_interval_is_deterministic_and_stays_in_range():
    target = np.zeros(30, dtype=int)
    predictions = [np.array([0] * 29 + [1]), np.array([0] * 10 + [1] * 20)]
    one, two = (bootstrap_interval(ACCURACY, target, predictions, seed=4) for _ in range(2))
    assert one == two
    assert (one.low, one.high) == (0.0, 1.0)


def test_interval_where_there_is_none():
    single = bootstrap_interval(MAE, [1.0], [[2.0]])
    assert single.kind == "none"
    assert math.isnan(single.low)
    assert math.isnan(single.high)
    constant = bootstrap_interval(CORR, [1.0, 2.0, 3.0], [[1.0, 1.0, 1.0], [1.0, 2.0, 2.5]])
    assert math.isnan(constant.low)
    often_undefined = bootstrap_interval(CORR, [1.0, 2.0], [[1.0, 2.0]])
    assert math.isnan(often_undefined.low)


def test_few_undefined_resamples_do_not_take_the_interval_away():
    target = np.array([0.0] * 12 + [1.0, -1.0, 2.0, 1.0])
    found = bootstrap_interval(METRICS["acc2_non0"], target, [np.sin(np.arange(16.0)), target])
    assert 0 <= found.low < found.high <= 1


def networks(rng, seeds, samples, seed_sd, together_sd, hardness):
    """[seeds, samples]: right or wrong, with a seed effect, a sample effect, and both together."""
    ability = rng.normal(0, seed_sd, (seeds, 1)) + rng.normal(0, together_sd, (seeds, samples))
    return (hardness + ability > 0).astype(int)


@pytest.mark.parametrize(("seed_sd", "together_sd"), [(0.0, 0.5), (0.1, 0.3), (0.5, 0.2)])
def test_coverage_with_five_seeds(seed_sd, together_sd):
    rng = np.random.default_rng(0)
    truth = stats.norm.cdf(1 / math.sqrt(1 + seed_sd**2 + together_sd**2))
    target, hits, rounds = np.ones(100, dtype=int), 0, 250
    for _ in range(rounds):
        right = networks(rng, 5, 100, seed_sd, together_sd, rng.normal(1, 1, 100))
        found = bootstrap_interval(ACCURACY, target, list(right), draws=200)
        hits += found.low <= truth <= found.high
    assert hits / rounds >= 0.90


@pytest.mark.parametrize("seeds", [2, 5])
@pytest.mark.parametrize(("seed_sd", "together_sd"), [(0.1, 0.3), (0.2, 1.0)])
def test_equal_methods_seldom_differ_significantly(seeds, seed_sd, together_sd):
    rng = np.random.default_rng(1)
    target, found, rounds = np.ones(100, dtype=int), 0, 250
    for _ in range(rounds):
        hardness = rng.normal(1, 1, 100)
        a, b = (networks(rng, seeds, 100, seed_sd, together_sd, hardness) for _ in range(2))
        found += paired_difference(ACCURACY, target, list(a), list(b), draws=200).p < 0.05
    assert found / rounds <= 0.08


def test_pairing_finds_a_small_steady_difference():
    rng = np.random.default_rng(2)
    target = np.zeros(200)
    base = [rng.exponential(size=200) + 0.2 + 0.2 * rng.normal() for _ in range(5)]
    better = [prediction - 0.05 + 0.01 * rng.normal() for prediction in base]
    found = paired_difference(MAE, target, better, base)
    assert found.low < found.difference < found.high < 0
    assert found.p < 0.05
    assert (found.kind, found.n) == ("seeds+samples", 5)
    back = paired_difference(MAE, target, base, better)
    assert back.difference == pytest.approx(-found.difference)
    assert back.p == pytest.approx(found.p, abs=1e-9)


def test_two_seeds_find_a_large_difference():
    # Student's t with one degree of freedom asks for 12.7 standard errors, and would not.
    rng = np.random.default_rng(3)
    target, hardness = np.ones(752, dtype=int), rng.normal(0, 1, 752)
    better, worse = (networks(rng, 2, 752, 0.05, 0.3, hardness + shift) for shift in (0.5, 0.0))
    found = paired_difference(ACCURACY, target, list(better), list(worse))
    assert found.difference > 0.1
    assert found.p < 0.05
    assert found.low > 0
    gains = (better - worse).mean(axis=1)
    _, over_seeds = stats.ttest_1samp(gains, 0.0)
    assert float(over_seeds) > found.p  # type: ignore[arg-type]


def test_a_method_equals_itself():
    target = np.zeros(50)
    predictions = [np.random.default_rng(s).normal(size=50) for s in range(3)]
    found = paired_difference(MAE, target, predictions, predictions)
    assert (found.difference, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)


def test_p_with_one_seed_is_the_share_of_resamples():
    target, a = np.zeros(400), np.full(400, 1.0)
    found = paired_difference(MAE, target, [a], [a + 0.5], draws=100)
    assert found.kind == "samples"
    assert found.p == pytest.approx(2 / 101)


@pytest.mark.parametrize("seeds", [1, 3])
def test_few_samples_are_never_surer_than_flipped_signs(seeds):
    rng = np.random.default_rng(4)
    for samples in (2, 3, 5, 6, 12):
        worse = [1 + 0.01 * rng.random(samples) for _ in range(seeds)]
        found = paired_difference(MAE, np.zeros(samples), [np.zeros(samples)] * seeds, worse)
        away = np.mean(worse, axis=0)
        flips = np.array(list(itertools.product((1, -1), repeat=samples))) @ away
        exact = np.mean(np.abs(flips) >= away.sum() - 1e-12)
        assert found.p >= exact
        assert (found.p < 0.05) == (samples > 5)


def test_p_agrees_with_the_interval():
    target = np.zeros(60)
    for s in range(12):
        rng = np.random.default_rng(s)
        a, b = ([rng.exponential(size=60) for _ in range(4)] for _ in range(2))
        found = paired_difference(MAE, target, a, b)
        if not 0.04 < found.p < 0.06:
            assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


def test_what_cannot_be_paired_is_refused():
    a = [np.ones(3)]
    with pytest.raises(ValueError, match="cannot pair 1 seeds"):
        paired_difference(MAE, np.zeros(3), a, a * 2)
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_interval(MAE, np.zeros(3), [])
    with pytest.raises(ValueError, match="level"):
        interval(resample([MAE], np.zeros(3), a), [MAE], level=1.5)


def test_holm_by_hand():
    assert holm([0.04, 0.01, 0.03]).tolist() == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.01, math.nan, 0.02])[[0, 2]].tolist() == pytest.approx([0.02, 0.02])
    assert math.isnan(holm([0.01, math.nan])[1])
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0]


def test_seeds_that_agree_by_chance_do_not_narrow_the_interval():
    # Both seeds have the same error, but on different samples.
    target, a = np.zeros(40), np.repeat([1.0, 0.0], [10, 30])
    both = bootstrap_interval(MAE, target, [a, a[::-1]])
    average = bootstrap_interval(MAE, target, [(a + a[::-1]) / 2])
    assert both.high - both.low >= average.high - average.low


def test_what_seed_and_sample_do_together_counts_once():
    rng = np.random.default_rng(5)
    errors = rng.integers(0, 2, size=(5, 400)).astype(float)
    found = bootstrap_interval(MAE, np.zeros(400), list(errors))
    seed_sd = max(errors.mean(axis=1).std(ddof=1), 0.5 / math.sqrt(400))
    once = 2 * stats.t.ppf(0.975, 4) * seed_sd / math.sqrt(5)
    assert found.high - found.low == pytest.approx(once, rel=0.06)
