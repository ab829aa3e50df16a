"""Attention and feed-forward with gradients of their own, against torch's operations and numerical slopes."""

from __future__ import annotations

import math

import pytest
import torch
from mmbench.methods.shared import attention, feed_forward
from mmbench.methods.shared.dropout import add_dropout, dropout
from torch import Tensor
from torch.nn import functional as F

HEADS = 2


def inputs(scale: float = 1.0, several: int = 3) -> tuple[Tensor, Tensor]:
    """Queries, keys and values of 3 rows, 3 steps and 2 heads of 2 channels, float64; and which keys are ignored."""
    torch.manual_seed(0)
    ignored = torch.arange(3) >= torch.tensor([3, 1, 2])[:, None]
    return scale * torch.randn(3, 3, 4 * several, dtype=torch.float64, requires_grad=True), ignored


def by_softmax(keys: Tensor, ignored: Tensor) -> Tensor:
    query, key, value = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in keys.chunk(3, dim=-1))
    return (
        F.scaled_dot_product_attention(query, key, value, ~ignored[:, None, None]).transpose(1, 2).flatten(2)
    )


@pytest.mark.parametrize("scale", [1.0, 40.0, 4000.0])  # in the last the largest is subtracted
def test_exponentials_give_what_softmax_gives(scale):
    keys, ignored = inputs(scale)
    found, expected = attention.attend(None, keys, ignored, HEADS, 0.0, True), by_softmax(keys, ignored)
    torch.testing.assert_close(found, expected)
    slopes = [torch.autograd.grad(out[..., 1].sum(), keys, retain_graph=True)[0] for out in (found, expected)]
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("memory", [attention.ATTENTION_BYTES, 0])
@pytest.mark.parametrize("asking", [1, 3])
def test_slopes_of_attention_are_the_numerical_ones_and_so_are_their_slopes(monkeypatch, memory, asking):
    monkeypatch.setattr(attention, "ATTENTION_BYTES", memory)
    monkeypatch.setattr(attention, "_AT_ONCE", 4 * 3 * asking)  # several parts
    keys, ignored = inputs(several=2)
    queries = torch.randn(3, asking, 4, dtype=torch.float64, requires_grad=True)

    def attended(queries: Tensor, keys: Tensor) -> Tensor:
        torch.manual_seed(1)
        return attention.attend(queries, keys, ignored, HEADS, 0.3, True)

    assert torch.autograd.gradcheck(attended, (queries, keys))
    assert torch.autograd.gradgradcheck(attended, (queries, keys), fast_mode=True)


def test_the_parts_in_which_attention_is_computed_do_not_matter(monkeypatch):
    keys, ignored = inputs()
    whole = attention.attend(None, keys, ignored, HEADS, 0.0, True)
    monkeypatch.setattr(attention, "_AT_ONCE", 1)
    torch.testing.assert_close(attention.attend(None, keys, ignored, HEADS, 0.0, True), whole)


def test_weights_of_attention_are_dropped_with_their_probability():
    """Equal weights of values that are 1 leave the share that is held, divided by its expectation."""
    torch.manual_seed(0)
    keys = torch.cat([torch.zeros(200, 40, 8), torch.ones(200, 40, 4)], dim=-1)
    held = 0.7 * attention.attend(None, keys, None, HEADS, 0.3, True)[..., ::2]  # one channel a head
    deviation = math.sqrt(0.3 * 0.7)
    assert abs(held.mean().item() - 0.7) < 5 * deviation / math.sqrt(held.numel() * 40)
    assert held.std().item() == pytest.approx(deviation / math.sqrt(40), rel=0.05)  # independent decisions


def layers(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Values, what is read, and the weights of two modalities: 3 steps, width 2, hidden 4."""
    torch.manual_seed(0)
    shapes = [(2, 3, 2), (2, 3, 2), (2, 4, 2), (2, 4), (2, 2, 4), (2, 2)]
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


def forwards(*parts: Tensor, rate: float = 0.0, training: bool = True) -> Tensor:
    values, normed, *weights = parts
    pairs = (weights[0], weights[1]), (weights[2], weights[3])
    return feed_forward.feed_forward(values, normed, *pairs, rate, training)


def test_feed_forward_is_two_linear_layers_and_a_residual():
    values, normed, inner, inner_bias, outer, outer_bias = parts = layers()
    hidden = F.relu(feed_forward.linear(normed, inner, inner_bias))
    expected = values + feed_forward.linear(hidden, outer, outer_bias)
    torch.testing.assert_close(forwards(*parts), expected)
    torch.testing.assert_close(forwards(*parts, rate=0.5, training=False), expected)


@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_slopes_of_feed_forward_are_the_numerical_ones_and_so_are_their_slopes(monkeypatch, rate):
    monkeypatch.setattr(feed_forward, "_AT_ONCE", 8)  # several parts

    def seeded(*parts: Tensor) -> Tensor:
        torch.manual_seed(1)
        return forwards(*parts, rate=rate)

    assert torch.autograd.gradcheck(seeded, layers())
    assert torch.autograd.gradgradcheck(seeded, layers(), fast_mode=True)


def test_feed_forward_has_the_moments_of_torch_s_dropout():
    values, normed, inner, inner_bias, outer, outer_bias = (part.detach() for part in layers(torch.float32))
    draws = 4000
    many = [one.repeat(1, draws, 1) for one in (values, normed)]
    found = forwards(*many, inner, inner_bias, outer, outer_bias, rate=0.3).unflatten(1, (draws, 3))
    hidden = F.dropout(F.relu(feed_forward.linear(many[1], inner, inner_bias)), 0.3)
    expected = (many[0] + F.dropout(feed_forward.linear(hidden, outer, outer_bias), 0.3)).unflatten(
        1, (draws, 3)
    )
    error = expected.std(1) / math.sqrt(draws)
    assert ((found.mean(1) - expected.mean(1)).abs() < 5 * math.sqrt(2) * error + 1e-6).all()
    assert (found.std(1) / expected.std(1) - 1).abs().max() < 0.15


def test_added_dropout_is_dropout_and_a_sum():
    values, added = torch.randn(2, 50, 40)
    torch.manual_seed(2)
    expected = values + dropout(added, 0.3, True)
    torch.manual_seed(2)
    torch.testing.assert_close(add_dropout(values, added, 0.3, True), expected)
    torch.testing.assert_close(add_dropout(values, added, 0.3, False), values + added)
