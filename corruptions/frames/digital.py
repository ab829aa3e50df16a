"""Damage by processing: less contrast, distortion, coarse pixels, JPEG."""

from __future__ import annotations

import math
import sys
from functools import lru_cache
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from ...datasets.libraries import import_guard
from ..random import Stream
from .picture import Draws, PictureCorruption

_LAST_BYTE = 0 if sys.byteorder == "little" else 3


class Contrast(PictureCorruption):
    """Each channel of a frame moves towards its mean. Levels are the share of the contrast that stays."""

    kind: ClassVar[str] = "contrast"
    family: ClassVar[str] = "digital"
    levels = (0.4, 0.3, 0.2, 0.1, 0.05)

    def damage(self, pictures: Tensor, draws: Draws) -> Tensor:
        """Mixes with the mean."""
        return torch.lerp(pictures.mean(dim=(-2, -1), keepdim=True), pictures, self.level)


class Elastic(PictureCorruption):
    """The picture is pulled about, all frames alike: each pixel is read from a smooth random distance away.

    Distances are uniform in -s to s with s = 0.005 of the height, smoothed by a Gaussian of 0.01 of the sides, times
    the level. Pixels are read bilinearly, and mirrored at the edges. The distances go on from one edge at the other.
    """

    kind: ClassVar[str] = "elastic"
    family: ClassVar[str] = "digital"
    levels = (12.5, 16.25, 21.25, 25.0, 30.0)

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """A pull to the right and down for each pixel, in -1 to 1."""
        return {"pull": stream.coarse("pull", 2, *features.shape[-2:]).mul_(2).sub_(1)}

    def damage(self, pictures: Tensor, draws: Draws) -> Tensor:
        """Smooths the pulls and reads the pixels where they point."""
        batch, steps, channels, height, width = pictures.shape
        lines = [_gaussian(size, 0.01 * size, pictures.device) for size in (height, width)]
        response = torch.outer(torch.fft.fft(lines[0]).real, torch.fft.rfft(lines[1]).real)
        pull = torch.fft.irfft2(torch.fft.rfft2(draws["pull"]).mul_(response), s=(height, width))
        # From pixels to the range -1 to 1 of the whole picture, pixel edges included.
        down, right = ((2 * torch.arange(size) + 1) / size - 1 for size in (height, width))
        middles = torch.stack(torch.meshgrid(right, down, indexing="xy"), dim=-1).to(pictures.device)
        reach = 2 * self.level * 0.005 * height / torch.tensor([width, height], device=pictures.device)
        grid = torch.addcmul(middles, pull.permute(0, 2, 3, 1), reach)
        flat = pictures.reshape(batch, steps * channels, height, width)
        read = functional.grid_sample(flat, grid, "bilinear", "reflection", align_corners=False)
        return read.view_as(pictures)


