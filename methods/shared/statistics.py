"""Statistics of a series, which networks and estimators read."""

from __future__ import annotations

import torch
from torch import Tensor


def statistics(values: Tensor, valid: Tensor, floor: float = 1e-6) -> Tensor:
    """Mean, deviation, minimum, maximum and last value of every feature over the valid steps; 0 where there is none.

    Args:
        values: [batch, time, feature], 0 at invalid steps.
        valid: [batch, time], bool.
        floor: added to the variance, whose root has no slope at 0.

    Returns:
        [batch, 5 * feature].
    """
    there = valid.unsqueeze(-1).to(values.dtype)
    count = there.sum(1).clamp(min=1)
    mean = values.sum(1) / count
    variance = ((values - mean.unsqueeze(1)) * there).square().sum(1) / count
    beyond = (1 - there) * torch.finfo(values.dtype).max / 4  # added to invalid steps
    some = there.amax(1)
    smallest, largest = (values + beyond).amin(1) * some, (values - beyond).amax(1) * some
    last = valid.shape[1] - 1 - valid.flip(1).to(torch.int8).argmax(1)
    final = values[torch.arange(len(values), device=values.device), last]
    return torch.cat([mean, (variance + floor).sqrt(), smallest, largest, final], dim=-1)
