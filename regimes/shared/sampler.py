"""The blocked Gibbs sampler of an HMM with Gaussian states, for several chains at once, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

from .convergence import split_rhat
from .gaussians import NormalInverseWishart, Values, draw_missing, log_density, sufficient
from .messages import forward, sample_states
from .packed import Packed
from .weak_limit import TransitionPrior, Transitions, sample_prior, sample_transitions

#: Draws of all chains together that are kept after burn-in.
KEPT = 60


@dataclass(frozen=True)
class Draw:
    """Parameters of one factor, for every chain.

    Attributes:
        transitions: of its states.
        mean: [chains, states, columns].
        covariance: [chains, states, columns, columns].
    """

    transitions: Transitions
    mean: np.ndarray
    covariance: np.ndarray

    @property
    def used(self) -> np.ndarray:
        """[chains, states]: the self-transition of each state."""
        return np.diagonal(self.transitions.matrix, axis1=1, axis2=2)


@dataclass(frozen=True)
class Swept:
    """What a sweep yields.

    Attributes:
        states: [factors, chains, total], int64.
        log_likelihood: [chains], of the parameters before the sweep, states summed out.
    """

    states: np.ndarray
    log_likelihood: np.ndarray


class Predicts(Protocol):
    """Parameters that say how likely conversations are."""

    def log_likelihood(self, values: Values, packed: Packed) -> np.ndarray:
        """[chains, conversations]."""
        ...


P = TypeVar("P")


@dataclass(frozen=True)
class Sampled(Generic[P]):
    """What is kept of a run.

    Attributes:
        states: [kept, factors, chains, total], int8.
        draws: the parameters of each kept sweep.
        trace: name -> [chains, sweeps].
        burn_in: sweeps that are not kept.
    """

    states: np.ndarray
    draws: list[P]
    trace: dict[str, np.ndarray]
    burn_in: int

    @property
    def rhat(self) -> float:
        """The largest split R-hat of the traces after burn-in, without those of hyper-parameters."""
        judged = [self.trace[name][:, self.burn_in :] for name in ("log_likelihood", "switches")]
        return max(map(split_rhat, judged))


def from_prior(
    prior: TransitionPrior, base: NormalInverseWishart, chains: int, rng: np.random.Generator
) -> Draw:
    """Parameters drawn from the prior.

    Args:
        prior: of the transitions.
        base: of the states' Gaussians.
        chains: how many.
        rng: the source of the draws.
    """
    width, count = len(base.mean), prior.states
    nothing = np.zeros((chains, count))
    mean, covariance = base.sample(
        nothing, np.zeros((chains, count, width)), np.zeros((chains, count, width, width)), rng
    )
    return Draw(sample_prior(prior, chains, rng), mean, covariance)


def start(
    values: Values, prior: TransitionPrior, base: NormalInverseWishart, chains: int, rng: np.random.Generator
) -> Draw:
    """Where chains begin: hyper-parameters at their prior means, states around observations that are drawn for each chain,
    far from each other (k-means++, Arthur and Vassilvitskii 2007).

    Args:
        values: the observations.
        prior, base, chains, rng: as in ``from_prior``.
    """
    count = prior.states
    points = np.where(values.known, values.array[0], base.mean)[values.any_known]
    mean = np.empty((chains, count, len(base.mean)))
    for chain in range(chains):
        nearest = np.ones(len(points))
        for state in range(count):
            weight = nearest if nearest.sum() > 0 else np.ones(len(points))
            mean[chain, state] = points[rng.choice(len(points), p=weight / weight.sum())]
            distance = ((points - mean[chain, state]) ** 2).sum(axis=1)
            nearest = distance if state == 0 else np.minimum(nearest, distance)
    expected = base.scale / (base.degrees - len(base.mean) - 1)
    covariance = np.broadcast_to(expected, (chains, count, *expected.shape)).copy()
    rho = 0.0 if prior.stickiness is None else prior.stickiness[0] / sum(prior.stickiness)
    matrix = (1 - rho) / count + rho * np.eye(count)
    even = np.full((chains, count), 1 / count)
    concentration, top = (np.full(chains, shape / rate) for shape, rate in (prior.concentration, prior.top))
    transitions = Transitions(
        concentration, top, np.full(chains, rho), even, even, np.repeat(matrix[None], chains, axis=0)
    )
    return Draw(transitions, mean, covariance)


def sweep(
    values: Values,
    packed: Packed,
    last: Draw,
    prior: TransitionPrior,
    base: NormalInverseWishart,
    rng: np.random.Generator,
) -> tuple[Draw, Swept]:
    """One sweep: states given parameters, then transitions, then Gaussians given states.

    Args:
        values: the observations.
        packed: the order of steps.
        last: the parameters before.
        prior: of the transitions.
        base: of the states' Gaussians.
        rng: the source of the draws.
    """
    density = log_density(values, last.mean, last.covariance)
    filtered = forward(density, last.transitions.initial, last.transitions.matrix, packed)
    uniform = rng.random(density.shape[:2])
    states = sample_states(filtered, last.transitions.matrix, packed, uniform)
    transitions = sample_transitions(states, packed, last.transitions, prior, rng)
    filled = draw_missing(values, states, last.mean, last.covariance, rng)
    mean, covariance = base.sample(*sufficient(filled, states, prior.states), rng)
    return Draw(transitions, mean, covariance), Swept(states[None], filtered.evidence.sum(axis=1))


def run(
    step: Callable[[P], tuple[P, Swept]],
    first: P,
    rho: Callable[[P], np.ndarray],
    packed: Packed,
    sweeps: int,
) -> Sampled[P]:
    """Runs a sampler; the first half of its sweeps is burn-in.

    Args:
        step: one sweep.
        first: where the chains begin.
        rho: parameters -> [chains], the stickiness that the trace shows.
        packed: the order of steps.
        sweeps: how many.
    """
    burn_in = sweeps // 2
    states, draws, traces = [], [], []
    now = first
    for number in range(sweeps):
        before = now
        now, swept = step(now)
        every = max(1, (sweeps - burn_in) * swept.states.shape[1] // KEPT)
        moved = swept.states[:, :, packed.firsts :] != swept.states[:, :, packed.previous]
        traces.append(
            {
                "log_likelihood": swept.log_likelihood,
                "switches": moved.sum(axis=(0, 2)).astype(float),
                "states": _distinct(swept.states).astype(float),
                "rho": rho(now),
            }
        )
        if number >= burn_in and (number - burn_in) % every == every - 1:
            states.append(swept.states.astype(np.int8 if swept.states.max() < 127 else np.int64))
            draws.append(before)  # the parameters that these states were drawn under
    trace = {name: np.stack([one[name] for one in traces], axis=1) for name in traces[0]}
    return Sampled(np.stack(states), draws, trace, burn_in)


def _distinct(states: np.ndarray) -> np.ndarray:
    """[chains]: the number of states in use, of all factors together."""
    return np.array([sum(len(np.unique(one)) for one in states[:, c]) for c in range(states.shape[1])])


def draw_log_likelihood(draw: Draw, values: Values, packed: Packed) -> np.ndarray:
    """[chains, conversations]: log densities under the parameters of each chain.

    Args:
        draw: the parameters.
        values: the observations of the conversations.
        packed: the order of their steps.
    """
    density = log_density(values, draw.mean, draw.covariance)
    return forward(density, draw.transitions.initial, draw.transitions.matrix, packed).log_likelihood(packed)


def average(per_draw: Sequence[np.ndarray]) -> np.ndarray:
    """[conversations]: the log of the mean density over draws and chains.

    Args:
        per_draw: one [chains, conversations] a draw.
    """
    from scipy.special import logsumexp

    every = np.concatenate(per_draw)
    return logsumexp(every, axis=0) - np.log(len(every))
