"""Ice on a pane, drawn: needles that grow in patches of one direction, over cloudy patches, in cold colours."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ..random import Stream

#: Directions of needles, and their length and thickness in pixels (deviations).
_DIRECTIONS, _LONG, _THIN = 6, 9.0, 0.7
#: Brightness and contrast of the ice: between these, evenly. As those of the photographs of the published recipe.
_BRIGHTNESS, _CONTRAST = (0.46, 0.82), (0.07, 0.15)
#: How much darker red is, and brighter blue, at most.
_TINT = 0.12


def ice(stream: Stream, channels: int, size: Sequence[int]) -> Tensor:
    """[batch, channels, height, width], mostly in 0 to 1.

    White noise is smoothed along each of six directions; where such noise crosses zero, a bright crease
    shows. A smooth random map says which direction grows where. Another adds cloudy patches.
    """
    height, width = size
    needles = _creases(stream.noise("needles", height, width), stream.uniform("turn"))
    patches = _smooth(stream.noise("patches", _DIRECTIONS, 7, 7), size)
    share = torch.softmax(6 * patches, dim=1)
    cloud = _smooth(stream.noise("cloud", 1, 5, 5), size)[:, 0]
    ice = (share * needles).sum(dim=1)
    ice = _standard(_standard(ice) + 0.6 * _standard(cloud))
    level = stream.uniform("brightness", 2)
    bright, contrast = (
        low + (high - low) * level[:, place, None, None]
        for place, (low, high) in enumerate((_BRIGHTNESS, _CONTRAST))
    )
    grey = (bright + contrast * ice)[:, None]
    tint = _TINT * stream.uniform("tint")[:, None] * torch.linspace(-1, 1, channels, device=grey.device)
    return grey + tint[..., None, None]


def _creases(noise: Tensor, turn: Tensor) -> Tensor:
    """[batch, directions, height, width], 0 to 1: creases along each direction, all turned by an angle."""
    height, width = noise.shape[-2:]
    down = torch.fft.fftfreq(height, device=noise.device)[:, None]
    right = torch.fft.rfftfreq(width, device=noise.device)
    angle = (turn[:, None] + torch.arange(_DIRECTIONS, device=noise.device)) * (math.pi / _DIRECTIONS)
    sine, cosine = angle.sin()[..., None, None], angle.cos()[..., None, None]
    along, across = cosine * right + sine * down, cosine * down - sine * right
    # The Fourier transform of an elongated Gaussian.
    spread = (along * _LONG).square_().add_((across * _THIN).square_())
    passed = spread.mul_(-2 * math.pi**2).exp_()
    waves = torch.fft.irfft2(torch.fft.rfft2(noise)[:, None] * passed, s=(height, width))
    return (-2 * (waves / waves.std(dim=(-2, -1), keepdim=True)).abs()).exp()


def _smooth(coarse: Tensor, size: Sequence[int]) -> Tensor:
    return functional.interpolate(coarse, size=tuple(size), mode="bicubic", align_corners=True)


def _standard(values: Tensor) -> Tensor:
    """Mean 0 and deviation 1 for each sample [batch, height, width]."""
    centred = values - values.mean(dim=(1, 2), keepdim=True)
    return centred / centred.square().mean(dim=(1, 2), keepdim=True).sqrt().clamp(min=1e-6)
