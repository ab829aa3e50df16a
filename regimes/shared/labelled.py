"""Segmenters that have no probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..segmenter import Conversation, Segmentation


@dataclass(frozen=True)
class Labelled:
    """See ``Fitted``."""

    segmentation: Segmentation

    def log_likelihood(self, conversations: Sequence[Conversation]) -> np.ndarray:
        """NaN: there is no density."""
        return np.full(len(conversations), np.nan)
