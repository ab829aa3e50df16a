"""Hysteresis: a regime is left only when the valence is clearly on the other side, as a thermostat does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from mmbench.regimes.segmenter import Conversation, Fitted, SegmenterError, from_labels
from mmbench.regimes.shared.labelled import Labelled

SEGMENTERS = {"hysteresis": "Hysteresis"}


@dataclass(frozen=True)
class HysteresisParams:
    """Parameters.

    Attributes:
        threshold: how far beyond 0 the smoothed valence lies before the regime changes, in deviations of the corpus.
        memory: the weight of the smoothed valence so far beside that of a step, from 0 to below 1.
    """

    threshold: float = 0.5
    memory: float = 0.5


class Hysteresis:
    """Two regimes of smoothed valence, with a threshold that must be crossed to leave one."""

    Params = HysteresisParams
    version: ClassVar[int] = 1
    probabilistic: ClassVar[bool] = False

    def __init__(self, params: HysteresisParams) -> None:
        if params.threshold < 0 or not 0 <= params.memory < 1:
            raise SegmenterError("threshold should be 0 or more, and memory from 0 to below 1")
        self.params = params

    def fit(self, conversations: Sequence[Conversation], seed: int) -> Fitted:
        """Each conversation by itself. See ``mmbench.regimes.segmenter.Segmenter.fit``."""
        if not any(np.isfinite(one.observed).any() for one in conversations):
            raise SegmenterError("nothing was observed in any conversation")
        return Labelled(from_labels([self._regimes(one) for one in conversations]))

    def _regimes(self, conversation: Conversation) -> np.ndarray:
        """[steps]: 1 where the regime is positive. A step without a valence changes nothing."""
        positive, smooth = False, 0.0
        found = np.zeros(len(conversation), np.int64)
        for step, values in enumerate(conversation.observed[:, :, 0]):  # the first dimension is valence
            seen = values[np.isfinite(values)]
            if len(seen):
                smooth = self.params.memory * smooth + (1 - self.params.memory) * float(seen.mean())
            if abs(smooth) > self.params.threshold:
                positive = smooth > 0
            found[step] = positive
        return found
