"""MulT: its attention against torch's, its size as released, and steps of one modality that are chosen by another."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from mmbench.methods.sentiment.mult import MulT, MulTParams
from mmbench.methods.shared.cross_modal import CrossLayer, CrossTransformer, future
from torch.nn import functional as F

from .. import planted
from . import rows


def test_a_layer_attends_as_torchs_attention_from_one_sequence_to_another():
    layer = CrossLayer(8, 2, 0.0, 0.0)
    x, source = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    found = layer(x, source, torch.zeros(4, 3, 5), torch.ones(2, 1, 1))
    weight, bias = layer.attention.in_proj_weight.chunk(3), layer.attention.in_proj_bias.chunk(3)
    q, k, v = (
        F.linear(F.layer_norm(z, (8,)), w, b).unflatten(2, (2, 4)).transpose(1, 2)
        for z, w, b in zip((x, source, source), weight, bias, strict=True)
    )
    said = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    by_hand = x + layer.attention.out_proj(said)
    by_hand = by_hand + layer.outer(layer.inner(F.layer_norm(by_hand, (8,))).relu())
    torch.testing.assert_close(found, by_hand)


def test_no_step_attends_to_what_comes_later_by_lengths_without_padding():
    ones = torch.ones(1, 3, dtype=torch.bool)
    longer = torch.ones(1, 5, dtype=torch.bool)
    assert future(ones, ones)[0].tolist() == [[False, True, True], [False, False, True], [False] * 3]
    assert (future(ones, longer)[0] == torch.ones(3, 5).triu(1 + 2).bool()).all()
    padded = F.pad(longer, (0, 4))
    assert (future(ones, padded)[0, :, :5] == future(ones, longer)[0]).all()
    net = CrossTransformer(8, 2, 2).eval()
    x = torch.randn(1, 3, 8)
    first = net(x, ones, None, ones)
    x[:, 2] += 1
    torch.testing.assert_close(net(x, ones, None, ones)[:, :2], first[:, :2])
    entered = net.enter(torch.zeros(1, 3, 8))
    assert entered[0, 0, 0].item() == pytest.approx(math.sin(1))


def test_the_released_network_has_the_released_size():
    assert rows.size(MulT(MulTParams(**MulT.as_published), rows.MOSI)) == 2_571_551


@pytest.mark.parametrize(("count", "kind"), [(1, "classification"), (3, "regression"), (4, "regression")])
@pytest.mark.parametrize("params", [{}, *MulT.controls.values(), {"kernel": 3, "causal": False}], ids=str)
def test_it_predicts_and_learns_from_any_pattern(count: int, kind: str, params: dict):
    spec = planted.spec(*list(planted.SIZES)[:count], kind=kind)
    rows.any_pattern(MulT(MulTParams(step_width=4, heads=2, **params), spec))


# --- what it is for ---------------------------------------------------------------------------------------


@functools.cache
def trained(**params) -> MulT:
    torch.manual_seed(0)
    sizes = {"step_width": 8, "heads": 2, "cross_layers": 1, "memory_layers": 1}
    rates = {"attention_dropout": 0.0, "embed_dropout": 0.0, "text_dropout": 0.0, "output_dropout": 0.0}
    net = MulT(MulTParams(**sizes, **rates, **params), rows.PAIR)  # type: ignore[arg-type]
    return planted.train(net, rows.pointed(640, seed=1), epochs=14, lr=8e-3, last=0.1)  # type: ignore[return-value]


def test_steps_of_one_modality_are_chosen_by_another_and_with_own_attention_they_are_not():
    test = rows.pointed(512, seed=5)
    assert rows.error(trained(), test) < 0.7 * rows.error(trained(attention="own"), test)
