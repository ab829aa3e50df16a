"""Mixup, SupCon, and the control that has neither."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods.controls.late_concat import LateConcat, LateConcatParams
from mmbench.methods.erm import ERM, ERMParams
from mmbench.methods.generalisation.mixup import Mixup, MixupParams, mixed_errors, mixture, partners
from mmbench.methods.generalisation.supcon import SupCon, SupConParams
from mmbench.methods.method import Method
from mmbench.methods.shared.contrast import contrast_of_samples, label_classes
from mmbench.methods.shared.networks import as_prediction
from scipy.special import log_softmax
from torch import Tensor
from torch.nn import functional as F

from .. import planted, two_domains

SPEC = two_domains.spec("text", "audio")
CLASSES = two_domains.spec("text", "audio", kind="classification")
SIZE: dict[str, Any] = {"width": 16, "layers": 1}


# --- mixup ----------------------------------------------------------------------------------------------


def test_partners_are_others_and_of_another_domain_if_there_is_one():
    domain = torch.tensor([0, 0, 0, 1, 1])
    for _ in range(20):
        assert (domain[partners(domain)] != domain).all()
        assert (partners(domain[:3]) != torch.arange(3)).all()
    assert partners(domain[:1]).tolist() == [0]
    drawn = torch.stack([partners(domain) for _ in range(600)])[:, 3].bincount()
    assert drawn.min() > 150  # each of the three alike


def test_mixed_errors_by_hand():
    share, partner = torch.tensor([0.25, 1.0]), torch.tensor([1, 0])
    scores = mixed_errors(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 3.0]), share, partner, SPEC)
    assert scores.tolist() == [2.5, 3.0]
    logits, target = torch.randn(2, 3, dtype=torch.float64), torch.tensor([0, 2])
    soft = mixture(F.one_hot(target, 3).double(), share.double().unsqueeze(-1), partner)
    expected = -(soft.numpy() * log_softmax(logits.numpy(), axis=1)).sum(axis=1)
    np.testing.assert_allclose(mixed_errors(logits, target, share.double(), partner, CLASSES), expected)


def steps(spec: Spec, samples: int, seed: int) -> Batch:
    """Two domains whose target is one of a few values, with nothing between."""
    batch = two_domains.shifted(spec, samples, seed)
    return batch if spec.kind == "classification" else replace(batch, target=batch.target.sign())


@torch.no_grad()
def between(net: Mixup | ERM) -> tuple[float, float]:
    """The error at the middle between samples of two domains, and how far predictions bend between them."""
    batch = steps(net.spec, 512, seed=5)
    fused, partner = net(batch).fused, partners(batch.domain)
    assert fused is not None
    share = torch.full((512,), 0.5)

    def said(z: Tensor) -> Tensor:
        return as_prediction(net.head(z), net.spec)

    def believed(z: Tensor) -> Tensor:
        return said(z).softmax(-1) if net.spec.kind == "classification" else said(z)

    middle, ends = mixture(fused, share.unsqueeze(1), partner), believed(fused)
    error = mixed_errors(said(middle), batch.target, share, partner, net.spec).mean()
    bend = believed(middle) - (ends + ends[partner]) / 2
    return float(error), float(bend.abs().mean() / ends.std())


@pytest.mark.parametrize("spec", [SPEC, CLASSES], ids=lambda spec: spec.kind)
def test_between_samples_mixup_is_right_and_straight(spec):
    found = []
    for kind, params in ((Mixup, MixupParams(weight=1.0, **SIZE)), (ERM, ERMParams(**SIZE))):
        torch.manual_seed(0)
        net = kind(params, spec)
        planted.train(net, steps(spec, 256, 1), epochs=24, lr=4e-3, size=32)
        found.append(between(net))
    (error, bend), (erms_error, erms_bend) = found
    assert error < 0.9 * erms_error
    assert bend < 0.85 * erms_bend


# --- supcon ---------------------------------------------------------------------------------------------


def test_supcon_is_the_papers_sum():
    draw = np.random.default_rng(0)
    features, classes, tau = draw.normal(size=(8, 5)), np.array([0, 1, 1, 2, 0, 0, 1, 3]), 0.2
    z = features / np.linalg.norm(features, axis=1, keepdims=True)
    terms = []
    for i in range(8):
        others = [a for a in range(8) if a != i]
        below = sum(np.exp(z[i] @ z[a] / tau) for a in others)
        positives = [p for p in others if classes[p] == classes[i]]
        if positives:  # neither class 2 nor class 3 has two
            terms.append(-np.mean([np.log(np.exp(z[i] @ z[p] / tau) / below) for p in positives]))
    assert len(terms) == 6
    ours = contrast_of_samples(torch.tensor(features), torch.tensor(classes), tau)
    assert float(ours) == pytest.approx(np.mean(terms), rel=1e-9)


def test_supcon_without_any_positive_is_zero_with_zero_gradient():
    for count in (1, 3):
        features = torch.randn(count, 4, requires_grad=True)
        loss = contrast_of_samples(features, torch.arange(count), 0.1)
        loss.backward()
        assert loss == 0
        assert features.grad is not None
        assert (features.grad == 0).all()


def test_scores_have_three_classes_about_the_middle():
    target = torch.tensor([0.0, 1.0, 2.0, 3.0])
    assert label_classes(target, replace(SPEC, label_range=(0.0, 4.0))).tolist() == [0, 0, 1, 2]
    assert label_classes(target, replace(SPEC, label_range=None)).tolist() == [1, 2, 2, 2]
    assert label_classes(torch.tensor([2, 0]), CLASSES).tolist() == [2, 0]


@torch.no_grad()
def likeness(net: SupCon) -> tuple[float, float]:
    """The mean cosine of projections of one class in two domains, and of different classes."""
    batch = two_domains.shifted(net.spec, 512, seed=5)
    z = F.normalize(net.projection(net(batch).fused), dim=-1)
    classes, cosine = label_classes(batch.target, net.spec), z @ z.T
    same, across = classes.unsqueeze(1) == classes, batch.domain.unsqueeze(1) != batch.domain
    return float(cosine[same & across].mean()), float(cosine[~same].mean())


@pytest.mark.parametrize("spec", [SPEC, CLASSES], ids=lambda spec: spec.kind)
def test_one_class_comes_together_whatever_its_domain(spec):
    found = []
    for weight in (SupConParams().weight, 0.0):  # without weight it is ERM beside a projection
        torch.manual_seed(0)
        net = SupCon(SupConParams(weight=weight, **SIZE), spec)
        planted.train(net, two_domains.shifted(spec, 512, seed=1), epochs=12, lr=4e-3)
        found.append(likeness(net))
    (same, different), (erms_same, erms_different) = found
    assert same > erms_same + 0.05
    assert same - different > 1.3 * (erms_same - erms_different)


# --- the control ----------------------------------------------------------------------------------------


def agreement(samples: int, seed: int) -> tuple[Spec, Batch]:
    """Two classes: whether text and audio have the same sign. Neither alone says anything of it."""
    spec = replace(CLASSES, classes=2)
    draw = torch.Generator().manual_seed(seed)
    batch = planted.noise(spec, samples, 3, seed + 1)
    signs = {m: 2.0 * torch.randint(0, 2, (samples,), generator=draw) - 1 for m in spec.modalities}
    features = {m: 0.1 * x + signs[m][:, None, None] for m, x in batch.features.items()}
    return spec, replace(batch, features=features, target=(signs["text"] == signs["audio"]).long())


def on_agreement(kind: type[Method], params) -> Method:
    spec, train = agreement(512, seed=1)
    torch.manual_seed(0)
    return planted.train(kind(params, spec), train, epochs=16, lr=4e-3)


def test_late_concat_cannot_learn_an_interaction_that_erm_learns():
    _, test = agreement(512, seed=5)

    def accuracy(net: Method) -> float:
        with torch.no_grad():
            return (net(test).prediction.argmax(1) == test.target).float().mean().item()

    assert accuracy(on_agreement(ERM, ERMParams(**SIZE))) > 0.95
    # Of the four corners a sum has at most three right.
    assert accuracy(on_agreement(LateConcat, LateConcatParams(**SIZE))) < 0.8


@torch.no_grad()
def interaction(net: Method) -> float:
    """|f(text, audio) + f(nothing) - f(text) - f(audio)|, the largest: 0 where modalities only add up."""
    batch = planted.noise(net.spec, 32)
    gone = torch.zeros(32, dtype=torch.bool)
    without = [
        net(batch.with_present(dict.fromkeys(names, gone))).prediction
        for names in ([], ["text", "audio"], ["audio"], ["text"])
    ]
    return float((without[0] + without[1] - without[2] - without[3]).abs().max())


def test_late_concats_modalities_only_add_up():
    torch.manual_seed(0)
    assert interaction(LateConcat(LateConcatParams(**SIZE), CLASSES).eval()) < 1e-5
    assert interaction(ERM(ERMParams(**SIZE), CLASSES).eval()) > 1e-3


def test_late_concats_head_is_linear_and_its_encoders_are_erms():
    torch.manual_seed(0)
    control = LateConcat(LateConcatParams(), CLASSES)
    assert sum(p.numel() for p in control.head.parameters()) == 2 * 40 * 3 + 3
    torch.manual_seed(0)
    erm = ERM(ERMParams(), CLASSES)
    ours, erms = control.encoders.state_dict(), erm.encoders.state_dict()
    assert all(torch.equal(ours[name], erms[name]) for name in ours | erms)
    z = torch.randn(2, 80)
    middle = control.head(z.mean(0))
    torch.testing.assert_close(middle, control.head(z).mean(0), rtol=1e-5, atol=1e-6)
