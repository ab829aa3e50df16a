"""What adversaries are made of: gradient reversal, a projector, a discriminator."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .batch_norm import BatchNorm

HIDDEN = 128  # MMDG-Bench, sentiment and motor faults
DROPOUT = 0.3


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None


def reverse(features: Tensor, strength: float) -> Tensor:
    """R(x) = x forwards, -strength times the gradient backwards (Ganin et al. 2016, eq. 16 and 17).

    Args:
        features: of any shape.
        strength: lambda, at least 0.

    Returns:
        As the features.
    """
    reversed_: Tensor = _Reversal.apply(features, strength)  # pyright: ignore[reportAssignmentType]
    return reversed_


def projector(width: int) -> nn.Module:
    """Linear, ReLU, dropout: [batch, width] -> [batch, HIDDEN]. It helps the adversary that reads it."""
    return nn.Sequential(nn.Linear(width, HIDDEN), nn.ReLU(), nn.Dropout(DROPOUT))


def discriminator(width: int, outputs: int, batch_norm: bool = False) -> nn.Module:
    """Linear, ReLU, linear: [batch, width] -> [batch, outputs].

    Args:
        width: of its input.
        outputs: how many.
        batch_norm: before the ReLU, as MMDG-Bench has it. Without it a batch may hold one sample.
    """
    norms = [BatchNorm(HIDDEN)] if batch_norm else []
    return nn.Sequential(nn.Linear(width, HIDDEN), *norms, nn.ReLU(), nn.Linear(HIDDEN, outputs))


def domain_errors(logits: Tensor, domain: Tensor) -> Tensor:
    """The cross-entropy of every sample.

    Args:
        logits: [batch, domains].
        domain: [batch], int64, in [0, domains).

    Returns:
        [batch], in nats.
    """
    return F.cross_entropy(logits, domain, reduction="none")
