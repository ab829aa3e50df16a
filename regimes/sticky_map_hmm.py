"""Gaussian HMM with pseudo-counts of staying in a state: stickiness by a Dirichlet prior of the transitions, whose mode EM
finds (Montañez, Amizadeh, Laptev 2015, AAAI, regularise towards staying in the same way)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .gaussian_hmm import GaussianHmm, GaussianHmmParams
from .segmenter import SegmenterError
from .shared.em import Settings


@dataclass(frozen=True)
class StickyMapHmmParams(GaussianHmmParams):
    """Parameters.

    Attributes:
        stay: pseudo-counts of staying, in each state.
        even: pseudo-counts of every transition.
    """

    stay: float = 50.0
    even: float = 1.0


class StickyMapHmm(GaussianHmm):
    """A Gaussian HMM that is told to stay."""

    Params = StickyMapHmmParams
    version: ClassVar[int] = 1
    params: StickyMapHmmParams

    def __init__(self, params: StickyMapHmmParams) -> None:
        super().__init__(params)
        if params.stay < 0 or params.even < 0:
            raise SegmenterError("stay and even are counts: they should be 0 or more")

    def settings(self) -> Settings:
        """How models are fitted."""
        of = self.params
        return Settings(range(of.fewest, of.most + 1), of.starts, even=of.even, stay=of.stay)
