"""A regime for every quadrant of valence and arousal, step by step: the control that knows no time at all.

Valence and arousal are means over the modalities that were observed; what was not observed counts as 0, the corpus mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .segmenter import Conversation, Fitted, from_labels
from .shared.labelled import Labelled
from .sticky_hdp_hmm import observed_columns


@dataclass(frozen=True)
class PerUtteranceParams:
    """It has none."""


class PerUtterance:
    """The quadrant of each step."""

    Params = PerUtteranceParams
    version: ClassVar[int] = 1
    probabilistic: ClassVar[bool] = False

    def __init__(self, params: PerUtteranceParams) -> None:
        self.params = params

    def fit(self, conversations: Sequence[Conversation], seed: int) -> Fitted:
        """Names the quadrant of every step. See ``Segmenter.fit``."""
        observed_columns(conversations)
        return Labelled(from_labels([quadrants(fused(one)) for one in conversations]))


def fused(conversation: Conversation) -> np.ndarray:
    """[steps, dimensions]: the mean over modalities that were observed; NaN where none was."""
    seen = np.isfinite(conversation.observed)
    count = seen.sum(axis=1)
    total = np.where(seen, conversation.observed, 0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def quadrants(values: np.ndarray) -> np.ndarray:
    """[steps], 0 to 3: twice whether arousal is at least 0, plus whether valence is.

    Args:
        values: [steps, dimensions]; NaN counts as 0.
    """
    high = np.nan_to_num(values) >= 0
    return (high @ np.array([1, 2])[: values.shape[1]]).astype(np.int64)
