"""LNLN: its terms by hand, whose gradient is reversed, the released sizes, and what w tells of lost steps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from mmbench.methods.missing.lnln import LNLN, LNLNParams
from torch.nn import functional as F

from .. import planted
from ..sentiment import rows
from . import sequences
from .sequences import TEST, lossy
from .stages import learns_from_any_pattern

SMALL = {"token_width": 16, "heads": 2, "head_width": 8, "tokens": 2}


def build(*modalities: str, kind: str = "regression", **params) -> LNLN:
    torch.manual_seed(0)
    return LNLN(LNLNParams(**{**SMALL, **params}), planted.spec(*modalities, kind=kind)).eval()


@pytest.mark.parametrize(
    ("dataset", "count"), [("mosi", 6_483_012), ("mosei", 7_102_404), ("sims", 7_112_260)]
)
def test_the_released_network_has_the_released_size(dataset: str, count: int):
    assert rows.size(rows.published(LNLN, dataset)) == count


@pytest.mark.parametrize(
    ("count", "kind", "params"),
    [
        *((1, "regression", {}), (2, "classification", {}), (4, "regression", {})),
        *((3, "classification", control) for control in LNLN.controls.values()),
    ],
    ids=str,
)
def test_every_control_learns_from_any_pattern(count: int, kind: str, params: dict):
    net = build(*list(planted.SIZES)[:count], kind=kind, **params)
    learns_from_any_pattern(net)
    rows.any_pattern(net)


def test_terms_are_by_hand():
    net, clean = build(dominant="audio"), planted.noise(planted.spec(), 5)
    features = dict(clean.features)
    kept = torch.arange(4) > 0  # every sample has lost its first step of audio
    features["audio"] = features["audio"].where(kept[None, :, None], 0)
    batch = replace(clean, features=features, clean=clean)
    with torch.no_grad():
        terms = net.loss(batch)
        h, whole = net.read(batch), net.read(clean)
        logit, proxy = net.assess(h, batch)
        w = logit.sigmoid()
        mixed = w[:, None, None] * h["audio"] + (1 - w)[:, None, None] * proxy
        told, wanted = net.discriminator(mixed), net.discriminator(whole["audio"])
        adversary = -(told.log_softmax(-1)[..., 1].mean() + wanted.log_softmax(-1)[..., 0].mean()) / 2
        rebuilt = [
            F.mse_loss(part(h[m])[-1], whole[m]) for m, part in zip(net.names, net.rebuilders, strict=True)
        ]
    left = (clean.mask["audio"].sum(1) - 1) / clean.mask["audio"].sum(1)
    torch.testing.assert_close(terms["completeness"], 0.9 * (w - left).square().mean())
    torch.testing.assert_close(terms["adversary"], 0.8 * adversary)
    torch.testing.assert_close(terms["rebuilt"], 0.1 * torch.stack(rebuilt).mean())
    torch.testing.assert_close(terms["task"], (net(batch).prediction - clean.target).square().mean())


def gradient(term: str, reversal: str) -> torch.Tensor:
    """Of a term by the learned start of the proxy."""
    net, batch = build(reversal=reversal), planted.noise(planted.spec(), 5)
    net.loss(batch)[term].backward()
    assert net.start.grad is not None
    return net.start.grad


def test_the_release_reverses_the_tasks_gradient_too():
    torch.testing.assert_close(gradient("task", "forward"), -gradient("task", "adversary"))
    torch.testing.assert_close(gradient("adversary", "forward"), gradient("adversary", "adversary"))
    net, batch = build(weight_adversary=0.8), planted.noise(planted.spec(), 5)
    tokens = net.read(batch)
    logit, proxy = net.assess(tokens, batch)  # without any reversal
    has = torch.ones(5, dtype=torch.bool)
    seen = torch.cat([net.mixed(tokens, logit.sigmoid(), proxy), tokens["text"]])
    (0.8 * net.told_apart(seen, has)).backward()
    assert net.start.grad is not None
    torch.testing.assert_close(gradient("adversary", "adversary"), -net.start.grad)


# --- what it is for ---------------------------------------------------------------------------------------


@torch.no_grad()
def completeness(net: LNLN, rate: float) -> float:
    """The mean of w over unseen samples that have lost steps of text at this rate."""
    return net(lossy(TEST, rate)).diagnostics["completeness"].mean().item()


def test_w_falls_with_the_steps_that_are_lost():
    torch.manual_seed(0)
    net = LNLN(LNLNParams(weight_adversary=0.0), sequences.SPEC)
    planted.train(net, sequences.samples(256, 1), 20, 3e-3, size=32)
    assert completeness(net, 0.1) > completeness(net, 0.9) + 0.25


def test_the_mix_is_a_proxy_where_w_is_low():
    net = build()
    tokens = {m: torch.randn(2, 2, 16) for m in net.names}
    proxy = torch.randn(2, 2, 16)
    found = net.mixed(tokens, torch.tensor([0.0, 0.75]), proxy)
    torch.testing.assert_close(found[0], proxy[0])
    torch.testing.assert_close(found[1], 0.75 * tokens["text"][1] + 0.25 * proxy[1])
    halves = build(mix="half").mixed(tokens, torch.rand(2), proxy)
    torch.testing.assert_close(halves, (tokens["text"] + proxy) / 2)
