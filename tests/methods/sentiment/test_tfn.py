"""TFN: its product by hand, its size as released, and a product between modalities that concatenation does not learn."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, cast

import pytest
import torch
from mmbench.methods.controls.late_concat import LateConcat, LateConcatParams
from mmbench.methods.method import Method
from mmbench.methods.sentiment.tfn import TFN, TFNParams
from mmbench.methods.shared.tensor_fusion import bounded, outer_with_one

from .. import planted
from . import rows


def test_the_product_holds_every_product_of_entries():
    a, b, c = torch.randn(3, 2), torch.randn(3, 4), torch.randn(3, 1)
    one = torch.ones(3, 1)
    by_hand = torch.einsum("bi,bj,bk->bijk", *(torch.cat([one, x], 1) for x in (a, b, c)))
    torch.testing.assert_close(outer_with_one([a, b, c]), by_hand.flatten(1))
    assert (by_hand[:, 2, 4, 1] == a[:, 1] * b[:, 3] * c[:, 0]).all()
    assert (by_hand[:, 2, 0, 0] == a[:, 1]).all()


def test_the_released_network_has_the_released_size():
    # the release counts the two constants that bound its output, 6 and -3, among its parameters
    assert rows.size(TFN(TFNParams(subnets="released"), rows.MOSI).subnets.encoders) == 501_970
    assert rows.size(TFN(TFNParams(subnets="released"), rows.MOSI)) == 9_497_045 - 2


@pytest.mark.parametrize(("count", "kind"), [(1, "classification"), (3, "regression"), (4, "regression")])
@pytest.mark.parametrize("params", [{}, *TFN.controls.values(), TFN.as_published], ids=str)
def test_it_predicts_and_learns_from_any_pattern(count: int, kind: str, params: dict):
    spec = planted.spec(*list(planted.SIZES)[:count], kind=kind)
    rows.any_pattern(TFN(TFNParams(layers=1, width=8, factor_width=4, **params), spec))


def test_scores_are_within_their_range():
    spec = dataclasses.replace(planted.spec(), label_range=(-1.0, 3.0))
    raw = torch.tensor([-50.0, 0.0, 50.0])
    assert bounded(raw, spec, "bounded").tolist() == [-1, 1, 3]
    assert bounded(raw, spec, "released").tolist() == [-3, 0, 3]
    for other, how in ((spec, "linear"), (planted.spec(kind="classification"), "bounded")):
        assert (bounded(raw, other, how) == raw).all()  # type: ignore[arg-type]
    net = TFN(TFNParams(layers=1), spec).eval()
    with torch.no_grad():
        net.head[-1].bias.fill_(50)  # type: ignore[union-attr]
    assert (net(planted.noise(spec, 4)).prediction == 3).all()


@functools.cache
def trained(fusion: str) -> Method:
    torch.manual_seed(0)
    width = rows.WIDTH
    if fusion == "late_concat":
        net: Method = LateConcat(LateConcatParams(layers=1, width=width), rows.PAIR)
        rows.small_encoders(net, net.encoders)  # type: ignore[arg-type]
    else:
        params = TFNParams(
            layers=1, width=width, factor_width=4, post_width=16, post_dropout=0.0, fusion=cast(Any, fusion)
        )
        net = TFN(params, rows.PAIR)
        rows.small_encoders(net, net.subnets.encoders)  # type: ignore[arg-type]
    return planted.train(net, rows.product(512, seed=1), epochs=30, lr=5e-3)


def test_a_product_between_modalities_is_learned_and_by_late_concatenation_it_is_not():
    test = rows.product(512, seed=5)
    nothing = test.target.abs().mean().item()  # of the constant 0, the best that no product can beat
    found = {fusion: rows.error(trained(fusion), test) for fusion in ("tensor", "low_rank", "late_concat")}
    assert found["tensor"] < 0.5 * nothing
    assert found["low_rank"] < 0.5 * nothing
    assert found["late_concat"] > 0.9 * nothing


def test_two_layers_on_the_concatenation_are_as_good():
    """As docs/methods.md says, for which this is the check."""
    test = rows.product(512, seed=5)
    assert rows.error(trained("concatenation"), test) < 1.5 * rows.error(trained("tensor"), test)
