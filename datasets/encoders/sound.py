"""What encoders of sound share: one channel, valid lengths, zeros after the end."""

from __future__ import annotations

import torch
from torch import Tensor

from .encoder import Encoded, Media


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
