"""Damage to the course of a video: frames lost, stuck, or out of order."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ..corruption import Corruption, Medium
from ..features import FrameDropout, Freeze, gather_steps, places
from ..random import Stream
from .picture import Draws


class FrameDrop(FrameDropout):
    """Each frame turns black with a probability: lost in transmission. Levels are the probability."""

    kind: ClassVar[str] = "frame-drop"
    medium: ClassVar[Medium] = "frames"


class FrameFreeze(Freeze):
    """The picture is stuck: from a random frame on, a share of the frames repeats that frame."""

    kind: ClassVar[str] = "frame-freeze"
    medium: ClassVar[Medium] = "frames"


class FrameReorder(Corruption):
    """A share of the frames, at random, is shown in another order: each of them at the place of another."""

    kind: ClassVar[str] = "frame-reorder"
    family: ClassVar[str] = "misalignment"
    medium: ClassVar[Medium] = "frames"
    levels = (0.2, 0.4, 0.6, 0.8, 1.0)

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """A uniform number for each frame, whose order says which frames move and where to."""
        return {"rank": stream.uniform("rank", features.shape[1])}

    def corrupt(self, features: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """Moves the chosen frames on by one in the order of their numbers, the last to the first."""
        place, count = places(valid)
        order = draws["rank"].masked_fill(~valid, 2).argsort(dim=1)
        chosen = (self.level * count).round().long().clamp(min=1)
        turn = torch.arange(valid.shape[1], device=valid.device).expand_as(order)
        following = order.gather(1, torch.where(turn + 1 < chosen, turn + 1, 0))
        source = torch.where(turn < chosen, place.gather(1, following), place.gather(1, order))
        return gather_steps(features, valid, torch.empty_like(place).scatter_(1, order, source))
