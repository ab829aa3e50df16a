"""The samplers leave the prior as it is where data are drawn anew with every sweep (Geweke 2004, JASA 99, 799)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from mmbench.regimes.shared.additive import additive_from_prior, sweep_additive
from mmbench.regimes.shared.gaussians import NormalInverseWishart, Values
from mmbench.regimes.shared.messages import forward, sample_states
from mmbench.regimes.shared.packed import Packed
from mmbench.regimes.shared.sampler import from_prior, sweep
from mmbench.regimes.shared.weak_limit import TransitionPrior, dirichlet, sample_tables
from scipy import stats

#: Independent chains, so that values of different chains are independent, and sweeps that each takes.
CHAINS, SWEEPS = 4000, 3
PACKED = Packed.of([7, 4], ["a", "b"])
KNOWN = np.ones((PACKED.total, 2), bool)
KNOWN[2, 0] = KNOWN[5, 1] = False
KNOWN[8] = False
BASE = NormalInverseWishart(np.array([0.5, -0.2]), 0.5, 8.0, np.array([[4.0, 1.0], [1.0, 3.0]]))
#: The p-value below which two samples count as different.
LEAST = 1e-3


def prior(sticky: bool) -> TransitionPrior:
    return TransitionPrior(3, (3.0, 0.5), (4.0, 1.0), (3.0, 1.5) if sticky else None)


def emit(mean: np.ndarray, covariance: np.ndarray, rng: np.random.Generator) -> Values:
    """Observations [chains, total, columns] around ``mean`` of the same shape."""
    noise = rng.standard_normal(mean.shape)[..., None]
    array = mean + (np.linalg.cholesky(covariance) @ noise)[..., 0]
    return Values(np.where(KNOWN, array, 0.0), KNOWN)


def summaries(transitions, states, mean, covariance, values) -> dict[str, np.ndarray]:
    """What is compared, one number a chain each."""
    moved = states[..., PACKED.firsts :] != states[..., PACKED.previous]
    seen = values.array[:, KNOWN]
    return {
        "concentration": transitions.concentration,
        "top": transitions.top,
        "rho": transitions.rho,
        "beta": transitions.beta[:, 0],
        "largest beta": transitions.beta.max(axis=1),
        "initial": transitions.initial[:, 0],
        "stay": np.diagonal(transitions.matrix, axis1=1, axis2=2).mean(axis=1),
        "switches": moved.sum(axis=-1) + 0.0,
        "mean": mean[:, 0, 0],
        "variance": covariance.reshape(len(covariance), -1)[:, 0],
        "covariance": covariance.reshape(len(covariance), -1)[:, 1],
        "values": seen.mean(axis=1),
        "squares": (seen**2).mean(axis=1),
    }


def likeness(before: np.ndarray, after: np.ndarray) -> float:
    """The p of Kolmogorov and Smirnov's two-sample test."""
    return float(np.asarray(stats.ks_2samp(before, after))[1])


def assert_alike(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> None:
    for name in before:
        if before[name].std() > 0:
            assert likeness(before[name], after[name]) > LEAST, name


@pytest.mark.parametrize("sticky", [True, False])
def test_a_sweep_of_independent_factors_keeps_the_prior(sticky: bool):
    chain = np.arange(CHAINS)[:, None]

    def draw(rng: np.random.Generator):
        first = from_prior(prior(sticky), BASE, CHAINS, rng)
        flat = np.zeros((CHAINS, PACKED.total, 3))
        filtered = forward(flat, first.transitions.initial, first.transitions.matrix, PACKED)
        states = sample_states(filtered, first.transitions.matrix, PACKED, rng.random(flat.shape[:2]))
        return first, states, emit(first.mean[chain, states], first.covariance[chain, states], rng)

    def summary(now, states, values):
        return summaries(now.transitions, states, now.mean, now.covariance, values)

    expected = summary(*draw(np.random.default_rng(1)))
    rng = np.random.default_rng(2)
    now, states, values = draw(rng)
    for _ in range(SWEEPS):
        now, swept = sweep(values, PACKED, now, prior(sticky), BASE, rng)
        states = swept.states[0]
        values = emit(now.mean[chain, states], now.covariance[chain, states], rng)
    assert_alike(expected, summary(now, states, values))


def test_a_sweep_of_additive_factors_keeps_the_prior():
    chain = np.arange(CHAINS)[:, None]

    def observe(now, rng: np.random.Generator) -> Values:
        mean = np.sum([now.weights[chain, f, now.states[f]] for f in range(2)], axis=0)
        return emit(mean, now.covariance[:, None], rng)

    def summary(now, values):
        found = {}
        for f in range(2):
            part = summaries(now.transitions[f], now.states[f], now.weights[:, f], now.covariance, values)
            found |= {f"{name} {f}": one for name, one in part.items()}
        return found

    def draw(rng: np.random.Generator):
        return additive_from_prior(PACKED.total, PACKED, 2, prior(True), BASE, CHAINS, rng)

    rng = np.random.default_rng(3)
    first = draw(rng)
    expected = summary(first, observe(first, rng))
    rng = np.random.default_rng(4)
    now = draw(rng)
    values = observe(now, rng)
    for _ in range(SWEEPS):
        now, _ = sweep_additive(values, PACKED, now, prior(True), BASE, rng)
        values = observe(now, rng)
    assert_alike(expected, summary(now, values))


def test_a_wrong_sampler_is_found_out():
    """The control: with a base whose scale is half as large, the same comparison fails."""
    chain = np.arange(CHAINS)[:, None]
    rng = np.random.default_rng(2)
    now = from_prior(prior(True), BASE, CHAINS, rng)
    expected = now.covariance[:, 0, 0, 0]
    states = rng.integers(3, size=(CHAINS, PACKED.total))
    values = emit(now.mean[chain, states], now.covariance[chain, states], rng)
    wrong = replace(BASE, scale=BASE.scale / 2)
    now, _ = sweep(values, PACKED, now, prior(True), wrong, rng)
    assert likeness(expected, now.covariance[:, 0, 0, 0]) < LEAST


def test_tables_are_as_many_as_expected():
    counts, shape = np.full((4000, 2), 9.0), np.tile([0.5, 3.0], (4000, 1))
    tables = sample_tables(counts, shape, np.random.default_rng(0))
    expected = (shape[0][:, None] / (shape[0][:, None] + np.arange(9))).sum(axis=1)
    assert tables.mean(axis=0) == pytest.approx(expected, abs=0.1)
    assert sample_tables(np.zeros((2, 3)), np.ones((2, 3)), np.random.default_rng(0)).sum() == 0


def test_dirichlets_of_tiny_parameters_are_distributions():
    drawn = dirichlet(np.full((500, 4), 1e-4), np.random.default_rng(0))
    assert np.isfinite(drawn).all()
    assert drawn.sum(axis=1) == pytest.approx(1)
    assert (drawn.argmax(axis=1) == 0).mean() == pytest.approx(0.25, abs=0.1)
