"""MLA: the projection by hand, whose turn it is, and what the weak modality's encoder gains."""

from __future__ import annotations

import pytest
import torch
from mmbench.methods.balance.mla import MLA, MLAParams, projected_away

from .. import planted
from .strong_weak import accuracy, probes, trained


def network(kind: str = "classification", **params) -> MLA:
    torch.manual_seed(0)
    return MLA(MLAParams(width=8, layers=1, **params), planted.spec("text", "audio", kind=kind)).eval()


def test_the_projector_is_that_of_recursive_least_squares():
    """Without the norms P is alpha (alpha I + sum r r')^-1, by the formula of Sherman and Morrison."""
    draw = torch.Generator().manual_seed(0)
    features, alpha = torch.randn(3, 5, generator=draw, dtype=torch.float64), 0.3
    one = projected_away(torch.eye(5, dtype=torch.float64), features[0], alpha)
    goal = torch.linalg.inv(torch.eye(5, dtype=torch.float64) + torch.outer(features[0], features[0]) / alpha)
    assert torch.allclose(one, goal / goal.norm())
    assert float((one @ features[0]).norm()) < 0.1 * float(features[0].norm())
    aside = features[1] - features[0] * (features[1] @ features[0]) / features[0].square().sum()
    assert torch.allclose(one @ aside * goal.norm(), aside)  # what r did not use is let through
    two = projected_away(one, features[1], alpha)
    assert float(two.norm()) == pytest.approx(1)
    assert torch.allclose(two, two.T)


def test_each_step_moves_one_encoder_and_the_head_and_the_second_head_gradient_is_projected():
    net, plain = network(), network(projection=False)
    batch = planted.noise(net.spec, 16)
    for place, (step, other) in enumerate(
        zip(net.optimizer_steps(batch), plain.optimizer_steps(batch), strict=True)
    ):
        net.zero_grad()
        plain.zero_grad()
        before = net.projector.clone()
        assert list(step()) == list(other()) == [f"task/{net.names[place]}"]
        got = [any(p.grad is not None for p in part.parameters()) for part in net.encoders.parts]
        assert got == [place == 0, place == 1]
        assert plain.head.weight.grad is not None
        assert net.head.weight.grad is not None
        assert torch.allclose(net.head.weight.grad, plain.head.weight.grad @ before.T, atol=1e-6)
        assert net.head.bias.grad is not None
        assert plain.head.bias.grad is not None
        assert torch.equal(net.head.bias.grad, plain.head.bias.grad)
    assert torch.equal(plain.projector, torch.eye(8))
    mean = net.encode("text", batch).mean(dim=0)
    after_first = projected_away(torch.eye(8), mean, 0.1)
    second = projected_away(after_first, net.encode("audio", batch).mean(dim=0), 0.1)
    assert torch.allclose(net.projector, second, atol=1e-5)


def test_a_modality_that_no_sample_has_is_left_out():
    net = network()
    batch = planted.noise(net.spec, 6).with_present({"audio": torch.zeros(6, dtype=torch.bool)})
    assert [list(step()) for step in net.optimizer_steps(batch)] == [["task/text"]]
    output = net(batch)
    assert torch.equal(output.prediction, output.unimodal["text"])


def test_weights_by_entropy_are_of_each_sample():
    net = network(combine="entropy")
    said = torch.tensor([[[9.0, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]])
    weights = net.weights(said, torch.ones(2, 2, dtype=torch.bool))
    assert weights[0, 0] > 0.7
    assert weights[1].tolist() == [0.5, 0.5]
    assert torch.equal(net.weights(said[:1], torch.ones(1, 2, dtype=torch.bool)), weights[:1])
    assert network().weights(said, torch.tensor([[True, True], [False, True]])).tolist() == [
        [0.5, 0.5],
        [0, 1],
    ]


def test_the_weak_encoder_gains_over_joint_training():
    assert probes("mla") > probes("erm") + 0.05
    assert accuracy(trained("mla")) > 0.9
