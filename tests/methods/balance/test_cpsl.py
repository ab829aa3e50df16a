"""The formulas of CP + SL, one by one."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mmbench.benchmark.core.protocol import Protocol
from mmbench.benchmark.train import checkpoint
from mmbench.benchmark.train.checkpoint import Checkpointer
from mmbench.benchmark.train.lightning_module import fit
from mmbench.datasets.batch import Batch, Spec, Tuned
from mmbench.methods.balance.cpsl import CPSL, CPSLParams
from mmbench.methods.shared.cpsl_parts import (
    LEAST,
    by_features,
    input_statistics,
    likeness,
    moment_gap,
    norm_ratios,
    penalties,
)
from torch import Tensor

from .. import planted

SPEC = planted.spec()
ONE_STEP = replace(SPEC, steps=dict.fromkeys(SPEC.modalities, 1))


def network(spec: Spec = ONE_STEP, **params) -> CPSL:
    torch.manual_seed(0)
    return CPSL(CPSLParams(width=8, layers=1, **params), spec).eval()


def gradients(net: CPSL, batch: Batch, plain: bool = False) -> dict[str, Tensor]:
    """Those that ``backward`` leaves, or those of the sum of ``loss``."""
    net.zero_grad()
    if plain:
        torch.stack(list(net.loss(batch).values())).sum().backward()
    else:
        net.backward(batch)
    return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


# --- sizes and switches -----------------------------------------------------------------------------------


def test_sizes_are_those_counted_by_hand():
    net = CPSL(CPSLParams(), ONE_STEP)
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in net.named_children()}
    assert sizes["gates"] == 3 * (40 * 40 + 40)
    assert sizes["cross"] == 2 * 40 * 40 + 80 * 40 + 40
    assert sizes["reduce"] == 120 * 40 + 40
    assert sizes["inject"] == 40 * 40
    assert sizes["out"] == 41
    assert sizes["unimodal"] == 3 * 41
    assert sizes["decoders"] == sum(41 * size for size in (6, 5, 4))
    assert sizes["tellers"] == 3 * 41 * 2
    by_step = CPSL(CPSLParams(stat="steps"), ONE_STEP)
    assert by_step.tellers is not None
    assert sum(p.numel() for p in by_step.tellers.parameters()) == sum(41 * 2 * size for size in (6, 5, 4))


@pytest.mark.parametrize(
    ("params", "gone"),
    [
        ({"aux": False}, {"aux"}),
        ({"rec": False}, {"rec"}),
        ({"div": False}, {"div"}),
        ({"sl": "none"}, {"sl"}),
        ({"ame": False, "gcf": False, "residual": "none"}, set()),
    ],
)
def test_switches_take_their_terms_away(params: dict, gone: set[str]):
    batch = planted.noise(SPEC, 8)
    assert set(network(**params).loss(batch)) == {"task", "aux", "rec", "div", "sl"} - gone
    assert bool(network(**params)(batch).unimodal) == ("aux" not in gone)
    assert not network(aux=False, sl="batch")(batch).unimodal
    without = network(ame=False, gcf=False, residual="none")
    fewer = {name for name, _ in without.named_parameters()}
    assert not any(name.startswith(("gates", "cross", "inject")) for name in fewer)


def test_the_injected_modality_is_the_first_or_the_one_whose_head_errs_least():
    batch = planted.noise(SPEC, 8)
    net = network(residual="strongest").train()
    net.loss(batch)
    assert (net.unimodal_error > 0).all()
    net.eval()
    net.unimodal_error.copy_(torch.tensor([0.1, 0.2, 0.3]))
    first = network(residual="first")
    first.load_state_dict(net.state_dict())
    assert torch.equal(net(batch).prediction, first(batch).prediction)
    net.unimodal_error[2] = 0.05
    assert not torch.equal(net(batch).prediction, first(batch).prediction)
    with pytest.raises(ValueError, match="needs the auxiliary heads"):
        network(residual="strongest", aux=False)


def test_an_embedding_is_read_from_the_others_that_are_there_alone():
    net, batch = network(), planted.noise(SPEC, 8)
    assert net.cross is not None
    h = torch.randn(8, 3, 8)
    only = torch.tensor([[True, False, False]]).expand(8, 3)
    assert torch.equal(net.cross(h, only)[:, 0], h[:, 0])
    pair = torch.tensor([[True, True, False]]).expand(8, 3)
    said = net.cross.value(h[:, 1])  # the softmax over one modality is 1
    opened = net.cross.gate(torch.cat([h[:, 0], said], 1)).sigmoid()
    assert torch.allclose(net.cross(h, pair)[:, 0], h[:, 0] + opened * said, atol=1e-6)
    gone = batch.with_present({"audio": torch.zeros(8, dtype=torch.bool)})
    assert not torch.equal(net(gone).prediction, net(batch).prediction)


def test_likeness_is_the_mean_squared_cosine_of_known_pairs():
    h = torch.tensor([[[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]]])
    assert float(likeness(h, torch.ones(1, 3).bool())) == pytest.approx((0.5 + 0 + 0.5) / 3)
    assert float(likeness(h, torch.tensor([[True, True, False]]))) == pytest.approx(0.5)
    assert float(likeness(h, torch.tensor([[True, False, False]]))) == 0


# --- the statistics that SL asks for ----------------------------------------------------------------------


def series() -> Batch:
    """Three samples of one modality with two features: three valid steps, one, and none."""
    values = torch.tensor([[[1.0, 0.0], [2.0, 0.0], [3.0, 6.0], [9.0, 9.0]]]).repeat(3, 1, 1)
    mask = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]]).bool()
    here = torch.tensor([True, True, False])
    zeros = torch.zeros(3)
    return Batch({"x": values}, {"x": mask}, {"x": here}, zeros, zeros.long(), torch.arange(3))


def log(deviation: float) -> float:
    return math.log(deviation + LEAST)


def test_statistics_over_steps_by_hand():
    goal, defined = input_statistics(series(), "x", over_features=False)
    three = [2.0, 2.0, log(math.sqrt(2 / 3)), log(math.sqrt(8))]
    assert torch.allclose(goal[0], torch.tensor(three), atol=1e-6)
    assert goal[1:].tolist() == [[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    assert defined.tolist() == [
        [True] * 4,
        [True, True, False, False],
        [False] * 4,
    ]  # of one step no deviation


def test_statistics_over_features_by_hand():
    goal, defined = input_statistics(series(), "x", over_features=True)
    entries = torch.tensor([1.0, 2.0, 3.0, 0.0, 0.0, 6.0])
    assert torch.allclose(goal[0], torch.tensor([2.0, log(float(entries.std(unbiased=False)))]), atol=1e-6)
    assert torch.allclose(
        goal[1], torch.tensor([0.5, log(0.5)]), atol=1e-6
    )  # one step has a spread over features
    assert defined.tolist() == [[True, True], [True, True], [False, False]]


def test_statistics_do_not_read_padding_nor_what_was_not_observed():
    batch = series()
    other = replace(batch, features={"x": batch.features["x"].where(batch.mask["x"][..., None], torch.nan)})
    for over_features in (False, True):
        for left, right in zip(
            *(input_statistics(b, "x", over_features) for b in (batch, other)), strict=True
        ):
            assert torch.equal(left, right)
    observed = torch.ones(3, 4, 2).bool()
    observed[0, 2, 1] = False
    goal, _ = input_statistics(batch.with_observed({"x": observed}), "x", over_features=False)
    assert goal[0, [1, 3]].tolist() == pytest.approx([0.0, log(0.0)])


def test_two_numbers_describe_wide_modalities_and_single_steps():
    spec = Spec({"wide": 129, "narrow": 128, "vector": 4}, "regression", steps={"vector": 1})
    assert [by_features(spec, m, "auto") for m in spec.modalities] == [True, False, True]
    assert all(by_features(spec, m, "features") for m in spec.modalities)
    assert not any(by_features(spec, m, "steps") for m in spec.modalities)


def test_goals_are_standardised_by_the_whole_training_split_once():
    net, batch = network(SPEC), planted.noise(SPEC, 40)
    halves = (batch.take(slice(0, 15)), batch.take(slice(15, 40)))
    net.before_epoch(lambda: iter(halves), 0.0)
    goal, defined = input_statistics(batch, "text", over_features=False)
    for column in (0, 6):  # a mean and a deviation
        own = goal[defined[:, column], column]
        assert float(net.get_buffer("tellers.centre_0")[column]) == pytest.approx(float(own.mean()), abs=1e-5)
        assert float(net.get_buffer("tellers.scale_0")[column]) == pytest.approx(
            float(own.std(unbiased=False)), abs=1e-5
        )
    before = net.get_buffer("tellers.centre_0").clone()
    net.before_epoch(lambda: iter(halves[:1]), 0.5)
    assert torch.equal(net.get_buffer("tellers.centre_0"), before)


def test_a_feature_that_never_changes_is_no_reason_for_an_infinite_error():
    batch = planted.noise(SPEC, 12)
    still = replace(batch, features={**batch.features, "audio": torch.zeros_like(batch.features["audio"])})
    net = network(SPEC)
    net.before_epoch(lambda: iter((still,)), 0.0)
    assert all(bool(torch.isfinite(value)) for value in net.loss(still).values())


def test_moments_of_predictions_are_those_of_the_batch():
    said = torch.tensor([[[1.0], [0.0]], [[3.0], [7.0]]])
    target = torch.tensor([[2.0], [4.0]])
    known = torch.tensor([[True, True], [True, False]])
    first = (2 - 3) ** 2 + 0
    second = (0 - 2) ** 2 + 0  # the one sample that has it: a mean of 0 beside a target of 2
    assert float(moment_gap(said, target, known)) == pytest.approx((first + second) / 4, abs=1e-3)


# --- the penalty ------------------------------------------------------------------------------------------


def test_the_factors_of_a_case_by_hand():
    ratios = norm_ratios(torch.tensor([4.0, 1.0, 1.0]), torch.ones(3).bool())
    assert ratios.tolist() == pytest.approx([4.0, 0.4, 0.4])
    assert penalties(ratios, 1.0, 1.2, 0.1).tolist() == pytest.approx([0.25, 1, 1])
    assert penalties(ratios, 2.0, 1.2, 0.1).tolist() == pytest.approx([0.1, 1, 1])
    assert penalties(ratios, 1.0, 5.0, 0.1).tolist() == [1, 1, 1]  # no conflict
    assert penalties(ratios, 0.0, 1.2, 0.1).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("norms", "has", "ratios"),
    [
        ([0.0, 0.0], [True, True], [1, 1]),
        ([2.0, 0.0], [True, True], [math.inf, 0]),
        ([4.0, 2.0, 9.0], [True, True, False], [2, 0.5, 1]),
        ([3.0], [True], [1]),
        ([3.0, 2.0], [True, False], [1, 1]),
        ([math.inf, 1.0], [True, True], [1, 1]),
        ([math.nan, 1.0], [True, True], [1, 1]),
    ],
)
def test_ratios_of_odd_norms(norms: list[float], has: list[bool], ratios: list[float]):
    assert norm_ratios(torch.tensor(norms), torch.tensor(has)).tolist() == pytest.approx(ratios)


def test_without_a_conflict_the_gradients_are_the_plain_ones():
    batch = planted.noise(SPEC, 16)
    alone = {"sl": "none", "kappa": 1e9}
    found, plain = gradients(network(**alone), batch), gradients(network(**alone), batch, plain=True)
    assert found.keys() == plain.keys()
    assert all(torch.equal(found[name], plain[name]) for name in plain)  # bit by bit
    found = gradients(network(kappa=1e9), batch)  # with SL they are added in another order
    plain = gradients(network(kappa=1e9), batch, plain=True)
    assert found.keys() == plain.keys()
    assert all(torch.allclose(found[name], plain[name], atol=1e-6) for name in plain)


@pytest.mark.parametrize("measure", ["parameters", "embedding"])
def test_the_task_gradient_of_the_leading_encoder_alone_is_scaled(measure: str):
    batch = planted.noise(SPEC, 16)
    params = {"kappa": 1.0001, "measure": measure}
    main = gradients(network(**params, sl="none", cp="none"), batch)
    both = gradients(network(**params, cp="none"), batch)
    net = network(**params)
    found = gradients(net, batch)
    factors = net._factors[0]
    assert 0.1 <= float(factors.min()) < 1 == float(factors.max())
    for i, part in enumerate(net.encoders.parts):
        for name, _ in part.named_parameters():
            key = f"encoders.parts.{i}.{name}"
            goal = factors[i] * main[key] + (both[key] - main[key])
            assert torch.allclose(found[key], goal, atol=1e-6), key
    rest = [key for key in found if not key.startswith("encoders.")]
    assert all(torch.allclose(found[key], both[key], atol=1e-6) for key in rest)


def test_a_modality_that_no_sample_has_takes_no_part():
    batch = planted.noise(SPEC, 16).with_present({"audio": torch.zeros(16, dtype=torch.bool)})
    net = network(cp="constant")
    net.norms[1] = 100
    gradients(net, batch)
    assert net._factors[0][1] == 1
    net = network()
    gradients(net, batch)
    assert net._factors[0][1] == 1


def test_one_modality_has_nothing_to_be_scaled_by():
    spec = replace(planted.spec("text"), steps={"text": 1})
    batch = planted.noise(spec, 16)
    found, plain = gradients(network(spec), batch), gradients(network(spec, cp="none"), batch)
    assert all(torch.equal(found[name], plain[name]) for name in plain)


def test_frozen_encoders_are_left_alone():
    net, batch = network(), planted.noise(SPEC, 16)
    net.encoders.requires_grad_(False)
    found = gradients(net, batch)
    assert found
    assert not any(name.startswith("encoders.") for name in found)
    net.after_step()
    assert net.path.tolist() == [0, 0, 0]


def test_an_epoch_tells_the_error_of_sl_and_the_way_of_each_encoder():
    net, batch = network(), planted.noise(SPEC, 16)
    halves = (batch.take(slice(0, 6)), batch.take(slice(6, 16)))
    net.before_epoch(lambda: iter((batch,)), 0.0)
    assert net.tellers is not None
    by_hand = []
    net.train()
    for half in halves:
        torch.manual_seed(1)
        net.backward(half)
        torch.manual_seed(1)
        _, gated = net.gated(net.encode_all(half), half)
        error, defined = net.tellers(gated, half)["text"]
        by_hand.append((float(error.sum().detach()), int(defined.sum())))
        net.after_step()
    told = {name: float(value) for name, value in net.epoch_diagnostics().items()}
    errors, counts = zip(*by_hand, strict=True)
    assert told["sl_error/text"] == pytest.approx(sum(errors) / sum(counts), rel=1e-5)
    assert told["gradient_norm/audio"] > 0
    assert told["path/vision"] == 0  # nothing has moved it
    net.before_epoch(lambda: iter((batch,)), 0.5)
    assert "sl_error/text" not in net.epoch_diagnostics()  # of this epoch alone
    assert not network(cp="none").epoch_diagnostics().keys() & {"gradient_norm/text", "sl_error/text"}


def test_encoders_of_raw_media_are_neither_scaled_nor_described():
    pytest.importorskip("timm")
    sizes = {"video": 64, "audio": 5}
    net = network(Spec(sizes, "regression", tuned={"video": Tuned("timm:test_vit,weights=random", "last")}))
    scaled = {id(p) for part in net.slowed() for p in part}
    trained = {name: id(p) for name, p in net.encoders.named_parameters() if p.requires_grad}
    assert {name for name, own in trained.items() if own not in scaled} == {
        name for name in trained if ".media." in name
    }
    assert any(".media." in name for name in trained)
    assert net.described == ("audio",)


def test_the_schedule_lets_go_in_the_middle():
    net = network(schedule="decay", strength=2.0)
    shares = []
    for done in (0.0, 0.25, 0.5, 0.75):
        net.before_epoch(lambda: iter(()), done)
        shares.append(net.share)
    assert shares == [1.0, 0.5, 0.0, 0.0]
    net.share = 0.0
    gradients(net, planted.noise(SPEC, 16))
    assert net._factors[0].tolist() == [1, 1, 1]


# --- after the optimiser ----------------------------------------------------------------------------------


def step(net: CPSL, batch: Batch) -> None:
    net.train()
    torch.manual_seed(1)
    rule = torch.optim.SGD(net.parameters(), lr=0.1)
    net.backward(batch)
    rule.step()
    net.after_step()


def test_the_update_of_the_leading_encoder_is_shortened():
    batch = planted.noise(SPEC, 16)
    start = network()
    plain, scaled = network(cp="none"), network(cp_place="update", kappa=1.0001)
    step(plain, batch)
    step(scaled, batch)
    for i, part in enumerate(start.encoders.parts):
        for name, old in part.named_parameters():
            one, other = (net.get_parameter(f"encoders.parts.{i}.{name}") for net in (plain, scaled))
            assert torch.allclose(other, old + scaled.factor[i] * (one - old), atol=1e-5)
        assert float(scaled.path[i]) == pytest.approx(float(scaled.factor[i] * plain.path[i]), rel=1e-2)
    assert scaled.factor.min() < 1


class InterruptionError(Exception):
    pass


def trained(tmp_path: Path, report: Callable[..., None]) -> tuple[dict[str, Tensor], Checkpointer]:
    """Trains with two batches a step and five batches an epoch, so that the third batch begins a step."""
    torch.manual_seed(0)
    net = CPSL(CPSLParams(width=8, cp_place="update", kappa=1.0001), ONE_STEP)
    asked = {"epochs": 3, "batch_size": 8, "accumulate": 2, "learning_rate": 0.01, "selection": "last"}
    rules = Protocol.model_validate(asked)
    tmp_path.mkdir(exist_ok=True)
    keeper = Checkpointer(tmp_path / "last.ckpt", {})
    batch = planted.noise(SPEC, 40)
    fit(net, rules, batch, batch, 3, report, checkpointer=keeper)
    return copy.deepcopy(net.state_dict()), keeper


def test_what_is_interrupted_in_the_middle_of_a_step_ends_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(checkpoint, "INTERVAL", 0.0)
    monkeypatch.setattr(checkpoint, "PATIENCE", 0.0)

    def interrupt(epoch: int, share: float, ended: object) -> None:
        if epoch == 1 and 0.5 < share < 0.7:
            raise InterruptionError

    whole, _ = trained(tmp_path / "whole", lambda *_: None)
    with pytest.raises(InterruptionError):
        trained(tmp_path / "broken", interrupt)
    again, keeper = trained(tmp_path / "broken", lambda *_: None)
    assert keeper.resumed == [1]
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    assert int(whole["taken"]) == 9  # three steps in each of three epochs, the last of one batch
    assert float(whole["factor"].min()) < 1
