"""Transformers that carry a sequence to a few learned tokens, and ALMT's layers between such tokens (Zhang et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: Learned positions of a modality of which the number of steps is not known.
POSITIONS = 50


class WideAttention(nn.Module):
    """Attention whose heads together may be wider than what they read, after layer norms of queries and of keys."""

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * head_width
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))  # of queries, keys and values
        self.enter = nn.ModuleList(nn.Linear(width, inner, bias=False) for _ in range(3))
        self.leave = nn.Linear(inner, width)

    def forward(self, x: Tensor, source: Tensor, there: Tensor | None) -> Tensor:
        """What x has read of the source.

        Args:
            x: [batch, time, width].
            source: [batch, source time, width].
            there: the steps of the source that are read, [batch, source time], bool, at least one; None for all.

        Returns:
            [batch, time, width].
        """
        given = zip(self.enter, self.norms, (x, source, source), strict=True)
        query, key, value = (_heads(enter(norm(z)), self.heads) for enter, norm, z in given)
        return self.leave(attended(query, key, value, there))


class TokenLayer(nn.Module):
    """x + attention to the source, then x + W_2 GELU(W_1 LN(x))."""

    def __init__(self, width: int, heads: int, head_width: int, feed_forward: int) -> None:
        super().__init__()
        self.attention = WideAttention(width, heads, head_width)
        self.behind = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, feed_forward), nn.GELU(), nn.Linear(feed_forward, width)
        )

    def forward(self, x: Tensor, source: Tensor | None = None, there: Tensor | None = None) -> Tensor:
        """One layer.

        Args:
            x: [batch, time, width].
            source: what it attends to, [batch, source time, width]; None for x itself.
            there: as of ``WideAttention``.

        Returns:
            [batch, time, width].
        """
        x = x + self.attention(x, x if source is None else source, there)
        return x + self.behind(x)


class TokenReader(nn.Module):
    """A transformer over learned tokens and the steps of a sequence, of which the tokens are kept.

    Positions are learned; a sequence with more steps than there are positions has the last one at every step behind them.
    """

    def __init__(
        self, width: int, tokens: int, positions: int, depth: int, heads: int, head_width: int
    ) -> None:
        """Builds the layers.

        Args:
            width: of tokens and steps.
            tokens: how many are learned and kept; 0 to keep the steps themselves.
            positions: of steps that there are.
            depth: layers.
            heads: of the attention.
            head_width: of each.
        """
        super().__init__()
        self.tokens = nn.Parameter(torch.zeros(tokens, width)) if tokens else None
        self.positions = nn.Parameter(torch.randn(tokens + positions, width))
        self.layers = nn.ModuleList(TokenLayer(width, heads, head_width, width) for _ in range(depth))

    def forward(self, x: Tensor, valid: Tensor | None = None) -> list[Tensor]:
        """What stands before the layers and after each.

        Args:
            x: [batch, time, width].
            valid: the steps that are read, [batch, time], bool; None for all.

        Returns:
            Each [batch, tokens, width]; [batch, time, width] without tokens.
        """
        count = 0 if self.tokens is None else len(self.tokens)
        places = torch.arange(count + x.shape[1], device=x.device).clamp(max=len(self.positions) - 1)
        if self.tokens is not None:
            x = torch.cat([self.tokens.expand(len(x), -1, -1), x], dim=1)
        there = None if valid is None else F.pad(valid, (count, 0), value=True)
        found = [x + self.positions[places]]
        for layer in self.layers:
            found.append(layer(found[-1], None, there))
        return [one[:, :count] if count else one for one in found]


class HyperLayer(nn.Module):
    """H <- LN(H) + W sum_m attention of LN(guide) to LN(h_m), one query for all m, keys and values for each."""

    def __init__(self, width: int, heads: int, others: int) -> None:
        """Builds the layer.

        Args:
            width: of all tokens; divisible by ``heads``.
            heads: of the attention.
            others: how many h_m there are.
        """
        super().__init__()
        self.heads = heads
        self.norm_guide, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(others))
        self.query = nn.Linear(width, width, bias=False)
        self.read = nn.ModuleList(nn.Linear(width, 2 * width, bias=False) for _ in range(others))
        self.leave = nn.Linear(width, width)

    def forward(self, guide: Tensor, hyper: Tensor, others: Sequence[Tensor], there: Tensor) -> Tensor:
        """One layer.

        Args:
            guide: [batch, tokens, width].
            hyper: H, [batch, tokens, width].
            others: h_m of each other modality, [batch, tokens, width].
            there: [batch, others], bool; what is not there adds nothing.

        Returns:
            [batch, tokens, width].
        """
        query = _heads(self.query(self.norm_guide(guide)), self.heads)
        said = torch.zeros_like(hyper)
        for i, (norm, read, tokens) in enumerate(zip(self.norms, self.read, others, strict=True)):
            key, value = (_heads(z, self.heads) for z in read(norm(tokens)).chunk(2, dim=-1))
            said = said + attended(query, key, value, None).where(there[:, i, None, None], 0)
        return self.norm(hyper) + self.leave(said)


class TokenFusion(nn.Module):
    """A class token beside each of two groups of tokens; the one beside the first attends to the second, and is read."""

    def __init__(self, width: int, tokens: int, depth: int, heads: int, head_width: int) -> None:
        """Builds the layers.

        Args:
            width: of the tokens.
            tokens: of each group.
            depth: layers.
            heads: of the attention.
            head_width: of each.
        """
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, width))
        self.positions = nn.Parameter(torch.randn(2, tokens + 1, width))
        self.layers = nn.ModuleList(TokenLayer(width, heads, head_width, width) for _ in range(depth))

    def forward(self, asking: Tensor, source: Tensor) -> Tensor:
        """Reads the source from beside the first.

        Args:
            asking: [batch, tokens, width].
            source: [batch, tokens, width].

        Returns:
            [batch, width].
        """
        return self.tokens(asking, source)[:, 0]

    def tokens(self, asking: Tensor, source: Tensor) -> Tensor:
        """As ``forward``, all tokens.

        Args:
            asking, source: as of ``forward``.

        Returns:
            [batch, 1 + tokens, width], the class token first.
        """
        token = self.token.expand(len(asking), -1, -1)
        asking, source = (
            torch.cat([token, x], dim=1) + place
            for x, place in zip((asking, source), self.positions, strict=True)
        )
        for layer in self.layers:
            asking = layer(asking, source)
        return asking


def _heads(x: Tensor, heads: int) -> Tensor:
    """[batch, time, width] -> [batch, heads, time, width of a head]."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def attended(query: Tensor, key: Tensor, value: Tensor, there: Tensor | None) -> Tensor:
    """Scaled dot-product attention, [batch, time, width].

    Args:
        query: [batch, heads, time, width of a head].
        key, value: [batch, heads, source time, width of a head].
        there: [batch, source time], bool, what is attended to; None for all.
    """
    seen = None if there is None else there[:, None, None, :]
    return F.scaled_dot_product_attention(query, key, value, seen).transpose(1, 2).flatten(2)
