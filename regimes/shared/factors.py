"""Factors that are independent given their columns: each is an HDP-HMM of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..segmenter import Conversation, Segmentation
from .gaussians import NormalInverseWishart, Values
from .packed import Packed
from .partition import consensus, join_factors
from .sampler import Draw, Sampled, average, draw_log_likelihood, run, start, sweep
from .weak_limit import TransitionPrior


@dataclass(frozen=True)
class Factors:
    """How factors are sampled.

    Attributes:
        prior: of the transitions of each.
        sweeps: how many, of which half are burn-in.
        chains: how many.
        least: regimes of fewer steps are merged; 0: 1 % of the steps, and 3 at the most.
    """

    prior: TransitionPrior
    sweeps: int
    chains: int
    least: int


def flat(conversations: Sequence[Conversation]) -> list[np.ndarray]:
    """One [steps, modalities x dimensions] a conversation."""
    return [one.observed.reshape(len(one), -1) for one in conversations]


def packing(conversations: Sequence[Conversation]) -> Packed:
    """The packed order of conversations."""
    return Packed.of([len(one) for one in conversations], [one.id for one in conversations])


@dataclass(frozen=True)
class FittedFactors:
    """Independent factors that were sampled. See ``Fitted``."""

    segmentation: Segmentation
    columns: list[np.ndarray]
    sampled: list[Sampled[Draw]]

    def log_likelihood(self, conversations: Sequence[Conversation]) -> np.ndarray:
        """The sum over factors, each averaged over its own draws."""
        packed = packing(conversations)
        array = packed.pack(flat(conversations))
        total = np.zeros(len(conversations))
        for columns, sampled in zip(self.columns, self.sampled, strict=True):
            values = Values.of(array[:, columns])
            total += average([draw_log_likelihood(draw, values, packed) for draw in sampled.draws])
        return total


def fit_factors(
    conversations: Sequence[Conversation],
    columns: list[np.ndarray],
    settings: Factors,
    rng: np.random.Generator,
) -> FittedFactors:
    """Samples every factor.

    Args:
        conversations: what is fitted.
        columns: those of each factor.
        settings: how.
        rng: the source of all draws.
    """
    packed = packing(conversations)
    array = packed.pack(flat(conversations))
    runs = []
    for own, source in zip(columns, rng.spawn(len(columns)), strict=True):
        values = Values.of(array[:, own])
        base = NormalInverseWishart.around(values)
        first = start(values, settings.prior, base, settings.chains, source)
        step = partial(_step, values, packed, settings.prior, base, source)
        runs.append(run(step, first, _rho, packed, settings.sweeps))
    states = np.concatenate([one.states for one in runs], axis=1)
    found = segmentation(states, packed, array, settings, runs)
    return FittedFactors(found, columns, runs)


def _step(
    values: Values,
    packed: Packed,
    prior: TransitionPrior,
    base: NormalInverseWishart,
    rng: np.random.Generator,
    last: Draw,
):
    return sweep(values, packed, last, prior, base, rng)


def _rho(draw: Draw) -> np.ndarray:
    return draw.transitions.rho


def segmentation(
    states: np.ndarray, packed: Packed, array: np.ndarray, settings: Factors, runs: Sequence[Sampled]
) -> Segmentation:
    """What the draws say of the conversations.

    Args:
        states: [kept, factors, chains, total].
        packed: the order of steps.
        array: [total, columns], the observations.
        settings: how it was sampled.
        runs: one a factor, or one of all.
    """
    kept, factors, chains, total = states.shape
    found = [consensus(states[:, f].reshape(kept * chains, total)) for f in range(factors)]
    labels = np.stack([one for one, _ in found], axis=1)
    least = settings.least or max(1, min(3, total // 100))
    regimes = join_factors(labels, array, least)
    stay = states[..., packed.firsts :] == states[..., packed.previous]
    traces = {
        name if len(runs) == 1 else f"{name}/{place}": one
        for place, run_ in enumerate(runs)
        for name, one in run_.trace.items()
    }
    rho = [float(one.trace["rho"][:, one.burn_in :].mean()) for one in runs]
    return Segmentation(
        states=packed.unpack(labels.astype(np.int64)),
        posterior=tuple(packed.unpack(posterior) for _, posterior in found),
        regimes=packed.unpack(regimes.astype(np.int64)),
        self_transition=float(stay.mean()) if stay.size else float("nan"),
        trace=traces,
        rhat=max(one.rhat for one in runs),
        sweeps=settings.sweeps,
        about={"rho": rho, "states": [int(one.shape[1]) for _, one in found]},
    )
