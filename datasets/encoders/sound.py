"""What encoders of sound share: one channel, valid lengths, batches of like lengths, zeros after the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .encoder import Encoded, Media
from .network import Network


def mono(media: Media, device: torch.device) -> tuple[Tensor, Tensor]:
    """The mean of the channels [batch, time], zero after a clip's end, and the clips' lengths [batch], int64.

    Raises:
        ValueError: there is no sound in ``media``; only a caller's mistake leads here.
    """
    if media.values is None or media.values.ndim != 3:
        raise ValueError("sound is given as values [batch, time, channel]")
    sound = media.values.to(device, torch.float32).mean(dim=2)
    if media.mask is None:
        return sound, torch.full((len(sound),), sound.shape[1], device=device)
    mask = media.mask.to(device)
    return sound * mask, mask.sum(dim=1)


def valid(features: Tensor, steps: Tensor) -> Encoded:
    """Features [batch, time, feature] as float32, with zeros after each clip's last step."""
    there = torch.arange(features.shape[1], device=features.device)[None] < steps[:, None]
    return Encoded(torch.where(there[..., None], features, 0.0).float(), steps.to(torch.int64))


def standardised(sound: Tensor, length: Tensor, floor: float) -> Tensor:
    """Clips [batch, time] of mean 0 and variance 1 (to which ``floor`` is added) over their valid samples, zero
    after the end."""
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
    """What a network makes of every clip, [steps, feature], in order.

    Args:
        network: the network.
        hidden: [batch, samples] and lengths -> [batch, steps, feature]; without lengths: all are of one length.
        sound: [batch, time].
        length: [batch]; a clip shorter than this in ``sound`` is padded with zeros.
        masks: whether clips of unlike lengths may go through together, padded.
    """
    sound = (
        torch.nn.functional.pad(sound, (0, max(int(length.max()) - sound.shape[1], 0)))
        if len(sound)
        else sound
    )
    order = length.argsort(descending=True, stable=True)
    found: list[Tensor] = []
    groups = [order] if masks else [order[length[order] == size] for size in length[order].unique().flip(0)]
    for group in groups:

        def forward(start: int, stop: int, group: Tensor = group) -> list[Tensor]:
            rows = group[start:stop]
            longest = int(length[rows].max())
            return list(hidden(sound[rows, :longest], length[rows] if masks else None).float())

        for part in network.run(forward, len(group), int(length[group[:1]].sum())):
            found += part
    back = order.argsort().tolist()
    return [found[place] for place in back]


def pooled(hidden: Sequence[Tensor], steps: Tensor, over_time: bool, width: int) -> Encoded:
    """Clips' steps [steps, feature], of which ``steps`` are valid, as one batch; their mean where it is asked for."""
    if not hidden:
        return Encoded(torch.zeros(0, 1, width, device=steps.device), steps.to(torch.int64))
    if over_time:
        means = [part[:count].mean(dim=0) for part, count in zip(hidden, steps.tolist(), strict=True)]
        return valid(torch.stack(means)[:, None], torch.ones_like(steps))
    return valid(pad_sequence(list(hidden), batch_first=True)[:, : int(steps.max())], steps)
