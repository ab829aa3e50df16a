"""MBCD: the teacher is the average, the inner step is taken and undone, modalities that lead are dropped."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from mmbench.benchmark.core.protocol import Protocol
from mmbench.benchmark.train.lightning_module import fit
from mmbench.benchmark.train.validate import validate
from mmbench.datasets.batch import Batch
from mmbench.methods.generalisation.mbcd import MBCD, MBCDParams, drop_probability
from torch import Tensor, nn

from .. import planted

SMALL: dict[str, Any] = {"layers": 1, "width": 16}


class FirstStep(nn.Module):
    """w x of the first step: an encoder that can be followed by hand."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.clone())

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        return (features[:, 0] @ self.weight).unsqueeze(-1)


def linear(weights: list[float]) -> nn.Linear:
    layer = nn.Linear(len(weights), 1, bias=False)
    layer.weight.data.copy_(torch.tensor([weights]))
    return layer


def test_a_step_of_a_linear_model_is_the_one_computed_by_hand(monkeypatch: pytest.MonkeyPatch):
    spec = planted.spec("text", "audio")
    batch = planted.noise(spec, 5, steps=1)
    rate, kl_mm, kl_um = 0.2, 0.7, 0.3
    net = MBCD(MBCDParams(inner_rate=rate, kl_mm=kl_mm, kl_um=kl_um, **SMALL), spec)
    draw = np.random.default_rng(0)
    w = [draw.normal(size=6).astype(np.float32), draw.normal(size=5).astype(np.float32)]
    a, b = [0.5, -0.8], [1.1, 0.6]
    for m in range(2):
        net.encoders.parts[m] = FirstStep(torch.tensor(w[m]))
        net.norms.parts[m] = nn.Identity()
        net.heads.parts[m] = linear([a[m]])
    net.head = linear(b)  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setattr(net, "_drop", lambda *_: torch.zeros(5, 2, dtype=torch.bool))
    before = [p.detach().clone() for p in net.parameters()]
    net.backward(batch)

    x = [batch.features[m][:, 0].numpy().astype(float) for m in ("text", "audio")]
    y, n = batch.target.numpy().astype(float), 5
    e = [x[m] @ w[m] for m in range(2)]
    sign = [np.sign(a[m] * e[m] - y) for m in range(2)]
    g1_w = [a[m] * sign[m] @ x[m] / n for m in range(2)]
    g1_a = [sign[m] @ e[m] / n for m in range(2)]
    lesson = b[0] * e[0] + b[1] * e[1]  # the teacher is still the student at theta
    e = [x[m] @ (w[m] - rate * g1_w[m]) for m in range(2)]
    fused = b[0] * e[0] + b[1] * e[1]
    outer = np.sign(fused - y) + 2 * kl_mm * (fused - lesson)
    for m in range(2):
        apart = 2 * kl_um * (a[m] * e[m] - lesson)
        expected = g1_w[m] + (b[m] * outer + a[m] * apart) @ x[m] / n
        assert grad(net.encoders.parts[m].weight) == pytest.approx(expected, abs=1e-4)
        assert grad(net.heads.parts[m].weight)[0, 0] == pytest.approx(g1_a[m] + apart @ e[m] / n, abs=1e-4)
        assert grad(net.head.weight)[0, m] == pytest.approx(outer @ e[m] / n, abs=1e-4)
    for p, value in zip(net.parameters(), before, strict=True):
        assert torch.equal(p, value)  # theta again, to the last bit


def grad(parameter: Any) -> np.ndarray:
    assert parameter.grad is not None
    return parameter.grad.numpy().astype(float)


def steps(net: MBCD, batch: Batch, count: int) -> list[dict[str, Tensor]]:
    """Trains, and returns the student's state before the first and after every step."""
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    states = [{n: v.clone() for n, v in net.state_dict().items()}]
    for _ in range(count):
        optimizer.zero_grad()
        net.backward(batch)
        optimizer.step()
        net.after_step()
        states.append({n: v.clone() for n, v in net.state_dict().items()})
    return states


@pytest.mark.parametrize("ramp", [False, True])
def test_the_teacher_is_the_moving_average_of_the_student(ramp: bool):
    spec = planted.spec("text", "audio")
    net = MBCD(MBCDParams(ema_beta=0.9, ema_ramp=ramp, **SMALL), spec)
    states = steps(net, planted.linked(spec, 32, 1), 4)
    teacher = net.evaluated()
    assert teacher is not None
    for name in states[0]:
        expected = states[0][name].double()
        for t, state in enumerate(states[1:], start=1):
            beta = min(0.9, (1 + t) / (10 + t)) if ramp else 0.9
            expected = beta * expected + (1 - beta) * state[name].double()
        assert torch.allclose(teacher[name].double(), expected, atol=1e-6), name


