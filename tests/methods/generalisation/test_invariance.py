"""IRM, V-REx and GroupDRO: the risks of domains, on data where a cue or the rule differs between them."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch
from mmbench.methods.erm import ERM, ERMParams
from mmbench.methods.generalisation.groupdro import GroupDRO, GroupDROParams
from mmbench.methods.generalisation.irm import IRM, IRMParams, invariance_penalty, scale_slopes
from mmbench.methods.generalisation.vrex import VREx, VRExParams
from mmbench.methods.losses import task_errors, task_loss
from mmbench.methods.method import Method
from mmbench.methods.shared.domains import domain_means
from torch import Tensor

from .. import planted, two_domains

TWO_CLASSES = replace(two_domains.spec("text", "audio", kind="classification"), classes=2)
SCORES = two_domains.spec("text", "audio")
CUES = {seed: two_domains.spurious(TWO_CLASSES, n, seed) for seed, n in ((1, 512), (5, 2048))}
#: Audio says the opposite of the class: who believed it is wrong.
REVERSED = two_domains.spurious(TWO_CLASSES, 2048, seed=7, agreement=(0.1, 0.1))
RULES = {seed: two_domains.imbalanced(SCORES, 512, seed) for seed in (1, 5)}
SIZE = {"width": 16, "layers": 1}


@functools.cache
def trained(kind: type[Method], params, cues: bool = True) -> Method:
    torch.manual_seed(0)
    spec, data = (TWO_CLASSES, CUES) if cues else (SCORES, RULES)
    return planted.train(kind(params, spec), data[1], epochs=12, lr=4e-3)


def erm(cues: bool = True) -> Method:
    return trained(ERM, ERMParams(**SIZE), cues)


@torch.no_grad()
def risks(net: Method) -> Tensor:
    batch = (CUES if net.spec.kind == "classification" else RULES)[5]
    return domain_means(task_errors(net(batch).prediction, batch.target, net.spec), batch.domain, 2)[0]


@torch.no_grad()
def accuracy(net: Method, batch) -> float:
    return (net(batch).prediction.argmax(1) == batch.target).float().mean().item()


# --- the formulas ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_irm_slopes_are_autograds(kind):
    spec = two_domains.spec(kind=kind)
    batch = planted.noise(spec, 10)
    shape = (10, 3) if kind == "classification" else (10,)
    prediction = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    batch.domain[:] = torch.arange(10) % 3 // 2  # two thirds, one third
    squares = []
    for d in (0, 1):
        w = torch.ones((), dtype=torch.float64, requires_grad=True)
        rows = batch.domain == d
        risk = task_loss(w * prediction[rows], batch.target[rows], spec)
        squares.append(torch.autograd.grad(risk, w, create_graph=True)[0].square())
    expected = torch.stack(squares).mean()
    penalty = invariance_penalty(prediction, batch.target, batch.domain, spec)
    torch.testing.assert_close(penalty, expected, rtol=1e-9, atol=1e-12)
    ours, theirs = (torch.autograd.grad(p, prediction)[0] for p in (penalty, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_irm_is_zero_where_no_domain_gains_from_another_scale():
    spec = replace(TWO_CLASSES, domains=1)
    # Seven of ten are right: the best logits differ by log(7 / 3).
    target, one = (torch.arange(10) >= 7).long(), torch.zeros(10, dtype=torch.int64)
    best = torch.tensor([np.log(7 / 3), 0.0]).expand(10, 2)
    assert float(invariance_penalty(best, target, one, spec)) == pytest.approx(0, abs=1e-12)
    assert float(invariance_penalty(2 * best, target, one, spec)) > 1e-2
    assert scale_slopes(2 * best, target, spec).mean() > 0  # too large: a smaller scale is better


def test_vrex_is_numpys_variance():
    net = VREx(VRExParams(**SIZE), two_domains.spec(domains=3)).eval()
    batch = planted.noise(net.spec, 12)
    batch.domain[:] = torch.tensor([0, 0, 2, 2, 2, 2, 2, 2, 2, 0, 0, 0])  # nothing of domain 1
    net.begin_stage(1)
    terms = net.loss(batch)
    errors = (net(batch).prediction - batch.target).abs().detach().numpy()
    means = [errors[batch.domain.numpy() == d].mean() for d in (0, 2)]
    assert terms["vrex"].item() == pytest.approx(10 * np.var(means), rel=1e-4, abs=1e-6)
    assert terms["task"].item() == pytest.approx(errors.mean(), rel=1e-5)


@pytest.mark.parametrize("method", [IRM(IRMParams(**SIZE), SCORES), VREx(VRExParams(**SIZE), SCORES)])
def test_the_penalty_grows_when_its_stage_begins(method):
    method.eval()
    name, values = type(method).__name__.lower(), []
    for stage in (0, 1):
        method.begin_stage(stage)
        values.append(method.loss(RULES[1])[name].item())
    assert values[1] == pytest.approx(values[0] * method.params.weight, rel=1e-4)


def test_groupdro_weights_follow_algorithm_1():
    net = GroupDRO(GroupDROParams(step=0.1, **SIZE), two_domains.spec(domains=3))
    net.encoders.eval()
    batch = planted.noise(net.spec, 12)
    batch.domain[:] = torch.arange(12) % 2  # nothing of domain 2
    errors = (net(batch).prediction - batch.target).abs().detach().numpy()
    group = np.array([errors[0::2].mean(), errors[1::2].mean(), 0.0])
    q = np.ones(3) / 3
    for _ in range(4):
        q = q * np.exp(0.1 * group)
        q /= q.sum()
        assert net.loss(batch)["task"].item() == pytest.approx(q @ group, rel=1e-5)
    np.testing.assert_allclose(net.weights.numpy(), q, rtol=1e-5)
    net.eval()
    net.loss(batch)
    np.testing.assert_allclose(net.weights.numpy(), q, rtol=1e-5)  # only training steps count
    again = GroupDRO(GroupDROParams(step=0.1, **SIZE), net.spec)
    again.load_state_dict(net.state_dict())
    assert torch.equal(again.weights, net.weights)


# --- what they are for ----------------------------------------------------------------------------------


def test_irms_penalty_falls_against_erm():
    batch = CUES[5]
    ours, erms = (
        invariance_penalty(net(batch).prediction, batch.target, batch.domain, TWO_CLASSES)
        for net in (trained(IRM, IRMParams(**SIZE)), erm())
    )
    assert ours < 0.6 * erms


def test_vrexs_variance_of_risks_falls_against_erm():
    ours, erms = risks(trained(VREx, VRExParams(**SIZE))), risks(erm())
    assert ours.var() < 0.5 * erms.var()


@pytest.mark.parametrize(
    ("kind", "params"), [(IRM, IRMParams(weight=10.0, **SIZE)), (VREx, VRExParams(**SIZE))]
)
def test_a_cue_that_changes_between_domains_is_believed_less(kind, params):
    net = trained(kind, params)
    assert accuracy(net, REVERSED) > accuracy(erm(), REVERSED) + 0.2
    assert accuracy(net, CUES[5]) > 0.7  # and what does not change is


def test_groupdros_worst_domain_gets_better_and_has_the_greater_weight():
    net = trained(GroupDRO, GroupDROParams(**SIZE), cues=False)
    assert isinstance(net, GroupDRO)
    ours, erms = risks(net), risks(erm(cues=False))
    assert erms.argmax() == 1  # the rare domain
    assert ours.max() < 0.8 * erms.max()
    assert net.weights[1] > 2 * RULES[1].domain.float().mean()
