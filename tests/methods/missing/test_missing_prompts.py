"""Missing-aware prompts: which prompt a sample has, what stays frozen, and what prompts are worth beside ERM."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
from mmbench.methods.missing.missing_prompts import MissingPrompts, MissingPromptsParams

from .. import planted
from . import rebuildable
from .stages import learns_from_any_pattern


def build(*modalities: str, kind: str = "regression", stage: int = 1, **params) -> MissingPrompts:
    net = MissingPrompts(
        MissingPromptsParams(layers=1, width=8, **params), planted.spec(*modalities, kind=kind)
    )
    net.begin_stage(stage)
    return net.eval()


@pytest.mark.parametrize(("count", "kind"), [(1, "regression"), (2, "classification"), (4, "regression")])
@pytest.mark.parametrize("params", [{}, *MissingPrompts.controls.values(), {"levels": 1}], ids=str)
def test_every_control_learns_from_any_pattern(count: int, kind: str, params: dict):
    net = build(*list(planted.SIZES)[:count], kind=kind, **params)
    learns_from_any_pattern(net)


def test_the_answer_is_its_formula():
    net = build("text", "audio", prompts=3)
    z = torch.randn(1, 2, 8)
    zero = torch.zeros(8)
    tokens = torch.stack([net.start, z[0, 0] + net.places[0], zero + net.places[1]])
    for i, level in enumerate(net.levels):
        tokens = level(torch.cat([net.prompts[1, i], tokens]).unsqueeze(0))[0, 3:]  # pattern 1: text alone
    said = net.answer(z, torch.tensor([[True, False]]))
    torch.testing.assert_close(said.prediction[0], net.head(tokens[0]).squeeze())


def test_a_pattern_has_prompts_of_its_own_and_its_size():
    net, batch = build(), planted.noise(planted.spec(), 4)
    assert net.prompts.numel() == 2**3 * 2 * 2 * 8
    gone = batch.with_present({"vision": torch.tensor([True, True, False, False])})
    before = net(gone).prediction
    with torch.no_grad():
        net.prompts[3] += torch.randn(2, 2, 8)  # text and audio
    assert ((net(gone).prediction != before) == torch.tensor([False, False, True, True])).all()


def test_what_was_trained_on_complete_samples_stays_and_the_rest_learns():
    net, batch = build(stage=0), planted.noise(planted.spec(), 16)
    moved = []
    for stage in (0, 1):
        net.begin_stage(stage)
        net.train().zero_grad()
        net.loss(batch)["task"].backward()
        moved.append({name.partition(".")[0] for name, p in net.named_parameters() if p.grad is not None})
    assert moved == [{"encoders", "places", "start", "levels", "head"}, {"prompts", "head"}]
    assert not net.encoders.training


# --- what it is for ---------------------------------------------------------------------------------------


class Kept(MissingPrompts):
    """It keeps what it was at the end of stage 0."""

    before: tuple[MissingPrompts, ...] = ()

    def begin_stage(self, stage: int) -> None:
        if stage:
            self.before = (copy.deepcopy(self).eval(),)
        super().begin_stage(stage)


LINKED = planted.spec("text", "audio")
UNSEEN = planted.linked(LINKED, 512, seed=5)


@functools.cache
def trained(prompts: int = 2) -> Kept:
    torch.manual_seed(0)
    net = Kept(MissingPromptsParams(layers=1, width=16, prompts=prompts), LINKED)
    assert planted.train(net, planted.linked(LINKED, 512, seed=1), epochs=24, lr=4e-3) is net
    return net


@torch.no_grad()
def error(net: MissingPrompts, missing: str = "") -> float:
    gone = {missing: torch.zeros(512, dtype=torch.bool)} if missing else {}
    return (net(UNSEEN.with_present(gone)).prediction - UNSEEN.target).abs().mean().item()


def test_prompts_make_a_network_for_complete_samples_do_without_a_modality():
    net, head_alone = trained(), trained(prompts=0)
    (before,) = net.before
    for missing in ("text", "audio"):
        assert error(net, missing) < 0.9 * error(before, missing)
        assert error(net, missing) < 1.1 * error(head_alone, missing)  # as good: the next draw turns it round
    assert error(net) < 1.1 * error(before)


def test_beside_erm_on_the_same_patterns():
    torch.manual_seed(0)
    net = MissingPrompts(MissingPromptsParams(width=rebuildable.WIDTH), rebuildable.SPEC)
    rebuildable.fitted(net)
    for missing in ("", "audio", "vision"):
        assert rebuildable.error(net, missing) < 1.6 * rebuildable.error(rebuildable.control(), missing)
