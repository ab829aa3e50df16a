"""The gate of TRACE: a context vector for one modality from what the others say, each weighed by what is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

#: What a missing modality's logit is lowered by (TRACE's code).
_FAR_BELOW = 1e4
#: The chance that training takes an auxiliary away from a sample, so that its lack is known; our choice.
TAKEN_AWAY = 0.1


class ContextGate(nn.Module):
    """sum_j w_j c_j with c_j = W2_j SiLU(W1_j a_j) and w = softmax(V2 SiLU(V1 [c_1 ... c_J; r]) - 1e4 r), r the flags of what
    is missing. Where all is missing, a learned vector.

    ``mode="uniform"`` weighs all that is there alike.
    """

    def __init__(
        self, features: Sequence[int], width: int, hidden: int, mode: Literal["gate", "uniform"] = "gate"
    ) -> None:
        """Builds the gate.

        Args:
            features: of each auxiliary modality.
            width: of the context.
            hidden: width of the hidden layers.
            mode: how the weights come about.
        """
        super().__init__()
        self.mode = mode
        self.maps = nn.ModuleList(
            nn.Sequential(nn.Linear(count, hidden), nn.SiLU(), nn.Linear(hidden, width)) for count in features
        )
        count = len(features)
        self.weigh = nn.Sequential(
            nn.Linear(count * width + count, hidden), nn.SiLU(), nn.Linear(hidden, count)
        )
        self.nothing = nn.Parameter(torch.zeros(width))

    def forward(self, auxiliaries: Sequence[Tensor], missing: Tensor) -> tuple[Tensor, Tensor]:
        """The context, and the weight of each auxiliary.

        Args:
            auxiliaries: of each, [batch, features]; read where it is there.
            missing: [batch, auxiliary], bool.

        Returns:
            [batch, width], and [batch, auxiliary]: 0 where missing, their sum 1, or 0 where all are.
        """
        mapped = []
        for place, (values, one) in enumerate(zip(auxiliaries, self.maps, strict=True)):
            there = ~missing[:, place].unsqueeze(-1)
            mapped.append(one(values.where(there, 0).to(self.nothing.dtype)).where(there, 0))
        flags = missing.to(mapped[0].dtype)
        if self.mode == "uniform":
            logits = torch.zeros_like(flags)
        else:
            logits = self.weigh(torch.cat([*mapped, flags], dim=-1))
        weights = (logits.float() - _FAR_BELOW * flags.float()).softmax(dim=-1).where(~missing, 0)
        context = (torch.stack(mapped, dim=1) * weights.unsqueeze(-1).to(mapped[0].dtype)).sum(dim=1)
        return torch.where(missing.all(dim=1, keepdim=True), self.nothing.to(context.dtype), context), weights


def take_away(missing: Tensor) -> Tensor:
    """The flags with more auxiliaries missing, drawn from torch's generator; all may be.

    Args:
        missing: [batch, auxiliary], bool.
    """
    return missing | (torch.rand(missing.shape, device=missing.device) < TAKEN_AWAY)


def masked_means(values: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of each feature over its observed entries, 0 where there are none; and which samples have no entry at all.

    Args:
        values: [batch, time, feature].
        observed: the same shape, bool.

    Returns:
        [batch, feature] and [batch], bool.
    """
    total = values.where(observed, 0).sum(dim=1) / observed.sum(dim=1).clamp(min=1)
    return total, ~observed.flatten(1).any(dim=1)
