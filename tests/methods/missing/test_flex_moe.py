"""Flex-MoE: tokens, layer and the gate's losses by hand, and where tokens go with these losses and without."""

from __future__ import annotations

import functools

import pytest
import torch
from mmbench.methods.missing.flex_moe import FlexMoE, FlexMoEParams
from torch import Tensor
from torch.nn import functional as F

from .. import planted
from . import rebuildable
from .rebuildable import without
from .stages import learns_from_any_pattern


def build(*modalities: str, kind: str = "regression", **params) -> FlexMoE:
    return FlexMoE(
        FlexMoEParams(layers=1, **{"width": 8, **params}), planted.spec(*modalities, kind=kind)
    ).eval()


@pytest.mark.parametrize(("count", "kind"), [(1, "regression"), (2, "classification"), (4, "regression")])
@pytest.mark.parametrize(
    "params", [{}, *FlexMoE.controls.values(), {**FlexMoE.as_published, "width": 16}], ids=str
)
def test_every_control_learns_from_any_pattern(count: int, kind: str, params: dict):
    learns_from_any_pattern(build(*list(planted.SIZES)[:count], kind=kind, **params))


def test_tokens_are_parts_of_embeddings_and_of_the_bank_where_one_is_missing():
    net = build(patches=3)  # three parts of 3 of 8 numbers, the last padded
    encoded, seen = torch.randn(1, 3, 8), torch.tensor([[True, False, True]])
    encoded[0, 1] = torch.nan
    found = net.tokens(encoded, seen).unflatten(1, (3, 3))[0]
    for place in (0, 2):
        layer = net.cut.parts[place]
        parts = [encoded[0, place, :3], encoded[0, place, 3:6], F.pad(encoded[0, place, 6:], (0, 1))]
        torch.testing.assert_close(found[place], torch.stack([layer(part) for part in parts]))
    assert torch.equal(found[1], net.bank[0b101, 1])
    assert not build(bank=False).tokens(encoded, seen)[0, 4:8].any()


def expert(net: FlexMoE, number: int, read: Tensor) -> Tensor:
    made = net.experts
    hidden = F.gelu(read @ made.inner[number] + made.inner_bias[number])
    return hidden @ made.outer[number] + made.outer_bias[number]


@pytest.mark.parametrize("residual", [True, False])
def test_the_layer_is_its_formula(residual: bool):
    net = build(residual=residual, experts=5, top=2)
    tokens = torch.randn(1, 12, 8)
    x = tokens + net.places
    query, key, value = net.ask(F.layer_norm(x, (8,))).unflatten(-1, (3, 4, 2)).permute(2, 0, 3, 1, 4)
    attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
    said = net.answer(attended)
    x = x + said if residual else said + said
    read = F.layer_norm(x, (8,))[0]
    for place in range(12):
        logits = read[place] @ net.experts.centres.T
        chosen = logits.topk(2).indices
        weights = logits[chosen].softmax(0)
        mixed = sum(w * expert(net, int(e), read[place]) for w, e in zip(weights, chosen, strict=True))
        x[0, place] = x[0, place] + mixed
    fused, _ = net.read(tokens)
    torch.testing.assert_close(fused, x.unflatten(1, (3, 4)).mean(2).flatten(1), atol=1e-5, rtol=1e-4)


def test_each_pattern_has_an_expert_and_more_patterns_than_experts_share_them():
    names = torch.tensor(
        [[True, True, True], [True, False, False], [False, True, False], [False, True, True]]
    )
    assert build(experts=8).expert_of(names).tolist() == [0, 1, 2, 6]
    every = torch.tensor(list(torch.cartesian_prod(*[torch.tensor([False, True])] * 3).tolist()))
    assert sorted(build(experts=8).expert_of(every).tolist()) == list(range(8))
    assert build(experts=4).expert_of(names).tolist() == [0, 1, 2, 3]
    assert build(experts=1, top=1).expert_of(names).tolist() == [0] * 4


def test_the_gates_losses_are_by_hand():
    net, batch = build(experts=4, top=2), planted.noise(planted.spec(), 6)
    gone = torch.arange(6) % 2 == 0
    batch = batch.with_present({"audio": ~gone})
    with torch.no_grad():
        seen = torch.stack([batch.present[m] for m in net.names], 1)
        tokens = net.tokens(torch.stack(list(net.encode_all(batch).values()), 1), seen)
        routed, terms = net.read(tokens)[1], net.loss(batch)
    wanted = net.expert_of(seen)

    def uneven(use: Tensor) -> Tensor:
        return use.var() / use.mean() ** 2

    uses = [routed.gates, (routed.gates > 0).float()]
    balance = sum(uneven(u[~gone].sum((0, 1))) + uneven(u[gone].sum((0, 1))[1:]) for u in uses)
    torch.testing.assert_close(terms["balance"], 0.01 * balance)
    logs = routed.logits[gone].log_softmax(-1)
    missed = -logs[:, :, int(wanted[gone][0])].mean()
    torch.testing.assert_close(terms["pattern"], 0.01 * missed)


# --- what it is for ---------------------------------------------------------------------------------------


@functools.cache
def trained(**params) -> FlexMoE:
    torch.manual_seed(0)
    net = FlexMoE(FlexMoEParams(width=rebuildable.WIDTH, **params), rebuildable.SPEC)
    few = rebuildable.samples(1).take(slice(0, 512))
    return planted.train(net, few, 12, rebuildable.RATE, last=0.1)  # type: ignore[return-value]


@torch.no_grad()
def own(net: FlexMoE) -> float:
    """The mean gate of the expert of their pattern for samples without one modality."""
    return sum(net(without(m)).diagnostics["own_expert"].mean().item() for m in rebuildable.NAMES) / 3


def test_tokens_go_to_the_expert_of_their_pattern_where_the_gate_is_told():
    assert own(trained()) > own(trained(specialised=False)) + 0.04


def test_without_bank_and_without_special_experts_it_is_as_good():
    for missing in ("", "audio", "vision"):
        error = rebuildable.error(trained(), missing)
        assert rebuildable.error(trained(specialised=False), missing) < error + 0.1
