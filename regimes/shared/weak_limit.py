"""The weak-limit approximation of the sticky HDP-HMM: its prior, and one sweep of its blocked Gibbs sampler.

Fox, Sudderth, Jordan, Willsky 2011 (Annals of Applied Statistics 5, 1020), algorithm 3, with L states:

    beta ~ Dir(gamma/L, ..., gamma/L)
    transition_j ~ Dir(alpha beta + kappa e_j),    initial ~ Dir((alpha + kappa) beta)
    alpha + kappa ~ Gamma,  gamma ~ Gamma,  rho = kappa / (alpha + kappa) ~ Beta

Two things are ours, so that every step draws from its exact conditional: the first state has the concentration
alpha + kappa without stickiness, so that its tables enter the update of alpha + kappa as those of any other row; and gamma is
drawn with tables of the finite Dirichlet (shape gamma/L), where the usual update is that of the infinite limit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .packed import Packed

_TINY = 1e-12


@dataclass(frozen=True)
class TransitionPrior:
    """Hyper-parameters.

    Attributes:
        states: L, the number of states of the weak limit.
        concentration: shape and rate of the Gamma prior of alpha + kappa.
        top: shape and rate of that of gamma.
        stickiness: the parameters of the Beta prior of rho; None: rho is 0, and no state is preferred to itself.
    """

    states: int = 10
    concentration: tuple[float, float] = (1.0, 0.01)
    top: tuple[float, float] = (1.0, 0.01)
    stickiness: tuple[float, float] | None = (10.0, 1.0)


@dataclass(frozen=True)
class Transitions:
    """Draws of one factor, for every chain.

    Attributes:
        concentration: [chains], alpha + kappa.
        top: [chains], gamma.
        rho: [chains].
        beta: [chains, states].
        initial: [chains, states].
        matrix: [chains, states, states].
    """

    concentration: np.ndarray
    top: np.ndarray
    rho: np.ndarray
    beta: np.ndarray
    initial: np.ndarray
    matrix: np.ndarray


def sample_prior(prior: TransitionPrior, chains: int, rng: np.random.Generator) -> Transitions:
    """Draws everything from the prior.

    Args:
        prior: its hyper-parameters.
        chains: how many draws.
        rng: their source.
    """
    concentration, top = (
        rng.gamma(shape, 1 / rate, chains) for shape, rate in (prior.concentration, prior.top)
    )
    rho = np.zeros(chains) if prior.stickiness is None else rng.beta(*prior.stickiness, chains)
    beta = dirichlet(np.repeat(top[:, None] / prior.states, prior.states, axis=1), rng)
    nothing = np.zeros((chains, prior.states + 1, prior.states))
    return _draw_rows(concentration, top, rho, beta, nothing, rng)


def sample_transitions(
    states: np.ndarray, packed: Packed, last: Transitions, prior: TransitionPrior, rng: np.random.Generator
) -> Transitions:
    """Draws everything given the states.

    Args:
        states: [chains, total].
        packed: the order of steps.
        last: the draw before, on which only concentrations, rho and beta are conditioned.
        prior: the hyper-parameters.
        rng: the source of the draws.
    """
    count = prior.states
    counts = transition_counts(states, packed, count)
    share = _shares(last.rho, last.beta)
    tables = sample_tables(counts, last.concentration[:, None, None] * share, rng)
    overrides = np.zeros((*tables.shape[:1], count))
    if prior.stickiness is not None:
        own = np.diagonal(tables[:, 1:], axis1=1, axis2=2)
        odds = last.rho[:, None] / np.maximum(np.diagonal(share[:, 1:], axis1=1, axis2=2), _TINY)
        overrides = rng.binomial(own.astype(np.int64), np.clip(odds, 0, 1)).astype(float)
    considered = tables.sum(axis=1) - overrides

    top_tables = sample_tables(considered, np.repeat(last.top[:, None] / count, count, axis=1), rng)
    top = _concentration(last.top, considered.sum(axis=1)[:, None], top_tables.sum(axis=1), prior.top, rng)
    beta = dirichlet(top[:, None] / count + considered, rng)
    rows = counts.sum(axis=2)
    concentration = _concentration(
        last.concentration, rows, tables.sum(axis=(1, 2)), prior.concentration, rng
    )
    rho = last.rho
    if prior.stickiness is not None:
        a, b = prior.stickiness
        stuck = overrides.sum(axis=1)
        rho = rng.beta(a + stuck, b + tables[:, 1:].sum(axis=(1, 2)) - stuck)
    return _draw_rows(concentration, top, rho, beta, counts, rng)


def transition_counts(states: np.ndarray, packed: Packed, count: int) -> np.ndarray:
    """[chains, 1 + states, states], float64: how often each state comes first, and how often it follows another.

    Args:
        states: [chains, total].
        packed: the order of steps.
        count: the number of states.
    """
    chains = len(states)
    base = (np.arange(chains) * (count + 1))[:, None]
    first = (base * count + states[:, : packed.firsts]).ravel()
    from_to = (base + 1 + states[:, packed.previous]) * count + states[:, packed.firsts :]
    cells = np.bincount(np.concatenate([first, from_to.ravel()]), minlength=chains * (count + 1) * count)
    return cells.reshape(chains, count + 1, count).astype(np.float64)


def sample_tables(counts: np.ndarray, shape: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The number of tables of a Chinese restaurant: customer i opens one with probability shape / (shape + i - 1).

    Args:
        counts: [...], customers, whole numbers.
        shape: [...], as many, positive.
        rng: the source of the draws.

    Returns:
        [...], float64.
    """
    customers = counts.ravel().astype(np.int64)
    cell = np.repeat(np.arange(customers.size), customers)
    number = np.arange(cell.size) - np.repeat(np.cumsum(customers) - customers, customers)
    weight = np.maximum(shape.ravel(), _TINY)[cell]
    opened = rng.random(cell.size) * (weight + number) < weight
    return np.bincount(cell[opened], minlength=customers.size).reshape(counts.shape).astype(np.float64)


