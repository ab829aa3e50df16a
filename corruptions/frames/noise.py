"""Noise in pictures: of the sensor, of few photons, of broken pixels. New in every frame, pixel and channel."""

from __future__ import annotations

from functools import cache
from typing import ClassVar

import torch
from torch import Tensor

from ..random import Stream
from .picture import Draws, PictureCorruption

#: Brightnesses and steps of probability that the numbers of photons are tabulated at.
_SHADES, _STEPS = 256, 4096


class PixelNoise(PictureCorruption):
    """Gaussian noise on every pixel (ImageNet-C's gaussian noise). Levels are its deviation."""

    kind: ClassVar[str] = "pixel-noise"
    family: ClassVar[str] = "noise"
    levels = (0.08, 0.12, 0.18, 0.26, 0.38)

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """A normal number for each value."""
        return {"noise": stream.noise("noise", *features.shape[1:])}

    def damage(self, pictures: Tensor, draws: Draws) -> Tensor:
        """Adds the noise."""
        return pictures.add(draws["noise"], alpha=self.level)


class ShotNoise(PictureCorruption):
    """Few photons: a value x becomes a Poisson number of mean n x, divided by n. Levels are n.

    Read from a table of quantiles: brightness is rounded to multiples of 1/255, and probabilities are exact to
    1/8192.
    """

    kind: ClassVar[str] = "shot-noise"
    family: ClassVar[str] = "noise"
    levels = (60.0, 25.0, 12.0, 5.0, 3.0)

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """A uniform number for each value."""
        return {"chance": stream.coarse("photons", *features.shape[1:])}

    def damage(self, pictures: Tensor, draws: Draws) -> Tensor:
        """Looks up the number of photons at that probability."""
        place = pictures.mul(_SHADES - 1).add_(0.5).int().mul_(_STEPS)
        place += draws["chance"].mul(_STEPS).int()
        table = _photons(self.level, pictures.device)
        return table.index_select(0, place.clamp_(0, len(table) - 1).view(-1)).view_as(pictures)


class ImpulseNoise(PictureCorruption):
    """Values at random turn black or white, evenly likely. Levels are the share that does."""

    kind: ClassVar[str] = "impulse-noise"
    family: ClassVar[str] = "noise"
    levels = (0.03, 0.06, 0.09, 0.17, 0.27)

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """A uniform number for each value: the lowest turn black, the highest white."""
        return {"chance": stream.coarse("pixels", *features.shape[1:])}

    def damage(self, pictures: Tensor, draws: Draws) -> Tensor:
        """Replaces the values."""
        black = pictures.masked_fill(draws["chance"] < self.level / 2, 0)
        return black.masked_fill_(draws["chance"] >= 1 - self.level / 2, 1)


@cache
def _photons(full: float, device: torch.device) -> Tensor:
    """[shades * steps]: Poisson quantiles at the middle of each step of probability, divided by ``full``."""
    rate = torch.arange(_SHADES, dtype=torch.float64)[:, None] * full / (_SHADES - 1)
    most = int(full + 8 * full**0.5 + 8)
    # P(K <= k) is the regularised upper incomplete gamma function Q(k + 1, rate).
    below = torch.special.gammaincc(torch.arange(1.0, most + 1, dtype=torch.float64), rate)
    wanted = (torch.arange(_STEPS, dtype=torch.float64) + 0.5) / _STEPS
    counts = torch.searchsorted(below, wanted.expand(_SHADES, _STEPS).contiguous())
    return (counts / full).float().flatten().to(device)
