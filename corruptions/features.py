"""Damage to feature sequences [batch, time, feature] of any modality.

Strengths are in deviations of the training data where features are standardised, in shares of the valid steps,
or in numbers of steps. Places in time count among the valid steps, wherever padding lies. A modality of a
single step has no course in time: whole-step damage takes that step, and damage to an order does nothing.

Of a modality that is partly observed, what is dropped is no longer observed, what is read from another step was observed if
it was there, and other damage reaches observed entries alone. Stated times stay what they are. Token ids of a text follow its
steps, where whole steps are dropped or read from others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from ..datasets.batch import Batch
from .corruption import Corruption
from .random import Stream

Draws = Mapping[str, Tensor]


def places(valid: Tensor) -> tuple[Tensor, Tensor]:
    """The places of steps among the valid ones.

    Args:
        valid: [batch, time], bool.

    Returns:
        The place of each step from 0, [batch, time]; and the number of valid steps, [batch, 1]; both int64.
    """
    return (valid.long().cumsum(dim=1) - 1).clamp(min=0), valid.long().sum(dim=1, keepdim=True)


def gather_steps(features: Tensor, valid: Tensor, wanted: Tensor) -> Tensor:
    """Features whose valid steps are read from other valid steps.

    Args:
        features: [batch, time, ...].
        valid: [batch, time], bool.
        wanted: [batch, time], int64: which place among the valid steps each is read from.

    Returns:
        [batch, time, ...].
    """
    order = torch.argsort((~valid).to(torch.int8), dim=1, stable=True)  # valid steps first, in order
    steps = order.gather(1, wanted.clamp(min=0))
    steps = torch.where(valid, steps, torch.arange(valid.shape[1], device=valid.device))
    return features[torch.arange(len(steps), device=valid.device).unsqueeze(1), steps]


def zero_steps(features: Tensor, gone: Tensor) -> Tensor:
    """Features with some steps set to zero, the mean of standardised data (black in pictures).

    Args:
        features: [batch, time, ...].
        gone: [batch, time], bool: the steps.
    """
    return features.masked_fill(gone.view(*gone.shape, *[1] * (features.dim() - 2)), 0)


def left_observed(batch: Batch, gone: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The observed entries of partly observed modalities that are left where steps are dropped.

    Args:
        batch: before it.
        gone: modality -> [batch, time], bool: the steps that are dropped.

    Returns:
        Modality -> [batch, time, feature], bool, of those among them that are partly observed.
    """
    return {
        name: batch.observed[name] & ~steps.unsqueeze(-1)
        for name, steps in gone.items()
        if name in batch.observed
    }


