"""DANN and JAT hide the domain, JAT the modality too; what cannot be told with what there is is off."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from mmbench.datasets.batch import Spec
from mmbench.methods.erm import ERM, ERMParams
from mmbench.methods.generalisation.dann import DANN, DANNParams
from mmbench.methods.generalisation.jat import JAT, JATParams
from mmbench.methods.losses import task_loss
from mmbench.methods.method import Method
from mmbench.methods.shared.reversal import reverse
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from .. import planted

SMALL: dict[str, Any] = {"layers": 1, "width": 16}
STRONG: dict[str, Any] = {"alpha_rev2": 1.0, "domain_adv_loss": 1.0, "modal_adv_loss": 1.0}


def two_sources(*modalities: str, kind: str = "regression") -> Spec:
    return replace(planted.spec(*modalities, kind=kind), domains=2)


def trained(method: Method, seed: int = 1) -> Method:
    return planted.train(method, planted.shifted(method.spec, 256, seed), epochs=40, lr=3e-3)


@cache
def erm() -> Method:
    torch.manual_seed(0)
    return trained(ERM(ERMParams(**SMALL), two_sources("text", "audio")))


@torch.no_grad()
def probed(method: Method) -> float:
    """Accuracy on new samples of a fresh linear probe for the domain, from the fused feature."""
    train, test = (planted.shifted(method.spec, 256, seed) for seed in (1, 2))
    seen, new = method(train).fused, method(test).fused
    probe = LogisticRegression(max_iter=2000, C=0.01).fit(seen.numpy(), train.domain.numpy())
    return float(probe.score(new.numpy(), test.domain.numpy()))


@torch.no_grad()
def error(method: Method) -> float:
    test = planted.shifted(method.spec, 256, 2)
    return float(task_loss(method(test).prediction, test.target, method.spec))


@torch.no_grad()
def modality_told(method: JAT) -> float:
    """Accuracy on new samples of JAT's own modality discriminator."""
    test = planted.shifted(method.spec, 256, 2)
    embeddings = method(test).embeddings
    right = [
        (method.modality_of_embedding(method.modality_projectors(m, embeddings[m])).argmax(1) == i).float()
        for i, m in enumerate(method.names)
    ]
    return float(torch.cat(right).mean())


def test_reversal_is_the_identity_and_turns_gradients_round():
    x = torch.randn(5, 3, requires_grad=True)
    out = reverse(x, 0.3)
    assert torch.equal(out, x)
    weight = torch.randn(5, 3)
    (out * weight).sum().backward()
    assert torch.allclose(x.grad if x.grad is not None else x, -0.3 * weight)


@pytest.mark.parametrize(
    "make",
    [
        lambda s: DANN(DANNParams(**SMALL), s),
        lambda s: JAT(JATParams(**SMALL, **STRONG), s),
    ],
    ids=["dann", "jat"],
)
def test_the_domain_is_harder_to_read_than_from_erm(make):
    net = trained(make(two_sources("text", "audio")))
    assert probed(erm()) > 0.9
    assert probed(net) < probed(erm()) - 0.08
    # The target does not depend on the domain, so hiding it costs little.
    assert error(net) < 0.5


def test_the_modality_is_harder_to_tell_and_only_with_one_projector_for_all():
    spec = two_sources("text", "audio")
    told = {}
    for name, change in {
        "off": {"alpha_rev": 0.0},
        "on": {"alpha_rev": 3.0},
        "published": {"alpha_rev": 3.0, "one_projector": False},
    }.items():
        torch.manual_seed(0)
        net = trained(JAT(JATParams(**SMALL, **STRONG, **change), spec))
        assert isinstance(net, JAT)
        told[name] = modality_told(net)
    assert told["off"] > 0.99
    assert told["on"] < 0.95
    assert told["published"] > 0.99  # a bias of its own says which modality it is


def gradients(method: Method, term: Tensor) -> dict[str, Tensor]:
    method.zero_grad()
    term.backward(retain_graph=True)
    return {n: p.grad.clone() for n, p in method.named_parameters() if p.grad is not None}


def test_the_encoders_get_the_reversed_gradient_of_the_discriminators_loss():
    spec, found = two_sources("text", "audio"), {}
    for strength in (0.5, 1.0):
        torch.manual_seed(0)
        net = DANN(DANNParams(alpha_rev=strength, **SMALL), spec).eval()
        found[strength] = gradients(net, net.loss(planted.shifted(spec, 32, 1))["domain"])
    for name, gradient in found[1.0].items():
        factor = 1.0 if name.startswith("adversary") else 0.5
        assert torch.allclose(found[0.5][name], factor * gradient, atol=1e-7), name
    net = DANN(DANNParams(**SMALL), spec).eval()
    batch = planted.shifted(spec, 32, 1)
    plain = torch.nn.functional.cross_entropy(net.adversary(net(batch).fused), batch.domain)
    forwards, backwards = gradients(net, plain), gradients(net, net.loss(batch)["domain"])
    for name, gradient in forwards.items():
        sign = 1 if name.startswith("adversary") else -1
        assert torch.allclose(backwards[name], sign * gradient, atol=1e-7), name


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_terms_that_need_two_sources_or_two_modalities_are_off_without(kind):
    one, two = planted.spec("text", kind=kind), two_sources("text", "audio", kind=kind)
    batch = planted.noise(one, 4)
    assert set(DANN(DANNParams(**SMALL), one).loss(batch)) == {"task"}
    assert set(JAT(JATParams(**SMALL), one).loss(batch)) == {"task", "unimodal"}
    full = {"task", "domain_fused", "domain", "modality", "unimodal"}
    assert set(JAT(JATParams(**SMALL), two).loss(planted.noise(two, 4))) == full


def test_weights_of_the_heads_favour_the_modality_that_hides_its_domain():
    """Text that tells its domain weighs less than audio that does not."""
    spec = two_sources("text", "audio")
    net = JAT(JATParams(**SMALL), spec).eval()
    batch = planted.noise(spec, 64)
    net.domain_of_embedding = torch.nn.Identity()
    sharp = torch.zeros(2, net.params.width)
    sharp[0, 0] = 100.0
    for place, matrix in enumerate((sharp, torch.zeros_like(sharp))):
        layer = torch.nn.Linear(net.params.width, 2, bias=False)
        layer.weight.data.copy_(matrix)
        net.domain_projectors.parts[place] = layer
    output = net(batch)
    weights = net._local_domains(net.adversary_inputs(output)[0], batch)[1]
    logits = output.embeddings["text"] @ sharp.T
    p = logits.softmax(-1)
    entropy = torch.stack([-torch.special.xlogy(p, p).sum(-1).mean(), torch.tensor(2.0).log()])
    assert torch.allclose(weights, entropy.exp() / entropy.exp().sum(), atol=1e-5)
    assert weights[0] < weights[1]


def test_absent_samples_have_no_part_in_a_modalitys_adversary():
    spec = two_sources("text", "audio")
    net = JAT(JATParams(**SMALL), spec).eval()
    batch = planted.shifted(spec, 32, 1)
    there = torch.arange(32) < 20
    some = net.loss(batch.with_present({"text": there, "audio": there}))
    fewer = net.loss(batch.take(slice(0, 20)))
    for name in ("domain", "modality", "unimodal"):
        assert torch.allclose(some[name], fewer[name], atol=1e-5), name
