"""``uniform`` and ``ume``: what they minimise and predict, and that a uni-modal loss is what the weak encoder lacked."""

from __future__ import annotations

import pytest
import torch
from mmbench.methods.balance.ume import UME, UMEParams, mean_prediction
from mmbench.methods.balance.uniform import Uniform, UniformParams
from mmbench.methods.losses import task_loss

from .. import planted
from .strong_weak import TEST, accuracy, probes, trained

SCORES, CLASSES = planted.spec(), planted.spec(kind="classification")


def test_uniform_minimises_the_joint_loss_and_that_of_each_head():
    net, batch = (
        Uniform(UniformParams(width=8, layers=1, weight=0.5), CLASSES).eval(),
        planted.noise(CLASSES, 12),
    )
    batch = batch.with_present({"audio": torch.arange(12) < 4})
    output, terms = net(batch), net.loss(batch)
    alone = [
        task_loss(output.unimodal[m][rows], batch.target[rows], CLASSES)
        for m, rows in (("text", slice(12)), ("audio", slice(4)), ("vision", slice(12)))
    ]
    assert torch.allclose(terms["unimodal"], 0.5 * torch.stack(alone).sum())
    assert torch.equal(terms["task"], task_loss(output.prediction, batch.target, CLASSES))


@pytest.mark.parametrize("spec", [SCORES, CLASSES], ids=["scores", "classes"])
def test_no_network_of_the_ensemble_reads_or_trains_another(spec):
    net, batch = UME(UMEParams(width=8, layers=1), spec).eval(), planted.noise(spec, 12)
    net.loss(batch)["task/text"].backward()
    got = {name for name, p in net.named_parameters() if p.grad is not None}
    assert got
    assert all(".parts.0." in name for name in got)


def test_the_mean_is_over_what_is_present():
    scores = torch.tensor([[1.0, 5.0], [1.0, 5.0]])
    counted = torch.tensor([[True, True], [False, True]])
    assert mean_prediction(scores, counted, False).tolist() == [3.0, 5.0]
    logits = torch.randn(2, 2, 3)
    found = mean_prediction(logits, counted, True).softmax(dim=-1)
    shares = logits.softmax(dim=-1)
    assert torch.allclose(found, torch.stack([shares[0].mean(dim=0), shares[1, 1]]), atol=1e-6)
    assert torch.allclose(mean_prediction(logits, counted, False)[0], logits[0].mean(dim=0))


def test_one_modality_alone_gives_its_own_prediction():
    net, batch = UME(UMEParams(width=8, layers=1), SCORES).eval(), planted.noise(SCORES, 6)
    gone = {m: torch.zeros(6, dtype=torch.bool) for m in ("audio", "vision")}
    output = net(batch.with_present(gone))
    assert torch.equal(output.prediction, output.unimodal["text"])
    nothing = batch.with_present(gone | {"text": torch.zeros(6, dtype=torch.bool)})
    assert torch.isfinite(net(nothing).prediction).all()


def test_joint_training_leaves_the_weak_encoder_behind_and_a_loss_of_its_own_does_not():
    joint, uniform, alone = probes("erm"), probes("uniform"), probes("ume")
    assert uniform > joint + 0.1
    assert alone > joint + 0.1
    assert abs(probes("uniform", "strong") - probes("erm", "strong")) < 0.02
    assert abs(probes("uniform", weight=0.0) - joint) < 0.03  # the heads alone, without their losses


def test_the_heads_of_the_weak_modality_predict():
    for name in ("uniform", "ume"):
        right = trained(name)(TEST).unimodal["weak"].argmax(1) == TEST.target
        assert float(right.float().mean()) > 0.75
    assert accuracy(trained("ume")) > 0.95
