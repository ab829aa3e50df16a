"""EMT's fusion: tokens of the whole sample and the steps of each modality read each other (Sun et al., TAC 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .sequence_encoder import sinusoids


class ContextAttention(nn.Module):
    """Attention of LN(x) to LN(source), whose maps in have no bias."""

    def __init__(self, width: int, heads: int, rate: float, other: bool) -> None:
        """Builds the maps.

        Args:
            width: of x and of the source; divisible by ``heads``.
            heads: how many.
            rate: of dropout of the weights.
            other: whether the source is another sequence, which has a norm of its own.
        """
        super().__init__()
        self.heads, self.rate = heads, rate
        self.norm, self.norm_source = nn.LayerNorm(width), nn.LayerNorm(width) if other else None
        self.ask, self.read = nn.Linear(width, width, bias=False), nn.Linear(width, 2 * width, bias=False)
        self.leave = nn.Linear(width, width)

    def forward(self, x: Tensor, source: Tensor | None, there: Tensor | None) -> Tensor:
        """What x has read, [batch, time, width]; 0 where there is nothing to read.

        Args:
            x: [batch, time, width].
            source: [batch, source time, width]; None for x itself.
            there: what is read of the source, [batch, source time], bool; None for all.
        """
        normed = self.norm(x)
        given = normed if source is None or self.norm_source is None else self.norm_source(source)
        query, key, value = (
            z.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for z in (self.ask(normed), *self.read(given).chunk(2, dim=-1))
        )
        rate = self.rate if self.training else 0.0
        if there is None:
            said = F.scaled_dot_product_attention(query, key, value, dropout_p=rate)
            return self.leave(said.transpose(1, 2).flatten(2))
        some = there.any(dim=1)
        seen = (there | ~some.unsqueeze(1))[:, None, None]
        said = F.scaled_dot_product_attention(query, key, value, seen, dropout_p=rate)
        return self.leave(said.transpose(1, 2).flatten(2)).where(some[:, None, None], 0)


class PromotionUnit(nn.Module):
    """x + attention to the source, x + attention to itself, x + W_2 (a * GELU(b)) with [a, b] = W_1 LN(x), in this order."""

    def __init__(self, width: int, heads: int, attention_rate: float, rate: float) -> None:
        """Builds the unit.

        Args:
            width: of all sequences; divisible by ``heads``.
            heads: of both attentions.
            attention_rate: of dropout of their weights.
            rate: of dropout of what the last part adds.
        """
        super().__init__()
        self.rate = rate
        self.cross = ContextAttention(width, heads, attention_rate, other=True)
        self.own = ContextAttention(width, heads, attention_rate, other=False)
        self.norm = nn.LayerNorm(width)
        self.inner, self.outer = nn.Linear(width, 8 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, source: Tensor, own: Tensor | None, there: Tensor | None) -> Tensor:
        """[batch, time, width] of x once it has read the source.

        Args:
            x: [batch, time, width].
            source: [batch, source time, width].
            own: the steps of x that are read, [batch, time], bool; None for all.
            there: those of the source, [batch, source time], bool; None for all.
        """
        x = x + self.cross(x, source, there)
        x = x + self.own(x, None, own)
        value, gate = self.inner(self.norm(x)).chunk(2, dim=-1)
        return x + F.dropout(self.outer(value * F.gelu(gate)), self.rate, self.training)


class MutualPromotion(nn.Module):
    """Layers of one unit, which is shared by both directions, all modalities and all layers.

    With g the tokens [batch, modality, width] and x_m the steps of m with positions: in each layer x_m reads g and g reads x_m, as
    both stood before; the g that have read different modalities, flat, are then pooled by softmax_m of W_2 tanh(W_1 g).
    """

    def __init__(
        self, count: int, width: int, layers: int, heads: int, attention_rate: float = 0.0, rate: float = 0.0
    ) -> None:
        """Builds the unit.

        Args:
            count: modalities.
            width: of tokens and steps; divisible by ``heads``, and even.
            layers: how often it is applied.
            heads: of each attention.
            attention_rate, rate: of dropout, as of ``PromotionUnit``.
        """
        super().__init__()
        self.layers = layers
        self.unit = PromotionUnit(width, heads, attention_rate, rate)
        self.pool = nn.Sequential(
            nn.Linear(count * width, count * width), nn.Tanh(), nn.Linear(count * width, 1)
        )

    def forward(
        self, tokens: Tensor, steps: Sequence[Tensor], valid: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Lets them read each other.

        Args:
            tokens: g, [batch, modality, width].
            steps: of each modality, [batch, time, width].
            valid: which are read, [batch, time], bool, of each modality.

        Returns:
            g and the steps of each modality.
        """
        found = [x + _positions(x) for x in steps]
        for _ in range(self.layers):
            told = [self.unit(tokens, x, None, there) for x, there in zip(found, valid, strict=True)]
            found = [self.unit(x, tokens, there, None) for x, there in zip(found, valid, strict=True)]
            flat = torch.stack(told, dim=1).flatten(2)
            shares = self.pool(flat).softmax(dim=1)
            tokens = (shares * flat).sum(dim=1).view_as(tokens)
        return tokens, found


def _positions(x: Tensor) -> Tensor:
    """Sines of the positions of [batch, time, width], [time, width]."""
    return sinusoids(torch.arange(x.shape[1], device=x.device), x.shape[2]).to(x.dtype)
