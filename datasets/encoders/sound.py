"""What encoders of sound share: one channel, valid lengths, batches of like lengths, zeros after the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .encoder import Encoded, Media
from .network import Network


def mono(media: Media, device: torch.device) -> tuple[Tensor, Tensor]:
    """The mean of the channels.

    Args:
        media: sound [batch, time, channel], with or without a mask [batch, time].
        device: where the result lies.

    Returns:
        Sound [batch, time], float32, zero after a clip's end; and the clips' lengths [batch], int64, in samples.

    Raises:
        ValueError: ``media`` holds no sound: a caller's mistake.
    """
    if media.values is None or media.values.ndim != 3:
        raise ValueError("sound is given as values [batch, time, channel]")
    sound = media.values.to(device, torch.float32).mean(dim=2)
    if media.mask is None:
        return sound, torch.full((len(sound),), sound.shape[1], device=device)
    mask = media.mask.to(device)
    return sound * mask, mask.sum(dim=1)


def valid(features: Tensor, steps: Tensor) -> Encoded:
    """Features as an encoder returns them, with zeros after each clip's last step.

    Args:
        features: [batch, time, feature].
        steps: [batch], the number of valid steps.

    Returns:
        The features as float32, the steps as int64.
    """
    there = torch.arange(features.shape[1], device=features.device)[None] < steps[:, None]
    return Encoded(torch.where(there[..., None], features, 0.0).float(), steps.to(torch.int64))


def standardise(sound: Tensor, length: Tensor, floor: float) -> Tensor:
    """Clips of mean 0 and variance 1 over their valid samples.

    Args:
        sound: [batch, time].
        length: [batch], the number of valid samples.
        floor: added to the variance.

    Returns:
        [batch, time], zero after a clip's end.
    """
    there = torch.arange(sound.shape[1], device=sound.device)[None] < length[:, None]
    count = length.clamp(min=1)[:, None]
    centred = (sound - (sound * there).sum(dim=1, keepdim=True) / count) * there
    return centred / (centred.square().sum(dim=1, keepdim=True) / count + floor).sqrt()


def like_lengths(
    network: Network,
    hidden: Callable[[Tensor, Tensor | None], Tensor],
    sound: Tensor,
    length: Tensor,
    masks: bool,
) -> list[Tensor]:
    """The output of a network for every clip, in order; clips of one length go through it together.

    Args:
        network: the network.
        hidden: [batch, samples] and lengths -> [batch, steps, feature]; without lengths: all are of one length.
        sound: [batch, time].
        length: [batch]; a clip shorter than this in ``sound`` is padded with zeros.
        masks: whether clips of unlike lengths may go through together, padded.

    Returns:
        One tensor a clip, [steps, feature], float32.
    """
    sound = (
        torch.nn.functional.pad(sound, (0, max(int(length.max()) - sound.shape[1], 0)))
        if len(sound)
        else sound
    )
    order = length.argsort(descending=True, stable=True)
    outputs: list[Tensor] = []
    groups = [order] if masks else [order[length[order] == size] for size in length[order].unique().flip(0)]
    for group in groups:

        def forward(start: int, stop: int, group: Tensor = group) -> list[Tensor]:
            rows = group[start:stop]
            longest = int(length[rows].max())
            return list(hidden(sound[rows, :longest], length[rows] if masks else None).float())

        for part in network.run(forward, len(group), int(length[group[:1]].sum())):
            outputs += part
    back = order.argsort().tolist()
    return [outputs[place] for place in back]


def pool_steps(hidden: Sequence[Tensor], steps: Tensor, over_time: bool, width: int) -> Encoded:
    """Clips as one batch: every step, or the mean over the valid ones.

    Args:
        hidden: one tensor a clip, [steps, feature].
        steps: [clips], the number of valid steps.
        over_time: whether to take the mean.
        width: number of features, for a batch without clips.

    Returns:
        Features [clips, longest, feature], or [clips, 1, feature] where the mean is taken.
    """
    if not hidden:
        return Encoded(torch.zeros(0, 1, width, device=steps.device), steps.to(torch.int64))
    if over_time:
        means = [part[:count].mean(dim=0) for part, count in zip(hidden, steps.tolist(), strict=True)]
        return valid(torch.stack(means)[:, None], torch.ones_like(steps))
    return valid(pad_sequence(list(hidden), batch_first=True)[:, : int(steps.max())], steps)
