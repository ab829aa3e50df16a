"""LMF: its factors are a tensor that is never built, its size as released, and a product that late concatenation misses."""

from __future__ import annotations

import functools

import pytest
import torch
from mmbench.methods.sentiment.lmf import LMF, LMFParams
from mmbench.methods.shared.tensor_fusion import LowRankTensor, outer_with_one

from .. import planted
from . import rows


def test_it_is_the_linear_map_by_the_full_tensor_of_its_factors():
    fusion = LowRankTensor([2, 3, 4], rank=3, outputs=2)
    vectors = [torch.randn(5, width) for width in (2, 3, 4)]
    with torch.no_grad():
        fusion.bias.normal_()
    full = torch.einsum("r,rio,rjo,rko->ijko", fusion.weights[0], *fusion.factors)
    by_hand = outer_with_one(vectors) @ full.flatten(0, 2) + fusion.bias
    torch.testing.assert_close(fusion(vectors), by_hand)


def test_the_released_network_has_the_released_size():
    assert rows.size(LMF(LMFParams(subnets="released"), rows.MOSI)) == 505_071


@pytest.mark.parametrize(("count", "kind"), [(1, "classification"), (3, "regression"), (4, "regression")])
@pytest.mark.parametrize("params", [{}, *LMF.controls.values(), LMF.as_published], ids=str)
def test_it_predicts_and_learns_from_any_pattern(count: int, kind: str, params: dict):
    spec = planted.spec(*list(planted.SIZES)[:count], kind=kind)
    rows.any_pattern(LMF(LMFParams(layers=1, width=8, **params), spec))


def test_an_absent_modality_gives_the_first_row_of_its_factor():
    net = LMF(LMFParams(layers=1), rows.PAIR).eval()
    batch = planted.noise(rows.PAIR, 4).with_present({"audio": torch.zeros(4, dtype=torch.bool)})
    text = torch.cat([torch.ones(4, 1), net.encode("text", batch)], dim=1)
    ranks = torch.stack([(text @ net.fusion.factors[0][r]) * net.fusion.factors[1][r, 0] for r in range(3)])
    by_hand = (net.fusion.weights[0, :, None, None] * ranks).sum(0) + net.fusion.bias
    torch.testing.assert_close(net(batch).prediction, by_hand[:, 0])


def test_the_weights_of_the_ranks_stay_where_the_release_leaves_them_and_factors_have_their_rate():
    batch = planted.noise(rows.PAIR, 16)
    for trained in (True, False):
        net = LMF(LMFParams(layers=1, weights_trained=trained, factor_rate=0.25), rows.PAIR)
        net.loss(batch)["task"].backward()
        assert (net.fusion.weights.grad is not None) == trained
        assert (net.fusion.bias.grad is not None) == trained
        assert net.fusion.factors[0].grad is not None
        (group,) = net.parameter_groups()
        assert group.rate == 0.25
        assert [p is q for p, q in zip(group.parameters, net.fusion.factors, strict=True)] == [True, True]
    assert LMF(LMFParams(layers=1), rows.PAIR).parameter_groups() == ()


@functools.cache
def trained(**params) -> LMF:
    torch.manual_seed(0)
    net = LMF(LMFParams(layers=1, width=rows.WIDTH, **params), rows.PAIR)
    rows.small_encoders(net, net.subnets.encoders)  # type: ignore[arg-type]
    return planted.train(net, rows.product(512, seed=1), epochs=30, lr=5e-3)  # type: ignore[return-value]


def test_a_product_between_modalities_is_learned_and_one_alone_tells_nothing():
    test = rows.product(512, seed=5)
    net = trained()
    nothing = test.target.abs().mean().item()
    assert rows.error(net, test) < 0.25 * nothing
    # the same network where each modality is multiplied with the constant of an absent one alone
    alone = [test.with_present({m: torch.zeros(512, dtype=torch.bool)}) for m in rows.PAIR.modalities]
    assert min(rows.error(net, one) for one in alone) > 0.8 * nothing


def test_one_rank_and_weights_that_stay_are_as_good():
    """As docs/methods.md says, for which this is the check: one product is planted."""
    test = rows.product(512, seed=5)
    for params in LMF.controls.values():
        assert rows.error(trained(**params), test) < 1.5 * rows.error(trained(), test)
