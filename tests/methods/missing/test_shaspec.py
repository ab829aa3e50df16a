"""ShaSpec: its features and terms by hand, which patterns it hides, and what aligned parts are worth beside ERM."""

from __future__ import annotations

import functools

import pytest
import torch
from mmbench.methods.missing.shaspec import ShaSpec, ShaSpecParams
from torch import Tensor
from torch.nn import functional as F

from .. import planted
from . import rebuildable
from .rebuildable import TEST, explained
from .stages import learns_from_any_pattern


def build(*modalities: str, kind: str = "regression", stage: int = 1, **params) -> ShaSpec:
    net = ShaSpec(ShaSpecParams(layers=1, width=8, **params), planted.spec(*modalities, kind=kind))
    net.begin_stage(stage)
    return net.eval()


@pytest.mark.parametrize(("count", "kind"), [(1, "regression"), (2, "classification"), (4, "regression")])
@pytest.mark.parametrize("params", [{}, *ShaSpec.controls.values(), ShaSpec.as_published], ids=str)
def test_every_control_learns_from_any_pattern(count: int, kind: str, params: dict):
    net = build(*list(planted.SIZES)[:count], kind=kind, **params)
    learns_from_any_pattern(net)


@pytest.mark.parametrize("stand_in", ["mean", "first", "zero"])
def test_features_are_their_formula(stand_in: str):
    net = build(stand_in=stand_in)
    text, audio, vision = torch.randn(3, 8)
    seen = torch.tensor([[False, True, True]])
    encoded = torch.stack([text.fill_(torch.nan), audio, vision]).unsqueeze(0)
    got = net.features(*net.parts(encoded, seen), seen)[0]
    s = [net.shared(e) for e in (audio, vision)]
    p = [part(e) for part, e in zip(net.specific.parts[1:], (audio, vision), strict=True)]
    replaced = {"mean": (s[0] + s[1]) / 2, "first": s[0], "zero": torch.zeros(8)}[stand_in]
    composed = [a + net.compose(torch.cat([a, b])) for a, b in zip(s, p, strict=True)]
    torch.testing.assert_close(got, torch.stack([replaced, *composed]))


def test_terms_are_their_formulas():
    net = build()
    shared, specific = torch.randn(2, 4, 3, 8)
    seen = torch.tensor([[True, True, True], [True, False, True]]).repeat(2, 1)
    full = [0, 2]
    s, both = shared, list(range(4))
    ring = [(s[full, 0] - s[full, 1]).abs(), (s[full, 1] - s[full, 2]).abs(), (s[both, 2] - s[both, 0]).abs()]
    torch.testing.assert_close(net.alignment(shared, seen), torch.stack([r.mean() for r in ring]).sum())
    whole = build(ring="all").alignment(shared, seen)
    torch.testing.assert_close(whole, (shared - shared[:, [1, 2, 0]]).abs().mean((0, 2)).sum())
    errors = [
        F.cross_entropy(net.domain(specific[i, m]), torch.tensor(m)) for i, m in seen.nonzero().tolist()
    ]
    torch.testing.assert_close(net.recognition(specific, seen), torch.stack(errors).mean())


def test_a_random_number_is_kept_of_what_is_there():
    known = torch.tensor([[True, True, True], [True, False, True], [False, False, False]]).repeat(2000, 1)
    torch.manual_seed(0)
    kept = build().hide(known)
    assert not (kept & ~known).any()
    for row, counts in ((0, (1, 2, 3)), (1, (1, 2))):
        found = kept[row::3].sum(1)
        for count in counts:
            assert abs((found == count).float().mean() - 1 / len(counts)) < 0.05
    together = build(patterns="batch").hide(torch.ones(50, 3, dtype=torch.bool))
    assert (together == together[0]).all()


# --- what it is for ---------------------------------------------------------------------------------------


@functools.cache
def trained() -> ShaSpec:
    torch.manual_seed(0)
    net = ShaSpec(ShaSpecParams(width=rebuildable.WIDTH), rebuildable.SPEC)
    assert rebuildable.fitted(net) is net
    return net


@torch.no_grad()
def parts(net: ShaSpec, missing: str = "") -> tuple[Tensor, Tensor, Tensor]:
    """s and p of unseen samples, and which modalities they have."""
    encoded = torch.stack(list(net.encode_all(TEST).values()), dim=1)
    seen = torch.tensor([name != missing for name in net.names]).expand(len(TEST), 3)
    return *net.parts(encoded, seen), seen


def told(net: ShaSpec, missing: str) -> float:
    """R^2 on half of the samples of what a linear map, fitted to the others, reads of a missing modality's latent."""
    shared, _, seen = parts(net, missing)
    inputs = torch.cat([net.stand_in(shared, seen), torch.ones(len(TEST), 1)], dim=1).detach()
    hidden = TEST.features[missing][:, 0]
    latent = torch.linalg.svd(hidden - hidden.mean(0), full_matrices=False)[0][:, :1] * len(TEST) ** 0.5
    fit, test = slice(0, 512), slice(512, None)
    return explained(inputs[test] @ torch.linalg.lstsq(inputs[fit], latent[fit]).solution, latent[test])


def test_what_stands_in_tells_what_can_be_rebuilt_and_no_more():
    assert told(trained(), "audio") > 0.2
    assert told(trained(), "vision") < 0.1


def test_specific_parts_tell_whose_they_are():
    _, specific, _ = parts(trained())
    assert (trained().domain(specific).argmax(-1) == torch.arange(3)).float().mean() > 0.95


def test_alignment_brings_shared_parts_together_by_making_them_constant():
    net = trained()
    shared, _, seen = parts(net)
    assert net.alignment(shared, seen) < 0.1
    other = (shared[:, 0] - shared[:, 1].roll(1, 0)).square().mean()
    assert (shared[:, 0] - shared[:, 1]).square().mean() > 0.8 * other


def test_erm_on_missing_patterns_is_as_good():
    for missing in ("", "audio", "vision"):
        assert rebuildable.error(trained(), missing) < 1.4 * rebuildable.error(rebuildable.control(), missing)
