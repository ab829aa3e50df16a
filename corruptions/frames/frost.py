"""Ice on a pane, drawn: needles that grow in patches of one direction, over cloudy patches, in cold colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from ..random import Stream

#: Height and width of a pane in pixels.
SIDE = 512
#: Mean of red, green and blue, and contrast (deviation) of each pane: about those of the five photographs that the
#: published recipe cuts its pieces from.
PANES = (
    ((0.31, 0.58, 0.65), 0.06),
    ((0.79, 0.80, 0.84), 0.08),
    ((0.78, 0.81, 0.84), 0.08),
    ((0.54, 0.60, 0.65), 0.11),
    ((0.44, 0.48, 0.53), 0.15),
)
#: Directions of needles, and their length and thickness in pixels (deviations).
_DIRECTIONS, _LONG, _THIN = 6, 5.0, 0.6


def pieces(draws: Tensor, channels: int, size: Sequence[int]) -> Tensor:
    """A random piece of a random pane for each sample.

    Args:
        draws: [batch, 3] in [0, 1): which pane, and where the piece lies in it.
        channels: three are red, green and blue; any other number gets their mean.
        size: height and width of the piece; a larger pane is made for what does not fit.

    Returns:
        [batch, channels, height, width], mostly in 0 to 1.
    """
    height, width = size
    panes = _panes(max(SIDE, height, width), draws.device)
    if channels != 3:
        panes = panes.mean(dim=1, keepdim=True).expand(-1, channels, -1, -1)
    room = torch.tensor([len(PANES), panes.shape[-2] - height + 1, panes.shape[-1] - width + 1])
    which, top, left = (draws * room.to(draws.device)).long().unbind(1)
    rows = top[:, None] + torch.arange(height, device=draws.device)
    columns = left[:, None] + torch.arange(width, device=draws.device)
    channel = torch.arange(channels, device=draws.device)[None, :, None, None]
    return panes[which[:, None, None, None], channel, rows[:, None, :, None], columns[:, None, None, :]]


@cache
def _panes(side: int, device: torch.device) -> Tensor:
    """[panes, 3, side, side], always the same. White noise is smoothed along each of six directions; where such
    noise crosses zero, a bright crease shows. A smooth random map says which direction grows where.
    Another adds cloudy patches."""
    stream = Stream(0, "panes", torch.arange(len(PANES)))
    needles = _creases(stream.noise("needles", side, side), stream.uniform("turn"))
    share = torch.softmax(6 * _smooth(stream.noise("patches", _DIRECTIONS, 16, 16), side), dim=1)
    cloud = _smooth(stream.noise("cloud", 1, 9, 9), side)[:, 0]
    ice = _standard(_standard((share * needles).sum(dim=1)) + 0.6 * _standard(cloud))
    mean, contrast = zip(*PANES, strict=True)
    panes = torch.tensor(contrast)[:, None, None, None] * ice[:, None]
    return (panes + torch.tensor(mean)[..., None, None]).to(device)


def _creases(noise: Tensor, turn: Tensor) -> Tensor:
    """[batch, directions, side, side], 0 to 1: creases along each direction, all turned by an angle."""
    side = noise.shape[-1]
    down, right = torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)
    angle = (turn[:, None] + torch.arange(_DIRECTIONS)) * (math.pi / _DIRECTIONS)
    sine, cosine = angle.sin()[..., None, None], angle.cos()[..., None, None]
    along, across = cosine * right + sine * down, cosine * down - sine * right
    # The Fourier transform of an elongated Gaussian.
    passed = (-2 * math.pi**2 * ((along * _LONG) ** 2 + (across * _THIN) ** 2)).exp()
    waves = torch.fft.irfft2(torch.fft.rfft2(noise)[:, None] * passed, s=(side, side))
    return (-2 * (waves / waves.std(dim=(-2, -1), keepdim=True)).abs()).exp()


def _smooth(coarse: Tensor, side: int) -> Tensor:
    return functional.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=True)


def _standard(values: Tensor) -> Tensor:
    """Mean 0 and deviation 1 for each pane [panes, side, side]."""
    centred = values - values.mean(dim=(1, 2), keepdim=True)
    return centred / centred.std(dim=(1, 2), keepdim=True)
