"""The feed-forward half of a transformer layer, as one function with a gradient of its own.

Its hidden values are four times as wide as the rest. On a CPU they are computed for as many steps at once as a core's own
cache holds, so that they go through memory once each way, and not once for each operation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.amp.autocast_mode import custom_bwd, custom_fwd
from torch.nn import functional as F

from .dropout import Decisions, dropout, mask_like, new_seed, rounded

#: Hidden values that are computed at once: 1 MiB in float32.
_AT_ONCE = 1 << 18


def feed_forward(
    values: Tensor,
    normed: Tensor,
    inner: tuple[Tensor, Tensor],
    outer: tuple[Tensor, Tensor],
    rate: float,
    training: bool,
) -> Tensor:
    """``values + dropout(outer(dropout(relu(inner(normed)))))`` of several modalities.

    Args:
        values: [modality, steps, width], to which the result is added.
        normed: [modality, steps, width], what is read.
        inner: weights [modality, hidden, width] and biases [modality, hidden].
        outer: weights [modality, width, hidden] and biases [modality, width].
        rate: of dropout.
        training: whether there is dropout.

    Returns:
        [modality, steps, width].
    """
    if values.device.type == "cpu":
        share = rounded(rate) if training else 0.0
        return _FeedForward.apply(values, normed, *inner, *outer, share)  # type: ignore[return-value]
    hidden = dropout(F.relu(linear(normed, *inner)), rate, training)
    return values + dropout(linear(hidden, *outer), rate, training)


def linear(values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A linear layer of each modality.

    Args:
        values: [modality, n, in].
        weight: [modality, out, in].
        bias: [modality, out].

    Returns:
        [modality, n, out].
    """
    return torch.baddbmm(bias.unsqueeze(1), values, weight.transpose(1, 2))


class _FeedForward(torch.autograd.Function):
    """Kept for the gradient are the hidden values, which are above 0 exactly where a gradient passes."""

    @staticmethod
    @custom_fwd(device_type="cpu", cast_inputs=torch.float32)
    def forward(
        ctx: Any,
        values: Tensor,
        normed: Tensor,
        inner: Tensor,
        inner_bias: Tensor,
        outer: Tensor,
        outer_bias: Tensor,
        share: float,
    ) -> Tensor:
        result, shape = torch.empty_like(values), (*values.shape[:2], inner.shape[1])
        kept = values.new_empty(shape) if any(ctx.needs_input_grad) else None
        mask = mask_like(values, share) if share else None
        decisions = Decisions(new_seed() if share else 0, share)
        ctx.scale = 1 / (1 - share)
        for place, rows in _parts(shape):
            target = None if kept is None else kept[place, rows]
            hidden = torch.addmm(inner_bias[place], normed[place, rows], inner[place].t(), out=target).relu_()
            if share:
                hidden *= decisions.next(hidden.numel()).view_as(hidden).to(hidden.dtype)
            given = torch.addmm(outer_bias[place], hidden, outer[place].t(), alpha=ctx.scale)
            if mask is None:
                torch.add(values[place, rows], given, out=result[place, rows])
            else:
                torch.addcmul(values[place, rows], given, mask[place, rows], out=result[place, rows])
        ctx.save_for_backward(normed, inner, inner_bias, outer, outer_bias, kept, mask)
        return result

    @staticmethod
    @custom_bwd(device_type="cpu")
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        normed, inner, inner_bias, outer, _, kept, mask = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *_twice_differentiable(ctx, gradients[0]), None
        gradient = gradients[0] if mask is None else gradients[0] * mask
        towards_inner, towards_outer = torch.zeros_like(inner), torch.zeros_like(outer)
        towards_bias, towards_normed = torch.zeros_like(inner_bias), torch.empty_like(normed)
        scaled = outer * ctx.scale
        for place, rows in _parts(kept.shape):
            hidden, part = kept[place, rows], gradient[place, rows]
            towards_outer[place].addmm_(part.t(), hidden, alpha=ctx.scale)
            slope = part @ scaled[place]
            torch.ops.aten.threshold_backward.grad_input(slope, hidden, 0, grad_input=slope)
            towards_inner[place].addmm_(slope.t(), normed[place, rows])
            towards_bias[place] += slope.sum(0)
            torch.mm(slope, inner[place], out=towards_normed[place, rows])
        return (
            gradients[0],
            towards_normed,
            towards_inner,
            towards_bias,
            towards_outer,
            gradient.sum(1),
            None,
        )


def _parts(shape: tuple[int, ...]) -> Iterator[tuple[int, slice]]:
    """A modality and some of its steps at a time, of hidden values [modality, steps, hidden]."""
    modalities, steps, hidden = shape
    step = max(_AT_ONCE // hidden, 1)
    for place in range(modalities):
        for start in range(0, steps, step):
            yield place, slice(start, min(start + step, steps))


def _twice_differentiable(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    """The gradients by torch's own operations, for the gradient of a gradient.

    Args:
        ctx: of ``_FeedForward``.
        gradient: of its result.
    """
    normed, inner, inner_bias, outer, outer_bias, kept, mask = ctx.saved_tensors
    hidden = linear(normed, inner, inner_bias) * ((kept > 0) * ctx.scale)
    given = linear(hidden, outer, outer_bias)
    inputs = normed, inner, inner_bias, outer, outer_bias
    wanted = [one for one in inputs if one.requires_grad]
    towards = gradient if mask is None else gradient * mask
    found = iter(torch.autograd.grad(given, wanted, towards, create_graph=True))
    return gradient, *(next(found) if one.requires_grad else None for one in inputs)
