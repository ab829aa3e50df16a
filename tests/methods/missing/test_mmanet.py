"""MMANet: its terms by hand, which patterns are weak, and what the teacher's margins are worth beside ERM."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import pytest
import torch
from mmbench.datasets.batch import Batch
from mmbench.methods.losses import task_errors
from mmbench.methods.missing.mmanet import MMANet, MMANetParams, margin

from .. import planted
from . import rebuildable
from .stages import learns_from_any_pattern

CLASSES = replace(rebuildable.SPEC, kind="classification", classes=3, label_range=None)


def build(*modalities: str, kind: str = "classification", stage: int = 1, **params) -> MMANet:
    net = MMANet(MMANetParams(layers=1, width=8, **params), planted.spec(*modalities, kind=kind))
    net.begin_stage(stage)
    return net.eval()


@pytest.mark.parametrize(("count", "kind"), [(1, "regression"), (2, "classification"), (4, "regression")])
@pytest.mark.parametrize("params", [{}, *MMANet.controls.values(), MMANet.as_published], ids=str)
def test_every_control_learns_from_any_pattern(count: int, kind: str, params: dict):
    net = build(*list(planted.SIZES)[:count], kind=kind, **params)
    learns_from_any_pattern(net)


def test_the_margin_term_is_its_formula():
    student, teacher = torch.randn(2, 4, 5, dtype=torch.float64).unbind(0)
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    total = 0.0
    for b in range(4):
        products = [[float(f[b] @ f[c]) for c in range(4)] for f in (student, teacher)]
        lengths = [math.hypot(*row) for row in products]
        for c in range(4):
            total += float(weights[c]) * (products[0][c] / lengths[0] - products[1][c] / lengths[1]) ** 2
    assert float(margin(student, teacher, weights)) == pytest.approx(total)


def test_terms_are_by_hand_and_the_teacher_reads_what_was_hidden():
    net, clean = build(), planted.noise(planted.spec(kind="classification"), 8)
    net.weak[0b101] = True
    gone = torch.arange(8) % 2 == 0
    batch = replace(clean.with_present({"audio": ~gone}), clean=clean)
    with torch.no_grad():
        for parameter in net.teacher.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        z = torch.cat([net.encode(m, batch) for m in net.names], dim=1)
        z[gone, 8:16] = 0
        feature = net.head.hidden(z)  # type: ignore[operator]
        t = torch.cat([net.teacher.encode(m, clean) for m in net.names], dim=1)
        p = net.teacher_head(t).softmax(-1)
        entropy = -(p * p.log()).sum(-1)
        terms = net.loss(batch)
        errors = task_errors(net.second_head(feature), batch.target, net.spec)
    wanted = margin(feature, net.teacher_head.hidden(t), entropy / entropy.sum())  # type: ignore[operator]
    torch.testing.assert_close(terms["margin"], 30 * wanted)
    torch.testing.assert_close(terms["weak"], 0.5 * errors[gone].sum() / 8)
    torch.testing.assert_close(terms["task"], task_errors(net.head(z), batch.target, net.spec).mean())


def test_the_teacher_stays_and_the_student_goes_on_from_it():
    net, batch = build(stage=0), planted.noise(planted.spec(kind="classification"), 16)
    net.begin_stage(1)
    for one, other in zip(net.teacher.parameters(), net.encoders.parameters(), strict=True):
        assert torch.equal(one, other)
    net.train()
    torch.stack(list(net.loss(batch).values())).sum().backward()
    taught = [*net.teacher.parameters(), *net.teacher_head.parameters()]
    assert all(p.grad is None and not p.requires_grad for p in taught)
    assert not any(part.training for part in (net.teacher, net.teacher_head))
    assert all(p.grad is not None for p in net.second_head.parameters())


@pytest.mark.parametrize(("chosen", "found"), [("distance", [1, 4]), ("strong", [7]), ("all", [1, 4, 7])])
def test_weak_are_the_patterns_above_the_mean_from_a_twentieth_of_the_stage_on(chosen: str, found: list[int]):
    net = build(weak=chosen)
    net.before_epoch(lambda: iter(()), done=0.4)
    assert not net.begun
    net.note(torch.tensor([1, 1, 4, 7]), torch.tensor([1.0, 3.0, 3.0, 0.5]))
    net.before_epoch(lambda: iter(()), done=0.5)
    assert net.begun
    assert net.weak.nonzero().flatten().tolist() == found
    assert not net.apart.any()


# --- what it is for ---------------------------------------------------------------------------------------


def in_classes(batch: Batch) -> Batch:
    return replace(batch, target=(batch.target > -0.5).long() + (batch.target > 0.5).long())


@functools.cache
def trained(**params) -> MMANet:
    torch.manual_seed(0)
    net = MMANet(MMANetParams(width=rebuildable.WIDTH, **params), CLASSES)
    few = in_classes(rebuildable.samples(1)).take(slice(0, 512))
    return planted.train(net, few, 16, rebuildable.RATE, last=0.1)  # type: ignore[return-value]


@torch.no_grad()
def apart(net: MMANet) -> float:
    """The margin term of unseen samples without text, all with the same weight."""
    part = in_classes(rebuildable.without("text")).take(slice(0, 256))
    full = in_classes(rebuildable.TEST).take(slice(0, 256))
    feature = net.head.hidden(net(part).fused)  # type: ignore[operator]
    return float(margin(feature, net.taught(full)[0], torch.full((256,), 1 / 256)))


def test_weak_are_the_patterns_without_the_modality_that_tells_most():
    assert trained().weak.nonzero().flatten().tolist() == [0b010, 0b100, 0b110]


def test_samples_lie_to_each_other_more_as_the_teacher_has_them_than_without_the_term():
    assert apart(trained()) < 0.9 * apart(trained(weight_margin=0.0))


@torch.no_grad()
def test_without_the_term_answers_are_as_good():
    def right(net: MMANet, missing: str) -> float:
        batch = in_classes(rebuildable.without(missing))
        return float((net(batch).prediction.argmax(1) == batch.target).float().mean())

    for missing in ("", "audio", "vision"):
        assert right(trained(weight_margin=0.0), missing) > right(trained(), missing) - 0.03
