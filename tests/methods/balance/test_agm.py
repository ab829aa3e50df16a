"""AGM: attributions, factors, the gradients through each attribution, and what the weak modality's encoder gains."""

from __future__ import annotations

import math
from itertools import permutations

import pytest
import torch
from mmbench.datasets.batch import Spec
from mmbench.methods.balance.agm import AGM, AGMParams, leads, modulation, shapley_weights, subsets

from .. import planted
from .strong_weak import probes, trained


def network(spec: Spec, **params) -> AGM:
    torch.manual_seed(0)
    return AGM(AGMParams(width=8, layers=1, **params), spec).eval()


def test_attributions_of_two_and_three_modalities_by_hand():
    said = torch.tensor([0.0, 3.0, 4.0, 10.0])  # of {}, {a}, {v}, {a, v}
    assert (shapley_weights(2) @ said).tolist() == pytest.approx([(10 - 4 + 3) / 2, (10 - 3 + 4) / 2])
    a, v, av, t, at, vt, avt = said = (1.0, 2.0, 5.0, 4.0, 7.0, 9.0, 20.0)
    first = (avt - vt + a) / 3 + (av + at - v - t) / 6
    assert float(shapley_weights(3)[0] @ torch.tensor([99.0, *said])) == pytest.approx(first)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_attributions_are_the_means_over_all_orders(count: int):
    said = torch.randn(2**count, generator=torch.Generator().manual_seed(3))
    said[0] = 0  # of no modality
    orders = list(permutations(range(count)))
    goal = torch.zeros(count)
    for order in orders:
        so_far = 0
        for m in order:
            goal[m] += (said[so_far | 1 << m] - said[so_far]) / len(orders)
            so_far |= 1 << m
    assert subsets(count)[3 % 2**count].tolist() == [bool(3 % 2**count >> m & 1) for m in range(count)]
    assert torch.allclose(shapley_weights(count) @ said, goal, atol=1e-5)


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_attributions_add_up_to_the_prediction_and_are_those_of_the_network(kind: str):
    spec = planted.spec("text", "audio", kind=kind)
    net, batch = network(spec), planted.noise(spec, 8)
    output = net(batch)
    shares = net.contributions(output.embeddings)
    alone = {m: batch.with_present({m: torch.zeros(8, dtype=torch.bool)}) for m in spec.modalities}
    without_text, without_audio = (net(alone[m]).prediction for m in spec.modalities)
    first = (output.prediction - without_text + without_audio) / 2
    assert torch.allclose(shares[:, 0].reshape(first.shape), first, atol=1e-5)
    assert torch.allclose(shares.sum(dim=1).reshape(first.shape), output.prediction, atol=1e-5)


def test_factors_by_hand():
    errors, usual = torch.tensor([0.2, 0.9]), torch.tensor([0.5, 0.7])
    r, tau = leads(errors), leads(usual)
    assert r.tolist() == pytest.approx([math.exp(0.7), math.exp(-0.7)])
    assert tau.tolist() == pytest.approx([math.exp(0.2), math.exp(-0.2)])
    kappa = modulation(r, tau, alpha=0.5, limit=7.0)
    assert kappa.tolist() == pytest.approx(
        [math.exp(0.5 * float(t - x)) for t, x in zip(tau, r, strict=True)]
    )
    assert kappa[0] < 1 < kappa[1]  # the first is further ahead than usual
    assert float(modulation(torch.zeros(1), torch.tensor([9.0]), 1.0, 7.0)) == pytest.approx(math.exp(7))
    far = torch.tensor([2e4])
    assert float(modulation(far, torch.ones(1), 1.0, 7.0)) == 0
    assert float(modulation(far, torch.ones(1), -1.0, 7.0)) == pytest.approx(
        math.exp(7)
    )  # turned round, and finite
    three = torch.tensor([0.1, 0.4, 1.0])
    assert leads(three).tolist() == pytest.approx([math.exp((0.5 - x) * 1.5) for x in (0.1, 0.4, 1.0)])


def test_the_gradient_through_each_attribution_is_scaled_and_errors_are_noted():
    spec = planted.spec("text", "audio", kind="classification")
    net, batch = network(spec, alpha=2.0), planted.noise(spec, 16)
    net.backward(batch)  # nothing to compare with yet
    assert net.factor.tolist() == [1.0, 1.0]
    assert net.batches.tolist() == [1, 1]
    net.error_sum += torch.tensor([0.3, 0.0])  # text was worse until now
    net.zero_grad()
    net.backward(batch)
    kappa = 2 * net.factor - 1  # the mean of 1 and of the factor of the second batch
    assert kappa[0] < 0.95
    assert kappa[1] > 1.05
    found = {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}

    net.zero_grad()
    embeddings = net(batch).embeddings
    shares = net.contributions(embeddings)
    upper = (shares.sum(dim=1).detach().softmax(dim=-1) - torch.eye(3)[batch.target]) / 16
    (upper.unsqueeze(1) * kappa[:, None] * shares).sum().backward()
    assert all(torch.allclose(found[name], p.grad, atol=1e-5) for name, p in net.named_parameters() if p.grad is not None)  # fmt: skip


def test_too_many_modalities_are_refused_in_one_line():
    spec = Spec({f"m{i}": 1 for i in range(11)}, "regression")
    with pytest.raises(ValueError, match="at most 10, not 11"):
        AGM(AGMParams(), spec)


def test_without_modulation_it_is_erm():
    assert abs(probes("agm", alpha=0.0) - probes("erm")) < 0.03


def test_the_weak_encoder_gains_from_modulation():
    assert probes("agm", alpha=2.0) > probes("agm", alpha=0.0) + 0.03
    strong, weak = trained("agm", alpha=2.0).get_buffer("factor").tolist()
    assert strong < 1 < weak
