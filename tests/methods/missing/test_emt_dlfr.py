"""EMT-DLFR: the fusion and the terms by hand, the released sizes, and what is rebuilt of lost steps."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest
import torch
from mmbench.methods.missing.emt_dlfr import EMTDLFR, Attraction, EMTDLFRParams
from mmbench.methods.shared.lost_steps import lost_in_place, lost_share, lost_steps
from mmbench.methods.shared.mutual_promotion import MutualPromotion, PromotionUnit
from mmbench.methods.shared.sequence_encoder import sinusoids
from torch import Tensor
from torch.nn import functional as F

from .. import planted
from ..sentiment import rows
from . import sequences
from .rebuildable import explained
from .sequences import TEST, lossy
from .stages import learns_from_any_pattern

SMALL = {"token_width": 16, "heads": 2, "output_width": 16, "predictor_width": 16}


def build(*modalities: str, kind: str = "regression", **params) -> EMTDLFR:
    torch.manual_seed(0)
    return EMTDLFR(EMTDLFRParams(**{**SMALL, **params}), planted.spec(*modalities, kind=kind)).eval()


def test_the_released_network_has_the_released_size():
    net = rows.published(EMTDLFR, "mosi")
    assert rows.size(net) == 2_322_779
    assert rows.size(net.fusion) == 478_337  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("count", "kind", "params"),
    [
        *((1, "regression", {}), (2, "classification", {}), (4, "regression", {"subnets": "mosi"})),
        *((3, "classification", control) for control in EMTDLFR.controls.values()),
    ],
    ids=str,
)
def test_every_control_learns_from_any_pattern(count: int, kind: str, params: dict):
    net = build(*list(planted.SIZES)[:count], kind=kind, **params)
    learns_from_any_pattern(net)
    rows.any_pattern(net)


def attended(part, x: Tensor, source: Tensor) -> Tensor:
    """Attention of two heads of one sample, written out."""
    normed = F.layer_norm(x, (8,))
    given = normed if part.norm_source is None else F.layer_norm(source, (8,))
    q, (k, v) = normed @ part.ask.weight.T, (given @ part.read.weight.T).chunk(2, -1)
    heads = []
    for h in range(2):
        part_of = slice(4 * h, 4 * h + 4)
        scores = q[:, part_of] @ k[:, part_of].T / 2
        heads.append(scores.softmax(-1) @ v[:, part_of])
    return torch.cat(heads, -1) @ part.leave.weight.T + part.leave.bias


def promoted(unit: PromotionUnit, x: Tensor, source: Tensor) -> Tensor:
    x = x + attended(unit.cross, x, source)
    x = x + attended(unit.own, x, x)
    value, gate = unit.inner(F.layer_norm(x, (8,))).chunk(2, -1)
    return x + unit.outer(value * F.gelu(gate))


def test_tokens_and_steps_read_each_other_by_their_formula_and_padding_is_not_read():
    net = MutualPromotion(2, 8, 2, 2).eval()
    tokens, one, other = torch.randn(1, 2, 8), torch.randn(1, 3, 8), torch.randn(1, 5, 8)
    valid = [torch.tensor([[True, True, False]]), torch.ones(1, 5, dtype=torch.bool)]
    found, steps = net(tokens, [one, other], valid)
    g = tokens[0]
    x = [one[0, :2] + sinusoids(torch.arange(2), 8), other[0] + sinusoids(torch.arange(5), 8)]
    for _ in range(2):
        told = torch.stack([promoted(net.unit, g, z).flatten() for z in x])
        x = [promoted(net.unit, z, g) for z in x]
        shares = net.pool(told).softmax(0)
        g = (shares * told).sum(0).view(2, 8)
    torch.testing.assert_close(found[0], g, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(steps[0][0, :2], x[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(steps[1][0], x[1], atol=1e-4, rtol=1e-4)


def test_the_attraction_is_by_hand_and_its_goal_learns_nothing():
    part = Attraction(6, 4).train()
    one, other = torch.randn(5, 6, requires_grad=True), torch.randn(5, 6)
    z = [F.batch_norm(part.projector[0](x), None, None, training=True) for x in (one, other)]  # type: ignore[operator]

    def predicted(x: Tensor) -> Tensor:
        hidden = F.batch_norm(part.predictor[0](x), None, None, training=True)  # type: ignore[operator]
        return part.predictor[3](hidden.relu())  # type: ignore[operator]

    near = F.cosine_similarity(predicted(z[0]), z[1]) + F.cosine_similarity(predicted(z[1]), z[0])
    found = part(one, other, torch.ones(5, dtype=torch.bool))
    torch.testing.assert_close(found, -near.mean() / 2)
    half = -F.cosine_similarity(predicted(z[0]), z[1].detach()).mean() / 2
    wanted = torch.autograd.grad(half, one, retain_graph=True)[0]
    torch.testing.assert_close(torch.autograd.grad(found, one)[0], wanted)


def test_lost_steps_are_zeros_that_were_none_and_are_placed_as_the_network_reads_them():
    clean = planted.noise(planted.spec("text"), 2, steps=4)
    mask = torch.tensor([[True, False, True, True], [True, True, False, False]])
    clean = replace(clean, mask={"text": mask})
    values = clean.features["text"].clone()
    values[0, 2] = 0
    left = replace(clean, features={"text": values})
    assert lost_steps(left, clean, "text").tolist() == [[False, False, True, False], [False] * 4]
    assert lost_share(left, clean, "text").tolist() == pytest.approx([1 / 3, 0])
    goal, lost = lost_in_place(left, clean, "text", 1)
    assert lost.tolist() == [[False, True, False, False], [False] * 4]
    assert torch.equal(goal[0, 1], clean.features["text"][0, 2])
    gone = clean.with_present({"text": torch.tensor([True, False])})
    assert lost_share(gone, clean, "text").tolist() == [0, 1]
    wide = lost_in_place(left, clean, "text", 2)
    assert wide[1].tolist() == [[True, False], [False, False]]


def test_terms_are_by_hand():
    net, clean = build(), planted.noise(planted.spec(), 5)
    values = clean.features["audio"].clone()
    values[:, 0] = 0
    batch = replace(clean, features={**clean.features, "audio": values}, clean=clean)
    terms = net.loss(batch)
    steps = net.read(batch)[2][1]
    made = net.rebuilders[1](steps[:, 0])
    torch.testing.assert_close(terms["rebuilt"], F.smooth_l1_loss(made, clean.features["audio"][:, 0]))
    torch.testing.assert_close(terms["task"], (net(batch).prediction - clean.target).abs().mean())
    torch.testing.assert_close(terms["complete"], (net(clean).prediction - clean.target).abs().mean())
    (one, fused, _), (other, whole, _) = net.read(batch), net.read(clean)
    everyone = torch.ones(5, dtype=torch.bool)
    near = net.attraction(fused, whole, everyone)
    for part, a, b in zip(net.attractions, one, other, strict=True):
        near = near + part(a, b, everyone)
    torch.testing.assert_close(terms["attraction"], near)


# --- what it is for ---------------------------------------------------------------------------------------


@functools.cache
def trained() -> EMTDLFR:
    torch.manual_seed(0)
    net = EMTDLFR(EMTDLFRParams(**SMALL), sequences.SPEC)  # type: ignore[arg-type]
    return planted.train(net, sequences.samples(256, 1), 6, 1e-2, last=0.1)  # type: ignore[return-value]


@torch.no_grad()
def rebuilt(net: EMTDLFR, modality: str, shift: int = 0) -> float:
    """R^2 of the lost half of the steps of unseen samples, rebuilt from the rest, or from that of another sample."""
    left = lossy(TEST, 0.5, 0.5)
    place = net.names.index(modality)
    made = net.rebuilders[place](net.read(left)[2][place]).roll(shift, 0)
    goal, lost = lost_in_place(left, TEST, modality, 1)
    return explained(made[lost], goal[lost])


def test_lost_steps_are_rebuilt_from_those_that_are_left_and_from_other_modalities():
    assert rebuilt(trained(), "text") > 0.2
    assert rebuilt(trained(), "text", shift=1) < 0.1
