"""ActionMAE: the rebuilt loss by hand, what is removed and read, and what rebuilding is worth beside ERM."""

from __future__ import annotations

import functools

import pytest
import torch
from mmbench.methods.missing.actionmae import ActionMAE, ActionMAEParams, standardised

from .. import planted
from . import rebuildable
from .rebuildable import TEST, explained
from .stages import learns_from_any_pattern


def build(*modalities: str, kind: str = "regression", **params) -> ActionMAE:
    net = ActionMAE(ActionMAEParams(layers=1, width=8, **params), planted.spec(*modalities, kind=kind))
    net.begin_stage(0)
    return net.eval()


@pytest.mark.parametrize(("count", "kind"), [(1, "regression"), (2, "classification"), (4, "regression")])
@pytest.mark.parametrize("params", [{}, *ActionMAE.controls.values(), ActionMAE.as_published], ids=str)
def test_every_control_learns_from_any_pattern(count: int, kind: str, params: dict):
    net = build(*list(planted.SIZES)[:count], kind=kind, **params)
    learns_from_any_pattern(net)


def test_the_published_autoencoder_has_its_layers():
    net = build(levels=2, memory=4)
    layer = 4 * (64 + 8) + (8 * 16 + 16) + (16 * 8 + 8) + 2 * 16  # attention, feed-forward, two norms
    counts = [sum(p.numel() for p in part.parameters()) for part in (net.reader, net.rebuilder)]
    assert counts == [2 * layer + 16] * 2
    assert ActionMAE.as_published["levels"] == 2


def test_the_loss_is_its_formula(monkeypatch: pytest.MonkeyPatch):
    net, batch = build(weight=2.0), planted.noise(planted.spec(), 4)
    seen = torch.tensor([[True, False, True], [True, True, True], [False, False, True], [True, True, False]])
    net.training = True  # dropout of the parts stays off
    monkeypatch.setattr(net, "keep", lambda known: seen)
    encoded = torch.stack(list(net.encode_all(batch).values()), dim=1)
    rebuilt = net.rebuild(encoded, seen)
    misses = []
    for i, m in (~seen).nonzero().tolist():
        h = encoded[i, m]
        misses.append((rebuilt[i, m] - (h - h.mean()) / h.std(correction=0)).square().mean())
    terms = net.loss(batch)
    torch.testing.assert_close(terms["rebuilt"], 2 * torch.stack(misses).mean(), rtol=1e-3, atol=1e-4)
    tokens = rebuilt.clone()
    tokens[1] = encoded[1]  # the one sample that is complete
    fused = sum(part(tokens[:, m]) for m, part in enumerate(net.maps.parts))
    torch.testing.assert_close(terms["task"], (net.head(fused).squeeze(1) - batch.target).abs().mean())


def test_nothing_removed_is_read():
    net, batch = build(), planted.noise(planted.spec(), 16)
    encoded = torch.stack(list(net.encode_all(batch).values()), dim=1).detach().requires_grad_()
    seen = torch.rand(16, 3, generator=torch.Generator().manual_seed(1)) < 0.5
    net.head(net.fused(encoded, net.rebuild(encoded, seen), seen)).sum().backward()
    assert encoded.grad is not None
    assert (encoded.grad[~seen] == 0).all()
    assert (encoded.grad[seen] != 0).any(-1).all()


@pytest.mark.parametrize("detached", [True, False])
def test_the_goal_learns_as_published_alone(detached: bool):
    net, batch = build(detached=detached), planted.noise(planted.spec(), 8)
    seen = torch.tensor([False, True, True]).expand(8, 3)
    net.training, net.keep = True, lambda known: seen
    net.loss(batch)["rebuilt"].backward()
    learns = any(p.grad is not None and p.grad.any() for p in net.encoders.parts[0].parameters())
    assert learns != detached


def test_as_many_are_kept_of_each_sample():
    known = torch.ones(64, 3, dtype=torch.bool)
    torch.manual_seed(0)
    counts = [build().keep(known).sum(1) for _ in range(30)]
    assert all((count == count[0]).all() for count in counts)
    assert {int(count[0]) for count in counts} == {1, 2, 3}
    lacking = torch.tensor([True, False, True]).expand(64, 3)
    for _ in range(9):
        kept = build().keep(lacking)
        assert not (kept & ~lacking).any()
        assert kept.any(1).all()


# --- what it is for ---------------------------------------------------------------------------------------


@functools.cache
def trained() -> ActionMAE:
    torch.manual_seed(0)
    net = ActionMAE(ActionMAEParams(width=rebuildable.WIDTH), rebuildable.SPEC)
    assert rebuildable.fitted(net) is net
    return net


@torch.no_grad()
def rebuilt(net: ActionMAE, modality: str, shift: int = 0) -> float:
    """R^2 of what is rebuilt for a missing modality, or of what is rebuilt for another sample."""
    place = net.names.index(modality)
    encoded = torch.stack(list(net.encode_all(TEST).values()), dim=1)
    seen = (torch.arange(3) != place).expand(len(TEST), 3)
    return explained(net.rebuild(encoded, seen)[:, place].roll(shift, 0), standardised(encoded[:, place]))


def test_what_can_be_rebuilt_is_and_what_cannot_is_not():
    assert rebuilt(trained(), "audio") > 0.5
    assert rebuilt(trained(), "audio", shift=1) < 0
    assert rebuilt(trained(), "vision") < 0.1


def test_erm_on_missing_patterns_is_as_good():
    for missing in ("", "audio", "vision"):
        assert rebuildable.error(trained(), missing) < 1.4 * rebuildable.error(rebuildable.control(), missing)
