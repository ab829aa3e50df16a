"""GMP: the adversary learns, modalities that are ahead are damped, conflicting gradients are projected."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods.generalisation.gmp import GMP, GMPParams, damping, ratios, reconcile
from mmbench.methods.method import Method
from mmbench.methods.shared.heads import means_of_others
from torch import Tensor

from .. import planted

SMALL: dict[str, Any] = {"layers": 1, "width": 16}


def two_sources(*modalities: str) -> Spec:
    return replace(planted.spec(*modalities), domains=2)


def filled(method: Method, batch: Batch, plain: bool = False) -> dict[str, Tensor]:
    """The gradients that a step leaves, or those of the sum of the loss terms."""
    method.zero_grad()
    torch.manual_seed(3)
    (Method.backward if plain else type(method).backward)(method, batch)
    return {n: p.grad.clone() for n, p in method.named_parameters() if p.grad is not None}


def test_projection_by_hand():
    task, domain = [torch.tensor([1.0, 0.0])], [torch.tensor([-1.0, 1.0])]
    yielding, kept = reconcile(task, domain, task_yields=True)
    assert yielding[0].tolist() == pytest.approx([0.5, 0.5])
    assert kept is domain
    kept, yielding = reconcile(task, domain, task_yields=False)
    assert yielding[0].tolist() == pytest.approx([0.0, 1.0])
    assert kept is task


vectors = st.lists(st.floats(-10, 10, width=32), min_size=4, max_size=4)


@given(vectors, vectors, st.booleans())
def test_after_projection_nothing_conflicts_and_agreement_is_left_alone(a, b, task_yields):
    # Split over two parameters: the product is that of the whole.
    left, right = (list(torch.tensor(v, dtype=torch.float64).split(2)) for v in (a, b))
    before = float(torch.dot(torch.cat(left), torch.cat(right)))
    new = [torch.cat(part) for part in reconcile(left, right, task_yields)]
    if before >= 0:
        assert torch.equal(new[0], torch.cat(left))
        assert torch.equal(new[1], torch.cat(right))
    else:
        # up to the 1e-12 in the denominator, which shows where the kept vector is tiny
        assert float(torch.dot(*new)) >= -1e-9 + min(0.0, before) * 1e-6 - 1e-6
        assert torch.equal(new[1 if task_yields else 0], torch.cat(right if task_yields else left))


def test_ratios_and_damping_by_hand():
    known = torch.tensor([True, True, True, False])
    correct = torch.tensor([0.8, 0.2, 0.6, 0.9])
    others = means_of_others(correct, known)
    assert ratios(correct, others, known) == pytest.approx([2.0, 0.2 / 0.7, 1.2, 1.0])
    assert ratios(others, correct, known)[1] == pytest.approx(0.7 / 0.2)
    alone = torch.tensor([True, False, False, False])
    assert ratios(correct, means_of_others(correct, alone), alone) == [1.0] * 4
    assert damping(2.0, 0.5) == pytest.approx(1 - math.tanh(1.0))
    assert damping(1.0, 0.5) == damping(0.3, 0.5) == 1.0


def test_without_damping_and_adversary_it_is_the_plain_gradient():
    spec = planted.spec("text", "audio")
    net, batch = GMP(GMPParams(alpha_k=0.0, **SMALL), spec), planted.linked(spec, 32, 1)
    plain = filled(net, batch, plain=True)
    for name, gradient in filled(net, batch).items():
        assert torch.allclose(gradient, plain[name], atol=1e-6), name


def test_the_stronger_modality_is_damped_and_the_weaker_is_not():
    spec = planted.spec("text", "audio")
    batch = planted.linked(spec, 128, 1)
    batch = planted.corrupted(batch, "audio", torch.ones(128, dtype=torch.bool))
    torch.manual_seed(0)
    net = GMP(GMPParams(**SMALL), spec)
    planted.train(net, batch, epochs=10)
    full = GMP(GMPParams(alpha_k=0.0, **SMALL), spec)
    full.load_state_dict(net.state_dict())
    task_only = GMP(GMPParams(cls_loss=0.0, **SMALL), spec)
    task_only.load_state_dict(net.state_dict())
    damped, undamped, base = (filled(n.eval(), batch) for n in (net, full, task_only))
    with torch.no_grad():
        correct = net.correctness(net(batch), batch)
    assert correct[0] > correct[1]
    expected = {"text": damping(float(correct[0] / correct[1]), 0.5), "audio": 1.0}
    assert expected["text"] < 0.7
    for place, m in enumerate(("text", "audio")):
        names = [n for n in base if n.startswith((f"encoders.parts.{place}.", f"heads.parts.{place}."))]
        assert len(names) > 10
        for n in names:
            own = undamped[n] - base[n]
            assert torch.allclose(damped[n] - base[n], expected[m] * own, atol=1e-5), n


def test_conflicting_gradients_are_projected_in_a_step():
    """The reversed task is the domain: what tells the domain is what the task needs."""
    spec = two_sources("text")
    batch = planted.linked(spec, 64, 1)
    batch = replace(batch, domain=(batch.target > 0).long())
    torch.manual_seed(0)
    net = GMP(GMPParams(alpha_rev=1.0, **SMALL), spec)
    planted.train(net, batch, epochs=6)
    net.eval()
    own = net.own_parameters("text")
    terms, task, domain, _ = net._terms(batch)
    assert domain is not None
    g_c, g_d, g_t = (
        [
            torch.zeros_like(p) if g is None else g
            for p, g in zip(
                own, torch.autograd.grad(v, own, retain_graph=True, allow_unused=True), strict=True
            )
        ]
        for v in (task[0], domain[0], terms["task"])
    )
    c, d, t = (torch.cat([x.flatten() for x in g]) for g in (g_c, g_d, g_t))
    assert torch.dot(c, d) < 0
    # one modality: both ratios are 1, so the task yields
    expected = t + (c - torch.dot(c, d) / torch.dot(d, d) * d) + d
    net.zero_grad()
    net.backward(batch)
    found = torch.cat([p.grad.flatten() for p in own if p.grad is not None])
    assert torch.allclose(found, expected, atol=1e-4 * float(expected.abs().max()))


def told(net: GMP, batch: Batch) -> float:
    with torch.no_grad():
        embeddings = net(batch).embeddings
        logits = [net.discriminator(net.projectors(m, embeddings[m])) for m in net.names]
    return float(torch.stack([(x.argmax(1) == batch.domain).float().mean() for x in logits]).mean())


def test_the_adversary_learns_and_reversal_misleads_it():
    """Its parameters have gradients; without reversal it tells domains, with it less well."""
    spec = two_sources("text", "audio")
    train, test = planted.shifted(spec, 256, 1), planted.shifted(spec, 256, 2)
    net = GMP(GMPParams(**SMALL), spec)
    gradients = filled(net, train)
    for name in dict(net.named_parameters()):
        if name.startswith(("projectors", "discriminator")):
            assert gradients[name].abs().sum() > 0, name
    found = {}
    for strength in (0.0, 1.0):
        torch.manual_seed(0)
        net = GMP(GMPParams(alpha_rev=strength, domain_loss=1.0, **SMALL), spec)
        planted.train(net, train, epochs=20, lr=3e-3)
        found[strength] = told(net, test)
    assert found[0.0] > 0.8
    assert found[1.0] < found[0.0] - 0.05


def test_its_own_gradient_for_the_adversary_is_the_losss():
    spec = two_sources("text", "audio")
    net, batch = GMP(GMPParams(**SMALL), spec), planted.shifted(spec, 32, 1)
    plain, stepped = filled(net, batch, plain=True), filled(net, batch)
    for name, gradient in plain.items():
        if name.startswith(("projectors", "discriminator")):
            assert torch.allclose(stepped[name], gradient, atol=1e-6), name


def test_a_modality_that_nobody_has_gets_no_gradient_of_its_own():
    spec = two_sources("text", "audio")
    net, batch = GMP(GMPParams(**SMALL), spec), planted.shifted(spec, 8, 1)
    gradients = filled(net, batch.with_present({"audio": torch.zeros(8, dtype=torch.bool)}))
    assert all(g.isfinite().all() for g in gradients.values())
    assert all((gradients[n] == 0).all() for n in gradients if n.startswith("heads.parts.1."))
