"""The base class of damage to pictures, and the convolution of a picture."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import cache
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from ..corruption import Corruption, Medium
from ..random import Stream

Draws = Mapping[str, Tensor]

#: How many values are worked on at a time on a CPU, at least those of one sample.
PIECE = 1 << 17


class PictureCorruption(Corruption):
    """Damage to every frame by itself, computed in float32 and clipped to 0 to 1."""

    medium: ClassVar[Medium] = "frames"

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """Nothing, where nothing is random."""
        return {}

    def corrupt(self, features: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """Damages, clips, and returns to the type of the features; on a CPU a few samples at a time, which then
        stay in its cache."""
        count = len(features)
        size = max(PIECE // max(features.shape[1:].numel(), 1), 1) if features.device.type == "cpu" else count
        broken = torch.empty_like(features, memory_format=torch.contiguous_format)
        for start in range(0, count, max(size, 1)):
            rows = slice(start, start + size)
            chosen = {name: values[rows] for name, values in draws.items()}
            damaged = self.damage(features[rows].float().contiguous(), chosen)
            if damaged.dtype == broken.dtype:
                torch.clamp(damaged, 0, 1, out=broken[rows])
            else:
                broken[rows] = damaged.clamp_(0, 1)
        return broken

    @abstractmethod
    def damage(self, pictures: Tensor, draws: Draws) -> Tensor:
        """New pictures, not yet clipped.

        Args:
            pictures: [batch, time, channel, height, width], float32; left as they are.
            draws: what ``draw`` returned.
        """


def convolve(pictures: Tensor, kernel: Tensor, top: int, left: int, border: str) -> Tensor:
    """Each pixel becomes the sum of ``kernel[i, j]`` times the pixel i - top below and j - left beside it.

    Args:
        pictures: [batch, time, channel, height, width].
        kernel: [rows, columns], or [batch, rows, columns] for one of each sample.
        top, left: where the pixel itself lies in the kernel.
        border: what lies outside: ``"reflect"`` (the edge not repeated; where the picture is too small for
            that, ``"replicate"``) or ``"replicate"``.

    Returns:
        As ``pictures``. Computed by Fourier transform: the time does not depend on the kernel.
    """
    *outer, height, width = pictures.shape
    rows, columns = kernel.shape[-2:]
    tall, wide = _fast_size(height + rows - 1), _fast_size(width + columns - 1)
    pad = (left, wide - width - left, top, tall - height - top)
    if border == "reflect" and max(pad) >= min(height, width):
        border = "replicate"
    padded = functional.pad(pictures.flatten(0, -3), pad, mode=border).view(*outer, tall, wide)
    spectrum = torch.fft.rfft2(padded)
    # The sum runs forward, which is a correlation: the conjugate.
    response = torch.fft.rfft2(kernel, s=(tall, wide)).conj()
    spectrum *= response if kernel.dim() == 2 else response[:, None, None]
    return torch.fft.irfft2(spectrum, s=(tall, wide))[..., :height, :width]


def gaussian_kernel(sigma: float, device: torch.device) -> Tensor:
    """A Gaussian filter, cut off at four deviations.

    Args:
        sigma: its deviation in pixels.
        device: where it lies.

    Returns:
        [2 r + 1, 2 r + 1] with the sum 1, where r is 4 ``sigma``, rounded.
    """
    radius = int(4 * sigma + 0.5)
    line = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, device=device) / sigma) ** 2)
    return torch.outer(line, line) / line.sum() ** 2


def motion_kernel(angle: Tensor, radius: int, sigma: float) -> tuple[Tensor, int, int]:
    """The trace of a camera that moves: 2 radius + 1 pixels in one direction, fading as a half Gaussian.

    Args:
        angle: [batch], radians; 0 reads from the right, pi / 2 from below.
        radius, sigma: in pixels.

    Returns:
        [batch, rows, columns] that sums to 1, with ``top`` and ``left`` as ``convolve`` takes them.
    """
    count = 2 * radius + 1
    step = torch.arange(count, device=angle.device)
    weight = torch.exp(-0.5 * (step / sigma) ** 2)
    line = torch.stack([angle.sin(), angle.cos()], dim=1)[..., None] * step
    down, right = (line - 0.5).ceil().long().unbind(1)
    reach = count - 1
    kernel = torch.zeros(len(angle), 2 * reach + 1, 2 * reach + 1, device=angle.device)
    rows = torch.arange(len(angle), device=angle.device)[:, None].expand_as(down)
    kernel.index_put_(
        (rows, down + reach, right + reach), (weight / weight.sum()).expand(down.shape), accumulate=True
    )
    return kernel, reach, reach


@cache
def _fast_size(least: int) -> int:
    """The next number of the form 2^a 3^b 5^c with a >= 3, which Fourier transforms are fast for."""
    size = -(-least // 8) * 8
    while True:
        rest = size
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return size
        size += 8
