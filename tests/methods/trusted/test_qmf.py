"""QMF's ranking by hand, its memory, and what its confidence is worth."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from mmbench.methods.losses import plain_errors
from mmbench.methods.shared.networks import FusionHead
from mmbench.methods.trusted.qmf import QMF, QMFParams

from .. import planted
from . import quality

SPEC = replace(planted.spec(kind="classification"), train_size=20)
ALL = torch.ones(4, dtype=torch.bool)


def network(**params) -> QMF:
    torch.manual_seed(0)
    return QMF(QMFParams(width=8, layers=1, **params), SPEC).eval()


def indexed(samples: int = 8):
    return replace(planted.noise(SPEC, samples), index=torch.arange(samples) + 3)


def test_the_ranking_by_hand():
    confidence = torch.tensor([0.5, 0.4, 0.9, 0.1])
    hardness = torch.tensor([1.0, 0.2, 0.2, 0.0])
    # differences of hardness .8, 0, .2, -1; of confidence .1, -.5, .8, -.4; the pair of equals counts as released alone
    demanded = ((0.1 + 0.8) + (0.8 + 0.2) + (0.4 + 1.0)) / 3
    assert float(network().ranking(confidence, hardness, ALL)) == pytest.approx(demanded)
    released = (0 + 0 + (0.8 - 0.2) + 0) / 4
    asked = {"margin": "slack", "rank_ties": True}
    assert float(network(**asked).ranking(confidence, hardness, ALL)) == pytest.approx(released)
    by_torch = torch.nn.functional.margin_ranking_loss(
        confidence, confidence.roll(-1) + torch.tensor([0.8, 0.0, 0.2, -1.0]), -torch.tensor([1.0, 1, 1, -1])
    )
    assert float(by_torch) == pytest.approx(released)
    some = torch.tensor([True, True, False, True])
    assert float(network().ranking(confidence, hardness, some)) == pytest.approx((0.9 + 1.4) / 2)


def test_the_prediction_is_the_sum_of_logits_times_energies_by_hand():
    net, batch = network(), indexed()
    output = net(batch)
    logits = torch.stack(list(output.unimodal.values()))
    by_hand = (logits * (logits.exp().sum(2, keepdim=True).log() / 10).clamp(min=0)).sum(0)
    assert torch.allclose(output.prediction, by_hand, atol=1e-6)
    gone = batch.with_present({"audio": torch.zeros(8, dtype=torch.bool)})
    assert (net(gone).diagnostics["weight/audio"] == 0).all()
    with torch.no_grad():
        for part in net.heads.parts:
            assert isinstance(part, FusionHead)
            part.out.bias.sub_(20)
    assert (net(batch).prediction == 0).all()  # no weight is below 0
    published = network(nonnegative=False)
    published.load_state_dict(net.state_dict())
    assert (published(batch).prediction.abs() > 1).any()


def test_the_history_is_the_sum_of_errors_of_what_was_there_and_has_a_range_of_one():
    net, batch = network().train(), indexed()
    net.encoders.eval()  # without dropout
    gone = batch.with_present({"audio": torch.arange(8) < 2})
    output = net(gone)
    for _ in range(2):
        assert "rank" in net.loss(gone)
    errors = plain_errors(output.unimodal["audio"], gone.target, SPEC).detach()
    assert torch.allclose(net.history[3:5, 1], 2 * errors[:2], atol=1e-5)
    assert (net.history[5:, 1] == 0).all()
    assert (net.history[:3] == 0).all()
    assert float(net.hardness().min()) == 0
    assert float(net.hardness().max()) == 1
    before = net.history.clone()
    net.eval()
    assert "rank" not in net.loss(gone)
    assert torch.equal(net.history, before)


def test_gradients_of_the_sum_do_not_reach_the_energies_by_the_weights():
    net, batch = network(), indexed()
    logits = net(batch).unimodal["text"]
    weights = net(batch).diagnostics["weight/text"]
    assert logits.requires_grad
    assert not weights.requires_grad


def test_the_ranking_makes_confidence_fall_with_hardness_and_tell_errors_of_a_modality():
    train, _ = quality.samples(quality.TRAINED, seed=1)
    ranked, slack, without = (
        quality.fitted(QMF, **asked) for asked in ({}, {"margin": "slack"}, {"weight_rank": 0.0})
    )
    told = [quality.auroc_of_own_errors(net) for net in (ranked, slack, without)]
    assert told[0] > told[1] + 0.01 > told[2] + 0.01
    assert told[0] > told[2] + 0.03
    for net, most in ((ranked, -0.62), (without, 0.0)):
        assert isinstance(net, QMF)
        confidence = quality.diagnostic(net, "confidence", train)
        found = [quality.spearman(confidence[:, i], net.history[:, i]) for i in range(3)]
        assert max(found) < most
    # which docs/methods.md says: the sum with equal weights is at least as good
    late = quality.fitted(QMF, weights="uniform", weight_rank=0.0)
    assert quality.accuracy(late) > quality.accuracy(ranked) - 0.01
