"""G-Blending: the weights by hand, what is held out, and how a head that overfits is weighed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from mmbench.methods.balance.g_blending import GBlending, GBlendingParams, blending

from .. import planted
from .strong_weak import TRAIN, accuracy, probes, trained

SPEC = planted.spec("text", "audio", kind="classification")


def network(**params) -> GBlending:
    torch.manual_seed(0)
    return GBlending(GBlendingParams(width=8, layers=1, **params), SPEC).eval()


def test_weights_by_hand():
    before = torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
    now = torch.tensor([[0.5, 0.4, 0.2, 0.5], [0.6, 0.6, 0.8, 1.2]])
    # G 0.4, 0.4, 0.2 and a loss; O 0.1, 0.2, 0.6
    raw = [0.4 / 0.01, 0.4 / 0.04, 0.2 / 0.36, 0.0]
    found = blending(before, now, torch.ones(4), 0.01)
    assert found.tolist() == pytest.approx([4 * x / sum(raw) for x in raw], rel=1e-4)
    old = torch.tensor([1.0, 2.0, 0.5, 0.5])
    worse = before + torch.tensor([[0.0], [0.3]])
    assert torch.equal(blending(before, worse, old, 0.01), old)  # nothing gains
    no_gap = torch.tensor([[0.5, 0.5], [0.5, 0.9]])
    expected = [0.5 / 0.01**2, 0.1 / 0.4**2]
    found = blending(torch.ones(2, 2), no_gap, torch.ones(2), 0.01)
    assert found.tolist() == pytest.approx([2 * x / sum(expected) for x in expected], rel=1e-3)


def test_held_out_samples_are_not_trained_on():
    net, batch = network(held_out=4), planted.noise(SPEC, 16)
    loss = torch.stack(list(net.loss(batch).values())).sum().item()
    changed = torch.where(net.held(batch), (batch.target + 1) % 3, batch.target)
    assert int(net.held(batch).sum()) == 4
    assert torch.stack(list(net.loss(replace(batch, target=changed)).values())).sum().item() == loss
    kept = net.loss(batch.take((~net.held(batch)).nonzero().flatten()))
    assert torch.stack(list(kept.values())).sum().item() == pytest.approx(loss, rel=1e-5)


def test_estimates_are_of_both_parts_and_come_when_it_is_time():
    net, batch = network(every=0.5, held_out=4), planted.noise(SPEC, 40)
    halves = (batch.take(slice(0, 15)), batch.take(slice(15, 40)))
    net.before_epoch(lambda: iter(halves), 0.0)
    rows = net.held(batch)
    for row, chosen in enumerate((~rows, rows)):
        part = batch.take(chosen.nonzero().flatten())
        output = net(part)
        goal = [torch.nn.functional.cross_entropy(x, part.target).item() for x in (*output.unimodal.values(), output.prediction)]  # fmt: skip
        assert net.before[row].tolist() == pytest.approx(goal, rel=1e-4)
    for done, count in ((0.3, 1), (0.5, 2), (0.9, 2)):
        net.before_epoch(lambda: iter(halves), done)
        assert int(net.estimates) == count
    first = net.before.clone()
    for since, moves in (("start", False), ("last", True)):
        net.params = replace(net.params, since=since)
        net.before_epoch(lambda: iter((batch.take(slice(0, 20)),)), 1.0)
        assert torch.equal(net.before, first) != moves
        net.estimates.fill_(2)


def test_too_few_are_refused_or_leave_the_weights():
    with pytest.raises(ValueError, match="one in 2 or more"):
        network(held_out=1)
    net, batch = network(held_out=100), planted.noise(SPEC, 8)
    net.before_epoch(lambda: iter((batch.take(slice(1, 8)),)), 0.0)
    assert net.blend.tolist() == [1, 1, 1]
    assert int(net.estimates) == 0


def test_the_loss_of_a_head_that_overfits_has_a_small_weight():
    """Audio is noise, whose head can only learn its training samples by heart; text tells the class."""
    batch = planted.linked(SPEC, 120, seed=0)
    batch = replace(
        batch, features=dict(batch.features) | {"audio": planted.noise(SPEC, 120, 3).features["audio"]}
    )
    net = network(every=0.25, held_out=3)
    planted.train(net, batch, epochs=12, lr=5e-3, size=40)
    assert net.blend[1] < 0.2 * net.blend[0]


def test_the_weak_encoder_gains_over_joint_training():
    assert probes("g_blending") > probes("erm") + 0.05
    assert accuracy(trained("g_blending")) > 0.9
    net = trained("g_blending")
    assert isinstance(net, GBlending)
    assert net.held(TRAIN).sum() == 40
