"""IRM, V-REx and GroupDRO: the risks of domains, on data where a cue or the rule differs between them."""

from __future__ import annotations

import functools
import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from mmbench.methods.erm import ERM, ERMParams
from mmbench.methods.generalisation.groupdro import GroupDRO, GroupDROParams
from mmbench.methods.generalisation.irm import IRM, IRMParams, invariance_penalty, scale_slopes
from mmbench.methods.generalisation.vrex import VREx, VRExParams
from mmbench.methods.losses import task_errors, task_loss
from mmbench.methods.method import Method
from mmbench.methods.shared.domains import domain_means, squared_domain_means
from torch import Tensor

from .. import planted, two_domains

TWO_CLASSES = replace(two_domains.spec("text", "audio", kind="classification"), classes=2)
SCORES = two_domains.spec("text", "audio")
CUES = {seed: two_domains.spurious(TWO_CLASSES, n, seed) for seed, n in ((1, 512), (5, 2048))}
#: Audio says the opposite of the class: who believed it is wrong.
REVERSED = two_domains.spurious(TWO_CLASSES, 2048, seed=7, agreement=(0.1, 0.1))
RULES = {seed: two_domains.imbalanced(SCORES, 512, seed) for seed in (1, 5)}
SIZE: dict[str, Any] = {"width": 16, "layers": 1}


@functools.cache
def trained(kind: type[Method], params, cues: bool = True) -> Method:
    torch.manual_seed(0)
    spec, data = (TWO_CLASSES, CUES) if cues else (SCORES, RULES)
    return planted.train(kind(params, spec), data[1], epochs=12, lr=4e-3)


SAME = {seed: replace(planted.linked(SCORES, 512, seed), domain=torch.arange(512) % 2) for seed in (1, 5)}


