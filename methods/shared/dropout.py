"""Dropout whose masks cost little on a CPU, alone and with what stands beside it in a network."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

#: A decision is made by an integer of 16 bits.
_LEVELS = 1 << 16


def dropout(values: Tensor, probability: float, training: bool) -> Tensor:
    """As ``torch.nn.functional.dropout``: the same distribution, from other draws.

    On a CPU one random integer of 64 bits makes four decisions, and no operation mixes types, so that it takes less than a
    tenth of the time.

    Args:
        values: [...], any float type.
        probability: that a value becomes 0, in [0, 1); the others are divided by one minus it. It is rounded to a
            multiple of 2^-16.
        training: without it ``values`` are returned.
    """
    if not training or rounded(probability) == 0:
        return values
    if values.device.type != "cpu":
        return F.dropout(values, probability)
    return values * mask_like(values, probability)


def add_dropout(values: Tensor, added: Tensor, probability: float, training: bool) -> Tensor:
    """``values + dropout(added)`` in one operation.

    Args:
        values: [...], any float type.
        added: of the same shape.
        probability: as of ``dropout``.
        training: as of ``dropout``.
    """
    if training and rounded(probability) and values.device.type == "cpu":
        return torch.addcmul(values, added, mask_like(added, probability))
    return values + dropout(added, probability, training)


def rounded(probability: float) -> float:
    """The probability of dropout that is used: a multiple of 2^-16."""
    return round(probability * _LEVELS) / _LEVELS


def new_seed() -> int:
    """A seed for ``Decisions``, drawn from torch's generator of the CPU."""
    return int(torch.empty((), dtype=torch.int64).random_())


class Decisions:
    """Independent decisions, the same for the same seed. Their generator takes half the time of torch's.

    Args:
        seed: from ``new_seed``, so that torch's generator decides.
        probability: of a no, rounded as ``rounded`` does.
    """

    def __init__(self, seed: int, probability: float) -> None:
        self._generator = np.random.SFC64(seed)
        self._least = round(probability * _LEVELS) - _LEVELS // 2

    def next(self, count: int) -> Tensor:
        """The next decisions, uint8: 1 for a yes, 0 for a no. No other type is turned into floats as fast.

        Args:
            count: how many.
        """
        return _not_below(self._generator.random_raw((count + 3) // 4), self._least, count)


def _not_below(drawn: np.ndarray, least: int, count: int) -> Tensor:
    """Which of the first integers of 16 bits that are drawn are at least so large, uint8. NumPy compares them in a
    tenth of the time of torch.

    Args:
        drawn: of 64 bits, [..].
        least: between -2^15 and 2^15.
        count: how many.
    """
    return torch.from_numpy(np.greater_equal(drawn.view(np.int16)[:count], least).view(np.uint8))


def mask_like(like: Tensor, probability: float) -> Tensor:
    """What dropout multiplies by on a CPU: 0, or 1 / (1 - probability).

    Args:
        like: whose shape and type the mask has.
        probability: of 0, rounded as ``rounded`` does.
    """
    level, count = round(probability * _LEVELS), like.numel()
    drawn = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
    mask = _not_below(drawn.numpy(), level - _LEVELS // 2, count).to(torch.float32)
    return mask.mul_(_LEVELS / (_LEVELS - level)).to(like.dtype).view(like.shape)
