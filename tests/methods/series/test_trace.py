"""TRACE and CSDI: the chain and its network by independent computation, what is never read, and what a context is worth."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods.series.csdi import CSDI, CSDIParams
from mmbench.methods.series.trace import TRACE, TRACEParams, sizes_of
from mmbench.methods.shared.completion import Completion, Context
from mmbench.methods.shared.context_gate import ContextGate
from mmbench.methods.shared.diffusion import Denoiser, DiffusionSizes, Partial, SeriesDiffusion, noise_rates
from torch import Tensor

CHANNELS, STEPS, WIDTH = 2, 8, 8
SPEC = Spec(
    {"series": CHANNELS, "told": WIDTH, "noise": WIDTH},
    "regression",
    label_range=(-3.0, 3.0),
    steps={"series": STEPS, "told": 1, "noise": 1},
)
SIZES = DiffusionSizes(steps=20, layers=1)
SMALL: dict[str, Any] = {"width": 8, "chain": 3, "draws": 2, "channels": 8, "denoiser_layers": 1, "heads": 2}


def planted(count: int, seed: int) -> Batch:
    """x_k = e^(.4 c2) sin(3 pi t + 1.5 c1 + k) + 1.6 c3 (t - .5) + .15 noise; ``told`` is linear in c, ``noise`` tells nothing."""
    draw = torch.Generator().manual_seed(seed)
    one, two, three = torch.randn(3, count, 1, 1, generator=draw)
    time = torch.linspace(0, 1, STEPS).view(1, -1, 1)
    wave = torch.sin(3 * math.pi * time + 1.5 * one + torch.arange(float(CHANNELS)))
    series = (0.4 * two).exp() * wave + 1.6 * three * (time - 0.5)
    series = series + 0.15 * torch.randn(series.shape, generator=draw)
    mix = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(99))
    told = torch.cat([one, two, three], dim=2) @ mix
    features = {"series": series, "told": told, "noise": torch.randn(count, 1, WIDTH, generator=draw)}
    return Batch(
        features=features,
        mask={name: torch.ones(values.shape[:2], dtype=torch.bool) for name, values in features.items()},
        present={name: torch.ones(count, dtype=torch.bool) for name in features},
        target=one.flatten(),
        domain=torch.zeros(count, dtype=torch.int64),
        sample_id=torch.arange(count) + 1_000_000 * seed,
    )


TRAIN, TEST = planted(2000, 1), planted(100, 50)


# --- the chain and the network ----------------------------------------------------------------------------


def test_the_chain_ends_in_noise_and_the_published_one_does_not() -> None:
    def left(steps: int, schedule: str) -> float:
        kept = 1.0
        for step in range(steps):
            share = step / (steps - 1)
            quad = (1e-2 + share * (0.5**0.5 - 1e-2)) ** 2
            kept *= 1 - (quad if schedule == "quad" else 1e-4 + share * (2e-2 - 1e-4))
        return kept

    for steps, schedule in ((25, "quad"), (50, "quad"), (50, "published")):
        found = float((1 - noise_rates(steps, schedule)).prod())  # type: ignore[arg-type]
        assert found == pytest.approx(left(steps, schedule), rel=1e-9)
    default = sizes_of(TRACEParams())
    assert left(default.steps, default.schedule) < 0.01
    assert left(50, "published") == pytest.approx(0.60, abs=0.01)
    assert left(50, "quad") < 3e-4


def test_the_network_has_the_published_size() -> None:
    """30 series beside text, X-ray and ECG: 0.51 M in the denoiser, 0.72 M in the gate."""
    spec = Spec({"series": 30, "text": 768, "cxr": 1024, "ecg": 256}, "classification", classes=2)
    published = TRACEParams(**{**TRACE.as_published, "targets": "series"})
    completion = Completion(spec, sizes_of(published), "gate", ("series",))
    count = sum(one.numel() for one in completion.parameters())
    assert count == pytest.approx(1.23e6, abs=0.02e6)


def test_a_chain_whose_noise_is_told_rightly_leads_back_to_the_data() -> None:
    """The values are all 0.7: the noise of what is seen is then known, and draws are 0.7, whatever noise they begin with."""
    diffusion = SeriesDiffusion(2, SIZES, False)

    class Knows(torch.nn.Module):
        def known(self, series: Partial) -> None:
            return None

        def forward(self, noisy: Tensor, step: Tensor, known: None) -> Tensor:
            kept = diffusion.alpha_bar[step]
            return (noisy - kept.sqrt() * 0.7) / (1 - kept).sqrt()

    diffusion.denoiser = Knows()  # type: ignore[assignment]
    nothing = torch.zeros(3, 4, 2, dtype=torch.bool)
    series = Partial(torch.zeros(3, 4, 2), nothing, ~nothing, torch.zeros(3, 4))
    drawn = diffusion.sample(series, lambda tag: torch.randn(3, 4, 2, 5))
    torch.testing.assert_close(drawn, torch.full((5, 3, 4, 2), 0.7))


def test_what_is_known_is_mapped_as_one_concatenation() -> None:
    """Against the published form: all codes side by side through one map, for every entry."""
    torch.manual_seed(0)
    denoiser = Denoiser(2, SIZES, True)
    given = torch.rand(3, 4, 2) < 0.5
    times, context = torch.rand(3, 4) * 9, torch.randn(3, SIZES.context_width)
    known = denoiser.known(Partial(torch.randn(3, 4, 2), given, ~given, times, context))
    half = SIZES.time_width // 2
    rates = torch.tensor([10000 ** (-2 * i / SIZES.time_width) for i in range(half)])
    for row, step, feature in ((0, 0, 0), (1, 3, 1), (2, 2, 0)):
        angles = times[row, step] * rates
        parts = [angles.sin(), angles.cos(), denoiser.feature_codes[feature]]
        whole = torch.cat([*parts, given[row, step, feature].float().view(1), context[row]])
        expected = denoiser.layers[0].side(whole)  # type: ignore[operator]
        torch.testing.assert_close(known.side[0][row, step, feature], expected)


def test_the_error_is_that_of_wanted_entries_and_reads_nothing_else() -> None:
    diffusion = SeriesDiffusion(2, SIZES, False)
    values = torch.randn(6, 5, 2)
    given = torch.rand(6, 5, 2) < 0.4
    wanted = ~given & (torch.rand(6, 5, 2) < 0.5)
    found = []
    for junk in (0.0, torch.nan):
        torch.manual_seed(3)
        dirty = values.where(given | wanted, junk)
        loss = diffusion.loss(Partial(dirty, given, wanted, torch.zeros(6, 5)))
        found.append(loss.detach())
    assert found[0].isfinite()
    assert torch.equal(*found)
    nothing = diffusion.loss(Partial(values, given, wanted & False, torch.zeros(6, 5)))
    assert float(nothing.detach()) == 0


# --- the gate ---------------------------------------------------------------------------------------------


def test_what_is_missing_has_no_weight_and_where_all_is_the_context_is_learned() -> None:
    gate = ContextGate([3, 2], 4, 5)
    with torch.no_grad():
        gate.nothing.fill_(2.0)
    missing = torch.tensor([[False, False], [True, False], [True, True]])
    values = [torch.randn(3, 3), torch.randn(3, 2)]
    context, weights = gate(values, missing)
    torch.testing.assert_close(weights.sum(1), torch.tensor([1.0, 1.0, 0.0]))
    assert not weights[missing].any()
    assert torch.equal(context[2], torch.full((4,), 2.0))
    torch.testing.assert_close(context[1], gate.maps[1](values[1][1]))
    junk = [
        values[0].masked_fill(missing[:, :1], torch.nan),
        values[1].masked_fill(missing[:, 1:], torch.nan),
    ]
    assert torch.equal(gate(junk, missing)[0], context)


def test_a_gate_that_could_not_be_learned_is_refused() -> None:
    bare = TRAIN.with_present({name: torch.zeros(2000, dtype=torch.bool) for name in ("told", "noise")})
    completion = Completion(SPEC, SIZES, "gate", ("series",))
    with pytest.raises(
        ValueError, match=r"no training sample that has series has any of told, noise.*use csdi"
    ):
        completion.measure(lambda: iter((bare,)))
    Completion(SPEC, SIZES, "none", ("series",)).measure(lambda: iter((bare,)))
    with pytest.raises(ValueError, match="targets names 'smell': expected any of series, told, noise"):
        Completion(SPEC, SIZES, "gate", ("smell",))


# --- what a context is worth ------------------------------------------------------------------------------


def trained(context: Context, steps: int) -> Completion:
    torch.manual_seed(0)
    completion = Completion(SPEC, SIZES, context, ("series",))
    completion.measure(lambda: iter((TRAIN,)))
    rate = 1e-2
    optimizer = torch.optim.AdamW(completion.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for _ in range(steps):
        optimizer.zero_grad()
        completion.losses(TRAIN.take(torch.randint(len(TRAIN), (64,))))["diffusion/series"].backward()
        torch.nn.utils.clip_grad_norm_(completion.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return completion.eval()


@pytest.fixture(scope="module")
def gated() -> Completion:
    return trained("gate", 350)


@pytest.fixture(scope="module")
def alone() -> Completion:
    return trained("none", 200)


def error(
    completion: Completion, rate: float, change: Callable[[Batch], Batch] = lambda batch: batch
) -> float:
    """RMSE on entries of the series that are hidden at a rate."""
    hidden = torch.rand(TEST.features["series"].shape, generator=torch.Generator().manual_seed(5)) < rate
    damaged = change(TEST.with_observed({"series": ~hidden}))
    filled = completion.complete(damaged).features["series"]
    return float((filled - TEST.features["series"])[hidden].square().mean().sqrt())


def shuffled(batch: Batch) -> Batch:
    turned = {name: batch.features[name].roll(1, 0) for name in ("told", "noise")}
    return replace(batch, features={**batch.features, **turned})


def test_a_series_that_is_wholly_missing_is_drawn_from_what_is_told_of_it(
    gated: Completion, alone: Completion
) -> None:
    mean = TRAIN.features["series"].mean((0, 1))
    by_mean = float((TEST.features["series"] - mean).square().mean().sqrt())
    with_context, without = error(gated, 1.0), error(alone, 1.0)
    assert with_context < 0.6 * by_mean
    assert with_context < 0.7 * without
    assert without > 0.9 * by_mean
    weights = gated.weights(TEST)
    assert float(weights["series", "told"].mean()) > 0.8
    gone = error(gated, 1.0, lambda one: one.with_present({"told": torch.zeros(len(one), dtype=torch.bool)}))
    assert gone == pytest.approx(without, rel=0.2)
    assert error(gated, 1.0, shuffled) > by_mean  # what is believed is wrong


def test_context_helps_where_most_is_hidden(gated: Completion, alone: Completion) -> None:
    assert error(gated, 0.8) < 0.7 * error(alone, 0.8)
    assert error(alone, 0.3) < error(alone, 0.8)


def test_draws_are_of_the_sample_alone_and_observed_entries_stay(gated: Completion) -> None:
    hidden = torch.rand(20, STEPS, CHANNELS, generator=torch.Generator().manual_seed(1)) < 0.5
    hidden[0] = True
    batch = TEST.take(slice(0, 20)).with_observed({"series": ~hidden})
    whole = gated.complete(batch)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(2))
    for rows in (order, torch.tensor([0]), torch.tensor([7])):
        part = gated.complete(batch.take(rows))
        torch.testing.assert_close(
            part.features["series"], whole.features["series"][rows], atol=1e-4, rtol=1e-4
        )
    assert torch.equal(whole.features["series"][~hidden], TEST.features["series"][:20][~hidden])
    assert whole.present["series"].all()
    assert whole.mask["series"].all()
    assert not whole.observed
    assert not torch.equal(gated.draws(batch, "series")[0], gated.draws(batch, "series")[1])
    dirty = batch.features["series"].where(~hidden, torch.nan)
    again = gated.complete(replace(batch, features={**batch.features, "series": dirty}))
    assert torch.equal(again.features["series"], whole.features["series"])


# --- the method -------------------------------------------------------------------------------------------


def method_of(**params: Any) -> TRACE:
    torch.manual_seed(0)
    method = TRACE(TRACEParams(**SMALL, **params), SPEC)
    method.begin_stage(0)
    method.before_epoch(lambda: iter((TRAIN.take(slice(0, 50)),)), 0.0)
    return method


def test_the_first_stage_draws_nothing_and_the_second_reads_what_is_drawn() -> None:
    method, batch = method_of(), TEST.take(slice(0, 12))
    lacking = batch.with_present({"series": torch.arange(12) % 2 == 0})
    assert set(method.loss(batch)) == {"diffusion/series", "diffusion/told", "diffusion/noise"}
    method.eval()
    plain = method(lacking)
    assert not plain.embeddings["series"][1::2].any()  # as ERM: an absent modality says nothing
    method.begin_stage(1)
    completed = method(lacking)
    assert completed.embeddings["series"][1::2].any()
    before = completed.prediction
    with torch.no_grad():  # other denoisers draw something else
        method.completion.diffusions[0].denoiser.leave.bias += 1.0  # type: ignore[union-attr]
    method.memory.forget()
    after = method(lacking).prediction
    assert not torch.isclose(after[1::2], before[1::2]).all()
    torch.testing.assert_close(after[::2], before[::2])


def test_denoisers_stand_still_in_the_second_stage_and_training_samples_are_drawn_once() -> None:
    method, batch = method_of(), TRAIN.take(slice(0, 50))
    hidden = torch.rand(50, STEPS, CHANNELS, generator=torch.Generator().manual_seed(1)) < 0.5
    batch = batch.with_observed({"series": ~hidden})
    method.begin_stage(1)
    method.before_epoch(lambda: iter((batch,)), 0.5)
    method.train()
    rows = torch.tensor([4, 30, 7])
    expected = method.completion.complete(batch).features["series"][rows]
    found = method.memory.complete(batch.take(rows), training=True).features["series"]
    assert torch.equal(found, expected)
    calls: list[int] = []
    method.completion.register_forward_pre_hook(lambda *_: calls.append(1))
    drawn = method.completion.diffusions[0].sample
    method.completion.diffusions[0].sample = lambda *a: calls.append(1) or drawn(*a)  # type: ignore[assignment, func-returns-value]
    sum(method.loss(batch.take(rows)).values()).backward()  # type: ignore[union-attr]
    assert not calls
    assert all(one.grad is None for one in method.completion.parameters())
    assert method.experts.inner.grad is not None
    hiding = torch.rand(3, STEPS, CHANNELS) < 0.5
    method.memory.complete(batch.take(rows).with_observed({"series": hiding & ~hidden[rows]}), training=True)
    assert calls  # what is damaged is drawn anew


@pytest.mark.parametrize("rule", ["mean", "forward", "linear"])
def test_rules_in_the_place_of_the_diffusion_need_no_stage(rule: str) -> None:
    method = TRACE(TRACEParams(**SMALL, impute=rule), SPEC)  # type: ignore[arg-type]
    assert method.stages == (1.0,)
    method.begin_stage(0)
    method.before_epoch(lambda: iter((TRAIN,)), 0.0)
    lacking = TEST.with_present({"series": torch.zeros(100, dtype=torch.bool)})
    filled = method.completion.complete(lacking).features["series"]
    expected = TRAIN.features["series"].mean((0, 1)).expand(100, STEPS, -1)
    torch.testing.assert_close(filled, expected)


def test_csdi_reads_no_other_modality() -> None:
    torch.manual_seed(0)
    method = CSDI(CSDIParams(**SMALL), SPEC)
    method.before_epoch(lambda: iter((TRAIN.take(slice(0, 50)),)), 0.0)
    hidden = torch.rand(TEST.features["series"].shape) < 0.5
    batch = TEST.with_observed({"series": ~hidden})
    drawn = method.completion.draws(batch, "series")
    assert torch.equal(drawn, method.completion.draws(shuffled(batch), "series"))
    assert not method(batch).diagnostics


@pytest.mark.parametrize("steps", [1, 4])
def test_degenerate_series_are_completed(steps: int) -> None:
    """One step, one feature, a constant one, equal times, and samples of which nothing was observed."""
    count = 10
    features = {"x": torch.full((count, steps, 1), 3.0), "y": torch.randn(count, steps, 40)}
    observed = torch.rand(count, steps, 1) < 0.6
    observed[0], observed[1] = False, True
    batch = Batch(
        features=features,
        mask={name: torch.ones(count, steps, dtype=torch.bool) for name in features},
        present={name: torch.ones(count, dtype=torch.bool) for name in features},
        target=torch.zeros(count),
        domain=torch.zeros(count, dtype=torch.int64),
        sample_id=torch.arange(count),
        time={"x": torch.zeros(count, steps)},
    ).with_observed({"x": observed})
    batch = batch.with_present({"y": torch.arange(count) > 2})
    spec = Spec({"x": 1, "y": 40}, "regression", steps={"x": steps, "y": steps}, partly_observed=("x",))
    method = TRACE(TRACEParams(**SMALL), spec)
    method.begin_stage(0)
    method.before_epoch(lambda: iter((batch,)), 0.0)
    loss = torch.stack(list(method.loss(batch).values())).sum()
    loss.backward()
    method.begin_stage(1)
    completed = method.completion.complete(batch)
    assert loss.isfinite()
    assert completed.features["y"].isfinite().all()
    assert completed.present["x"].all()
    assert completed.present["y"].all()
    assert method.eval()(batch).prediction.isfinite().all()
