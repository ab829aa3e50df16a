"""A transformer over the steps of one modality, into which something of the others is put on its way."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .cross_modal import NEVER, CrossLayer, sinusoids


class LedTransformer(nn.Module):
    """Pre-norm layers on a sequence, read at its first step, as a model of the BERT family is read at its first token.

    A sample without the modality is one step, a learned vector, so that what is put in is heard there, too.
    """

    def __init__(self, width: int, heads: int, layers: int, before: int, rate: float) -> None:
        """Builds the layers.

        Args:
            width: of a step; divisible by ``heads``.
            heads: of the attention.
            layers: how many.
            before: the layer, counted from 0, before which something is put in; at most ``layers``.
            rate: of dropout, of weights and of what each half of a layer adds.
        """
        super().__init__()
        self.width, self.heads, self.before, self.rate = width, heads, before, rate
        self.layers = nn.ModuleList(CrossLayer(width, heads, rate, rate) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.nothing = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor, valid: Tensor, put_in: Callable[[Tensor], Tensor]) -> Tensor:
        """Encodes.

        Args:
            x: [batch, time, width], 0 at steps that are not valid.
            valid: [batch, time], bool; valid steps come first.
            put_in: a sequence as it stands, [batch, time, width] -> what it is replaced by.

        Returns:
            [batch, width].
        """
        absent = ~valid.any(dim=1)
        first = F.pad(absent.unsqueeze(1), (0, x.shape[1] - 1))
        x = torch.where(first.unsqueeze(-1), self.nothing.to(x.dtype), x)
        valid = valid | first
        x = x * math.sqrt(self.width) + sinusoids(x.shape[1], self.width, x)
        x = F.dropout(x, self.rate, self.training)
        blocked = ~valid[:, None, :].expand(-1, x.shape[1], -1)
        scores = x.new_zeros(blocked.shape).masked_fill(blocked, NEVER).repeat_interleave(self.heads, dim=0)
        there = x.new_ones(len(x), 1, 1)
        for i, layer in enumerate(self.layers):
            if i == self.before:
                x = put_in(x)
            x = layer(x, None, scores, there)
        if self.before == len(self.layers):
            x = put_in(x)
        return self.norm(x)[:, 0]
