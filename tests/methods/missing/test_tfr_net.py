"""TFR-Net: the gate and the term by hand, the released size, and what is rebuilt of lost steps."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest
import torch
from mmbench.methods.missing.tfr_net import Gated, TFRNet, TFRNetParams
from mmbench.methods.shared.lost_steps import lost_in_place
from torch.nn import functional as F

from .. import planted
from ..sentiment import rows
from . import sequences
from .rebuildable import explained
from .sequences import TEST, lossy
from .stages import learns_from_any_pattern

SPEC = replace(planted.spec(), steps=dict.fromkeys(planted.spec().modalities, 4))


def build(*modalities: str, kind: str = "regression", **params) -> TFRNet:
    torch.manual_seed(0)
    return TFRNet(TFRNetParams(**params), planted.spec(*modalities, kind=kind)).eval()


def test_the_released_network_has_the_released_size():
    assert rows.size(rows.published(TFRNet, "mosi")) == 14_850_620


@pytest.mark.parametrize(
    ("count", "kind", "params"),
    [
        *((1, "regression", {}), (2, "classification", {}), (4, "regression", {"gated": "released"})),
        *((3, "classification", control) for control in TFRNet.controls.values()),
    ],
    ids=str,
)
def test_every_control_learns_from_any_pattern(count: int, kind: str, params: dict):
    net = build(*list(planted.SIZES)[:count], kind=kind, **params)
    learns_from_any_pattern(net)
    rows.any_pattern(net)


def test_a_gated_vector_is_its_formula_and_reads_no_padding():
    part, x = Gated(4, 3, 1, 0.0), torch.randn(1, 5, 4)
    states, _ = part.gru(x)
    padded = F.pad(states[0], (0, 0, 1, 1))
    most = torch.full((3,), -2.0)
    for t in range(5):
        gate = torch.sigmoid(F.conv1d(padded[t : t + 3].T, part.gate.weight, part.gate.bias)[0, 0])
        said = torch.tanh(part.leave(torch.cat([x[0, t], torch.tanh(states[0, t]) * gate])))
        most = torch.maximum(most, said)
    valid = torch.ones(1, 5, dtype=torch.bool)
    torch.testing.assert_close(part(x, valid)[0], most)
    longer = part(F.pad(x, (0, 0, 0, 2), value=9.0), F.pad(valid, (0, 2)))
    torch.testing.assert_close(longer[0], most)
    assert not part(x, ~valid).any()


def test_what_is_rebuilt_costs_smooth_l1_and_moments_over_lost_steps_weighed_by_modality():
    torch.manual_seed(0)
    net, clean = TFRNet(TFRNetParams(weights="mosi"), SPEC).eval(), planted.noise(SPEC, 5)
    clean = replace(clean, mask={m: torch.ones(5, 4, dtype=torch.bool) for m in clean.mask})
    values = clean.features["audio"].clone()
    values[:2, 1] = 0
    batch = replace(clean, features={**clean.features, "audio": values}, clean=clean)
    made = net.rebuild(net.read(batch)[0])["audio"]
    lost = torch.zeros(5, 4, 1, dtype=torch.bool)
    lost[:2, 1] = True
    real = clean.features["audio"]
    smooth = F.smooth_l1_loss(made[:2, 1], real[:2, 1])
    a, b = ((x * lost).flatten(0, 1) for x in (made, real))
    moments = (a.mean(0) - b.mean(0)).norm()
    for k in (2, 3):
        moments = moments + ((a - a.mean(0)).pow(k).mean(0) - (b - b.mean(0)).pow(k).mean(0)).norm()
    terms = net.loss(batch)
    torch.testing.assert_close(terms["rebuilt"], 2 * (smooth + 5 * moments / (2 * 5)), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(terms["task"], (net(batch).prediction - clean.target).abs().mean())


def test_nothing_is_rebuilt_in_the_first_epoch():
    net, batch = build(), planted.noise(planted.spec(), 4)
    net.before_epoch(lambda: iter(()), done=0.0)
    assert set(net.loss(batch)) == {"task"}
    net.before_epoch(lambda: iter(()), done=0.1)
    assert set(net.loss(batch)) == {"task", "rebuilt"}


# --- what it is for ---------------------------------------------------------------------------------------


@functools.cache
def trained() -> TFRNet:
    torch.manual_seed(0)
    net = TFRNet(TFRNetParams(), sequences.SPEC)
    return planted.train(net, sequences.samples(384, 1), 7, 1e-2, last=0.1)  # type: ignore[return-value]


@torch.no_grad()
def rebuilt(net: TFRNet, modality: str, shift: int = 0) -> float:
    """R^2 of the lost half of the steps of unseen samples, rebuilt from the rest, or from that of another sample."""
    left = lossy(TEST, 0.5, 0.5)
    made = net.rebuild(net.read(left)[0])[modality].roll(shift, 0)
    goal, lost = lost_in_place(left, TEST, modality, 1)
    return explained(made[lost], goal[lost])


def test_lost_steps_are_rebuilt_from_those_that_are_left_and_from_other_modalities():
    assert rebuilt(trained(), "text") > 0.1
    assert rebuilt(trained(), "text", shift=1) < 0.1
