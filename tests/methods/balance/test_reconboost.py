"""ReconBoost: what a turn minimises by hand, whose turn it is, and what the weak modality's encoder gains."""

from __future__ import annotations

import math

import pytest
import torch
from mmbench.methods.balance.reconboost import ReconBoost, ReconBoostParams
from torch.nn import functional as F

from .. import planted
from .strong_weak import accuracy, probes, trained


def network(kind: str = "classification", *modalities: str, **params) -> ReconBoost:
    torch.manual_seed(0)
    names = modalities or ("text", "audio", "vision")
    return ReconBoost(ReconBoostParams(width=8, layers=1, **params), planted.spec(*names, kind=kind)).eval()


def begin(net: ReconBoost, epochs: int) -> None:
    for epoch in range(epochs):
        net.before_epoch(lambda: iter(()), done=epoch / 20)


def test_what_a_turn_minimises_is_by_hand():
    net, batch = network(), planted.noise(planted.spec(kind="classification"), 5)
    begin(net, 5)  # the third own epoch: vision's, after text's and audio's
    with torch.no_grad():
        net.rate.fill_(0.7)
    text, audio, vision = (net.head(net.encode(m, batch)).detach() for m in net.names)
    q = (0.7 * (text + audio)).softmax(-1)
    total = 0.0
    for row, label in enumerate(batch.target.tolist()):
        for c in range(3):
            y, log_p = float(c == label), float(vision[row].log_softmax(-1)[c])
            total += (-5 * y * log_p + 1 * y * float(q[row, c]) * log_p) / 3
    terms = net.loss(batch)
    assert float(terms["boost"]) == pytest.approx(total / 5, rel=1e-5)
    apart = F.mse_loss(vision.softmax(-1), audio.softmax(-1))
    torch.testing.assert_close(terms["agreement"], 0.5 * apart)


def test_a_turn_moves_one_encoder_and_the_head_and_a_constant_agreement_nothing():
    for constant in ("taught", "constant"):
        net, batch = network(agreement=constant), planted.noise(planted.spec(kind="classification"), 6)
        begin(net, 3)
        terms = net.loss(batch)
        assert terms["agreement"] > 0
        assert terms["agreement"].requires_grad == (constant == "taught")
        torch.stack(list(terms.values())).sum().backward()
        got = [any(p.grad is not None for p in part.parameters()) for part in net.encoders.parts]
        assert got == [False, True, False]
        assert net.rate.grad is None
        assert all(p.grad is not None for p in net.head.parameters())


def test_turns_go_round_and_the_sum_is_over_those_that_had_one():
    net, batch = network("regression", own_epochs=2), planted.noise(planted.spec(), 6)
    turns = []
    for _ in range(10):
        begin(net, 1)
        turns.append(net.turn)
    assert turns == [0, 0, None, 1, 1, None, 2, 2, None, 0]
    fresh = network("regression", own_epochs=2)
    begin(fresh, 4)
    output = fresh(batch.with_present({"text": torch.arange(6) > 0}))
    both = output.unimodal["text"] + output.unimodal["audio"]
    torch.testing.assert_close(output.prediction[1:], both[1:])
    torch.testing.assert_close(output.prediction[:1], output.unimodal["audio"][:1])


def test_of_scores_a_modality_fits_what_the_others_leave():
    net, batch = network("regression", "text", "audio"), planted.noise(planted.spec("text", "audio"), 6)
    begin(net, 3)
    text, audio = (net.head(net.encode(m, batch)).squeeze(-1) for m in net.names)
    terms = net.loss(batch)
    torch.testing.assert_close(terms["boost"], (batch.target - text - audio).abs().mean())
    assert set(terms) == {"boost"}
    alone = network("regression", "text", "audio", weight_others=0.0)
    begin(alone, 3)
    torch.testing.assert_close(alone.loss(batch)["boost"], (batch.target - audio).abs().mean())


def test_a_sample_that_the_others_know_counts_less():
    net = network()
    own, target = torch.zeros(2, 3), torch.tensor([0, 0])
    left = torch.tensor([[9.0, 0, 0], [0, 9.0, 0]])
    known, unknown = net.boost(own, left, target).tolist()
    assert known == pytest.approx(4 * math.log(3) / 3, rel=1e-3)
    assert unknown == pytest.approx(5 * math.log(3) / 3, rel=1e-3)


def test_the_weak_encoder_gains_over_joint_training_and_as_much_if_the_others_are_not_heard():
    boosted = probes("reconboost", seeds=2)
    assert boosted > probes("erm", seeds=2) + 0.08
    assert abs(probes("reconboost", seeds=2, weight_others=0.0) - boosted) < 0.1
    assert accuracy(trained("reconboost")) > 0.94