class Pixelate(PictureCorruption):
    """Fewer pixels: means over boxes, shown as blocks. Levels are the share of pixels left along each side."""

    kind: ClassVar[str] = "pixelate"
    family: ClassVar[str] = "digital"
    levels = (0.6, 0.5, 0.4, 0.3, 0.25)

    def damage(self, pictures: Tensor, draws: Draws) -> Tensor:
        """Averages rows into few, columns in place, and repeats the rows."""
        height, width = pictures.shape[-2:]
        lines = pictures.view(-1, width)
        wanted, weights, shown = _rows(height, self.level, len(lines) // height, pictures.device)
        few = functional.embedding_bag(wanted, lines, mode="sum", per_sample_weights=weights)
        mixed = torch.zeros_like(few)
        for here, there, weight in _columns(width, self.level, pictures.device):
            mixed[:, here].addcmul_(few[:, there], weight)
        return mixed.index_select(0, shown).view_as(pictures)


class Jpeg(PictureCorruption):
    """Compressed as JPEG and read again. Levels are the quality. On the CPU, frame by frame (torchvision).

    Takes one or three channels.
    """

    kind: ClassVar[str] = "jpeg"
    family: ClassVar[str] = "digital"
    levels = (25.0, 18.0, 15.0, 10.0, 7.0)

    def damage(self, pictures: Tensor, draws: Draws) -> Tensor:
        """Compresses the values, rounded to 8 bits."""
        if pictures.shape[-3] not in (1, 3):
            raise ValueError(f"{self.name}: JPEG has 1 or 3 channels, not {pictures.shape[-3]}")
        with import_guard("torchvision", self.name):
            from torchvision.io import decode_jpeg, encode_jpeg
        # Above 2^23 floats are whole numbers, the last byte of which is the value: a fast way to round to bytes.
        rounded = torch.add(pictures.new_tensor(2.0**23), pictures, alpha=255.0).cpu()
        shown = rounded.view(torch.uint8).unflatten(-1, (-1, 4))[..., _LAST_BYTE].flatten(0, 1)
        read = torch.empty(shown.shape)
        for frame, place in zip(shown, read, strict=True):
            code = encode_jpeg(_interleave(frame), int(self.level))
            place.copy_(torch.as_tensor(decode_jpeg(code)))
        return read.mul_(1 / 255).to(pictures.device).view_as(pictures)


def _interleave(frame: Tensor) -> Tensor:
    """[channel, height, width] whose channels lie side by side in memory, as the encoder reads them."""
    return frame.permute(1, 2, 0).contiguous().permute(2, 0, 1)


def _gaussian(size: int, sigma: float, device: torch.device) -> Tensor:
    """[size], sum 1: a Gaussian about 0 on a ring of ``size`` pixels, cut off at three deviations."""
    radius = int(3 * sigma + 0.5)
    steps = torch.arange(-radius, radius + 1, device=device)
    weights = torch.exp(-0.5 * (steps / sigma) ** 2)
    return torch.zeros(size, device=device).index_add_(0, steps % size, weights / weights.sum())


def _boxes(size: int, share: float) -> tuple[list[tuple[int, int]], list[int]]:
    """The first and one past the last pixel of each box, and the box that each pixel shows.

    A pixel belongs to the box in which its middle lies.
    """
    count = max(int(size * share), 1)
    edges = [math.floor(box * size / count + 0.5) for box in range(count + 1)]
    return list(pairwise(edges)), [int((pixel + 0.5) * count / size) for pixel in range(size)]


@lru_cache(64)
def _rows(size: int, share: float, count: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """For ``count`` pictures of ``size`` rows, one below the other.

    Returns:
        [count * boxes, most rows of a box], int64: the rows of each box; their weights in its mean, 0 where a box
        has fewer; and [count * size], the box that each row shows.
    """
    spans, shown = _boxes(size, share)
    first, end = torch.tensor(spans).unbind(1)
    members = first[:, None] + torch.arange(int((end - first).max()))
    weights = (members < end[:, None]) / (end - first)[:, None]
    picture = torch.arange(count)
    wanted = picture[:, None, None] * size + members.clamp(max=size - 1)
    places = picture[:, None] * len(spans) + torch.tensor(shown)
    return wanted.flatten(0, 1).to(device), weights.repeat(count, 1).to(device), places.flatten().to(device)


@lru_cache(64)
def _columns(size: int, share: float, device: torch.device) -> list[tuple[slice, slice, Tensor]]:
    """The mean of the box that each column shows, as a sum over its neighbours: which columns add which others,
    times weights [columns]."""
    spans, shown = _boxes(size, share)
    first, end = torch.tensor([spans[box] for box in shown]).unbind(1)
    column = torch.arange(size)
    columns = []
    for offset in range(int((first - column).min()), int((end - column).max())):
        here = slice(max(-offset, 0), size - max(offset, 0))
        there = slice(max(offset, 0), size + min(offset, 0))
        inside = (column + offset >= first) & (column + offset < end)
        columns.append((here, there, (inside / (end - first))[here].to(device)))
    return columns
