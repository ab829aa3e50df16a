"""Attention of many short sequences with narrow heads, as one function with a gradient of its own.

On a CPU, torch's operations spend little of the time of such attention on its arithmetic. A product whose result is a few
numbers wide takes four times as long as its transpose, so heads are [channel, time] here. The weights, [asking, time] for
every head, are the largest arrays of a network, so they are computed for as many sequences at once as a cache holds.
What was attended is divided by their sum, and their exponentials are never too small for a normal number, which would take a
hundred times as long. Results and gradients are those of softmax but for rounding.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.amp.autocast_mode import custom_bwd, custom_fwd
from torch.nn import functional as F

from .dropout import Decisions, new_seed, rounded

#: Bytes of a layer's attention weights on a CPU that training keeps: more are computed again for the gradient.
ATTENTION_BYTES = 256 << 20
#: Weights that are computed at once: 1 MiB in float32, a common second-level cache. With fewer the operations cost more.
_AT_ONCE = 1 << 18
#: e to the power of this is far from overflow, and e to the power of minus this is a normal number.
_SAFE_POWER = 70.0


def attend(
    queries: Tensor | None, keys: Tensor, ignored: Tensor | None, heads: int, rate: float, training: bool
) -> Tensor:
    """Scaled dot-product attention of several heads.

    Args:
        queries: [rows, asking, width]; or None where every key asks.
        keys: [rows, time, 2 * width], keys and values; behind queries, and so three times as wide, where every key asks.
        ignored: [rows, time], bool: keys that nothing attends to, never all of a row; or None.
        heads: how many.
        rate: of the dropout of the weights.
        training: whether there is dropout.

    Returns:
        [rows, asking, width].
    """
    share = rate if training else 0.0
    if keys.device.type != "cpu":
        query, key, value = keys.chunk(3, dim=-1) if queries is None else (queries, *keys.chunk(2, dim=-1))
        query, key, value = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (query, key, value))
        seen = None if ignored is None else ~ignored[:, None, None]
        return F.scaled_dot_product_attention(query, key, value, seen, share).transpose(1, 2).flatten(2)
    rows, width = len(keys), keys.shape[-1] // (3 if queries is None else 2)
    asked = None if queries is None else _heads(queries, heads, width)[0]
    seen = None if ignored is None else (~ignored).to(keys.dtype).repeat_interleave(heads, 0).unsqueeze(1)
    attended: Tensor = _Attention.apply(asked, _heads(keys, heads, width), seen, rounded(share))  # type: ignore[assignment]
    return attended.view(rows, width, -1).transpose(1, 2)


def _heads(values: Tensor, heads: int, width: int) -> Tensor:
    """[rows, time, several * width] -> [several, rows * heads, width of a head, time], contiguous."""
    each = values.unflatten(-1, (-1, heads, width // heads))
    return each.permute(2, 0, 3, 4, 1).flatten(1, 2).contiguous()


class _Attention(torch.autograd.Function):
    """[rows, channel, asking], [2, rows, channel, time], [rows, 1, time] or None -> [rows, channel, asking].

    Without the first, the second is [3, rows, channel, time], and begins with it. Kept for the gradient are the weights
    before they are divided by their sum, and which of them are held. Keys that nothing attends to are made zeros on both
    ways, which costs less than to make their weights zeros.
    """

    @staticmethod
    @custom_fwd(device_type="cpu", cast_inputs=torch.float32)
    def forward(ctx: Any, asked: Tensor | None, keys: Tensor, seen: Tensor | None, share: float) -> Tensor:
        query, key, values = _parted(asked, keys, seen)
        ctx.share, ctx.seed = share, new_seed() if share else 0
        shape = len(query), query.shape[2], key.shape[2]
        keep = any(ctx.needs_input_grad) and math.prod(shape) * query.element_size() <= ATTENTION_BYTES
        kept, decided = query.new_empty(shape) if keep else None, []
        attended, total = torch.empty_like(query), query.new_empty(len(query), query.shape[2])
        weights = _Weights(query, key, seen, share, ctx.seed)
        for rows in _rows(shape):
            found = weights.of(rows, None if kept is None else kept[rows])
            weights.sums(found, rows, total[rows])
            chosen = weights.chosen(found)
            torch.bmm(values[rows], _held(found, chosen).transpose(1, 2), out=attended[rows])
            if keep and chosen is not None:
                decided.append(chosen)
        total = total.mul_(1 - share).unsqueeze(1)
        attended /= total
        ctx.save_for_backward(asked, keys, seen, attended, total, kept, *decided)
        return attended

    @staticmethod
    @custom_bwd(device_type="cpu")
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        asked, keys, seen, attended, total, kept, *decided = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *_twice_differentiable(ctx, gradients[0]), None, None
        query, key, values = _parted(asked, keys, seen)
        gradient = torch.div(
            gradients[0], total, out=torch.empty_like(query)
        )  # in its order of memory, for bmm
        common = (gradient * attended).sum(1).unsqueeze(-1) * (1 - ctx.share)
        towards_asked, towards = None if asked is None else torch.empty_like(asked), torch.empty_like(keys)
        to_query, to_key, to_value = towards if towards_asked is None else (towards_asked, *towards)
        shape = len(query), query.shape[2], key.shape[2]
        again = None if isinstance(kept, Tensor) else _Weights(query, key, seen, ctx.share, ctx.seed)
        for number, rows in enumerate(_rows(shape)):
            weights = kept[rows] if again is None else again.of(rows, None)
            chosen = again.chosen(weights) if again else decided[number] if decided else None
            held = _held(weights, chosen)
            torch.bmm(gradient[rows], held, out=to_value[rows])
            slope = torch.bmm(gradient[rows].transpose(1, 2), values[rows]).mul_(held)
            slope.addcmul_(weights, common[rows], value=-1)
            torch.bmm(key[rows], slope.transpose(1, 2), out=to_query[rows])
            torch.bmm(query[rows], slope, out=to_key[rows])
        for slope in (to_query, to_key):
            slope *= 1 / math.sqrt(query.shape[1])
        if seen is not None:
            towards[-2:] *= seen
        return towards_asked, towards, None, None


def _parted(asked: Tensor | None, keys: Tensor, seen: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values [rows, channel, ..] of the inputs of ``_Attention``; zeros where nothing attends."""
    key, values = keys[-2:] if seen is None else keys[-2:] * seen
    query = keys[0] if asked is None else asked
    return query, key, values


