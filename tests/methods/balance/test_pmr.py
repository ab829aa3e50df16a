"""PMR: prototypes, their loss and who is helped, by hand; and what the weak modality's encoder gains."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmbench.datasets.batch import Batch
from mmbench.methods.balance.pmr import PMR, PMRParams

from .. import planted
from .strong_weak import accuracy, moved, probes, trained


def network(kind: str = "classification", names: tuple[str, ...] = ("text", "audio"), **params) -> PMR:
    torch.manual_seed(0)
    return PMR(PMRParams(width=8, layers=1, **params), planted.spec(*names, kind=kind)).eval()


def prepared(net: PMR, batch: Batch) -> PMR:
    net.before_epoch(lambda: iter((batch.take(slice(0, 9)), batch.take(slice(9, len(batch))))), 0.0)
    return net


def test_prototypes_are_means_of_classes_and_move_by_four_fifths():
    net = network().train()
    batch = planted.noise(net.spec, 30).with_present({"audio": torch.arange(30) < 20})
    prepared(net, batch)
    assert net.training
    net.eval()
    embeddings = net.encode_all(batch)
    for i, (m, seen) in enumerate((("text", torch.arange(30)), ("audio", torch.arange(20)))):
        for c in range(3):
            own = embeddings[m][seen][batch.target[seen] == c].mean(dim=0)
            assert torch.allclose(net.prototypes[i, c], own, atol=1e-5)
    old = net.prototypes.clone()
    with torch.no_grad():
        net.encoders.parts[0].load_state_dict(
            {k: 1.1 * v for k, v in net.encoders.parts[0].state_dict().items()}
        )
    fresh = network()
    fresh.load_state_dict(net.state_dict())
    fresh.met.zero_()
    assert torch.allclose(prepared(net, batch).prototypes, 0.8 * prepared(fresh, batch).prototypes + 0.2 * old, atol=1e-5)  # fmt: skip


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_the_loss_of_the_modality_behind_by_hand(kind: str):
    net = network(kind, alpha=0.5)
    batch = planted.noise(net.spec, 40)
    prepared(net, batch)
    classes = batch.target
    if kind == "regression":  # fifths of the training scores
        classes = batch.target.argsort().argsort() // 8
        assert torch.equal(net.classes(batch.target), classes)
    errors, right = [], []
    for i, h in enumerate(net(batch).embeddings.values()):
        nearness = -torch.cdist(h, net.prototypes[i])
        errors.append(torch.nn.functional.cross_entropy(nearness, classes))
        right.append(nearness.softmax(dim=1)[torch.arange(40), classes].sum())
    behind = 0 if right[0] < right[1] else 1
    found = net.loss(batch)["prototypes"].item()
    assert found == pytest.approx(0.5 * errors[behind].item(), rel=1e-4)


def test_who_is_helped():
    two, there = torch.tensor([0.8, 0.6]), torch.ones(2, dtype=torch.bool)
    assert network().shares(two, there).tolist() == [0, 1]
    assert network(graded=True).shares(two, there).tolist() == pytest.approx([0, 0.25])
    assert network(helped="all").shares(two, there).tolist() == [1, 1]
    assert network(helped="leading").shares(two, there).tolist() == [1, 0]
    assert network().shares(two, torch.tensor([True, False])).tolist() == [0, 0]
    three = network(names=("text", "audio", "vision"))
    found = three.shares(torch.tensor([0.4, 0.8, 0.2]), torch.ones(3, dtype=torch.bool))
    assert found.tolist() == pytest.approx([0.5, 0, 0.75])


def test_the_term_trains_the_encoder_behind_alone():
    net = network()
    batch = planted.noise(net.spec, 30)
    prepared(net, batch).loss(batch)["prototypes"].backward()
    got = [
        any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())
        for part in net.encoders.parts
    ]
    assert sorted(got) == [False, True]


def test_a_class_that_no_training_sample_had_is_nowhere_near():
    net = network()
    batch = planted.noise(net.spec, 30)
    few = batch.take((batch.target < 2).nonzero().flatten())
    net.before_epoch(lambda: iter((few,)), 0.0)
    assert net.met.tolist() == [[True, True, False]] * 2
    term = net.loss(batch)["prototypes"].item()
    assert term == pytest.approx(net.loss(few)["prototypes"].item(), rel=1e-4)  # the others have no goal
    net.before_epoch(lambda: iter((few,)), 0.7)
    assert set(net.loss(batch)) == {"task"}  # it acts in the first two thirds


def test_the_weak_encoder_gains_from_its_prototypes_and_not_from_the_others():
    asked: dict[str, Any] = {"until": 1.0}
    plain = probes("pmr", alpha=0.0)
    assert abs(plain - probes("erm")) < 0.03
    assert probes("pmr", **asked) > plain + 0.05
    assert probes("pmr", **asked) > probes("pmr", helped="leading", **asked) + 0.05
    assert accuracy(trained("pmr", **asked)) > accuracy(trained("erm")) - 0.02
    assert moved("pmr", "weak", **asked) > moved("pmr", "weak", alpha=0.0)
