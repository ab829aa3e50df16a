"""GMP, JAT and MBCD under ``as-published`` in sentiment: gradients and terms, by hand."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods.generalisation.gmp import GMP
from mmbench.methods.generalisation.jat import JAT
from mmbench.methods.generalisation.mbcd import MBCD, drop_probability
from mmbench.methods.method import Method
from torch import Tensor, nn
from torch.nn import functional as F

from . import planted, two_domains
from .test_published import SIZE, THREE, gradients, loss

SENTIMENT = replace(THREE, protocol="as-published")


def published(kind: type[Method], spec: Spec = SENTIMENT, family: str = "sentiment", **other: Any) -> Any:
    """The method's small network with all switches of a family, without dropout."""
    values = {**kind.as_published, **vars(kind)["as_published_in"].get(family, {})}
    torch.manual_seed(0)
    return kind(kind.Params(**SIZE | values | other), spec).eval()


def flat(parts: list[Tensor]) -> Tensor:
    return torch.cat([part.flatten() for part in parts])


def of(value: Tensor, parameters: list[nn.Parameter]) -> Tensor:
    got = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
    return flat([torch.zeros_like(p) if g is None else g for p, g in zip(parameters, got, strict=True)])


# --- GMP ------------------------------------------------------------------------------------------------------


def local_terms(net: GMP, batch: Batch) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Of each modality its L1, its domain cross-entropy and the domain's logits, by hand."""
    embeddings = net(batch).embeddings
    errors, domains, logits = [], [], []
    for place, x in enumerate(embeddings.values()):
        errors.append((net.heads.parts[place](x).squeeze(-1) - batch.target).abs().mean())
        hidden = net.projectors.parts[place](x)
        turned = hidden.detach() * 1.3 - 0.3 * hidden  # forwards hidden, backwards -0.3 times its gradient
        logits.append(net.discriminator(turned))
        domains.append(F.cross_entropy(logits[-1], batch.domain))
    return errors, domains, logits


def test_gmp_s_heads_and_adversary_learn_from_the_mean_that_is_not_damped():
    batch = two_domains.shifted(SENTIMENT, 24, 1)
    net = published(GMP)
    found = gradients(net, batch)
    errors, domains, _ = local_terms(net, batch)
    mean = 0.2 * torch.stack(errors).mean() + 0.2 * torch.stack(domains).mean()
    for part in ("heads", "projectors", "discriminator"):
        names = [n for n, p in net.named_parameters() if n.startswith(f"{part}.")]
        parameters = [dict(net.named_parameters())[n] for n in names]
        expected = of(mean, parameters)
        assert expected.abs().sum() > 0
        assert torch.allclose(flat([found[n] for n in names]), expected, atol=1e-6), part


def test_gmp_s_projector_is_turned_round_and_its_discriminator_is_not():
    """Against reversal before the projector: minus alpha times the projector's gradient, the same discriminator's."""
    batch = two_domains.shifted(SENTIMENT, 24, 1)
    behind, before = published(GMP, alpha_p=0.0), published(GMP, alpha_p=0.0, reversal_behind=False)
    mine, other = gradients(behind, batch), gradients(before, batch)
    for n, gradient in mine.items():
        factor = -0.3 if n.startswith("projectors") else 1.0
        assert torch.allclose(gradient, factor * other[n], atol=1e-6), n


def test_gmp_s_encoders_get_the_damped_and_reconciled_gradients_of_every_modality():
    batch = two_domains.shifted(SENTIMENT, 24, 1)
    net = published(GMP, cls_loss=0.5, domain_loss=2.0)
    found = gradients(net, batch)
    encoders = [(n, p) for n, p in net.named_parameters() if n.startswith("encoders.")]
    parameters = [p for _, p in encoders]
    errors, domains, logits = local_terms(net, batch)
    right = [math.exp(-float(e.detach())) for e in errors]
    rows = torch.arange(24)
    told = [float(x.softmax(1)[rows, batch.domain].mean().detach()) for x in logits]
    expected = of((net(batch).prediction - batch.target).abs().mean(), parameters)
    conflicts = 0
    for m in range(3):
        semantic = right[m] / ((sum(right) - right[m]) / 2)
        domain = (sum(told) - told[m]) / 2 / told[m]
        g_c = of(0.5 * errors[m], parameters) * (1 - math.tanh(0.5 * semantic) if semantic > 1 else 1)
        g_d = of(2.0 * domains[m], parameters) * (1 - math.tanh(0.5 * domain) if domain > 1 else 1)
        product = torch.dot(g_c, g_d)
        if product < 0:
            conflicts += 1
            if semantic >= domain:
                g_c = g_c - product / torch.dot(g_d, g_d) * g_d
            else:
                g_d = g_d - product / torch.dot(g_c, g_c) * g_c
        expected = expected + g_c + g_d
    assert conflicts
    assert torch.allclose(flat([found[n] for n, _ in encoders]), expected, atol=1e-5)


