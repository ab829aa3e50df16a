"""Dropout whose masks cost little on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

#: A decision is made by an integer of 16 bits.
_LEVELS = 1 << 16


def dropout(values: Tensor, probability: float, training: bool) -> Tensor:
    """As ``torch.nn.functional.dropout``: the same distribution, from other draws of the same generator.

    On a CPU one random integer of 64 bits makes four decisions, and no operation mixes types, so that it takes about a
    tenth of the time.

    Args:
        values: [...], any float type.
        probability: that a value becomes 0, in [0, 1); the others are divided by one minus it. It is rounded to a
            multiple of 2^-16.
        training: without it ``values`` are returned.
    """
    level = round(probability * _LEVELS)
    if not training or level == 0:
        return values
    if values.device.type != "cpu":
        return F.dropout(values, probability)
    count = values.numel()
    drawn = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
    decided = drawn.view(torch.int16)[:count].view(values.shape)
    mask = decided.float().ge_(
        level - _LEVELS // 2
    )  # in place: a comparison that gives bool is several times slower
    return values * mask.mul_(_LEVELS / (_LEVELS - level)).to(values.dtype)