class GaussianNoise(Corruption):
    """Adds N(0, lambda^2) to every feature; lambda in deviations (QA-MoE's noise intensity, 0 to 1)."""

    kind: ClassVar[str] = "gaussian-noise"
    family: ClassVar[str] = "noise"
    levels = (0.1, 0.3, 0.5, 0.7, 1.0)

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """A standard normal number for each feature."""
        return {"noise": stream.normal("noise", *features.shape[1:])}

    def corrupt(self, features: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """Adds the noise."""
        return features + (self.level * draws["noise"]).to(features.dtype)


class FrameDropout(Corruption):
    """Zeroes each step with a probability (TFR-Net, EMT-DLFR, LNLN)."""

    kind: ClassVar[str] = "frame-dropout"
    family: ClassVar[str] = "dropout"
    moves_entries = True
    moves_steps = True
    levels = (0.1, 0.3, 0.5, 0.7, 0.9)

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """A uniform number for each step."""
        return {"chance": stream.uniform("steps", features.shape[1])}

    def corrupt(self, features: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """Zeroes the steps whose number is below the rate."""
        return zero_steps(features, draws["chance"] < self.level)


class _Span(Corruption):
    """Damage to one contiguous span, a share of the valid steps long (at least a step)."""

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """Where the span's middle lies, as a share of the valid steps."""
        return {"middle": stream.uniform("middle")}

    def span(self, valid: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """The damaged span. A longer one contains a shorter one.

        Returns:
            Whether a step lies in the span, [batch, time]; and the place of its first step, [batch, 1].
        """
        place, count = places(valid)
        length = (self.level * count).round().clamp(min=1)
        middle = (draws["middle"].unsqueeze(1) * count).floor()
        start = (middle - (length / 2).floor()).clamp(min=0).minimum((count - length).clamp(min=0))
        return (place >= start) & (place < start + length) & valid, start.long()


class BlockDropout(_Span):
    """Zeroes one contiguous span: a share of the valid steps."""

    kind: ClassVar[str] = "block-dropout"
    family: ClassVar[str] = "block"
    moves_entries = True
    moves_steps = True
    levels = (0.1, 0.2, 0.3, 0.5, 0.7)

    def corrupt(self, features: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """Zeroes the span."""
        return zero_steps(features, self.span(valid, draws)[0])


class Freeze(Corruption):
    """A stuck sensor: from a random step on, a share of the valid steps repeats that step."""

    kind: ClassVar[str] = "freeze"
    family: ClassVar[str] = "block"
    moves_entries = True
    moves_steps = True
    levels = (0.1, 0.2, 0.35, 0.5, 0.7)

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """Where it begins, as a share of what leaves room for the longest span."""
        return {"start": stream.uniform("start")}

    def corrupt(self, features: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """Reads the span from its first step."""
        place, count = places(valid)
        start = (draws["start"].unsqueeze(1) * (1 - self.levels[-1]) * count).floor().long()
        stuck = (place >= start) & (place < start + (self.level * count).round())
        return gather_steps(features, valid, torch.where(stuck, start, place))


class TimeShift(Corruption):
    """The modality comes late: shifted by a share of the valid steps, zeros before; others stay in time."""

    kind: ClassVar[str] = "time-shift"
    family: ClassVar[str] = "misalignment"
    moves_entries = True
    moves_steps = True
    levels = (0.1, 0.2, 0.3, 0.5, 0.7)

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """Nothing: every sample is shifted by the same share."""
        return {}

    def corrupt(self, features: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """Reads each step from an earlier one; rounded up, so that the smallest shift is one step."""
        place, count = places(valid)
        source = place - torch.where(count > 1, (self.level * count).ceil(), 0).long()
        return zero_steps(gather_steps(features, valid, source), (source < 0) & valid)


class Jitter(Corruption):
    """Each step is read from one up to k steps away, uniformly: an unsteady clock. Levels are k."""

    kind: ClassVar[str] = "jitter"
    family: ClassVar[str] = "misalignment"
    moves_entries = True
    moves_steps = True
    levels = (1.0, 2.0, 4.0, 8.0, 16.0)

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """A number in -1 to 1 for each step."""
        return {"offset": 2 * stream.uniform("offset", features.shape[1]) - 1}

    def corrupt(self, features: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """Reads the steps from their neighbours, not beyond the ends."""
        place, count = places(valid)
        moved = place + (draws["offset"] * self.level).round().long()
        return gather_steps(features, valid, moved.clamp(min=0).minimum((count - 1).clamp(min=0)))


class IrregularSampling(Corruption):
    """A share of the steps, at random, is not sampled: each holds the last one that was. The first always is."""

    kind: ClassVar[str] = "irregular-sampling"
    family: ClassVar[str] = "sampling"
    moves_entries = True
    moves_steps = True
    levels = (0.2, 0.4, 0.6, 0.8, 0.95)

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """A uniform number for each step."""
        return {"chance": stream.uniform("steps", features.shape[1])}

    def corrupt(self, features: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """Holds the last sampled step."""
        place, _ = places(valid)
        sampled = (draws["chance"] >= self.level) | (place == 0)
        last = torch.where(sampled & valid, place, 0).cummax(dim=1).values
        return gather_steps(features, valid, last)


class ChannelDropout(Corruption):
    """Zeroes each channel of a sample, at all steps, with a probability."""

    kind: ClassVar[str] = "channel-dropout"
    family: ClassVar[str] = "channels"
    moves_entries = True
    levels = (0.1, 0.3, 0.5, 0.7, 0.9)

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """A uniform number for each channel."""
        return {"chance": stream.uniform("channels", features.shape[2])}

    def corrupt(self, features: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """Zeroes the channels whose number is below the rate."""
        return features.masked_fill((draws["chance"] < self.level).unsqueeze(1), 0)


class Quantisation(Corruption):
    """Rounds to multiples of a step, in deviations: few bits."""

    kind: ClassVar[str] = "quantisation"
    family: ClassVar[str] = "quantisation"
    levels = (0.25, 0.5, 1.0, 2.0, 4.0)

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """Nothing."""
        return {}

    def corrupt(self, features: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """Rounds."""
        return (features / self.level).round() * self.level


class Drift(Corruption):
    """An offset that grows along time to +- a number of deviations, of random sign for each channel."""

    kind: ClassVar[str] = "drift"
    family: ClassVar[str] = "drift"
    levels = (0.5, 1.0, 1.5, 2.0, 3.0)

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """A sign for each channel."""
        return {"sign": torch.where(stream.uniform("sign", features.shape[2]) < 0.5, -1.0, 1.0)}

    def corrupt(self, features: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """Adds the offset: the whole of it at the last valid step."""
        place, count = places(valid)
        share = (place + 1) / count.clamp(min=1)
        offset = self.level * share.unsqueeze(-1) * draws["sign"].unsqueeze(1)
        return features + offset.to(features.dtype)


class Spikes(Corruption):
    """Adds +-5 deviations to single features with a probability: glitches of a sensor. Levels are the rate."""

    kind: ClassVar[str] = "spikes"
    family: ClassVar[str] = "spikes"
    levels = (0.01, 0.03, 0.06, 0.1, 0.2)
    height: ClassVar[float] = 5.0

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """A uniform number and the spike that there may be for each feature."""
        shape = features.shape[1:]
        sign = stream.uniform("sign", *shape).sub_(0.5)
        height = torch.tensor(self.height, device=sign.device)
        return {"chance": stream.uniform("where", *shape), "spike": torch.copysign(height, sign)}

    def corrupt(self, features: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """Adds the spikes."""
        return features + ((draws["chance"] < self.level) * draws["spike"]).to(features.dtype)


class WordReplacement(Corruption):
    """Each step takes the vector of another step of its sample with a probability: text given as vectors."""

    kind: ClassVar[str] = "word-replacement"
    family: ClassVar[str] = "replacement"
    only = ("text",)
    moves_entries = True
    moves_steps = True
    levels = (0.1, 0.2, 0.4, 0.6, 0.8)

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """For each step whether, and how far on."""
        steps = features.shape[1]
        return {"chance": stream.uniform("steps", steps), "other": stream.uniform("other", steps)}

    def corrupt(self, features: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """Reads the chosen steps from elsewhere in the sample."""
        place, count = places(valid)
        away = 1 + (draws["other"] * (count - 1).clamp(min=0)).floor().long()
        other = torch.where(count > 1, (place + away) % count.clamp(min=1), place)
        return gather_steps(features, valid, torch.where(draws["chance"] < self.level, other, place))
