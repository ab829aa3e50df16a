"""Sparse experts: gates, noise, load and balance written out."""

from __future__ import annotations

import math

import pytest
import torch
from mmbench.methods.shared.experts import Combine, Gate, SparseExperts, chance_of_choice, squared_variation


def build(
    gate: Gate = "laplace", combine: Combine = "sum", experts: int = 4, top: int = 2, inputs: int = 3
) -> SparseExperts:
    torch.manual_seed(0)
    return SparseExperts(inputs, 5, experts, top, gate, combine, 0.0).double().eval()


def answer(experts: SparseExperts, number: int, read: torch.Tensor) -> torch.Tensor:
    hidden = read @ experts.inner[number] + experts.inner_bias[number]
    return torch.nn.functional.gelu(hidden) @ experts.outer[number] + experts.outer_bias[number]


@pytest.mark.parametrize("combine", ["sum", "log"])
@pytest.mark.parametrize("gate", ["laplace", "gaussian", "softmax"])
def test_the_nearest_experts_answer_and_weigh_by_the_softmax_of_their_logits(
    gate: Gate, combine: Combine
) -> None:
    experts = build(gate, combine)
    read = torch.randn(6, 3, dtype=torch.float64)
    routed = experts(read)
    for row in range(6):
        distances = [math.dist(read[row].tolist(), centre) for centre in experts.centres.detach().tolist()]
        products = [float(read[row] @ centre) for centre in experts.centres.detach()]
        logits = {"laplace": [-d for d in distances], "gaussian": [-(d**2) for d in distances]}.get(
            gate, products
        )
        chosen = sorted(range(4), key=lambda e: -logits[e])[:2]
        total = sum(math.exp(logits[e]) for e in chosen)
        gates = [math.exp(logits[e]) / total if e in chosen else 0.0 for e in range(4)]
        torch.testing.assert_close(routed.gates[row], torch.tensor(gates, dtype=torch.float64))
        answers = [answer(experts, e, read[row]) for e in range(4)]
        if combine == "log":
            said = torch.stack([g * a.softmax(0) for g, a in zip(gates, answers, strict=True)]).sum(0).log()
        else:
            said = torch.stack([g * a for g, a in zip(gates, answers, strict=True)]).sum(0)
        torch.testing.assert_close(routed.said[row], said)
    torch.testing.assert_close(routed.load, (routed.gates > 0).sum(0).double())
    shaped = experts(read.view(2, 3, 3))
    torch.testing.assert_close(shaped.said, routed.said.view(2, 3, 3))
    torch.testing.assert_close(shaped.gates, routed.gates.view(2, 3, 4))


def test_what_is_not_known_is_answered_and_does_not_count() -> None:
    experts, read = build(), torch.randn(6, 3, dtype=torch.float64)
    known = torch.arange(6) < 4
    some, alone = experts(read, known), experts(read[:4])
    torch.testing.assert_close(some.said, experts(read).said)
    torch.testing.assert_close(some.importance, alone.importance)
    torch.testing.assert_close(some.load, alone.load)


def test_a_sample_is_answered_alike_in_any_batch_and_without_noise_outside_of_training() -> None:
    experts = build(inputs=40)
    read = torch.randn(50, 40, dtype=torch.float64)
    alone = torch.cat([experts(read[row : row + 1]).said for row in range(50)])
    torch.testing.assert_close(alone, experts(read).said)


def test_noise_in_training_has_the_deviation_that_is_said() -> None:
    experts = build(experts=3, top=3).train()
    with torch.no_grad():
        experts.noise.normal_()
    read = torch.randn(1, 3, dtype=torch.float64)
    torch.manual_seed(0)
    gates, *_ = experts.route(read.expand(20_000, 3))
    differences = (gates[:, 0] / gates[:, 1]).log()  # of two noisy logits
    deviation = torch.nn.functional.softplus(experts.noise @ read[0]) + 0.01
    expected = (deviation[:2].square().sum()).sqrt()
    assert float(differences.std()) == pytest.approx(float(expected), rel=0.03)
    clean = experts.logits(read)[0]
    assert float(differences.mean()) == pytest.approx(float(clean[0] - clean[1]), abs=0.05)


def test_the_chance_of_choice_is_that_of_noise_drawn_again() -> None:
    """By 20,000 draws of one expert's noise, the others' as they were."""
    draw = torch.Generator().manual_seed(1)
    clean, deviation = torch.randn(5, generator=draw), torch.rand(5, generator=draw) + 0.2
    noisy = clean + deviation * torch.randn(5, generator=draw)
    largest = noisy.topk(3).values
    found = chance_of_choice(clean[None], noisy[None], deviation[None], largest[None], 2)[0]
    for expert in range(5):
        others = torch.cat([noisy[:expert], noisy[expert + 1 :]])
        again = clean[expert] + deviation[expert] * torch.randn(20_000, generator=draw)
        chosen = (others[None] > again[:, None]).sum(1) < 2
        assert float(found[expert]) == pytest.approx(float(chosen.float().mean()), abs=0.015)


def test_balance_is_0_where_experts_are_used_alike_and_its_gradient_evens_them_out() -> None:
    values = torch.tensor([1.0, 2.0, 6.0])
    assert float(squared_variation(values)) == pytest.approx(7.0 / 9.0)
    assert float(squared_variation(torch.ones(1))) == 0
    experts = build(gate="softmax").train()
    with torch.no_grad():
        experts.centres[0] += 2.0
    read = torch.rand(64, 3, dtype=torch.float64)
    before = float(experts(read).gates.sum(0).max())
    optimiser = torch.optim.SGD(experts.parameters(), lr=0.5)
    for _ in range(60):
        optimiser.zero_grad()
        experts(read).balance.backward()
        optimiser.step()
    assert float(experts(read).gates.sum(0).max()) < 0.8 * before


def test_all_alike_are_the_mean_and_one_expert_is_a_network() -> None:
    read = torch.randn(4, 3, dtype=torch.float64)
    alike = build("constant")
    mean = torch.stack([answer(alike, e, read) for e in range(4)]).mean(0)
    torch.testing.assert_close(alike(read).said, mean)
    assert float(alike(read).balance) == pytest.approx(0)
    one = build(experts=1)
    torch.testing.assert_close(one(read).said, answer(one, 0, read))
    assert float(one(read).balance) == 0