# --- JAT ------------------------------------------------------------------------------------------------------


def test_jat_s_terms_are_from_one_projection_of_each_modality():
    batch = two_domains.shifted(SENTIMENT, 24, 1)
    net = published(JAT)
    output = net(batch)
    hidden = [part(x) for part, x in zip(net.projectors.parts, output.embeddings.values(), strict=True)]
    local = [net.domain_of_embedding(x) for x in hidden]
    modality = torch.cat([net.modality_of_embedding(x) for x in hidden])
    entropy = torch.stack([-(x.softmax(1) * x.log_softmax(1)).sum(1).mean() for x in local])
    errors = torch.stack(
        [
            (head(x).squeeze(-1) - batch.target).abs().mean()
            for head, x in zip(net.heads.parts, output.embeddings.values(), strict=True)
        ]
    )
    domains = torch.stack([F.cross_entropy(x, batch.domain) for x in local])
    expected = {
        "task": (output.prediction - batch.target).abs().mean(),
        "domain_fused": 0.2 * F.cross_entropy(net.domain_of_fused(output.fused), batch.domain),
        "domain": 0.2 * domains.mean(),
        "modality": 0.05 * F.cross_entropy(modality, torch.arange(3).repeat_interleave(24)),
        "unimodal": 0.2 * (entropy.softmax(0) * errors).sum(),
    }
    assert loss(net, batch) == pytest.approx({k: float(v.detach()) for k, v in expected.items()}, rel=1e-5)
    # The reversals stand behind the projector: it learns minus alpha times what the adversaries ask for.
    gradient = of(
        torch.stack([net.loss(batch)[k] for k in ("domain", "modality")]).sum(),
        list(net.projectors.parameters()),
    )
    plain = of(-0.3 * expected["domain"] - 0.1 * expected["modality"], list(net.projectors.parameters()))
    assert torch.allclose(gradient, plain, atol=1e-6)


def test_with_one_source_jat_s_weights_are_from_the_entropies_of_its_heads_in_action():
    spec = planted.spec("text", "audio", kind="classification")
    batch = planted.linked(spec, 24, 1)
    net = published(JAT, spec, "action")
    with torch.no_grad():
        net.heads.parts[0].out.weight.mul_(20)  # text is surer of itself
    said = list(net(batch).unimodal.values())
    entropy = torch.stack([-(x.softmax(1) * x.log_softmax(1)).sum(1).mean() for x in said])
    errors = torch.stack([F.cross_entropy(x, batch.target) for x in said])
    expected = 3.0 * float((entropy.softmax(0) * errors).sum().detach())
    assert loss(net, batch)["unimodal"] == pytest.approx(expected, rel=1e-5)
    equal = published(JAT, spec, "action", class_entropies=False)
    equal.load_state_dict(net.state_dict())
    assert loss(equal, batch)["unimodal"] == pytest.approx(3.0 * float(errors.mean().detach()), rel=1e-5)
    assert expected != pytest.approx(3.0 * float(errors.mean().detach()), rel=0.01)


@pytest.mark.parametrize("kind", [JAT, GMP])
def test_batch_norms_of_discriminators_see_those_that_have_the_modality(kind: type[Any]):
    batch = two_domains.shifted(SENTIMENT, 16, 1)
    few = batch.with_present({"audio": torch.arange(16) < 1})
    for part in (few, few.take(slice(3, 4))):
        net = published(kind).train()
        net.backward(part)
        assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


# --- MBCD -----------------------------------------------------------------------------------------------------


def test_mbcd_s_terms_of_modalities_are_means_and_there_is_no_layer_norm():
    batch = planted.linked(SENTIMENT, 24, 1)
    net = published(MBCD, modality_drop_base=0.5)
    output = net(batch)
    whole = [
        part(batch.features[m], batch.mask[m]) for m, part in zip(net.names, net.encoders.parts, strict=True)
    ]
    assert torch.allclose(output.fused, torch.cat(whole, -1), atol=1e-5)  # the encoders' own embeddings
    errors = [(u - batch.target).abs().mean() for u in output.unimodal.values()]
    net.teacher = {k: v + 0.01 for k, v in net.state_dict().items()}
    teacher = published(MBCD)
    teacher.load_state_dict(net.teacher)
    lesson = teacher(batch).prediction.detach()
    terms = loss(net, batch)
    torch.manual_seed(3)
    dropped = net._drop(output, batch)
    assert dropped.any()
    seen = torch.stack(list(output.embeddings.values()), 1)
    said = net.aside((seen * ~dropped.unsqueeze(-1)).flatten(1)).squeeze(-1)
    assert net.aside[0].in_features == 3 * 3 * 16
    lessons = [(u - lesson).square().mean() for u in output.unimodal.values()]
    expected = {
        "unimodal": 0.2 * torch.stack(errors).mean(),
        "task": (output.prediction - batch.target).abs().mean(),
        "lesson": 0.1 * (output.prediction - lesson).square().mean(),
        "lesson_unimodal": 0.05 * torch.stack(lessons).mean(),
        "aside": 0.2 * (said - batch.target).abs().mean(),
    }
    assert terms == pytest.approx({k: float(v.detach()) for k, v in expected.items()}, rel=1e-4)
    sums = published(MBCD, unimodal_means=False)
    sums.load_state_dict(net.state_dict())
    assert loss(sums, batch)["unimodal"] == pytest.approx(3 * terms["unimodal"], rel=1e-5)


