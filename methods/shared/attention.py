"""Attention of many short sequences with narrow heads, as one function with a gradient of its own.

On a CPU, torch's operations spend little of the time of such attention on its arithmetic. A product whose result is a few
numbers wide takes four times as long as its transpose, so heads are [channel, time] here. The weights, [asking, time] for
every head, are the largest arrays of a network, so they are computed for as many sequences at once as a cache holds. And
they are powers of two, which take a third of the time of those of e: queries take in the logarithm, and what was attended
is divided by their sum. Results and gradients are those of softmax but for rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
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
#: 2 to the power of this is far from overflow, and 2 to the power of minus this from underflow.
_SAFE_POWER = 100.0


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

    Without the first, the second is [3, rows, channel, time], and begins with it.
    Kept for the gradient are the weights before they are divided by their sum, with a negative sign where they are dropped.
    """

    @staticmethod
    @custom_fwd(device_type="cpu", cast_inputs=torch.float32)
    def forward(ctx: Any, asked: Tensor | None, keys: Tensor, seen: Tensor | None, share: float) -> Tensor:
        query, key, values = keys if asked is None else (asked, *keys)
        ctx.share, ctx.seed = share, new_seed() if share else 0
        shape = len(query), query.shape[2], key.shape[2]
        keep = any(ctx.needs_input_grad) and math.prod(shape) * query.element_size() <= ATTENTION_BYTES
        kept = query.new_empty(shape) if keep else None
        attended, total = torch.empty_like(query), query.new_empty(len(query), query.shape[2])
        parts = _weights(query, key, seen, share, ctx.seed, total, kept)
        for weights, value, target in zip(parts, *_split(shape, values, attended), strict=True):
            torch.bmm(value, _held(weights, share).transpose(1, 2), out=target)
        total = total.mul_(1 - share).unsqueeze(1)
        attended /= total
        ctx.save_for_backward(asked, keys, seen, attended, total, kept)
        return attended

    @staticmethod
    @custom_bwd(device_type="cpu")
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        asked, keys, seen, attended, total, kept = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *_twice_differentiable(ctx, gradients[0]), None, None
        query, key, values = keys if asked is None else (asked, *keys)
        gradient = torch.div(
            gradients[0], total, out=torch.empty_like(query)
        )  # in its order of memory, for bmm
        common = (gradient * attended).sum(1).unsqueeze(-1) * (1 - ctx.share)
        towards_asked, towards = None if asked is None else torch.empty_like(asked), torch.empty_like(keys)
        slopes = towards if towards_asked is None else (towards_asked, *towards)
        shape = len(query), query.shape[2], key.shape[2]
        if kept is None:
            parts = _weights(query, key, seen, ctx.share, ctx.seed, None, None)
        else:
            (parts,) = _split(shape, kept)
        others = _split(shape, query, key, values, gradient, common, *slopes)
        for weights, asking, given, value, part, mean, to_query, to_key, to_value in zip(
            parts, *others, strict=True
        ):
            held = _held(weights, ctx.share)
            torch.bmm(part, held, out=to_value)
            slope = torch.bmm(part.transpose(1, 2), value).mul_(held)
            slope.addcmul_(torch.abs(weights, out=held) if ctx.share else weights, mean, value=-1)
            torch.bmm(given, slope.transpose(1, 2), out=to_query)
            torch.bmm(asking, slope, out=to_key)
        for slope in slopes[:2]:
            slope *= 1 / math.sqrt(query.shape[1])
        return towards_asked, towards, None, None


def _weights(
    query: Tensor,
    key: Tensor,
    seen: Tensor | None,
    share: float,
    seed: int,
    total: Tensor | None,
    kept: Tensor | None,
) -> Iterator[Tensor]:
    """The weights before they are divided by their sum, as many rows at once as suit a cache.

    Args:
        query: [rows, channel, asking].
        key: [rows, channel, time].
        seen: [rows, 1, time], 1 at keys that are attended to and 0 at others; or None.
        share: of dropout.
        seed: of dropout.
        total: [rows, asking], where the sums are written, those that are dropped included; or None.
        kept: [rows, asking, time], where the weights are written; or None.

    Yields:
        Weights of the next rows, [.., asking, time], with a negative sign where they are dropped.
    """
    query = query * (math.log2(math.e) / math.sqrt(query.shape[1]))
    longest = query.square().sum(1).amax() * key.square().sum(1).amax()
    safe = float(longest) < _SAFE_POWER**2  # an inner product is at most the product of the lengths
    shape = len(query), query.shape[2], key.shape[2]
    decisions, ones = Decisions(seed, share), query.new_ones(shape[2])
    for asked, given, told, sums, target in zip(*_split(shape, query, key, seen, total, kept), strict=True):
        weights = torch.bmm(asked.transpose(1, 2), given, out=target)
        if not safe:
            if told is not None:
                weights.masked_fill_(told == 0, -math.inf)
            weights -= weights.amax(-1, keepdim=True)
        weights.exp2_()
        if told is not None:
            weights *= told
        if sums is not None:
            torch.mv(weights.view(-1, shape[2]), ones, out=sums.view(-1))
        if share:
            weights *= decisions.signs(weights.numel(), weights.dtype).view(weights.shape)
        yield weights


def _held(weights: Tensor, share: float) -> Tensor:
    """The weights that dropout leaves, 0 for the others."""
    return weights.clamp(min=0) if share else weights


def _split(shape: tuple[int, int, int], *tensors: Tensor | None) -> list[Any]:
    """Tensors in parts of as many rows as a cache holds weights of.

    Args:
        shape: of all weights, [rows, asking, time].
        tensors: [rows, ...]; or None, all parts of which are.
    """
    step = max(_AT_ONCE // (shape[1] * shape[2]), 1)
    count = -(-shape[0] // step)
    return [[None] * count if one is None else one.split(step) for one in tensors]


def _twice_differentiable(ctx: Any, gradient: Tensor) -> list[Tensor | None]:
    """The gradients of the first two inputs by torch's own operations, for the gradient of a gradient.

    Args:
        ctx: of ``_Attention``.
        gradient: of its result.
    """
    asked, keys, seen = ctx.saved_tensors[:3]
    query, key, values = keys if asked is None else (asked, *keys)
    with torch.no_grad():
        parts = _weights(query, key, seen, ctx.share, ctx.seed, None, None)
        dropped = torch.cat([weights.signbit() for weights in parts])
    powers = query.transpose(1, 2) @ key / math.sqrt(query.shape[1])
    if seen is not None:
        powers = powers.masked_fill(seen == 0, -math.inf)
    held = powers.softmax(-1).masked_fill(dropped, 0) / (1 - ctx.share)
    attended = values @ held.transpose(1, 2)
    wanted = [one for one in (asked, keys) if one is not None and one.requires_grad]
    found = iter(torch.autograd.grad(attended, wanted, gradient, create_graph=True))
    return [next(found) if one is not None and one.requires_grad else None for one in (asked, keys)]
