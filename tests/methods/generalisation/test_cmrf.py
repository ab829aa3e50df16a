from __future__ import annotations

import copy
from itertools import permutations

import numpy as np
import pytest
import torch
from mmbench.methods.generalisation.cmrf import CMRF, CMRFParams, mixtures
from mmbench.methods.shared.shared_specific import translation_errors
from torch.nn import functional as F

from .. import planted


def build(kind: str = "classification", **params) -> CMRF:
    return CMRF(CMRFParams(width=16, layers=1, hidden=32, **params), planted.spec("text", "audio", kind=kind))


def test_teacher_is_a_copy_and_then_exactly_the_mean_of_the_weights():
    net = build(start=3).double()
    batch = planted.noise(net.spec, 16)
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
    after = []
    for step in range(1, 9):
        optimiser.zero_grad()
        terms = net.loss(batch)
        assert ("distillation" in terms) == (step > 3)  # as the release: it begins with the average
        torch.stack(list(terms.values())).sum().backward()
        optimiser.step()
        net.after_step()
        after.append([p.detach().clone() for p in net.student().parameters()])
        goal = after[-1:] if step <= 3 else after[2:]
        for average, *history in zip(net.teacher.parameters(), *goal, strict=True):
            np.testing.assert_allclose(average, np.mean([h.numpy() for h in history], axis=0), atol=1e-12)
    assert all(p.grad is None for p in net.teacher.parameters())


def test_teacher_has_no_dropout_and_is_restored_with_the_weights():
    net = build(start=0).train()
    net.after_step()
    batch = planted.noise(net.spec, 8)
    assert torch.equal(net.teach(batch), net.teach(batch))
    other = build(start=0)
    other.load_state_dict(net.state_dict())
    assert torch.equal(other.teach(batch), net.teach(batch))
    assert int(other.steps) == 1


def test_goals_are_mixtures_in_which_the_own_part_is_the_larger():
    pairs = list(permutations(range(3), 2))
    g, shares = torch.randn(6, 3, 5, dtype=torch.float64), torch.rand(6, 6, dtype=torch.float64)
    made = mixtures(g, shares, pairs).numpy()
    for k, (own, other) in enumerate(pairs):
        s = shares[:, k : k + 1].numpy()
        np.testing.assert_allclose(
            made[:, k], s * g[:, own].numpy() + (1 - s) * g[:, other].numpy(), atol=1e-6
        )


def test_shares_are_a_beta_draw_on_condition_of_more_than_half():
    for mixing in (0.1, 1.0):
        drawn = build(mixing=mixing).draw_shares(20_000).flatten().numpy()
        rejected = np.random.default_rng(0).beta(mixing, mixing, 80_000)
        rejected = rejected[rejected > 0.5]
        assert drawn.min() >= 0.5
        quantiles = np.linspace(0.05, 0.95, 10)
        np.testing.assert_allclose(np.quantile(drawn, quantiles), np.quantile(rejected, quantiles), atol=0.02)


@pytest.mark.parametrize(
    ("evaluated", "kind", "teacher"),
    [
        ("student", "regression", False),
        ("teacher", "classification", True),
        ("published", "regression", True),
        ("published", "classification", False),
    ],
)
def test_which_network_predicts(evaluated, kind, teacher):
    net = build(kind, evaluated=evaluated)
    batch = planted.noise(net.spec, 4)
    with torch.no_grad():
        before = net.eval()(batch).prediction
        for parameter in net.student().parameters():
            parameter.add_(0.1)
        assert torch.equal(net(batch).prediction, before) == teacher
        net.train()
        assert not torch.allclose(net(batch).prediction, before)


def test_another_network_to_predict_is_refused():
    with pytest.raises(ValueError, match="should be student, teacher or published"):
        build(evaluated="both")


@torch.no_grad()
def test_distillation_pulls_representations_to_the_mixtures_between_modalities():
    """The distance to the teacher's mixtures, and between modalities, falls against the same without it."""
    spec = planted.spec("text", "audio", kind="classification")
    train, test = planted.linked(spec, 256, seed=10), planted.linked(spec, 256, seed=60)
    start = build(start=20)
    found = []
    for weight in (3.0, 0.0):
        net = build(start=20, weight_distillation=weight)
        net.load_state_dict(copy.deepcopy(start.state_dict()))
        torch.manual_seed(1)
        with torch.enable_grad():
            planted.train(net, train, epochs=25, lr=3e-3)
        projected = F.normalize(net.projections(torch.stack(list(net(test).embeddings.values()), 1)), dim=-1)
        torch.manual_seed(2)
        goals = mixtures(net.teach(test), net.draw_shares(256), net.pairs)
        apart = (projected[:, 0] - projected[:, 1]).norm(dim=-1).mean()
        right = (net(test).prediction.argmax(1) == test.target).double().mean()
        found.append((translation_errors(projected, goals).mean(), apart, right))
    (ours, near, accuracy), (without, far, plain) = found
    assert ours < 0.85 * without
    assert near < 0.9 * far
    assert accuracy > plain - 0.05
