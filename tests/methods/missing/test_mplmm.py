"""MPLMM: nothing hidden is read, what is frozen stays, and prompts make a network for complete samples do without some."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
from mmbench.datasets.batch import Spec
from mmbench.methods.missing.mplmm import MPLMM, MPLMMParams
from torch import nn
from torch.nn import functional as F

from .. import planted
from ..sentiment import rows
from .stages import learns_from_any_pattern


def build(*modalities: str, kind: str = "regression", stage: int = 1, **params) -> MPLMM:
    net = MPLMM(MPLMMParams(layers=1, **params), planted.spec(*modalities, kind=kind))
    net.begin_stage(stage)
    return net.eval()


@pytest.mark.parametrize(("count", "kind"), [(1, "regression"), (2, "classification"), (4, "regression")])
@pytest.mark.parametrize("params", [{}, *MPLMM.controls.values(), {"levels": 0}], ids=str)
def test_every_control_predicts_and_learns_from_any_pattern(count: int, kind: str, params: dict):
    net = build(*list(planted.SIZES)[:count], kind=kind, width=8, **params)
    learns_from_any_pattern(net)


def test_nothing_hidden_is_read():
    net, batch = build(), planted.noise(planted.spec(), 16)
    encoded = torch.stack(list(net.encode_all(batch).values()), dim=1).detach().requires_grad_()
    seen = torch.rand(16, 3, generator=torch.Generator().manual_seed(1)) < 0.5
    net.answer(encoded, seen).prediction.sum().backward()
    assert encoded.grad is not None
    assert (encoded.grad[~seen] == 0).all()
    assert (encoded.grad[seen] != 0).any(-1).all()


def test_what_is_generated_is_the_formula_of_its_pattern():
    net = build("text", "audio", prompts=3)
    z = torch.randn(1, 2, 40)
    z[:, 1] = 0  # audio is missing: pattern 1 of text alone
    made = net.generate(z, torch.tensor([[True, False]]))[0, 1]
    prompts = (net.mix_prompts[1, 1].unsqueeze(1) * net.generative[1]).sum(0)
    expected = F.gelu(prompts + net.mix_seen[1, 1, 0] * z[0, 0] + net.mix_bias[1, 1])
    torch.testing.assert_close(made, expected)


def test_signals_and_types_say_what_is_missing():
    batch = planted.noise(planted.spec(), 5)
    seen = torch.tensor([True, True, False]).expand(5, 3)
    for other in ("types", "signals"):
        net = build(generation=False, types=other != "types", signals=other != "signals")
        encoded = torch.stack(list(net.encode_all(batch).values()), dim=1)
        before = net.answer(encoded, seen).prediction
        with torch.no_grad():
            net.signal[0, 0] += 1  # "text is missing": not said here
        torch.testing.assert_close(net.answer(encoded, seen).prediction, before)
        with torch.no_grad():
            net.signal[2, 0] += 1  # "vision is missing"
        assert (net.answer(encoded, seen).prediction != before).all()


def test_what_was_trained_on_complete_samples_stays_and_the_rest_learns():
    net = build(stage=0)
    batch = planted.noise(net.spec, 32)
    for stage in (0, 1):
        net.begin_stage(stage)
        net.train().zero_grad()
        net.loss(batch)["task"].backward()
        moved = {n.partition(".")[0] for n, p in net.named_parameters() if p.grad is not None}
        frozen = {"encoders", "levels"}
        assert moved >= frozen | {"head"} if stage == 0 else not moved & frozen
    net.begin_stage(0)
    net.train()
    net.begin_stage(1)  # in training, as the trainer does it
    assert not net.encoders.training
    assert net.levels.training
    made = {"generative", "mix_prompts", "mix_seen", "mix_bias"}
    assert moved == {"head", "projection", "signal", "type_prompts", "type_keys"} | made


# --- as released: MulT over time --------------------------------------------------------------------------

RELEASED = Spec({"text": 300, "audio": 74, "vision": 35}, "regression", label_range=(-3.0, 3.0))
SMALL = {"backbone": "mult", "step_width": 4, "heads": 2, "cross_layers": 1, "steps": 3, "prompts": 2}


def test_the_released_network_has_the_released_sizes():
    with torch.device("meta"):
        net = MPLMM(MPLMMParams(**MPLMM.as_published), RELEASED)
    over_time = net.over_time
    assert over_time is not None
    assert not list(net.encoders.parameters())

    def size(*parts: nn.Module | nn.Parameter) -> int:
        return sum(
            p.numel()
            for part in parts
            for p in (part.parameters() if isinstance(part, nn.Module) else [part])
        )

    backbone = size(over_time.tokens, *over_time.pretrained(), over_time.out)
    assert backbone == 1_073_731
    prompts = size(over_time.generative, over_time.signal, over_time.types, over_time.keys)
    prompts += size(over_time.clues, over_time.generators)
    assert prompts == 83_250
    assert size(net) == backbone + prompts
    net.begin_stage(1)
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) == 95_701


@pytest.mark.parametrize(("count", "kind"), [(1, "regression"), (2, "classification"), (4, "regression")])
def test_over_time_it_predicts_and_learns_from_any_pattern(count: int, kind: str):
    net = build(*list(planted.SIZES)[:count], kind=kind, **SMALL)
    for stage in (0, 1):
        net.begin_stage(stage)
        rows.any_pattern(net)


def test_over_time_nothing_hidden_is_read_and_what_is_frozen_stays():
    net, batch = build(**SMALL), planted.noise(planted.spec(), 16)
    encoded = torch.stack(list(net.encode_all(batch).values()), dim=1).detach().requires_grad_()
    seen = torch.rand(16, 3, generator=torch.Generator().manual_seed(1)) < 0.5
    net.answer(encoded, seen).prediction.sum().backward()
    assert encoded.grad is not None
    assert (encoded.grad[~seen] == 0).all()
    assert (encoded.grad[seen].flatten(1) != 0).any(-1).all()
    net.train().zero_grad()
    net.loss(batch)["task"].backward()
    moved = {n.partition(".")[2].partition(".")[0] for n, p in net.named_parameters() if p.grad is not None}
    assert moved == {"tokens", "clues", "generative", "generators", "signal", "types", "keys", "out"}


def test_over_time_what_is_generated_is_the_formula_of_its_pattern():
    net = build(**SMALL)
    over_time = net.over_time
    assert over_time is not None
    tokens, clues = torch.randn(1, 3, 3, 4), torch.randn(1, 3, 3, 8)
    seen = torch.tensor([[True, False, True]])
    made = over_time.generate(tokens, clues, seen)
    torch.testing.assert_close(made[:, [0, 2]], tokens[:, [0, 2]])
    # the clues of text for audio come first; those of vision for text and then for audio
    read = torch.cat([over_time.generative[1], clues[0, 0, :, :4].mT, clues[0, 2, :, 4:].mT], dim=1)
    by_hand = F.gelu(over_time.generators[over_time.sets[1, (0, 2)]](read)).mT
    torch.testing.assert_close(made[0, 1], by_hand)


# --- what it is for ---------------------------------------------------------------------------------------

SPEC = planted.spec("text", "audio")


class Kept(MPLMM):
    """It keeps what it was at the end of stage 0."""

    before: tuple[MPLMM, ...] = ()

    def begin_stage(self, stage: int) -> None:
        if stage:
            self.before = (copy.deepcopy(self).eval(),)
        super().begin_stage(stage)


@functools.cache
def trained(**params) -> Kept:
    torch.manual_seed(0)
    net = Kept(MPLMMParams(layers=1, width=16, **params), SPEC)
    planted.train(net, planted.linked(SPEC, 512, seed=1), epochs=24, lr=4e-3)
    return net


@torch.no_grad()
def error(net: MPLMM, missing: str = "") -> float:
    test = planted.linked(SPEC, 512, seed=5)
    gone = {missing: torch.zeros(512, dtype=torch.bool)} if missing else {}
    return (net(test.with_present(gone)).prediction - test.target).abs().mean().item()


def test_prompts_make_a_network_for_complete_samples_do_without_a_modality():
    net, head_alone = trained(), trained(generation=False, signals=False, types=False)
    (before,) = net.before
    for missing in ("text", "audio"):
        assert error(net, missing) < 0.8 * error(before, missing)
    assert error(net, "text") < 1.05 * error(head_alone, "text")  # better by 0.03 to 0.12, as draws fall
    assert error(net) < 1.05 * error(before)