def test_the_lead_of_a_modality_in_sentiment_is_over_the_mean_of_the_others():
    confidence, known = torch.tensor([0.9, 0.5, 0.2]), torch.ones(3, dtype=torch.bool)
    released = drop_probability(confidence, known, 0.0, "ratio-to-mean")
    assert released.tolist() == pytest.approx([math.tanh(0.9 / 0.35 - 1), 0, 0], abs=1e-6)
    assert released[0] == pytest.approx(0.917, abs=1e-3)
    paper = drop_probability(confidence, known, 0.0)
    assert paper.tolist() == pytest.approx([0.973, 0.484, 0], abs=1e-3)


def test_the_teacher_s_batch_norms_are_the_student_s_where_they_are_not_averaged():
    motor = Spec({"sound": 1}, "classification", 3, encoders={"sound": "cnn1d"})
    batch = planted.noise(motor, 8, 64)
    for averaged in (True, False):
        net = published(MBCD, motor, "hust", buffers_averaged=averaged).train()
        net.after_step()  # the teacher begins as a copy
        net(batch)
        net.after_step()
        student, teacher = net.state_dict(), net.teacher
        names = [n for n, _ in net.named_buffers() if "running" in n]
        assert names
        assert all(torch.equal(student[n], teacher[n]) for n in names) != averaged
        weights = [n for n, _ in net.named_parameters()]
        assert all(teacher[n].shape == student[n].shape for n in weights)


def at_second(net: Any, batch: Batch) -> Any:
    """The network at theta', by hand: encoders and norms moved against the gradient of the heads' losses."""
    moved = copy.deepcopy(net)
    inner = [*moved.encoders.parameters(), *moved.norms.parameters()]
    slopes = torch.autograd.grad(moved.unimodal_losses(moved(batch), batch).sum(), inner, allow_unused=True)
    with torch.no_grad():
        for p, slope in zip(inner, slopes, strict=True):
            p.sub_(0.0 if slope is None else net.params.inner_rate * slope)
    return moved


@pytest.mark.parametrize("first", [True, False])
def test_lessons_of_the_heads_are_of_the_first_pass_where_they_are_to_be(first: bool):
    spec = planted.spec("text", "audio", kind="classification")
    batch = planted.linked(spec, 24, 1)
    torch.manual_seed(0)
    net = MBCD(MBCD.Params(**SIZE, first_lessons=first, inner_rate=0.5), spec).eval()
    net.teacher = {k: v + 0.02 for k, v in net.state_dict().items()}
    teacher = copy.deepcopy(net)
    teacher.load_state_dict(net.teacher)
    lesson = teacher(batch).prediction.detach()
    found = gradients(net, batch)
    place = next(n for n, _ in net.named_parameters() if n.startswith("heads.parts.0"))

    def gradient(of_lesson: bool, where: Any) -> Tensor:
        output = where(batch)
        said = output.unimodal["text"]
        apart = (lesson.softmax(1) * (lesson.log_softmax(1) - said.log_softmax(1))).sum(1).mean()
        value = apart if of_lesson else F.cross_entropy(said, batch.target)
        return torch.autograd.grad(value, dict(where.named_parameters())[place])[0]

    expected = gradient(False, net) + gradient(True, net if first else at_second(net, batch))
    assert torch.allclose(found[place], expected, atol=1e-5)
    assert not torch.allclose(gradient(True, net), gradient(True, at_second(net, batch)), atol=1e-5)


@pytest.mark.parametrize("adaptive", [True, False])
def test_leads_are_of_the_second_pass_in_hust(adaptive: bool, monkeypatch: pytest.MonkeyPatch):
    spec = planted.spec("text", "audio", kind="classification")
    batch = planted.linked(spec, 24, 1)
    torch.manual_seed(0)
    net = MBCD(
        MBCD.Params(**SIZE, adaptive_drop=adaptive, modality_drop_base=0.5, inner_rate=0.5), spec
    ).eval()
    seen: list[Tensor] = []
    drop = net._drop
    monkeypatch.setattr(net, "_drop", lambda out, b: (seen.append(out.unimodal["text"]), drop(out, b))[1])
    expected = (net if adaptive else at_second(net, batch))(batch).unimodal["text"]
    net.backward(batch)
    assert torch.allclose(seen[-1], expected, atol=1e-5)
