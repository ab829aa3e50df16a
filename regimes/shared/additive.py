"""Factors whose means add up: a factorial HMM with sticky chains.

Ghahramani and Jordan 1997 (Machine Learning 29, 245): y_t = sum over factors of W_f[z_t of f] + noise, with one covariance of
the noise. Each factor's states are drawn in turn given the others'. Our prior of W_f[k] is a Gaussian around a share of the
data's mean, whose covariance is that of the noise over ``strength``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..segmenter import Conversation, Segmentation, SegmenterError
from .factors import Factors, flat, packing, segmentation
from .gaussians import (
    NormalInverseWishart,
    Values,
    draw_missing,
    log_density,
    sample_inverse_wishart,
    sufficient,
)
from .messages import forward, sample_states
from .packed import Packed
from .sampler import Sampled, Swept, average, run, start
from .weak_limit import TransitionPrior, Transitions, sample_prior, sample_transitions

#: Joint states of all factors, over which a likelihood sums.
MOST_STATES = 10_000


@dataclass(frozen=True)
class AdditiveDraw:
    """Parameters for every chain.

    Attributes:
        transitions: one a factor.
        weights: [chains, factors, states, columns].
        covariance: [chains, columns, columns], of the noise.
        states: [factors, chains, total], int64: what the next sweep is conditioned on.
    """

    transitions: tuple[Transitions, ...]
    weights: np.ndarray
    covariance: np.ndarray
    states: np.ndarray


@dataclass(frozen=True)
class FittedAdditive:
    """See ``Fitted``."""

    segmentation: Segmentation
    columns: np.ndarray
    sampled: Sampled[AdditiveDraw]

    def log_likelihood(self, conversations: Sequence[Conversation]) -> np.ndarray:
        """Averaged over draws; the states of all factors are summed out together."""
        packed = packing(conversations)
        values = Values.of(packed.pack(flat(conversations))[:, self.columns])
        return average([joint_log_likelihood(draw, values, packed) for draw in self.sampled.draws])


def fit_additive(
    conversations: Sequence[Conversation],
    columns: np.ndarray,
    count: int,
    settings: Factors,
    rng: np.random.Generator,
) -> FittedAdditive:
    """Samples all factors together.

    Args:
        conversations: what is fitted.
        columns: that are observed.
        count: the number of factors.
        settings: how.
        rng: the source of all draws.

    Raises:
        SegmenterError: the factors have too many joint states for a likelihood.
    """
    if settings.prior.states**count > MOST_STATES:
        raise SegmenterError(
            f"factorization=additive: {count} factors of {settings.prior.states} states have more than {MOST_STATES} joint "
            "states: ask for fewer states or modalities"
        )
    packed = packing(conversations)
    array = packed.pack(flat(conversations))
    values = Values.of(array[:, columns])
    base = NormalInverseWishart.around(values)
    first = start_additive(values, count, settings.prior, base, settings.chains, rng)
    step = partial(_step, values, packed, settings.prior, base, rng)
    sampled = run(step, first, _rho, packed, settings.sweeps)
    found = segmentation(sampled.states, packed, array, settings, [sampled])
    return FittedAdditive(found, columns, sampled)


def _step(
    values: Values,
    packed: Packed,
    prior: TransitionPrior,
    base: NormalInverseWishart,
    rng: np.random.Generator,
    last: AdditiveDraw,
) -> tuple[AdditiveDraw, Swept]:
    return sweep_additive(values, packed, last, prior, base, rng)


def _rho(draw: AdditiveDraw) -> np.ndarray:
    return np.mean([one.rho for one in draw.transitions], axis=0)


def additive_from_prior(
    total: int,
    packed: Packed,
    count: int,
    prior: TransitionPrior,
    base: NormalInverseWishart,
    chains: int,
    rng: np.random.Generator,
) -> AdditiveDraw:
    """Parameters and states drawn from the prior.

    Args:
        total: the number of steps.
        packed: their order.
        count: the number of factors.
        prior: of the transitions.
        base: of the Gaussians.
        chains: how many.
        rng: the source of the draws.
    """
    transitions = tuple(sample_prior(prior, chains, rng) for _ in range(count))
    covariance = sample_inverse_wishart(
        np.full(chains, base.degrees), np.repeat(base.scale[None], chains, axis=0), rng
    )
    noise = rng.standard_normal((chains, count, prior.states, len(base.mean)))
    root = np.linalg.cholesky(covariance / base.strength)
    weights = base.mean / count + noise @ root[:, None].swapaxes(-1, -2)
    flat_density = np.zeros((chains, total, prior.states))
    states = []
    for one in transitions:
        filtered = forward(flat_density, one.initial, one.matrix, packed)
        states.append(sample_states(filtered, one.matrix, packed, rng.random((chains, total))))
    return AdditiveDraw(transitions, weights, covariance, np.stack(states))


def start_additive(
    values: Values,
    count: int,
    prior: TransitionPrior,
    base: NormalInverseWishart,
    chains: int,
    rng: np.random.Generator,
) -> AdditiveDraw:
    """Where chains begin: the first factor around observations, the others around nothing; see ``start``.

    Args:
        values: the observations.
        count, prior, base, chains, rng: as in ``additive_from_prior``.
    """
    first = start(values, prior, base, chains, rng)
    spread = np.sqrt(np.diagonal(base.scale) / (base.degrees - len(base.mean) - 1))
    weights = spread * rng.standard_normal((chains, count, prior.states, len(base.mean)))
    weights[:, 0] = first.mean
    states = rng.integers(prior.states, size=(count, chains, len(values.known)))
    return AdditiveDraw((first.transitions,) * count, weights, first.covariance[:, 0], states)


def sweep_additive(
    values: Values,
    packed: Packed,
    last: AdditiveDraw,
    prior: TransitionPrior,
    base: NormalInverseWishart,
    rng: np.random.Generator,
) -> tuple[AdditiveDraw, Swept]:
    """One sweep: the states of each factor in turn, then the weights of each, then the noise.

    Args:
        values: the observations.
        packed: the order of steps.
        last: the parameters and states before.
        prior: of the transitions.
        base: of the Gaussians.
        rng: the source of the draws.
    """
    chains, count, size, _ = last.weights.shape
    chain = np.arange(chains)[:, None]
    states, transitions = last.states.copy(), []
    parts = np.stack(
        [last.weights[chain, f, states[f]] for f in range(count)]
    )  # [factors, chains, total, columns]
    wide = np.repeat(last.covariance[:, None], size, axis=1)
    evidence = np.zeros(chains)
    for f in range(count):
        rest = replace(values, array=values.array - (parts.sum(axis=0) - parts[f]))
        density = log_density(rest, last.weights[:, f], wide)
        matrix = last.transitions[f].matrix
        filtered = forward(density, last.transitions[f].initial, matrix, packed)
        states[f] = sample_states(filtered, matrix, packed, rng.random(density.shape[:2]))
        transitions.append(sample_transitions(states[f], packed, last.transitions[f], prior, rng))
        parts[f] = last.weights[chain, f, states[f]]
        evidence = filtered.evidence.sum(axis=1)
    filled = _filled(values, parts.sum(axis=0), last.covariance, rng)
    seen = values.any_known
    weights = np.empty_like(last.weights)
    centre = base.mean / count
    root = np.linalg.cholesky(last.covariance)
    scale = base.scale + np.zeros_like(last.covariance)
    for f in range(count):
        rest = replace(filled, array=filled.array - (parts.sum(axis=0) - parts[f]))
        counts, sums, _ = sufficient(rest, states[f], size)
        strength = (base.strength + counts)[..., None]
        noise = rng.standard_normal(sums.shape) @ root.swapaxes(-1, -2)
        weights[:, f] = (base.strength * centre + sums) / strength + noise / np.sqrt(strength)
        parts[f] = weights[chain, f, states[f]]
        off = weights[:, f] - centre
        scale = scale + base.strength * off.swapaxes(-1, -2) @ off
    off = (filled.array - parts.sum(axis=0))[:, seen]
    scale = scale + off.swapaxes(-1, -2) @ off
    degrees = np.full(chains, base.degrees + seen.sum() + count * size)
    covariance = sample_inverse_wishart(degrees, scale, rng)
    return AdditiveDraw(tuple(transitions), weights, covariance, states), Swept(states, evidence)


def _filled(values: Values, mean: np.ndarray, covariance: np.ndarray, rng: np.random.Generator) -> Values:
    """Columns that a step lacks, drawn given those it has; ``mean`` is [chains, total, columns]."""
    if values.complete:
        return values
    nought = np.zeros(mean.shape[:2], np.int64)
    width = mean.shape[2]
    rest = replace(values, array=np.where(values.known, values.array - mean, 0.0))
    drawn = draw_missing(rest, nought, np.zeros((len(mean), 1, width)), covariance[:, None], rng)
    return replace(values, array=drawn.array + mean)


def joint_log_likelihood(draw: AdditiveDraw, values: Values, packed: Packed) -> np.ndarray:
    """[chains, conversations]: log densities, with the states of all factors summed out.

    Args:
        draw: the parameters.
        values: the observations of the conversations.
        packed: the order of their steps.
    """
    chains, count, size, width = draw.weights.shape
    mean = np.zeros((chains, *[1] * count, width))
    for f in range(count):
        shape = [chains, *[1] * count, width]
        shape[1 + f] = size
        mean = mean + draw.weights[:, f].reshape(shape)
    joint = size**count
    found = np.empty((chains, len(packed.order)))
    for c in range(chains):
        wide = np.broadcast_to(draw.covariance[c, None], (joint, width, width))[None]
        density = log_density(values, mean[c].reshape(1, joint, width), wide)[0]
        evidence = _evidence(density, [(one.initial[c], one.matrix[c]) for one in draw.transitions], packed)
        found[c] = [evidence[rows].sum() for rows in packed.rows]
    return found


def _evidence(
    density: np.ndarray, factors: list[tuple[np.ndarray, np.ndarray]], packed: Packed
) -> np.ndarray:
    """[total]: log p(observation | those before it), where the joint states [total, joint] move factor by factor.

    Args:
        density: [total, joint], log.
        factors: of each the initial distribution and the transition matrix.
        packed: the order of steps.
    """
    sizes = [len(initial) for initial, _ in factors]
    most = density.max(axis=1, keepdims=True)
    state = np.exp(density - most)
    first = np.ones(1)
    for initial, _ in factors:
        first = np.outer(first, initial).ravel()
    evidence = np.empty(len(density))
    before = np.empty(0)
    for t, (begin, size) in enumerate(zip(packed.starts, packed.sizes, strict=True)):
        ahead = first
        if t:
            moved = before[:size].reshape(size, *sizes)
            for f, (_, matrix) in enumerate(factors):
                moved = np.moveaxis(np.moveaxis(moved, 1 + f, -1) @ matrix, -1, 1 + f)
            ahead = moved.reshape(size, -1)
        now = state[begin : begin + size] * ahead
        total = np.maximum(now.sum(axis=1, keepdims=True), np.finfo(float).tiny)
        evidence[begin : begin + size] = np.log(total[:, 0]) + most[begin : begin + size, 0]
        before = now / total
    return evidence
