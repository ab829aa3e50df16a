"""RCML's conflict and its means by hand, and what the conflict term changes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from mmbench.methods.shared.evidence import evidential_errors, log_expected
from mmbench.methods.trusted.rcml import RCML, RCMLParams, conflict

from .. import planted
from . import quality

SPEC = planted.spec(kind="classification")


def network(**params) -> RCML:
    torch.manual_seed(0)
    return RCML(RCMLParams(width=8, layers=1, **params), SPEC).eval()


def test_conflict_by_hand():
    # of two classes: p = (3/4, 1/4), u = 1/2; p = (1/8, 7/8), u = 1/4; p = (1/2, 1/2), u = 1
    evidence = torch.tensor([[[2.0, 0.0], [0.0, 6.0], [0.0, 0.0]]])
    pair = (3 / 4 - 1 / 8) * 1 / 2 * 3 / 4
    known = torch.ones(1, 3, dtype=torch.bool)
    assert float(conflict(evidence, known)) == pytest.approx(2 * pair / 2)  # two orders, two others
    assert float(conflict(evidence[:, :2], known[:, :2])) == pytest.approx(2 * pair)
    assert float(conflict(evidence, torch.tensor([[True, False, True]]))) == 0
    assert float(conflict(evidence[:, :1], known[:, :1])) == 0


def test_the_mean_does_not_depend_on_the_order_and_the_released_one_does():
    evidence = torch.rand(5, 3, 3)
    batch = planted.noise(SPEC, 5).with_present({"audio": torch.tensor([True, True, True, True, False])})
    told = network().combined(evidence.where(network().known(batch).unsqueeze(-1), 0), batch)
    assert torch.allclose(told[:4], evidence[:4].mean(1))
    assert torch.allclose(told[4], (evidence[4, 0] + evidence[4, 2]) / 2)
    running = network(fusion="running").combined(evidence, batch)
    by_hand = evidence[:, 0] / 4 + evidence[:, 1] / 4 + evidence[:, 2] / 2
    assert torch.allclose(running[:4], by_hand[:4])
    assert torch.allclose(running[4], (evidence[4, 0] + evidence[4, 2]) / 2)


def test_terms_by_hand():
    net, batch = network(weight_conflict=0.7), planted.noise(SPEC, 8)
    net.before_epoch(lambda: iter(()), 0.5)
    evidence = net.evidence(net.encode_all(batch), batch)
    terms = net.loss(batch)
    each = [evidential_errors(e, batch.target, 1.0).mean() for e in evidence.unbind(1)]
    fused = evidential_errors(evidence.mean(1), batch.target, 1.0).mean()
    assert torch.allclose(terms["views"] + terms["fused"], (sum(each) + fused) / 4, atol=1e-6)
    known = torch.ones(8, 3, dtype=torch.bool)
    assert torch.allclose(terms["conflict"], 0.7 * conflict(evidence, known).mean())
    assert torch.allclose(net(batch).prediction, log_expected(evidence.mean(1)), atol=1e-6)


def test_training_against_conflict_leaves_less_of_it_and_uncertainty_rises_more_with_noise():
    found = {}
    for weight in (1.0, 0.0):
        net = quality.fitted(RCML, weight_conflict=weight)
        told = quality.diagnostic(net, "uncertainty")
        rises = [quality.spearman(told[:, i], quality.STRENGTH[:, i]) for i in range(3)]
        with torch.no_grad():
            left = float(net(quality.TEST).diagnostics["conflict"].mean())
        found[weight] = left, sum(rises) / 3, quality.accuracy(net)
    assert found[1.0][0] < 0.7 * found[0.0][0]
    assert found[1.0][1] > found[0.0][1] + 0.03
    assert found[1.0][2] > found[0.0][2] - 0.02


def test_conflict_tells_samples_of_which_one_modality_is_of_another_class():
    net, batch = quality.fitted(RCML, weight_conflict=1.0), quality.TEST
    other = torch.stack([(batch.target == c).nonzero()[0, 0] for c in range(quality.CLASSES)])
    clean = batch.features["audio"]
    order = other[(batch.target + 1) % quality.CLASSES]
    mixed = {**batch.features, "audio": clean[order]}
    with torch.no_grad():
        agrees = net(batch).diagnostics["conflict"]
        clashes = net(replace(batch, features=mixed)).diagnostics["conflict"]
    assert float((clashes > agrees).float().mean()) > 0.6