def dirichlet(shape: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws from Dirichlet distributions, whose parameters [..., n] may be so small that gamma draws underflow.

    Draws log gamma(a) as log gamma(a + 1) + log(u) / a.
    """
    shape = np.maximum(shape, _TINY)
    logs = np.log(rng.standard_gamma(shape + 1)) + np.log1p(-rng.random(shape.shape)) / shape
    logs -= logs.max(axis=-1, keepdims=True)
    draws = np.exp(logs)
    return draws / draws.sum(axis=-1, keepdims=True)


def _shares(rho: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """[chains, 1 + states, states]: what of alpha + kappa each transition has; the first row is of first states."""
    count = beta.shape[1]
    rows = (1 - rho)[:, None, None] * beta[:, None] + rho[:, None, None] * np.eye(count)
    return np.concatenate([beta[:, None], rows], axis=1)


def _concentration(
    last: np.ndarray,
    customers: np.ndarray,
    tables: np.ndarray,
    prior: tuple[float, float],
    rng: np.random.Generator,
) -> np.ndarray:
    """Draws concentrations by auxiliary variables (Teh et al. 2006, JASA 101, 1566, appendix).

    Args:
        last: [chains], the values before.
        customers: [chains, restaurants].
        tables: [chains], of all restaurants together.
        prior: shape and rate of their Gamma prior.
        rng: the source of the draws.
    """
    shape, rate = prior
    open_ = customers > 0
    # Beta(c + 1, n) by two gammas, as the second is 0 where nobody came
    one = rng.standard_gamma(np.repeat(last[:, None] + 1, customers.shape[1], axis=1))
    other = rng.standard_gamma(np.where(open_, customers, 1.0))
    logs = np.where(open_, np.log(np.maximum(one, 1e-300)) - np.log(np.maximum(one + other, 1e-300)), 0.0)
    more = open_ & (rng.random(customers.shape) * (customers + last[:, None]) < customers)
    drawn = rng.standard_gamma(np.maximum(shape + tables - more.sum(axis=1), _TINY))
    return np.maximum(drawn / (rate - logs.sum(axis=1)), 1e-8)


def _draw_rows(
    concentration: np.ndarray,
    top: np.ndarray,
    rho: np.ndarray,
    beta: np.ndarray,
    counts: np.ndarray,
    rng: np.random.Generator,
) -> Transitions:
    """Draws the rows of the transition matrix and the initial distribution, given all else and the counts."""
    rows = dirichlet(concentration[:, None, None] * _shares(rho, beta) + counts, rng)
    return Transitions(concentration, top, rho, beta, rows[:, 0], rows[:, 1:])
