"""MulT's transformers, in which the steps of one modality attend to those of another (Tsai et al. 2019)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: Added to attention in the place of minus infinity: a step with nothing to attend to stays a number.
NEVER = -1e4


def sinusoids(steps: int, width: int, like: Tensor) -> Tensor:
    """Sine and cosine of positions 1 ... steps (Vaswani et al. 2017), [steps, width], of the type and device of ``like``."""
    half = width // 2
    rates = torch.exp(-math.log(10_000) / max(half - 1, 1) * torch.arange(half, device=like.device))
    angles = torch.arange(1, steps + 1, device=like.device)[:, None] * rates
    table = torch.cat([angles.sin(), angles.cos(), angles.new_zeros(steps, width - 2 * half)], dim=1)
    return table.to(like.dtype)


def future(queries: Tensor, keys: Tensor) -> Tensor:
    """What a step may not attend to: that from 1 + |keys - queries| steps after its own on, by the lengths without padding.

    Args:
        queries: the valid steps of the sequence that attends, [batch, time], bool; they come first.
        keys: of the other, [batch, source time], alike.

    Returns:
        [batch, time, source time], bool.
    """
    ahead = (
        torch.arange(keys.shape[1], device=keys.device)
        - torch.arange(queries.shape[1], device=keys.device)[:, None]
    )
    apart = (keys.sum(1) - queries.sum(1)).abs()
    return ahead > apart[:, None, None]


class CrossLayer(nn.Module):
    """x + drop(attention of LN(x) to LN(source)), then x + drop(W_2 drop(ReLU(W_1 LN(x)))), W_1 four times as wide."""

    def __init__(
        self, width: int, heads: int, attention_dropout: float, dropout: float, hidden_dropout: float = 0.0
    ) -> None:
        """Builds the layer.

        Args:
            width: of both sequences.
            heads: of the attention.
            attention_dropout: of its weights.
            dropout: of what each half adds.
            hidden_dropout: behind the ReLU.
        """
        super().__init__()
        self.heads, self.attention_dropout, self.dropout = heads, attention_dropout, dropout
        self.hidden_dropout = hidden_dropout
        self.before, self.behind = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, dropout=attention_dropout, batch_first=True)
        self.inner, self.outer = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, source: Tensor | None, blocked: Tensor, there: Tensor) -> Tensor:
        """One layer.

        Args:
            x: [batch, time, width].
            source: what it attends to, [batch, source time, width]; None for x itself.
            blocked: [batch * heads, time, source time], float, added to the scores.
            there: [batch, 1, 1], 1 where there is anything to attend to; elsewhere nothing is added.

        Returns:
            [batch, time, width].
        """
        query = self.before(x)
        keys = query if source is None else self.before(source)
        said = self.attention(query, keys, keys, attn_mask=blocked, need_weights=False)[0] * there
        x = x + F.dropout(said, self.dropout, self.training)
        hidden = F.dropout(self.inner(self.behind(x)).relu(), self.hidden_dropout, self.training)
        return x + F.dropout(self.outer(hidden), self.dropout, self.training)


class CrossTransformer(nn.Module):
    """Layers that attend from one sequence to another, which stays as it was embedded, or to the sequence itself."""

    def __init__(
        self,
        width: int,
        heads: int,
        layers: int,
        *,
        attention_dropout: float = 0.0,
        embed_dropout: float = 0.0,
        dropout: float = 0.0,
        hidden_dropout: float = 0.0,
        positions: bool = True,
        causal: bool = True,
    ) -> None:
        """Builds the layers.

        Args:
            width: of both sequences; divisible by ``heads``.
            heads: of the attention.
            layers: how many.
            attention_dropout: of the attention's weights.
            embed_dropout: of what goes in.
            dropout: of what each half of a layer adds.
            hidden_dropout: behind the ReLU of a layer.
            positions: whether sines of the positions are added to what goes in.
            causal: whether a step may not attend to what lies after it, as of ``future``.
        """
        super().__init__()
        self.width, self.heads, self.positions, self.causal = width, heads, positions, causal
        self.embed_dropout = embed_dropout
        self.layers = nn.ModuleList(
            CrossLayer(width, heads, attention_dropout, dropout, hidden_dropout) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def enter(self, x: Tensor) -> Tensor:
        """[batch, time, width] times the root of the width, with positions, and dropout."""
        x = x * math.sqrt(self.width)
        if self.positions:
            x = x + sinusoids(x.shape[1], self.width, x)
        return F.dropout(x, self.embed_dropout, self.training)

    def forward(self, x: Tensor, steps: Tensor, source: Tensor | None, valid: Tensor) -> Tensor:
        """All layers.

        Args:
            x: [batch, time, width].
            steps: its valid steps, [batch, time], bool; they come first.
            source: [batch, source time, width]; None for x itself.
            valid: the steps of the source that are attended to, [batch, source time], bool.

        Returns:
            [batch, time, width].
        """
        blocked = ~valid[:, None, :].expand(-1, x.shape[1], -1)
        if self.causal:
            blocked = blocked | future(steps, valid)
        scores = x.new_zeros(blocked.shape).masked_fill(blocked, NEVER).repeat_interleave(self.heads, dim=0)
        there = valid.any(dim=1)[:, None, None].to(x.dtype)
        x = self.enter(x)
        entered = None if source is None else self.enter(source)
        for layer in self.layers:
            x = layer(x, entered, scores, there)
        return self.norm(x)
