"""MMIN: the cascade by hand, what is imagined, and what that is worth beside ERM on the same missing patterns."""

from __future__ import annotations

import functools

import pytest
import torch
from mmbench.methods.missing.mmin import MMIN, Cascade, MMINParams
from torch import nn
from torch.nn import functional as F

from .. import planted
from . import rebuildable
from .rebuildable import TEST, explained, without
from .stages import learns_from_any_pattern


def build(*modalities: str, kind: str = "regression", stage: int = 1, **params) -> MMIN:
    net = MMIN(MMINParams(layers=1, width=8, **params), planted.spec(*modalities, kind=kind))
    for each in range(stage + 1):
        net.begin_stage(each)
    return net.eval()


@pytest.mark.parametrize(("count", "kind"), [(1, "regression"), (2, "classification"), (4, "regression")])
@pytest.mark.parametrize("params", [{}, *MMIN.controls.values()], ids=str)
def test_every_control_learns_from_any_pattern(count: int, kind: str, params: dict):
    net = build(*list(planted.SIZES)[:count], kind=kind, stage=0, **params)
    learns_from_any_pattern(net)


def test_the_cascade_is_its_formula():
    cascade, z = Cascade(12, 8, 2), torch.randn(3, 12)
    linear = [
        [m for m in part.children() if isinstance(m, nn.Linear)]
        for part in (*cascade.encoders, *cascade.decoders)
    ]

    def by_hand(layers: list[nn.Linear], x: torch.Tensor, slope: float) -> torch.Tensor:
        for layer in layers[:-1]:
            x = layer(x)
            x = x.where(x > 0, slope * x)
        return layers[-1](x)

    first = by_hand(linear[0], z, 0.01)
    second_input = z + by_hand(linear[2], first, 0.0)
    second = by_hand(linear[1], second_input, 0.01)
    enter, _, leave = cascade.leave.children()
    expected = leave(enter(second_input + by_hand(linear[3], second, 0.0)).clamp(min=0))
    given, latents = cascade(z)
    torch.testing.assert_close(given, expected)
    torch.testing.assert_close(latents, torch.cat([first, second], dim=1))


def test_the_published_cascade_has_its_sizes():
    cascade = Cascade(384, widest=256, blocks=5)
    encoder = 384 * 256 + 256 + 256 * 128 + 128 + 128 * 64 + 64
    decoder = 64 * 128 + 128 + 128 * 256 + 256 + 256 * 384 + 384
    assert sum(p.numel() for p in cascade.parameters()) == 5 * (encoder + decoder) + 2 * (384 * 384 + 384)
    assert MMIN.as_published == {"blocks": 5, "autoencoder": 256}


def test_the_goal_is_what_the_protocol_hid_and_the_loss_is_by_hand():
    net = build().train()
    net.encoders.eval()
    clean = planted.noise(net.spec, 8)
    gone = torch.arange(8) % 2 == 0
    damaged = clean.with_present({"audio": ~gone})
    batch = type(damaged)(**{**damaged.__dict__, "clean": clean})
    with torch.no_grad():
        z = torch.cat([net.encode(m, damaged) for m in net.names], dim=1)
        z[gone, 8:16] = 0
        goal = torch.zeros(8, 24)
        goal[gone, 8:16] = net.teacher.encode("audio", clean)[gone]
        imagined, _ = net.imagine(z)
        back, _ = net.lead_back(imagined)
        terms = net.loss(batch)
    torch.testing.assert_close(terms["imagination"], 4 * F.mse_loss(imagined, goal))
    torch.testing.assert_close(terms["cycle"], 2 * F.mse_loss(back, z))


def test_the_teacher_stays_and_the_start_is_no_goal_that_learns():
    net = build().train()
    before = {name: value.clone() for name, value in net.teacher.state_dict().items()}
    terms = net.loss(planted.noise(net.spec, 16))
    torch.stack(list(terms.values())).sum().backward()
    assert all(p.grad is None for p in net.teacher.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.teacher.state_dict().items())
    assert not net.teacher.training


# --- what it is for ---------------------------------------------------------------------------------------


@functools.cache
def trained() -> MMIN:
    torch.manual_seed(0)
    net = MMIN(MMINParams(width=rebuildable.WIDTH, autoencoder=32), rebuildable.SPEC)
    assert rebuildable.fitted(net) is net
    return net


@torch.no_grad()
def imagined(net: MMIN, modality: str, shift: int = 0) -> float:
    """R^2 of what is imagined for a modality that is missing, or of what is imagined for another sample."""
    place = net.names.index(modality)
    start = torch.cat(list(net(without(modality)).embeddings.values()), dim=1)
    made = net.imagine(start)[0].unflatten(1, (3, -1))[:, place]
    return explained(made.roll(shift, 0), net.teacher.encode(modality, TEST))


def test_what_can_be_rebuilt_is_imagined_and_what_cannot_is_not():
    assert imagined(trained(), "audio") > 0.5
    assert imagined(trained(), "vision") < 0.05
    assert imagined(trained(), "audio", shift=1) < 0


def test_erm_on_the_same_patterns_is_as_good():
    net, control = trained(), rebuildable.control()
    for missing in ("", "audio", "vision"):
        assert rebuildable.error(net, missing) < 1.4 * rebuildable.error(control, missing)