class _Weights:
    """The weights of attention before they are divided by their sum, some rows at a time and in their order.

    Args:
        query: [rows, channel, asking].
        key: [rows, channel, time].
        seen: [rows, 1, time], 1 at keys that are attended to and 0 at others; or None.
        share: of dropout.
        seed: of dropout.
    """

    def __init__(self, query: Tensor, key: Tensor, seen: Tensor | None, share: float, seed: int) -> None:
        self._query, self._key, self._seen = query * (1 / math.sqrt(query.shape[1])), key, seen
        longest = self._query.square().sum(1).amax() * key.square().sum(1).amax()
        self._safe = float(longest) < _SAFE_POWER**2  # an inner product is at most the product of the lengths
        self._decisions = Decisions(seed, share) if share else None
        self._ones = query.new_ones(key.shape[2])

    def of(self, rows: slice, out: Tensor | None) -> Tensor:
        """The weights [.., asking, time] of some rows; those of ignored keys are positive numbers that mean nothing.

        Args:
            rows: which.
            out: where they are written; or None.
        """
        weights = torch.bmm(self._query[rows].transpose(1, 2), self._key[rows], out=out)
        if not self._safe:
            if self._seen is not None:
                weights.masked_fill_(self._seen[rows] == 0, -math.inf)
            weights -= weights.amax(-1, keepdim=True)
            weights.clamp_(min=-_SAFE_POWER)
        return weights.exp_()

    def sums(self, weights: Tensor, rows: slice, out: Tensor) -> None:
        """Writes the sums over all keys that are attended to, those that dropout leaves out included.

        Args:
            weights: [.., asking, time], those of ``rows``.
            rows: which.
            out: [.., asking].
        """
        if self._seen is None:
            torch.mv(weights.view(-1, weights.shape[2]), self._ones, out=out.view(-1))
        else:
            torch.bmm(weights, self._seen[rows].transpose(1, 2), out=out.unsqueeze(-1))

    def chosen(self, weights: Tensor) -> Tensor | None:
        """Which of the next weights dropout leaves, uint8; None without dropout."""
        if self._decisions is None:
            return None
        return self._decisions.next(weights.numel()).view(weights.shape)


def _held(weights: Tensor, chosen: Tensor | None) -> Tensor:
    """The weights that dropout leaves, 0 for the others."""
    return weights if chosen is None else chosen.to(weights.dtype).mul_(weights)


def _rows(shape: tuple[int, int, int]) -> list[slice]:
    """All rows of weights [rows, asking, time], as many at once as a cache holds weights of."""
    step = max(_AT_ONCE // (shape[1] * shape[2]), 1)
    return [slice(start, start + step) for start in range(0, shape[0], step)]


def _twice_differentiable(ctx: Any, gradient: Tensor) -> list[Tensor | None]:
    """The gradients of the first two inputs by torch's own operations, for the gradient of a gradient.

    Args:
        ctx: of ``_Attention``.
        gradient: of its result.
    """
    asked, keys, seen = ctx.saved_tensors[:3]
    query, key, values = keys if asked is None else (asked, *keys)
    powers = query.transpose(1, 2) @ key / math.sqrt(query.shape[1])
    if seen is not None:
        powers = powers.masked_fill(seen == 0, -math.inf)
    held = powers.softmax(-1) / (1 - ctx.share)
    if ctx.share:
        decisions = Decisions(ctx.seed, ctx.share)
        parts = [decisions.next(held[rows].numel()).view(held[rows].shape) for rows in _rows(held.shape)]
        held = held * torch.cat(parts)
    attended = values @ held.transpose(1, 2)
    wanted = [one for one in (asked, keys) if one is not None and one.requires_grad]
    found = iter(torch.autograd.grad(attended, wanted, gradient, create_graph=True))
    return [next(found) if one is not None and one.requires_grad else None for one in (asked, keys)]
