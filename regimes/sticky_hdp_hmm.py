"""Sticky factorial HDP-HMM: regimes that persist, as many as the data ask for.

Ragu and Jonelagadda 2026 (arXiv 2605.12838): sticky factorial HDP-HMMs over valence and arousal of each modality, of which
only the abstract could be read. The model of a factor is that of Fox, Sudderth, Jordan and Willsky 2011 (Annals of Applied
Statistics 5, 1020); the factorisations other than by modality, priors of the states and the point estimate are our reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from .segmenter import DIMENSIONS, Conversation, Fitted, SegmenterError
from .shared.additive import fit_additive
from .shared.factors import Factors, fit_factors
from .shared.weak_limit import TransitionPrior


@dataclass(frozen=True)
class HdpHmmParams:
    """Parameters of the HDP-HMMs.

    Attributes:
        factorization: ``modality``: a chain of states for each modality, of its valence and arousal; ``dimension``: one for
            valence and one for arousal, over all modalities; ``additive``: as many as modalities, two at least, whose means
            add up (Ghahramani and Jordan 1997); ``joint``: one over everything, the control of the others.
        states: L, the most states of a chain.
        sweeps: of the sampler; the first half is burn-in.
        chains: of the sampler, which start apart.
        least: regimes of fewer steps are merged into the nearest; 0: 1 % of the steps, and 3 at the most.
    """

    factorization: Literal["modality", "dimension", "additive", "joint"] = "modality"
    states: int = 10
    sweeps: int = 300
    chains: int = 3
    least: int = 0


class StickyHdpHmm:
    """A hidden Markov model with a hierarchical Dirichlet process and a preference for staying."""

    Params = HdpHmmParams
    version: ClassVar[int] = 1
    probabilistic: ClassVar[bool] = True
    #: Parameters of the Beta prior of rho; None: no preference for staying.
    stickiness: ClassVar[tuple[float, float] | None] = (10.0, 1.0)

    def __init__(self, params: HdpHmmParams) -> None:
        for name, least in (("states", 1), ("sweeps", 4), ("chains", 1), ("least", 0)):
            if getattr(params, name) < least:
                raise SegmenterError(f"{name} is {getattr(params, name)}: {least} or more is expected")
        self.params = params

    def fit(self, conversations: Sequence[Conversation], seed: int) -> Fitted:
        """Runs the sampler. See ``Segmenter.fit``."""
        params = self.params
        prior = TransitionPrior(params.states, stickiness=self.stickiness)
        columns = observed_columns(conversations)
        rng = np.random.default_rng(np.random.SeedSequence([seed, 18]))
        settings = Factors(prior, params.sweeps, params.chains, params.least)
        if params.factorization == "additive":
            count = max(2, conversations[0].observed.shape[1])
            return fit_additive(conversations, np.concatenate(list(columns.values())), count, settings, rng)
        return fit_factors(conversations, factor_columns(columns, params.factorization), settings, rng)


def observed_columns(conversations: Sequence[Conversation]) -> dict[int, np.ndarray]:
    """Modality -> its columns of ``observed`` [steps, modalities x dimensions] that are observed anywhere.

    Raises:
        SegmenterError: none is.
    """
    if not conversations:
        raise SegmenterError("no conversations: one at least is needed")
    width = conversations[0].observed.shape[2]
    seen = np.any([np.isfinite(one.observed).any(axis=0) for one in conversations], axis=0)
    if not seen.any():
        raise SegmenterError("nothing was observed in any conversation: name other modalities")
    return {m: m * width + np.flatnonzero(seen[m]) for m in range(seen.shape[0]) if seen[m].any()}


def factor_columns(columns: dict[int, np.ndarray], factorization: str) -> list[np.ndarray]:
    """The columns of each factor.

    Args:
        columns: modality -> its columns.
        factorization: ``modality``, ``dimension`` or ``joint``.
    """
    every = np.concatenate(list(columns.values()))
    if factorization == "joint":
        return [every]
    if factorization == "modality":
        return list(columns.values())
    dimensions = every % len(DIMENSIONS)
    return [every[dimensions == one] for one in np.unique(dimensions)]