@functools.cache
def same_rule(kind: type[Method], params) -> Method:
    torch.manual_seed(0)
    return planted.train(kind(params, SCORES), SAME[1], epochs=12, lr=4e-3, size=32)


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
def test_irms_penalty_is_the_product_of_slopes_of_different_samples(kind):
    spec = two_domains.spec(kind=kind)
    batch = planted.noise(spec, 10)
    shape = (10, 3) if kind == "classification" else (10,)
    prediction = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    batch.domain[:] = torch.arange(10) % 3 // 2  # two thirds, one third

    def slope(row: int) -> Tensor:
        w = torch.ones((), dtype=torch.float64, requires_grad=True)
        f, y = w * prediction[row], batch.target[row]
        # labels are from -3 to 3: the error of scores in [-1, 1] is a third
        risk = ((f - y) / 3).square() / 2 if kind == "regression" else task_loss(f[None], y[None], spec)
        return torch.autograd.grad(risk, w, create_graph=True)[0]

    own = [[slope(row) for row in range(10) if batch.domain[row] == d] for d in (0, 1)]
    products = [torch.stack([a * b for a, b in itertools.combinations(slopes, 2)]).mean() for slopes in own]
    expected = torch.stack(products).mean()
    penalty = invariance_penalty(prediction, batch.target, batch.domain, spec)
    torch.testing.assert_close(penalty, expected, rtol=1e-9, atol=1e-12)
    ours, theirs = (torch.autograd.grad(p, prediction)[0] for p in (penalty, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_squared_means_have_no_bias_and_are_those_of_two_halves():
    values, one = torch.randn(8, dtype=torch.float64), torch.zeros(8, dtype=torch.int64)
    whole, _ = squared_domain_means(values, one, 1)
    batches = [torch.tensor(rows) for rows in itertools.combinations(range(8), 3)]
    small = torch.stack([squared_domain_means(values[rows], one[rows], 1)[0] for rows in batches])
    torch.testing.assert_close(small.mean(0), whole)  # a square of means would grow with a smaller batch
    halves = [torch.tensor([i in rows for i in range(8)]) for rows in itertools.combinations(range(8), 4)]
    published = torch.stack([values[half].mean() * values[~half].mean() for half in halves]).mean()
    torch.testing.assert_close(published, whole[0])
    alone, seen = squared_domain_means(values[:3], torch.tensor([0, 0, 1]), 3)
    assert seen.tolist() == [True, False, False]
    assert alone.tolist() == [pytest.approx(float(values[0] * values[1])), 0.0, 0.0]


def test_the_unit_of_labels_does_not_change_what_irm_weighs_against_the_error():
    wide = replace(SCORES, label_range=(-30.0, 30.0))
    batch = planted.noise(SCORES, 12)
    batch.domain[:] = torch.arange(12) % 2
    prediction = torch.randn(12)
    ours = invariance_penalty(prediction, batch.target, batch.domain, SCORES)
    tenfold = invariance_penalty(10 * prediction, 10 * batch.target, batch.domain, wide)
    torch.testing.assert_close(tenfold, 10 * ours)  # as the absolute error


def test_irms_slope_is_zero_where_no_domain_gains_from_another_scale():
    spec = replace(TWO_CLASSES, domains=1)
    # Seven of ten are right: the best logits differ by log(7 / 3).
    target = (torch.arange(10) >= 7).long()
    best = torch.tensor([np.log(7 / 3), 0.0]).expand(10, 2)
    assert float(scale_slopes(best, target, spec).mean()) == pytest.approx(0, abs=1e-6)
    assert float(scale_slopes(2 * best, target, spec).mean()) > 0.1  # too large: a smaller scale is better
    scores, labels = torch.tensor([1.0, 1.0, 2.0, 2.0]), torch.tensor([0.0, 2.0, 1.0, 3.0])
    assert float(scale_slopes(scores, labels, SCORES).mean()) == pytest.approx(0, abs=1e-6)


def test_vrex_is_numpys_variance():
    net = VREx(VRExParams(**SIZE), two_domains.spec(domains=3)).eval()
    batch = planted.noise(net.spec, 12)
    batch.domain[:] = torch.tensor([0, 0, 2, 2, 2, 2, 2, 2, 2, 0, 0, 0])  # nothing of domain 1
    net.before_epoch(lambda: iter((batch,)), 0.5)
    terms = net.loss(batch)
    errors = (net(batch).prediction - batch.target).abs().detach().numpy()
    means = [errors[batch.domain.numpy() == d].mean() for d in (0, 2)]
    assert terms["vrex"].item() == pytest.approx(10 * np.var(means), rel=1e-4, abs=1e-6)
    assert terms["task"].item() == pytest.approx(errors.mean(), rel=1e-5)


@pytest.mark.parametrize("method", [IRM(IRMParams(**SIZE), SCORES), VREx(VRExParams(**SIZE), SCORES)])
def test_the_penalty_grows_after_a_tenth_of_the_epochs_any_of_which_may_be_selected(method):
    assert len(method.stages) == 1  # only the epochs of the last stage may be
    method.eval()
    name, values = type(method).__name__.lower(), []
    for done in (0.0, 0.05, 0.1, 0.95):
        method.before_epoch(lambda: iter(RULES), done)
        values.append(method.loss(RULES[1])[name].item())
    weak, full = values[0], values[0] * method.params.weight
    assert values == pytest.approx([weak, weak, full, full], rel=1e-4)


def test_groupdro_weights_follow_algorithm_1():
    net = GroupDRO(GroupDROParams(step=0.1, **SIZE), two_domains.spec(domains=3))
    net.encoders.eval()
    batch = planted.noise(net.spec, 12)
    batch.domain[:] = torch.arange(12) % 2  # nothing of domain 2
    errors = (net(batch).prediction - batch.target).abs().detach().numpy()
    group = np.array([errors[0::2].mean(), errors[1::2].mean()])
    q = np.ones(3) / 3
    for _ in range(4):
        here = q[:2] * np.exp(0.1 * group)
        q[:2] = 2 / 3 * here / here.sum()  # a domain that is not there keeps its third
        assert net.loss(batch)["task"].item() == pytest.approx(q[:2] @ group / q[:2].sum(), rel=1e-5)
    np.testing.assert_allclose(net.weights.numpy(), q, rtol=1e-5)
    net.eval()
    net.loss(batch)
    np.testing.assert_allclose(net.weights.numpy(), q, rtol=1e-5)  # only training steps count
    again = GroupDRO(GroupDROParams(step=0.1, **SIZE), net.spec)
    again.load_state_dict(net.state_dict())
    assert torch.equal(again.weights, net.weights)


def test_groupdros_weight_goes_to_the_harder_domain_even_where_batches_lack_it():
    """The harder domain has a share of 1 %: of batches of 32, three quarters hold none of it."""
    batch = planted.noise(SCORES, 6400)
    batch.domain[:] = (torch.arange(6400) % 100 == 0).long()
    batch.target[:] = torch.where(batch.domain == 1, 3.0, 1.0)
    net = GroupDRO(GroupDROParams(step=0.01, **SIZE), SCORES)
    with torch.no_grad():
        for parameter in net.head.parameters():
            parameter.zero_()  # risks of 1 and 3
        for rows in torch.randperm(6400).split(32):
            net.loss(batch.take(rows))
    assert net.weights[1] > 0.6
    assert net.weights.sum() == pytest.approx(1)


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


@pytest.mark.parametrize(("kind", "params"), [(IRM, IRMParams(**SIZE)), (VREx, VRExParams(**SIZE))])
def test_scores_do_not_collapse(kind, params):
    """Both domains have one rule, so that nothing but noise is left to a penalty: at its default weight, in batches of
    32, the error stays within twice ERM's, and the scores keep four fifths of the spread. (The square of the slope of IRM's
    absolute error left a hundredth of the spread, and six times the error.)"""
    net, reference = (same_rule(*one) for one in ((kind, params), (ERM, ERMParams(**SIZE))))
    with torch.no_grad():
        ours, erms = net(SAME[5]).prediction, reference(SAME[5]).prediction
    assert ours.std() > 0.8 * erms.std()
    assert task_loss(ours, SAME[5].target, SCORES) < 2 * task_loss(erms, SAME[5].target, SCORES)


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
