"""Gaussian HMM: a hidden Markov model with a number of states that the Bayesian information criterion chooses (Rabiner 1989;
Schwarz 1978). EM with full covariances from ten starts; regimes are the most probable paths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .segmenter import Conversation, Fitted, SegmenterError
from .shared.em import Settings, fit_hmm
from .sticky_hdp_hmm import observed_columns


@dataclass(frozen=True)
class GaussianHmmParams:
    """Parameters of HMMs that are fitted by EM.

    Attributes:
        fewest, most: numbers of states that are tried.
        starts: of EM for each number.
    """

    fewest: int = 2
    most: int = 8
    starts: int = 10


class GaussianHmm:
    """A hidden Markov model with Gaussian states, fitted by EM."""

    Params = GaussianHmmParams
    version: ClassVar[int] = 1
    probabilistic: ClassVar[bool] = True

    def __init__(self, params: GaussianHmmParams) -> None:
        if not 1 <= params.fewest <= params.most or params.starts < 1:
            raise SegmenterError("fewest, most and starts should be 1 or more, and fewest no more than most")
        self.params = params

    def settings(self) -> Settings:
        """How models are fitted."""
        return Settings(range(self.params.fewest, self.params.most + 1), self.params.starts)

    def fit(self, conversations: Sequence[Conversation], seed: int) -> Fitted:
        """Runs EM for every number of states. See ``Segmenter.fit``."""
        columns = np.concatenate(list(observed_columns(conversations).values()))
        rng = np.random.default_rng(np.random.SeedSequence([seed, 19]))
        return fit_hmm(conversations, columns, self.settings(), rng)
