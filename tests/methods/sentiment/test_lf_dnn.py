"""LF-DNN: its formula by hand, its size as released, and that its hidden layers learn what a linear one does not."""

from __future__ import annotations

import functools

import pytest
import torch
from mmbench.methods.sentiment.lf_dnn import LFDNN, LFDNNParams
from torch import nn

from .. import planted
from . import rows


def test_it_is_two_layers_on_the_vectors_that_are_there():
    net = LFDNN(LFDNNParams(layers=1, post_width=6), rows.PAIR).eval()
    batch = planted.noise(rows.PAIR, 5).with_present({"audio": torch.arange(5) > 2})
    text, audio = net.encode("text", batch), net.encode("audio", batch)
    hidden = torch.cat([text, audio * (torch.arange(5) > 2)[:, None]], dim=1)
    for layer in (net.hidden[0], net.hidden[2]):
        assert isinstance(layer, nn.Linear)
        hidden = (hidden @ layer.weight.T + layer.bias).clamp(min=0)
    torch.testing.assert_close(net(batch).prediction, (hidden @ net.out.weight.T + net.out.bias)[:, 0])


def test_the_released_network_has_the_released_size():
    assert rows.size(LFDNN(LFDNNParams(subnets="released"), rows.MOSI)) == 597_171


@pytest.mark.parametrize(("count", "kind"), [(1, "classification"), (3, "regression"), (4, "regression")])
@pytest.mark.parametrize("params", [{}, *LFDNN.controls.values(), LFDNN.as_published], ids=str)
def test_it_predicts_and_learns_from_any_pattern(count: int, kind: str, params: dict):
    spec = planted.spec(*list(planted.SIZES)[:count], kind=kind)
    rows.any_pattern(LFDNN(LFDNNParams(layers=1, width=8, **params), spec))


@functools.cache
def trained(hidden_layers: int) -> LFDNN:
    torch.manual_seed(0)
    sizes = {"layers": 1, "width": rows.WIDTH, "post_width": 16}
    net = LFDNN(LFDNNParams(post_dropout=0.0, hidden_layers=hidden_layers, **sizes), rows.PAIR)  # type: ignore[arg-type]
    rows.small_encoders(net, net.subnets.encoders)  # type: ignore[arg-type]
    return planted.train(net, rows.product(512, seed=1), epochs=30, lr=5e-3)  # type: ignore[return-value]


def test_hidden_layers_learn_a_product_between_modalities_and_a_linear_one_does_not():
    test = rows.product(512, seed=5)
    nothing = test.target.abs().mean().item()
    assert rows.error(trained(2), test) < 0.25 * nothing
    assert rows.error(trained(0), test) > 0.9 * nothing
