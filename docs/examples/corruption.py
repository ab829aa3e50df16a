"""Miscalibration: every feature of a sample has a gain of its own, as of a sensor that was never adjusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from mmbench.corruptions.corruption import Corruption
from mmbench.corruptions.random import Stream
from torch import Tensor

CORRUPTIONS = {"miscalibration": "Miscalibration"}


class Miscalibration(Corruption):
    """Multiplies each feature by 1 + u, u uniform in [-lambda, lambda] and the same at every step."""

    kind: ClassVar[str] = "miscalibration"
    family: ClassVar[str] = "gain"
    medium = "features"  # or tokens, words, waveform, frames
    levels = (0.1, 0.2, 0.4, 0.6, 0.8)  # lambda at severity 1 to 5

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Mapping[str, Tensor]:
        """A number in [-1, 1) for each feature of each sample: [batch, 1, feature]."""
        return {"gain": 2 * stream.uniform("gain", 1, features.shape[2]) - 1}

    def corrupt(self, features: Tensor, valid: Tensor, draws: Mapping[str, Tensor]) -> Tensor:
        """Applies the gains; nothing is drawn here, so that severities share their draws."""
        return features * (1 + self.level * draws["gain"]).to(features.dtype)
