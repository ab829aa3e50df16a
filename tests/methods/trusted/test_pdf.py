"""PDF's weights by hand, and what its confidence is worth."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from mmbench.methods.trusted.pdf import PDF, PDFParams, holo_confidence, relative_calibration
from torch.nn import functional as F

from .. import planted
from . import quality

SPEC = planted.spec(kind="classification")


def network(**params) -> PDF:
    torch.manual_seed(0)
    return PDF(PDFParams(width=8, layers=1, **params), SPEC).eval()


def test_holo_confidence_by_hand():
    mono = torch.tensor([[0.5, 0.25, 0.125]])
    known = torch.ones(1, 3, dtype=torch.bool)
    # logarithms to the base 2: -1, -2, -3
    assert torch.allclose(holo_confidence(mono, known), torch.tensor([[5 / 6, 4 / 6, 3 / 6]]))
    some = torch.tensor([[True, False, True]])
    assert torch.allclose(holo_confidence(mono, some)[some], torch.tensor([3 / 4, 1 / 4]))
    alone = torch.tensor([[False, True, False]])
    assert float(holo_confidence(mono, alone)[0, 1]) == pytest.approx(0, abs=1e-6)


def test_relative_calibration_is_the_published_one_with_two_modalities():
    probability = torch.tensor([[[0.7, 0.2, 0.1], [0.5, 0.3, 0.2]]])
    away = [(0.7 - 1 / 3 + 1 / 3 - 0.2 + 1 / 3 - 0.1) / 3, (0.5 - 1 / 3 + 1 / 3 - 0.3 + 1 / 3 - 0.2) / 3]
    by_hand = [min(1, away[0] / away[1]), min(1, away[1] / away[0])]
    told = relative_calibration(probability.log(), torch.ones(1, 2, dtype=torch.bool))
    assert told[0].tolist() == pytest.approx(by_hand, rel=1e-5)
    assert relative_calibration(probability.log(), torch.tensor([[False, True]])).tolist() == [[0, 1]]


def test_the_weights_by_hand_in_training_and_where_it_predicts():
    net, mono = network(), torch.tensor([[0.5, 0.25, 0.125]])
    known = torch.ones(1, 3, dtype=torch.bool)
    logits = torch.tensor([[[2.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]])
    said = torch.tensor([[0.5 + 5 / 6, 0.25 + 4 / 6, 0.125 + 3 / 6]])
    calibrated = said * relative_calibration(logits, known)
    assert torch.allclose(net.weigh(mono, logits, known), calibrated.softmax(1))
    assert float(calibrated[0, 2]) == pytest.approx(0, abs=1e-6)
    assert torch.allclose(net.train().weigh(mono, logits, known), said.softmax(1))
    assert torch.allclose(network(calibrate=False).weigh(mono, logits, known), said.softmax(1))
    alone = network(holo=False, calibrate=False).weigh(mono, logits, torch.tensor([[True, True, False]]))
    assert alone[0].tolist() == pytest.approx([1 / (1 + math.exp(-0.25)), 1 / (1 + math.exp(0.25)), 0])
    uniform = network(weights="uniform").weigh(mono, logits, torch.tensor([[True, True, False]]))
    assert uniform.tolist() == [[0.5, 0.5, 0]]


def test_the_sum_and_its_terms_by_hand_with_a_modality_gone():
    net, batch = network(), planted.noise(SPEC, 8)
    gone = batch.with_present({"audio": torch.arange(8) < 2})
    output = net(gone)
    by_hand = [output.diagnostics[f"weight/{m}"][:, None] * output.unimodal[m] for m in SPEC.modalities]
    assert torch.allclose(output.prediction, torch.stack(by_hand).sum(0), atol=1e-6)
    terms = net.loss(gone)
    rows = {"text": 8, "audio": 2, "vision": 8}
    errors = sum(F.cross_entropy(output.unimodal[m][:n], gone.target[:n]) for m, n in rows.items())
    assert torch.allclose(terms["views"], torch.as_tensor(errors))
    away = 0.0
    for m, n in rows.items():
        right = output.unimodal[m].softmax(1)[torch.arange(8), gone.target]
        away += float((output.diagnostics[f"confidence/{m}"] - right).abs()[:n].mean().detach())
    assert float(terms["confidence"].detach()) == pytest.approx(away, rel=1e-5)


def test_the_confidence_trains_its_own_network_alone():
    net, batch = network(), planted.noise(SPEC, 8)
    net.loss(batch)["confidence"].backward()
    reached = {
        name.split(".")[0] for name, p in net.named_parameters() if p.grad is not None and p.grad.any()
    }
    assert reached == {"nets"}


def test_published_layers_are_one_linear_layer():
    rows = torch.randn(9, 8)
    for relu in (False, True):
        net = network(hidden_relu=relu).nets[0]
        first, second = torch.logit(net(rows)), torch.logit(net(2 * rows))
        zero = torch.logit(net(torch.zeros(1, 8)))
        assert torch.allclose(second - zero, 2 * (first - zero), atol=1e-4) == (not relu)


def test_its_confidence_tells_errors_of_a_modality_and_the_published_one_does_not():
    ours, published = quality.fitted(PDF), quality.fitted(PDF, hidden_relu=False)
    assert quality.auroc_of_own_errors(ours) > 0.55
    assert quality.auroc_of_own_errors(published) < 0.5
    # which docs/methods.md says: equal weights are as good
    assert quality.accuracy(quality.fitted(PDF, weights="uniform")) > quality.accuracy(ours) - 0.01


def test_a_modality_that_is_faint_loses_weight_and_more_by_calibration():
    """Faint features make probabilities flat, which calibration reads; the confidence falls, too."""
    faint = replace(quality.TEST, features={m: (0.1 if m == "audio" else 1) * x for m, x in quality.TEST.features.items()})  # fmt: skip
    moved = {}
    for calibrate in (True, False):
        net = quality.fitted(PDF)
        net.params = replace(net.params, calibrate=calibrate)
        before, after = (quality.diagnostic(net, "weight", b)[:, 1].mean() for b in (quality.TEST, faint))
        moved[calibrate] = float(after - before)
        net.params = PDFParams(width=quality.WIDTH)
    assert moved[True] < moved[False] - 0.02 < 0
