"""Blurred pictures: out of focus, through frosted glass, by motion, by zooming."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from ..random import Stream
from .picture import Draws, PictureCorruption, convolve, gaussian_kernel, motion_kernel


class DefocusBlur(PictureCorruption):
    """Out of focus: each pixel is spread over a disk with a slightly softened rim. Levels are its radius."""

    kind: ClassVar[str] = "defocus-blur"
    family: ClassVar[str] = "blur"
    levels = (3.0, 4.0, 6.0, 8.0, 10.0)
    softness: ClassVar[tuple[float, ...]] = (0.1, 0.5, 0.5, 0.5, 0.5)

    def damage(self, pictures: Tensor, draws: Draws) -> Tensor:
        """Convolves with the disk; edges are mirrored."""
        kernel = _disk(self.level, self.softness[self.severity - 1], pictures.device)
        return convolve(pictures, kernel, len(kernel) // 2, len(kernel) // 2, "reflect")


class GlassBlur(PictureCorruption):
    """Frosted glass: softened, pixels moved about, softened again. Levels are the deviation of both Gaussians;
    ``reach`` is how far a pixel looks, ``rounds`` how often.

    Pixels are visited from the last to the first; each takes the value of a random neighbour at -reach to
    reach - 1 rows and columns from it, as the published code does (its paper says that both change places, which
    the code does not). A neighbour that was visited before has a new value already; here all such chains are
    followed at once, with the same outcome. The glass is the same for all frames of a sample.
    """

    kind: ClassVar[str] = "glass-blur"
    family: ClassVar[str] = "blur"
    levels = (0.7, 0.9, 1.0, 1.1, 1.5)
    reach: ClassVar[tuple[int, ...]] = (1, 2, 2, 3, 4)
    rounds: ClassVar[tuple[int, ...]] = (2, 1, 3, 2, 2)

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """Where each pixel looks in each round: two uniform numbers, down and right."""
        return {"looks": stream.coarse("looks", max(self.rounds), 2, *features.shape[-2:])}

    def damage(self, pictures: Tensor, draws: Draws) -> Tensor:
        """Softens, moves and softens."""
        kernel = gaussian_kernel(self.level, pictures.device)
        middle = len(kernel) // 2
        soft = convolve(pictures, kernel, middle, middle, "replicate")
        place = self.severity - 1
        source = sources(draws["looks"][:, : self.rounds[place]], self.reach[place])[:, None, None]
        moved = soft.flatten(3).gather(3, source.expand(*soft.shape[:3], -1)).view_as(pictures)
        return convolve(moved, kernel, middle, middle, "replicate")


def sources(looks: Tensor, reach: int) -> Tensor:
    """The place that each pixel's value comes from in the end, as ``GlassBlur`` says.

    Args:
        looks: [batch, rounds, 2, height, width] in [0, 1).
        reach: how far.

    Returns:
        [batch, height * width], int64. Pixels nearer to an edge than ``reach`` keep their value.
    """
    height, width = looks.shape[-2:]
    here = torch.arange(height * width, device=looks.device)
    visited = torch.zeros(height, width, dtype=torch.bool, device=looks.device)
    visited[reach + 1 : height - reach + 1, reach + 1 : width - reach + 1] = True
    visited = visited.flatten()
    places = here.expand(len(looks), -1)
    for offset in ((looks * (2 * reach)).long() - reach).flatten(3).unbind(1):
        there = torch.where(visited, here + width * offset[:, 0] + offset[:, 1], here)
        # A pixel further on had its turn before: its value is the one that it took.
        taken = (there > here) & visited[there]
        while bool(taken.any()):
            there, taken = (
                torch.where(taken, there.gather(1, there), there),
                taken & taken.gather(1, there),
            )
        places = places.gather(1, there)
    return places


class MotionBlur(PictureCorruption):
    """The camera moves, for all frames of a sample in one direction, within 45 degrees of level. Levels are the
    deviation of the trace, ``radius`` half its length.

    Edges are continued outwards. A trace longer than the picture is not cut off, unlike in common code.
    """

    kind: ClassVar[str] = "motion-blur"
    family: ClassVar[str] = "blur"
    levels = (3.0, 5.0, 8.0, 12.0, 15.0)
    radius: ClassVar[tuple[int, ...]] = (10, 15, 15, 15, 20)

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """An angle in -pi/4 to pi/4."""
        return {"angle": (stream.uniform("angle") - 0.5) * (math.pi / 2)}

    def damage(self, pictures: Tensor, draws: Draws) -> Tensor:
        """Convolves with the trace."""
        kernel, top, left = motion_kernel(draws["angle"], self.radius[self.severity - 1], self.level)
        return convolve(pictures, kernel, top, left, "replicate")


class ZoomBlur(PictureCorruption):
    """The lens zooms in: the mean of the picture and enlargements of its centre. Levels are the largest."""

    kind: ClassVar[str] = "zoom-blur"
    family: ClassVar[str] = "blur"
    levels = (1.11, 1.15, 1.2, 1.24, 1.3)
    steps: ClassVar[tuple[int, ...]] = (11, 15, 10, 12, 10)

    def damage(self, pictures: Tensor, draws: Draws) -> Tensor:
        """Adds the enlargements up; the picture itself counts twice, as published."""
        *_, height, width = pictures.shape
        steps = self.steps[self.severity - 1]
        flat = pictures.flatten(0, 1)
        total = flat * 2
        for step in range(1, steps + 1):
            total += enlarge(flat, 1 + (self.level - 1) * step / steps)[..., :height, :width]
        return total.div_(steps + 2).view_as(pictures)


def enlarge(pictures: Tensor, factor: float) -> Tensor:
    """The centre of pictures, enlarged bilinearly.

    Args:
        pictures: [n, channel, height, width].
        factor: at least 1.

    Returns:
        [n, channel, at least height, at least width].
    """
    height, width = pictures.shape[-2:]
    tall, wide = math.ceil(height / factor), math.ceil(width / factor)
    top, left = (height - tall) // 2, (width - wide) // 2
    size = (max(round(tall * factor), height), max(round(wide * factor), width))
    centre = pictures[..., top : top + tall, left : left + wide]
    return functional.interpolate(centre, size=size, mode="bilinear", align_corners=True)


def _disk(radius: float, softness: float, device: torch.device) -> Tensor:
    """[n, n]: a disk of sum 1, softened by a Gaussian of 3 x 3 pixels (5 x 5 where the radius is above 8)."""
    reach = int(radius) + 2
    line = torch.arange(-reach, reach + 1, device=device)
    disk = (line[:, None] ** 2 + line**2 <= radius**2).float()
    near = torch.arange(-1, 2, device=device) if radius <= 8 else torch.arange(-2, 3, device=device)
    blur = torch.exp(-0.5 * (near / softness) ** 2)
    weights = torch.outer(blur, blur) / blur.sum() ** 2
    pad = len(near) // 2
    return functional.conv2d((disk / disk.sum())[None, None], weights[None, None], padding=pad)[0, 0]
