"""Damage to features: every registered corruption keeps its contract, and each does what its name says."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from mmbench.benchmark.check.conformance import check_corruption
from mmbench.benchmark.core.registry import find
from mmbench.corruptions import CORRUPTIONS
from mmbench.corruptions.features import (
    BlockDropout,
    ChannelDropout,
    Drift,
    FrameDropout,
    Freeze,
    GaussianNoise,
    IrregularSampling,
    Jitter,
    Quantisation,
    Spikes,
    TimeShift,
    WordReplacement,
)
from mmbench.corruptions.missing_rates import RandomFrames, RandomModality
from mmbench.corruptions.reliability import Reliability
from mmbench.datasets.batch import Batch
from sklearn.linear_model import Ridge

KINDS = (
    GaussianNoise,
    FrameDropout,
    BlockDropout,
    Freeze,
    TimeShift,
    Jitter,
    IrregularSampling,
    ChannelDropout,
    Quantisation,
    Drift,
    Spikes,
    WordReplacement,
)


def batch_of(features: dict[str, torch.Tensor], mask: torch.Tensor | None = None) -> Batch:
    first = next(iter(features.values()))
    count, steps = first.shape[:2]
    if mask is None:
        mask = torch.ones(count, steps, dtype=torch.bool)
    return Batch(
        features=features,
        mask=dict.fromkeys(features, mask),
        present={name: torch.ones(count, dtype=torch.bool) for name in features},
        target=torch.zeros(count),
        domain=torch.zeros(count, dtype=torch.int64),
        sample_id=torch.arange(count) * 7919 - 3,
    )


def counting(count: int = 200, steps: int = 20) -> Batch:
    """Every step holds its own place, so that one sees where it was read from."""
    place = torch.arange(1.0, steps + 1).view(1, steps, 1).expand(count, steps, 3).clone()
    return batch_of({"text": place})


def broken(kind: Any, severity: int, batch: Batch) -> torch.Tensor:
    return kind("text", severity).apply(batch).features["text"]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_registered_corruptions_keep_their_contract(name: str) -> None:
    failed = [
        (check.what, check.reason)
        for check in check_corruption(find("corruption", name).load())
        if not check.ok
    ]
    assert failed == []


@pytest.mark.parametrize("kind", KINDS)
def test_padding_on_either_side_changes_nothing_and_is_not_read(kind: Any) -> None:
    features = torch.randn(8, 10, 4, generator=torch.Generator().manual_seed(0))
    plain = broken(kind, 4, batch_of({"text": features}))
    nothing = torch.full((8, 5, 4), torch.nan)
    wide = batch_of(
        {"text": torch.cat([features, nothing], dim=1)}, (torch.arange(15) < 10).expand(8, 15).clone()
    )
    assert torch.equal(broken(kind, 4, wide)[:, :10], plain)
    left = batch_of(
        {"text": torch.cat([nothing, features], dim=1)}, (torch.arange(15) >= 5).expand(8, 15).clone()
    )
    assert bool(torch.isfinite(broken(kind, 4, left)[:, 5:]).all())


@pytest.mark.parametrize("kind", KINDS)
def test_a_probe_reads_less_with_every_severity(kind: Any) -> None:
    """Ridge on clean data whose signal fades along time, tested on damaged data."""
    draw = torch.Generator().manual_seed(0)
    steps, channels = 40, 6
    course = torch.linspace(0, 1, steps).view(1, steps, 1)
    latent = torch.randn(1200, generator=draw)
    features = latent.view(-1, 1, 1) * torch.exp(-6 * course) * torch.linspace(-2, 2, channels) + course
    features = features + 0.3 * torch.randn(1200, steps, channels, generator=draw)
    batch = batch_of({"text": features})
    probe = Ridge(10.0).fit(features[:800].flatten(1).numpy(), latent[:800].numpy())
    errors = []
    for severity in range(6):
        damaged = broken(kind, severity, batch)[800:].flatten(1).numpy()
        errors.append(float(np.mean((probe.predict(damaged) - latent[800:].numpy()) ** 2)))
    # Half of the clean error is left as slack for the draws.
    assert all(more > less - 0.5 * errors[0] for less, more in pairwise(errors)), errors
    assert errors[5] > 1.5 * errors[0] or kind is Quantisation, errors
    assert errors[5] > errors[1], errors


def test_rates_are_the_stated_ones() -> None:
    batch = batch_of({"text": torch.ones(500, 40, 25)})
    for severity, rate in enumerate(FrameDropout.levels, start=1):
        assert float((broken(FrameDropout, severity, batch) == 0).float().mean()) == pytest.approx(
            rate, abs=0.01
        )
    for severity, rate in enumerate(ChannelDropout.levels, start=1):
        gone = broken(ChannelDropout, severity, batch) == 0
        assert float(gone.float().mean()) == pytest.approx(rate, abs=0.02)
        assert torch.equal(gone.any(dim=1), gone.all(dim=1))  # a channel goes for the whole sample
    for severity, rate in enumerate(BlockDropout.levels, start=1):
        gone = (broken(BlockDropout, severity, batch) == 0)[..., 0]
        assert torch.equal(gone.sum(1), torch.full((500,), round(40 * rate)))
        assert int((gone[:, 1:] & ~gone[:, :-1]).sum(1).max()) <= 1  # one span
    for severity, rate in enumerate(Spikes.levels, start=1):
        hit = (broken(Spikes, severity, batch) - 1).abs()
        assert float((hit > 0).float().mean()) == pytest.approx(rate, abs=0.005)
        assert set(hit.unique().tolist()) == {0.0, 5.0}
    for severity, scale in enumerate(GaussianNoise.levels, start=1):
        noise = broken(GaussianNoise, severity, batch) - 1
        assert float(noise.std()) == pytest.approx(scale, rel=0.01)
        assert abs(float(noise.mean())) < 0.01


def test_a_higher_severity_contains_the_damage_of_a_lower_one() -> None:
    batch = batch_of({"text": torch.ones(50, 30, 4)})
    for kind in (FrameDropout, BlockDropout, ChannelDropout, Spikes):
        gone = [broken(kind, severity, batch) != 1 for severity in range(6)]
        for less, more in pairwise(gone):
            assert bool((more | ~less).all()), kind.kind


def test_time_is_damaged_as_the_name_says() -> None:
    batch = counting()
    clean = batch.features["text"][..., 0]
    late = broken(TimeShift, 4, batch)[..., 0]
    assert torch.equal(late[:, :10], torch.zeros(200, 10))
    assert torch.equal(late[:, 10:], clean[:, :10])
    held = broken(IrregularSampling, 3, batch)[..., 0]
    assert bool((held[:, 1:] >= held[:, :-1]).all())
    assert bool((held <= clean).all())
    assert float((held == clean).float().mean()) == pytest.approx(0.4, abs=0.05)
    shaken = broken(Jitter, 3, batch)[..., 0]
    assert float((shaken - clean).abs().max()) == 4
    assert shaken.min() >= 1
    assert shaken.max() <= 20
    frozen = broken(Freeze, 4, batch)[..., 0]
    longest = (frozen.unsqueeze(2) == frozen.unsqueeze(1)).sum(2).max(1).values
    assert torch.equal(longest, torch.full((200,), 10))
    moved = broken(WordReplacement, 3, batch)[..., 0]
    assert float((moved != clean).float().mean()) == pytest.approx(0.4, abs=0.03)
    offset = broken(Drift, 3, batch)[..., 0] - clean
    assert torch.allclose(offset.abs(), 1.5 * clean / 20, atol=1e-5)
    assert float(broken(Quantisation, 5, batch).remainder(4).abs().max()) == 0


def test_word_damage_concerns_text_only() -> None:
    assert {condition.modality for condition in WordReplacement.conditions(("audio", "text"))} == {"text"}


THREE = {name: torch.ones(4000, 10, 1) for name in ("text", "audio", "vision")}


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3, 0.6, 0.7])
def test_missing_rate_is_the_share_of_all_modalities_and_one_is_kept(rate: float) -> None:
    there = torch.stack(list(RandomModality(rate).apply(batch_of(THREE)).present.values()), dim=1)
    assert bool(there.any(dim=1).all())
    assert 1 - float(there.float().mean()) == pytest.approx(min(rate, 2 / 3), abs=0.015)


def test_a_modality_that_was_absent_before_is_not_the_one_kept() -> None:
    batch = batch_of(THREE)
    batch = batch.with_present({"text": torch.zeros(4000, dtype=torch.bool)})
    found = RandomModality(0.7).apply(batch).present
    assert not bool(found["text"].any())
    assert bool((found["audio"] | found["vision"]).all())


def test_masks_of_a_rate_contain_those_of_a_lower_one() -> None:
    batch = batch_of(THREE)
    for make in (
        lambda rate: torch.stack(list(RandomModality(rate).apply(batch).present.values())),
        lambda rate: torch.stack(list(RandomFrames(rate, tuple(THREE)).apply(batch).features.values())) != 0,
    ):
        kept = [make(tenth / 10) for tenth in range(8)]
        for more, less in pairwise(kept):
            assert bool((more | ~less).all())


def test_frames_go_at_the_asked_rate_and_all_of_them_at_1() -> None:
    batch = batch_of(THREE)
    for rate in (0.2, 0.9, 1.0):
        for values in RandomFrames(rate, tuple(THREE)).apply(batch).features.values():
            assert float((values == 0).float().mean()) == pytest.approx(rate, abs=0.01)


def test_the_grid_has_100_points_with_clean_and_each_axis_is_what_it_says() -> None:
    grid = Reliability.conditions(("text",))
    assert len({point.name for point in grid}) == 99
    batch = batch_of({"text": torch.ones(400, 20, 5)})
    both = Reliability(0.4, 0.3, ("text",)).apply(batch).features["text"]
    gone = (both == 0).all(dim=2)
    assert float(gone.float().mean()) == pytest.approx(0.3, abs=0.02)
    assert float((both[~gone] - 1).std()) == pytest.approx(0.4, rel=0.03)


def test_other_seeds_other_damage() -> None:
    batch = batch_of({"text": torch.ones(20, 10, 4)})
    one = GaussianNoise("text", 3).apply(batch).features["text"]
    other = replace(GaussianNoise("text", 3), seed=1).apply(batch).features["text"]
    assert abs(float(np.corrcoef(one.flatten(), other.flatten())[0, 1])) < 0.1


@pytest.mark.parametrize(
    "make",
    [lambda: GaussianNoise("text", 6), lambda: RandomModality(1.2), lambda: Reliability(2, 0, ("text",))],
)
def test_impossible_strengths_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        make()
