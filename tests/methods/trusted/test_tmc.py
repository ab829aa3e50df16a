"""Opinions and Dempster's rule by hand; what TMC's uncertainty is worth on modalities of unequal quality."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from mmbench.datasets.batch import Spec
from mmbench.methods.shared.evidence import (
    combine,
    divergence_from_uniform,
    evidential_errors,
    log_expected,
    uncertainty,
)
from mmbench.methods.trusted.etmc import ETMC, ETMCParams
from mmbench.methods.trusted.tmc import TMC, TMCParams
from scipy.special import digamma
from torch import Tensor
from torch.distributions import Dirichlet, kl_divergence

from .. import planted
from . import quality

SPEC = replace(planted.spec(kind="classification"), steps=dict.fromkeys(planted.SIZES, 1))


def network(**params) -> TMC:
    torch.manual_seed(0)
    return TMC(TMCParams(width=8, layers=1, **params), SPEC).eval()


# --- the rule ---------------------------------------------------------------------------------------------


def dempster(first: Tensor, second: Tensor) -> Tensor:
    """Two opinions [classes] by the published steps: masses, conflict, normalised products, and back to evidence."""
    classes = len(first)
    b1, b2 = (e / (e.sum() + classes) for e in (first, second))
    u1, u2 = (classes / (e.sum() + classes) for e in (first, second))
    conflict = torch.outer(b1, b2).sum() - (b1 * b2).sum()
    belief = (b1 * b2 + b1 * u2 + b2 * u1) / (1 - conflict)
    unsure = u1 * u2 / (1 - conflict)
    assert float(belief.sum() + unsure) == pytest.approx(1)
    return belief * classes / unsure


def test_two_opinions_are_combined_as_by_hand():
    # b = (.5, 0), u = .5 and b = (0, .75), u = .25: K = .375, so b = (.2, .6), u = .2, S = 10
    first, second = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 6.0])
    told = combine(torch.stack([first, second]).unsqueeze(0))[0]
    assert torch.allclose(told, torch.tensor([2.0, 6.0]), atol=1e-5)
    assert torch.allclose(dempster(first, second), told, atol=1e-5)
    assert float(uncertainty(told)) == pytest.approx(0.2)
    assert torch.allclose(log_expected(told).softmax(0), torch.tensor([0.3, 0.7]))


def test_several_opinions_are_folded_in_any_order_and_none_without_evidence_counts():
    evidence = 5 * torch.rand(3, 4)
    by_hand = dempster(dempster(evidence[0], evidence[1]), evidence[2])
    for order in ([0, 1, 2], [2, 0, 1]):
        assert torch.allclose(combine(evidence[order].unsqueeze(0))[0], by_hand, rtol=1e-4)
    silent = torch.cat([evidence, torch.zeros(1, 4)])
    assert torch.equal(combine(silent.unsqueeze(0)), combine(evidence.unsqueeze(0)))
    assert bool(combine(torch.full((1, 9, 4), 1e8)).isfinite().all())


# --- the loss ---------------------------------------------------------------------------------------------


def test_the_loss_is_that_of_scipy_and_of_torch_s_dirichlet():
    alpha = 1 + 20 * torch.rand(16, 5)
    target = torch.randint(5, (16,))
    others = alpha.scatter(1, target[:, None], 1.0)
    kl = kl_divergence(Dirichlet(others.double()), Dirichlet(torch.ones_like(others).double()))
    a = alpha.double().numpy()
    expected = digamma(a.sum(1)) - digamma(a[np.arange(16), target.numpy()])
    told = evidential_errors(alpha - 1, target, weight_kl=0.3)
    assert torch.allclose(told.double(), torch.from_numpy(expected) + 0.3 * kl, atol=1e-5)


def test_the_loss_by_hand():
    evidence = torch.tensor([[1.0, 0.0]])
    right, wrong = (float(evidential_errors(evidence, torch.tensor([y]), 1.0)) for y in (0, 1))
    assert right == pytest.approx(0.5)  # psi(3) - psi(2); no evidence for the other class
    assert wrong == pytest.approx(1.5 + math.log(2) - 0.5)  # psi(3) - psi(1), KL[Dir(2, 1) || Dir(1, 1)]
    huge = torch.tensor([[1e20, 3.0]], requires_grad=True)
    evidential_errors(huge, torch.tensor([1]), 1.0).sum().backward()
    assert huge.grad is not None
    assert bool(huge.grad.isfinite().all())
    assert float(divergence_from_uniform(torch.ones(1, 7))) == pytest.approx(0, abs=1e-6)


def test_the_kl_term_grows_within_the_first_tenth_of_the_training():
    net, batch = network(), planted.noise(SPEC, 16)
    values = []
    for done in (0.0, 0.05, 0.1, 0.5):
        net.before_epoch(lambda: iter(()), done)
        values.append(float(net.loss(batch)["fused"].detach()))
    assert values[3] == values[2]
    assert values[1] - values[0] == pytest.approx((values[2] - values[0]) / 2, rel=1e-3)
    without = network(weight_kl=0.0)
    without.before_epoch(lambda: iter(()), 1.0)
    assert float(without.loss(batch)["fused"].detach()) == pytest.approx(values[0])


def test_terms_are_of_the_fused_opinion_and_of_each_where_it_is():
    net, batch = network(), planted.noise(SPEC, 8)
    gone = batch.with_present({"audio": torch.arange(8) < 2})
    evidence = net.evidence(net.encode_all(gone), gone)
    by_hand = sum(
        float(evidential_errors(evidence[:rows, i], gone.target[:rows], 0.0).mean().detach())
        for i, rows in enumerate((8, 2, 8))
    )
    assert float(net.loss(gone)["views"].detach()) == pytest.approx(by_hand, rel=1e-5)
    assert set(network(weight_views=0.0).loss(batch)) == {"fused"}


# --- sizes, absence ---------------------------------------------------------------------------------------


def test_as_published_one_linear_layer_reads_each_vector():
    views = dict(zip("abcdef", (240, 76, 216, 47, 64, 6), strict=True))  # of handwritten digits
    spec = Spec(views, "classification", classes=10, steps=dict.fromkeys(views, 1))
    size = sum(views.values()) * 10 + 60
    assert sum(p.numel() for p in TMC(TMCParams(direct=True), spec).parameters()) == size == 6_550
    pseudo = sum(p.numel() for p in ETMC(ETMCParams(direct=True), spec).parameters()) - size
    assert pseudo == 649 * 10 + 10
    series = replace(spec, steps={**spec.steps, "a": 9})
    net = TMC(TMCParams(direct=True, layers=1), series)
    assert net.widths == {**views, "a": 40}
    batch = planted.noise(series, 3, steps=1)
    assert net.eval()(batch).embeddings["b"].equal(batch.features["b"][:, 0])


def test_an_absent_modality_is_not_noticed():
    net, batch = network(), planted.noise(SPEC, 8)
    gone = batch.with_present({"audio": torch.zeros(8, dtype=torch.bool)})
    output = net(gone)
    others = combine(net.evidence(net.encode_all(batch), batch)[:, [0, 2]])
    assert torch.allclose(output.prediction, log_expected(others), atol=1e-6)
    assert (output.diagnostics["uncertainty/audio"] == 1).all()
    nothing = net(batch.with_present(dict.fromkeys(SPEC.modalities, torch.zeros(8, dtype=torch.bool))))
    assert torch.allclose(nothing.prediction.softmax(1), torch.full((8, 3), 1 / 3))
    assert (nothing.confidence["certainty"] == 0).all()


def test_the_mean_of_the_evidence_is_over_what_is_there():
    net, batch = network(fusion="mean"), planted.noise(SPEC, 8)
    evidence = net.evidence(net.encode_all(batch), batch)
    assert torch.allclose(net(batch).prediction, log_expected(evidence.mean(1)), atol=1e-6)
    gone = batch.with_present({"audio": torch.zeros(8, dtype=torch.bool)})
    assert torch.allclose(net(gone).prediction, log_expected(evidence[:, [0, 2]].mean(1)), atol=1e-6)


def test_the_pseudo_view_is_one_more_opinion():
    torch.manual_seed(0)
    net, batch = ETMC(ETMCParams(width=8, layers=1), SPEC).eval(), planted.noise(SPEC, 8)
    embeddings = net.encode_all(batch)
    own = torch.nn.functional.softplus(net.pseudo(torch.cat(list(embeddings.values()), 1)))
    each = TMC.evidence(net, embeddings, batch)
    whole = combine(torch.cat([each, own.unsqueeze(1)], 1))
    assert torch.allclose(net(batch).prediction, log_expected(whole), atol=1e-5)
    assert len(net(batch).diagnostics) == 4  # of the pseudo-view there is none


# --- what it is for ---------------------------------------------------------------------------------------


def test_uncertainty_rises_with_noise_because_of_the_kl_term_alone():
    for kl, above, below in ((1.0, 0.15, 1.0), (0.0, -1.0, -0.2)):
        told = quality.diagnostic(quality.fitted(TMC, weight_kl=kl), "uncertainty")
        found = [quality.spearman(told[:, i], quality.STRENGTH[:, i]) for i in range(3)]
        assert above < min(found), (kl, found)
        assert max(found) < below, (kl, found)


def test_its_certainty_is_worth_more_than_that_of_the_mean_of_the_evidence():
    combined, mean = quality.fitted(TMC, weight_kl=1.0), quality.fitted(TMC, fusion="mean")
    own, other = (quality.auroc_of_errors(net, "certainty") for net in (combined, mean))
    assert own > other + 0.05
    assert own < quality.auroc_of_errors(combined, "max")  # which docs/methods.md says
    assert quality.accuracy(combined) > quality.accuracy(mean) - 0.01


def test_the_pseudo_view_tells_what_only_two_modalities_together_do():
    spec = Spec({"text": 4, "audio": 4}, "classification", classes=2, steps={"text": 1, "audio": 1})

    def sample(count: int, seed: int):
        draw = torch.Generator().manual_seed(seed)
        batch = planted.noise(replace(SPEC, modalities=spec.modalities, classes=2), count, 1, seed)
        signs = 2.0 * torch.randint(2, (count, 2), generator=draw) - 1
        features = {m: 0.3 * x + signs[:, i, None, None] for i, (m, x) in enumerate(batch.features.items())}
        return replace(batch, features=features, target=(signs.prod(1) > 0).long())

    found = {}
    for kind in (TMC, ETMC):
        torch.manual_seed(0)
        net = planted.train(kind(kind.Params(width=8), spec), sample(256, 1), epochs=12, lr=3e-3)
        found[kind] = quality.accuracy(net, sample(256, 2))
    assert found[ETMC] > 0.9
    assert found[TMC] < 0.65
