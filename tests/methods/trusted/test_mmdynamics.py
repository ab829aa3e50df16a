"""MMDynamics' gates and terms by hand, its sizes, and what its confidence is worth."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from mmbench.datasets.batch import Spec
from mmbench.methods.trusted.mmdynamics import MMDynamics, MMDynamicsParams
from torch.nn import functional as F

from .. import planted
from . import quality

SPEC = planted.spec(kind="classification")


def network(**params) -> MMDynamics:
    torch.manual_seed(0)
    return MMDynamics(MMDynamicsParams(width=8, layers=1, **params), SPEC).eval()


def test_as_published_sizes_are_those_counted_by_hand():
    sizes = {"mrna": 200, "methylation": 150, "mirna": 100}
    spec = Spec(sizes, "classification", classes=2, steps=dict.fromkeys(sizes, 1))
    net = MMDynamics(MMDynamicsParams(**MMDynamics.as_published), spec)
    by_hand = (
        sum(d * d + d + 1000 * d + 1000 + 2 * 1000 + 2 + 1000 + 1 for d in sizes.values()) + 2 * 3000 + 2
    )
    assert sum(p.numel() for p in net.parameters()) == by_hand
    assert all((view.gate.bias == 0).all() for _, view in net.parts())
    assert float(dict(net.parts())["mrna"].hidden.weight.detach().std()) == pytest.approx(
        (2 / 1200) ** 0.5, rel=0.02
    )


def test_the_prediction_by_hand_with_a_modality_gone():
    net, batch = network(), planted.noise(SPEC, 8)
    gone = batch.with_present({"audio": torch.arange(8) < 2})
    embeddings, parts = net.encode_all(gone), []
    for m, view in net.parts():
        x = embeddings[m]
        h = F.relu(view.hidden(view.gate(x).sigmoid() * x))
        parts.append(h * view.confidence(h))
    parts[1] = torch.cat([parts[1][:2], torch.zeros(6, 8)])
    output = net(gone)
    assert torch.allclose(output.prediction, net.out(torch.cat(parts, 1)), atol=1e-6)
    told = torch.stack([output.diagnostics[f"confidence/{m}"] for m in SPEC.modalities], 1)
    assert (told[2:, 1] == 0).all()
    assert torch.allclose(output.confidence["tcp"], told.sum(1) / torch.tensor([3.0, 3] + 6 * [2]))


def test_terms_by_hand():
    net, batch = network(weight_sparse=0.5), planted.noise(SPEC, 8)
    output, terms = net(batch), net.loss(batch)
    own, away, gates = 0.0, 0.0, 0.0
    for m in SPEC.modalities:
        right = output.unimodal[m].softmax(1)[torch.arange(8), batch.target]
        own += float(F.cross_entropy(output.unimodal[m], batch.target).detach())
        away += float((output.diagnostics[f"confidence/{m}"] - right).square().mean().detach())
        gates += float(output.diagnostics[f"gate/{m}"].mean().detach())
    told = {name: float(value.detach()) for name, value in terms.items()}
    assert told["views"] == pytest.approx(own, rel=1e-5)
    assert told["confidence"] == pytest.approx(away, rel=1e-5)
    assert told["sparse"] == pytest.approx(0.5 * gates, rel=1e-5)
    assert told["task"] == pytest.approx(float(F.cross_entropy(output.prediction, batch.target).detach()))
    assert "sparse" not in network(feature_gate=False).loss(batch)


@pytest.mark.parametrize("detach", [True, False])
def test_what_a_confidence_is_to_predict_learns_from_it_as_released_alone(detach: bool):
    net, batch = network(detach=detach), planted.noise(SPEC, 8)
    net.loss(batch)["confidence"].backward()
    assert (dict(net.parts())["text"].classifier.weight.grad is None) == detach


def test_without_gates_features_and_modalities_pass_as_they_are():
    net, batch = network(feature_gate=False, modality_gate="none"), planted.noise(SPEC, 8)
    embeddings = net.encode_all(batch)
    parts = [F.relu(view.hidden(embeddings[m])) for m, view in net.parts()]
    assert torch.allclose(net(batch).prediction, net.out(torch.cat(parts, 1)), atol=1e-6)


def test_confidence_falls_with_noise_and_most_with_the_feature_gate():
    found = {}
    for gate in (True, False):
        net = quality.fitted(MMDynamics, feature_gate=gate)
        told = quality.diagnostic(net, "confidence")
        found[gate] = [quality.spearman(told[:, i], quality.STRENGTH[:, i]) for i in range(3)]
    assert max(found[True]) < -0.15
    assert sum(found[True]) < sum(found[False]) - 0.3
    # which docs/methods.md says: modalities that pass as they are do as well
    plain = quality.accuracy(quality.fitted(MMDynamics, modality_gate="none"))
    assert plain > quality.accuracy(quality.fitted(MMDynamics, feature_gate=True))


def test_features_that_tell_nothing_are_let_through_less():
    """Each modality of twelve features tells the class by the first four alone."""
    torch.manual_seed(0)
    spec = quality.SPEC

    def sample(count: int, seed: int):
        batch, _ = quality.samples(count, seed)
        draw = torch.Generator().manual_seed(seed)
        means = torch.randn(quality.CLASSES, 12, generator=torch.Generator().manual_seed(5))
        means[:, 4:] = 0
        features = {m: (3 * means[batch.target] + torch.randn(count, 12, generator=draw)).unsqueeze(1) for m in spec.modalities}  # fmt: skip
        return replace(batch, features=features)

    net = MMDynamics(MMDynamicsParams(direct=True, hidden=16), spec)
    planted.train(net, sample(400, 1), epochs=25, lr=1e-2)
    batch = sample(200, 2)
    with torch.no_grad():
        gates = dict(net.parts())["text"].gate(net.encode("text", batch)).sigmoid().mean(0)
    assert float(gates[:4].mean()) > float(gates[4:].mean()) + 0.1