def test_the_lesson_is_the_teachers_and_no_dropout_is_in_it():
    spec = planted.spec("text", "audio", kind="classification")
    net, batch = MBCD(MBCDParams(**SMALL), spec), planted.linked(spec, 32, 1)
    steps(net, batch, 3)
    lesson = net._lesson(batch)
    assert net.training
    assert torch.equal(lesson, net._lesson(batch))
    other = MBCD(MBCDParams(**SMALL), spec).eval()
    other.load_state_dict(net.evaluated() or {})
    with torch.no_grad():
        assert torch.allclose(lesson, other(batch).prediction, atol=1e-6)
        assert not torch.allclose(lesson, net.eval()(batch).prediction, atol=1e-4)


def test_the_network_that_is_left_is_the_average():
    spec = planted.spec("text", "audio")
    train, valid = planted.linked(spec, 64, 1), planted.linked(spec, 32, 2)
    averages, students = [], []

    class Watched(MBCD):
        def after_epoch(self, validation_loss) -> None:
            averages.append({n: v.clone() for n, v in (self.evaluated() or {}).items()})
            students.append(validation_loss())

    net = Watched(MBCDParams(**SMALL), spec)
    training = fit(
        net, Protocol.model_validate({"epochs": 3, "learning_rate": 3e-3}), train, valid, 0, lambda *_: None
    )
    for name, value in net.state_dict().items():
        assert torch.equal(value, averages[training.selected_epoch][name]), name
    scores = [item.loss for item in training.record]
    assert validate(net, valid)[0] == pytest.approx(scores[training.selected_epoch])
    assert all(abs(a - b) > 1e-6 for a, b in zip(scores, students, strict=True))


def test_drop_probabilities_by_hand():
    known = torch.tensor([True, True, True, False])
    s = torch.tensor([0.9, 0.3, 0.6, 0.1])
    lead = [(0.9 / 0.3 + 0.9 / 0.6) / 2, (0.3 / 0.9 + 0.3 / 0.6) / 2, (0.6 / 0.9 + 0.6 / 0.3) / 2]
    expected = [math.tanh(max(r - 1, 0)) for r in lead] + [0.0]
    assert drop_probability(s, known, 0.0).tolist() == pytest.approx(expected, abs=1e-6)
    raised = [0.4 + 0.6 * p if p > 0 else 0.0 for p in expected]  # what is not ahead stays
    assert drop_probability(s, known, 0.4).tolist() == pytest.approx(raised, abs=1e-6)
    assert drop_probability(s[:1], known[:1], 1.0).tolist() == [0.0]  # nothing beside it


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_modalities_are_dropped_as_often_as_said_and_never_the_last(kind):
    spec = planted.spec("text", "audio", kind=kind)
    net = MBCD(MBCDParams(modality_drop_base=0.3, **SMALL), spec).eval()
    with torch.no_grad():
        for p in net.heads.parts[0].parameters():
            p.mul_(2.0)  # text is surer
    batch = planted.noise(spec, 4000)
    batch = batch.with_present({"text": torch.arange(4000) >= 1000})
    output = net(batch)
    dropped = net._drop(output, batch)
    assert not dropped[:1000, 1].any()  # audio is all they have
    both = dropped[1000:]
    assert not both.all(dim=1).any()
    if kind == "classification":
        sure = torch.stack(
            [
                output.unimodal["text"][1000:].softmax(-1).amax(-1).mean(),
                output.unimodal["audio"].softmax(-1).amax(-1).mean(),
            ]
        )
    else:
        away = [
            (output.unimodal["text"] - batch.target)[1000:].abs().mean(),
            (output.unimodal["audio"] - batch.target).abs().mean(),
        ]
        sure = (-torch.stack(away)).exp()
    p, q = drop_probability(sure.detach(), torch.tensor([True, True]), 0.3).tolist()
    rates = both.float().mean(0).tolist()
    assert rates == pytest.approx([p * (1 - q), q * (1 - p)], abs=0.04)  # not both at once


def test_norms_are_trained():
    spec = planted.spec("text", "audio")
    net = MBCD(MBCDParams(**SMALL), spec)
    net.backward(planted.linked(spec, 32, 1))
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.norms.parameters())
