"""Weather before the lens: snow, frost on the glass, fog; and too bright a day."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from ..random import Stream
from .blur import enlarge
from .frost import pieces
from .picture import Draws, PictureCorruption, convolve, motion_kernel


class Snow(PictureCorruption):
    """Falling flakes over a whitened picture. Levels are the mean of the noise that flakes are cut from.

    Normal noise is enlarged, cut below a threshold, and blurred by falling (45 degrees about straight down);
    the picture is mixed with a brighter grey one, and the flakes are added, once as they are and once turned by
    180 degrees. Flakes are new in every frame, the direction is the sample's.
    """

    kind: ClassVar[str] = "snow"
    family: ClassVar[str] = "weather"
    levels = (0.1, 0.2, 0.55, 0.55, 0.55)
    spread: ClassVar[float] = 0.3
    zoom: ClassVar[tuple[float, ...]] = (3.0, 2.0, 4.0, 4.5, 2.5)
    threshold: ClassVar[tuple[float, ...]] = (0.5, 0.5, 0.9, 0.85, 0.85)
    radius: ClassVar[tuple[int, ...]] = (10, 12, 12, 12, 12)
    fade: ClassVar[tuple[float, ...]] = (4.0, 4.0, 8.0, 8.0, 12.0)
    kept: ClassVar[tuple[float, ...]] = (0.8, 0.7, 0.7, 0.65, 0.55)

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """A normal number for each pixel of each frame, and a direction."""
        steps, _, height, width = features.shape[1:]
        angle = (stream.uniform("angle") - 1.5) * (math.pi / 2)
        return {"flakes": stream.noise("flakes", steps, height, width), "angle": angle}

    def damage(self, pictures: Tensor, draws: Draws) -> Tensor:
        """Whitens the picture and adds the flakes."""
        place = self.severity - 1
        height, width = pictures.shape[-2:]
        noise = self.level + self.spread * draws["flakes"]
        flakes = enlarge(noise, self.zoom[place])
        flakes = flakes.masked_fill_(flakes < self.threshold[place], 0).clamp_(max=1).unsqueeze(2)
        kernel, top, left = motion_kernel(draws["angle"], self.radius[place], self.fade[place])
        flakes = convolve(flakes, kernel, top, left, "replicate")[..., :height, :width]
        kept = self.kept[place]
        white = torch.maximum(pictures, _grey(pictures) * 1.5 + 0.5)
        return torch.lerp(white, pictures, kept).add_(flakes + flakes.flip(-1, -2))


class Frost(PictureCorruption):
    """Ice on the glass before the camera: ``kept`` times the picture plus a level times ice, one for all frames.

    The published recipe adds pieces of five photographs of ice. Here five panes of ice are drawn, of their
    brightness and contrast: see ``corruptions/frames/frost.py``.
    """

    kind: ClassVar[str] = "frost"
    family: ClassVar[str] = "weather"
    levels = (0.4, 0.6, 0.7, 0.7, 0.75)
    kept: ClassVar[tuple[float, ...]] = (1.0, 0.8, 0.7, 0.65, 0.6)

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """Which pane, and which piece of it."""
        return {"piece": stream.uniform("piece", 3)}

    def damage(self, pictures: Tensor, draws: Draws) -> Tensor:
        """Adds the ice."""
        ice = pieces(draws["piece"], pictures.shape[-3], pictures.shape[-2:])
        return (pictures * self.kept[self.severity - 1]).add_(ice.unsqueeze(1), alpha=self.level)


class Fog(PictureCorruption):
    """Fog of a fractal density, the same for all frames; the brightest value stays. Levels are its thickness.

    The density is a height map by midpoint displacement (diamond-square, Fournier, Fussell and Carpenter 1982)
    on a torus whose side is the next power of 2; ``decay`` is the factor by which each finer step is less rough.
    """

    kind: ClassVar[str] = "fog"
    family: ClassVar[str] = "weather"
    levels = (1.5, 2.0, 2.5, 2.5, 3.0)
    decay: ClassVar[tuple[float, ...]] = (2.0, 2.0, 1.7, 1.5, 1.4)

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """A number in -1 to 1 for each point of the map."""
        side = 1 << (max(features.shape[-2:]) - 1).bit_length()
        return {"heights": stream.coarse("heights", side, side).mul_(2).sub_(1)}

    def damage(self, pictures: Tensor, draws: Draws) -> Tensor:
        """Adds the fog and scales back."""
        height, width = pictures.shape[-2:]
        fog = fractal(draws["heights"], self.decay[self.severity - 1])[:, None, None, :height, :width]
        brightest = pictures.amax(dim=(-3, -2, -1), keepdim=True)
        return torch.add(pictures, fog, alpha=self.level).mul_(brightest / (brightest + self.level))


class Brightness(PictureCorruption):
    """Brighter: a level is added to the value of hue, saturation and value, which stays at most 1."""

    kind: ClassVar[str] = "brightness"
    family: ClassVar[str] = "weather"
    levels = (0.1, 0.2, 0.3, 0.4, 0.5)

    def damage(self, pictures: Tensor, draws: Draws) -> Tensor:
        """Scales all channels by the same factor, which keeps hue and saturation; black becomes grey."""
        value = pictures.amax(dim=-3, keepdim=True)
        wanted = (value + self.level).clamp_(max=1)
        return torch.where(value > 0, pictures * (wanted / value), wanted)


def fractal(heights: Tensor, decay: float) -> Tensor:
    """A map in 0 to 1 by midpoint displacement, from coarse to fine.

    Args:
        heights: [batch, side, side], uniform in -1 to 1; the side is a power of 2.
        decay: each step displaces this many times less, squared.
    """
    side = heights.shape[-1]
    grid = torch.zeros_like(heights[:, :1, :1])
    reach, stride = 1.0, side
    while stride > 1:
        half = stride // 2
        right = grid.roll(-1, 2)
        corners = grid + right
        middle = (corners + corners.roll(-1, 1)).mul_(0.25)
        middle.add_(heights[:, half::stride, half::stride], alpha=reach)
        # A midpoint of an edge lies between two corners and two middles.
        above = (corners + middle + middle.roll(1, 1)).mul_(0.25)
        above.add_(heights[:, ::stride, half::stride], alpha=reach)
        beside = (grid + grid.roll(-1, 1) + middle + middle.roll(1, 2)).mul_(0.25)
        beside.add_(heights[:, half::stride, ::stride], alpha=reach)
        upper, lower = torch.stack([grid, above], dim=3), torch.stack([beside, middle], dim=3)
        grid = torch.stack([upper.flatten(2), lower.flatten(2)], dim=2).flatten(1, 2)
        reach /= decay**2
        stride = half
    lowest = grid.amin(dim=(1, 2), keepdim=True)
    span = grid.amax(dim=(1, 2), keepdim=True) - lowest
    return (grid - lowest) / span.clamp(min=1e-12)


def _grey(pictures: Tensor) -> Tensor:
    """[..., 1, height, width]: luminance of three channels (ITU-R BT.601), else the mean."""
    if pictures.shape[-3] != 3:
        return pictures.mean(dim=-3, keepdim=True)
    red, green, blue = pictures.split(1, dim=-3)
    return (red * 0.299).add_(green, alpha=0.587).add_(blue, alpha=0.114)
