"""OGM-GE: shares, factors and noise by hand, and what modulation does before SGD, before Adam and behind it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from mmbench.datasets.batch import Batch
from mmbench.methods.balance.ogm_ge import OGMGE, OGMGEParams, discrepancy_factors, score_ratios
from mmbench.methods.shared.balance_parts import encoder_parameters
from torch import Tensor

from .. import planted
from .strong_weak import moved, probes

ALL = torch.ones(3, dtype=torch.bool)


def network(kind: str = "classification", names: tuple[str, ...] = ("text", "audio"), **params) -> OGMGE:
    torch.manual_seed(0)
    return OGMGE(OGMGEParams(width=8, layers=1, **params), planted.spec(*names, kind=kind)).eval()


def test_ratios_and_factors_by_hand():
    scores = torch.tensor([8.0, 4.0, 2.0])
    assert score_ratios(scores, ALL, "mean").tolist() == pytest.approx([8 / 3, 4 / 5, 2 / 6])
    assert score_ratios(scores, ALL, "sum").tolist() == pytest.approx([8 / 6, 4 / 10, 2 / 12])
    assert score_ratios(scores, ALL, "least").tolist() == pytest.approx([4, 2, 0.5])
    two = torch.tensor([True, False, True])
    assert score_ratios(scores, two, "mean").tolist() == pytest.approx([4, 1, 0.25])
    assert score_ratios(scores, ~two, "mean").tolist() == [1, 1, 1]
    found = discrepancy_factors(torch.tensor([4.0, 1.0, 0.25]), 0.3)
    assert found.tolist() == pytest.approx([1 - math.tanh(1.2), 1, 1])


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_shares_add_up_to_the_prediction_and_are_scored_by_hand(kind: str):
    net = network(kind, alpha=0.7)
    batch = planted.noise(net.spec, 12)
    with torch.no_grad():
        output = net(batch)
    assert torch.allclose(
        torch.stack(list(output.unimodal.values())).sum(dim=0), output.prediction, atol=1e-6
    )
    if kind == "classification":
        right = [float(x.softmax(1)[torch.arange(12), batch.target].sum()) for x in output.unimodal.values()]
    else:  # labels from -3 to 3: the unit is 1
        right = [float((-(x - batch.target).abs()).exp().sum()) for x in output.unimodal.values()]
    ratios = (right[0] / right[1], right[1] / right[0])
    goal = [1 - math.tanh(0.7 * ratio) if ratio > 1 else 1 for ratio in ratios]
    assert net.factors(output, batch).tolist() == pytest.approx(goal, rel=1e-4)
    assert min(goal) < 1
    turned = network(kind, alpha=0.7, modulation="inverse").factors(output, batch).tolist()
    assert turned == pytest.approx(goal[::-1], rel=1e-4)


def test_the_weight_matrices_of_the_leading_encoder_alone_are_scaled():
    plain, net = network(modulation="none", noise=False), network(noise=False)
    batch = planted.noise(net.spec, 12)
    for each in (plain, net):
        each.backward(batch)
    factors = net.factors(net(batch), batch)
    parts = zip(encoder_parameters(plain.encoders), encoder_parameters(net.encoders), factors, strict=True)
    for before, after, factor in parts:
        for old, new in zip(before, after, strict=True):
            if old.grad is None:
                continue
            scale = factor if old.ndim > 1 else 1.0
            assert new.grad is not None
            assert torch.allclose(new.grad, scale * old.grad, atol=1e-7)
    assert net.head.weight.grad is not None
    assert plain.head.weight.grad is not None
    assert torch.equal(net.head.weight.grad, plain.head.weight.grad)


def test_the_noise_has_the_deviation_of_the_gradient_before_it_is_scaled():
    net = network(modulation="none", noise=False)
    batch = planted.noise(net.spec, 12)
    net.backward(batch)
    matrices = [p for part in encoder_parameters(net.encoders) for p in part if p.ndim > 1]
    plain = [p.grad.clone() for p in matrices if p.grad is not None]
    net.params = replace(net.params, noise=True)
    net.modulate(torch.tensor([0.01, 1.0]))
    count = len(plain) // 2
    for i, (p, old) in enumerate(zip((p for p in matrices if p.grad is not None), plain, strict=True)):
        assert p.grad is not None
        added = p.grad - (0.01 if i < count else 1.0) * old
        if old.numel() > 200:
            assert float(added.std() / old.std()) == pytest.approx(1, abs=0.25)


def test_it_acts_in_the_first_half_alone_and_one_modality_is_left_alone():
    net, batch = network(noise=False), planted.noise(network().spec, 8)
    net.before_epoch(lambda: iter((batch,)), 0.5)
    net.backward(batch)
    assert int(net.modulated) == 0
    net.before_epoch(lambda: iter((batch,)), 0.4)
    net.backward(batch)
    assert int(net.modulated) == 1
    alone = network(names=("text",))
    alone.backward(planted.noise(alone.spec, 8))
    assert int(alone.modulated) == 0


def step_of(net: OGMGE, batch: Batch) -> list[list[Tensor]]:
    """How far one step of Adam moves each weight of each encoder."""
    parts = encoder_parameters(net.encoders)
    before = [[p.detach().clone() for p in part] for part in parts]
    net.backward(batch)
    torch.optim.Adam(net.parameters(), lr=0.01).step()
    net.after_step()
    return [
        [p.detach() - old for p, old in zip(*pair, strict=True)] for pair in zip(parts, before, strict=True)
    ]


def test_behind_the_optimiser_a_step_of_the_leading_encoder_is_shortened():
    net, plain = network(noise=False, place="update"), network(noise=False, modulation="none")
    batch = planted.noise(net.spec, 12)
    for part, wholes, factor in zip(step_of(net, batch), step_of(plain, batch), net.factor, strict=True):
        for step, whole in zip(part, wholes, strict=True):
            assert torch.allclose(step, (factor if step.ndim > 1 else 1.0) * whole, atol=1e-6)
    assert float(net.factor.min()) < 1


#: As strong as the search allows, and in the whole training, so that the effect shows with few steps.
STRONG: dict[str, Any] = {"alpha": 1.0, "until": 1.0, "noise": False}
PLAIN: dict[str, Any] = {**STRONG, "modulation": "none"}


def test_before_sgd_the_strong_encoder_moves_less_and_the_weak_one_tells_more():
    assert moved("ogm_ge", "strong", **STRONG) < 0.8 * moved("ogm_ge", "strong", **PLAIN)
    assert probes("ogm_ge", **STRONG) > probes("ogm_ge", **PLAIN) + 0.03
    turned: dict[str, Any] = {**STRONG, "modulation": "inverse"}
    assert probes("ogm_ge", **turned) < probes("ogm_ge", **PLAIN)


def test_before_adam_a_lasting_factor_hardly_slows_the_encoder_and_behind_it_does():
    plain = moved("ogm_ge", "strong", rule="Adam", **PLAIN)
    constant: dict[str, Any] = {**STRONG, "modulation": "constant", "k": 0.3}
    assert moved("ogm_ge", "strong", rule="Adam", **constant) > 0.8 * plain
    assert moved("ogm_ge", "strong", rule="Adam", **constant, place="update") < 0.6 * plain
    gained = probes("ogm_ge", rule="Adam", **STRONG, place="update")
    assert gained > probes("ogm_ge", rule="Adam", **PLAIN) + 0.04
