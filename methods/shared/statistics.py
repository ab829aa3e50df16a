"""Statistics of a series, which networks and estimators read: over its valid steps, or over its observed entries."""

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


def observed_statistics(values: Tensor, observed: Tensor, floor: float = 1e-6) -> Tensor:
    """Mean, deviation, minimum, maximum and last value of every feature over its observed entries; 0 where there is none.

    Args:
        values: [batch, time, feature]; what is not observed is never read.
        observed: [batch, time, feature], bool.
        floor: added to the variance, whose root has no slope at 0.

    Returns:
        [batch, 5 * feature].
    """
    values = values.where(observed, 0)
    there = observed.to(values.dtype)
    count = there.sum(1)
    some = (count > 0).to(values.dtype)
    mean = values.sum(1) / count.clamp(min=1)
    variance = ((values - mean.unsqueeze(1)) * there).square().sum(1) / count.clamp(min=1)
    beyond = (1 - there) * torch.finfo(values.dtype).max / 4  # added to what is not observed
    smallest, largest = (values + beyond).amin(1) * some, (values - beyond).amax(1) * some
    last = observed.shape[1] - 1 - observed.flip(1).to(torch.int8).argmax(1)
    final = values.gather(1, last.unsqueeze(1)).squeeze(1)
    return torch.cat([mean, (variance + floor).sqrt(), smallest, largest, final], dim=-1)


def observed_share(observed: Tensor, valid: Tensor) -> Tensor:
    """The share of the valid steps at which each feature was observed; 0 without a valid step.

    Args:
        observed: [batch, time, feature], bool, false at invalid steps.
        valid: [batch, time], bool.

    Returns:
        [batch, feature], float32.
    """
    return observed.sum(1).float() / valid.sum(1, keepdim=True).clamp(min=1)
