"""Damage to sound: every stated level is measured, and no sample depends on its batch."""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import Any

import audiomentations
import numpy as np
import pytest
import soxr
import torch
import torchaudio.functional
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbench.corruptions.audio import (
    Babble,
    BandLimit,
    Clipping,
    Gain,
    PacketLoss,
    PinkNoise,
    Resampling,
    Reverberation,
    WhiteNoise,
    Wind,
)
from mmbench.corruptions.corruption import SEVERITIES
from mmbench.corruptions.random import Stream
from mmbench.corruptions.sound import lost_packets
from mmbench.datasets.batch import Batch
from mmbench.datasets.libraries import LibraryError
from scipy.signal import welch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from .sounds import RATE, batch_of, broken, decibels, log_bands, noise, tones, vowels

NOISES = (WhiteNoise, PinkNoise, Wind, Babble)
KINDS = (*NOISES, Reverberation, Clipping, BandLimit, PacketLoss, Gain, Resampling)


def slope(wave: np.ndarray, low: float, high: float, segment: int = 4096) -> float:
    """Of the power spectrum between two frequencies, in dB a decade; ``wave`` is [..., time]."""
    frequency, power = welch(wave, RATE, nperseg=segment)
    inside = (frequency >= low) & (frequency <= high)
    power = power.reshape(-1, len(frequency)).mean(axis=0)
    # Every octave weighs the same, however many bins it has.
    return float(
        np.polyfit(np.log10(frequency[inside]), decibels(power[inside]), 1, w=frequency[inside] ** -0.5)[0]
    )


@pytest.mark.parametrize("kind", NOISES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_the_measured_ratio_is_the_stated_one(kind: Any, severity: int) -> None:
    sound = noise(6, 0.8, channels=2) * torch.tensor([1, 0.1, 3, 1e-3, 1, 1]).view(-1, 1, 1)
    lengths = [12800, 12800, 9000, 5000, 700, 1]
    batch = batch_of(sound, lengths)
    added = (broken(kind, severity, batch).double() - sound.double()).numpy()
    for row, length in enumerate(lengths):
        wanted = np.square(sound[row, :length].double().numpy()).sum()
        ratio = decibels(wanted / np.square(added[row, :length]).sum())
        assert ratio == pytest.approx(kind.levels[severity - 1], abs=0.02), row


@pytest.mark.parametrize("kind", KINDS)
def test_silent_and_absent_samples_stay_silent_and_padding_does_too(kind: Any) -> None:
    sound = noise(5, 0.5)
    sound[1] = 0
    batch = batch_of(sound, [8000, 8000, 3000, 0, 8000])
    batch = batch.with_present({"audio": torch.tensor([True, True, True, True, False])})
    for severity in SEVERITIES:
        found = broken(kind, severity, batch)
        assert bool(torch.isfinite(found).all())
        assert not bool(found[[1, 3, 4]].any())
        assert not bool(found[2, 3000:].any())
        assert bool(found[0].any())


@settings(max_examples=100, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    severity=st.sampled_from(SEVERITIES),
    lengths=st.lists(st.integers(1, 4000), min_size=2, max_size=5),
    beyond=st.integers(1, 5000),
    channels=st.sampled_from([1, 2]),
    garbage=st.sampled_from([0.0, 1e6, float("nan"), float("inf")]),
    draw=st.randoms(use_true_random=False),
)
def test_a_sample_breaks_alike_in_any_batch_order_and_padding(
    kind: Any, severity: int, lengths: list[int], beyond: int, channels: int, garbage: float, draw: Any
) -> None:
    count, steps = len(lengths), max(lengths)
    split = batch_of(noise(count, steps / RATE, channels, seed=draw.randrange(1000)), lengths)
    together = broken(kind, severity, split)
    order = list(range(count))
    draw.shuffle(order)
    shuffled = broken(kind, severity, split.take(torch.tensor(order)))
    for new, old in enumerate(order):
        length = lengths[old]
        assert torch.allclose(shuffled[new, :length], together[old, :length], atol=1e-5)
        wide = torch.full((1, length + beyond, channels), garbage)
        wide[0, :length] = split.features["audio"][old, :length]
        alone = batch_of(wide, [length], split.sample_id[old : old + 1])
        found = broken(kind, severity, alone, split)[0, :length]
        assert torch.allclose(found, together[old, :length], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_seeds_and_samples_differ_where_anything_is_drawn(kind: Any) -> None:
    batch = batch_of(noise(1, 1.0).expand(8, -1, -1).clone())
    one, other = broken(kind, 3, batch), broken(kind, 3, batch, seed=1)
    drawn = kind not in (Clipping, BandLimit, Resampling)
    assert torch.equal(one, other) is not drawn
    assert torch.allclose(one, one[:1].expand_as(one), atol=1e-6) is not drawn


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_are_kept(dtype: torch.dtype) -> None:
    sound = noise(3, 0.2)
    for kind in KINDS:
        found = broken(kind, 3, batch_of(sound.to(dtype)))
        assert found.dtype == dtype
        assert torch.allclose(found.float(), broken(kind, 3, batch_of(sound)), atol=0.02)


@pytest.fixture(scope="module")
def probe() -> Any:
    """Logistic regression on band energies that tells five clean vowels apart."""
    sound, label = vowels(200, seed=0)
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.003, max_iter=500)).fit(
        log_bands(sound), label
    )


@pytest.fixture(scope="module")
def spoken() -> tuple[Batch, np.ndarray]:
    sound, label = vowels(200, seed=1)
    return batch_of(sound), label


@pytest.mark.parametrize("kind", KINDS)
def test_a_probe_hears_less_with_every_severity(
    kind: Any, probe: Any, spoken: tuple[Batch, np.ndarray]
) -> None:
    batch, label = spoken
    hits = [float(probe.score(log_bands(broken(kind, severity, batch)), label)) for severity in range(6)]
    assert hits[0] > 0.95, hits
    # 0.06 is two standard errors of a difference at chance, which is 0.2.
    assert all(more < less + 0.06 for less, more in pairwise(hits)), hits
    assert hits[5] < hits[1] - 0.15, hits


def test_noises_have_their_spectra() -> None:
    silence_like = batch_of(noise(12, 6.0))

    def added(kind: Any) -> np.ndarray:
        return (broken(kind, 5, silence_like) - silence_like.features["audio"])[..., 0].numpy()

    assert slope(added(WhiteNoise), 20, 7500) == pytest.approx(0, abs=0.3)
    assert slope(added(PinkNoise), 12, 7500, 16384) == pytest.approx(-10, abs=0.3)
    assert slope(added(Wind), 12, 100, 16384) == pytest.approx(-20, abs=1.5)
    assert slope(added(Wind), 1000, 4000) == pytest.approx(-60, abs=3)
    colour = audiomentations.AddColorNoise(0, 0, -3.01, -3.01, p=1)
    rows = silence_like.features["audio"][..., 0].numpy()
    theirs = np.stack([colour(samples=row, sample_rate=RATE) - row for row in rows])
    # Their filter has 128 taps with random phases: its slope is only nearly the asked one.
    assert slope(theirs, 500, 7500) == pytest.approx(slope(added(PinkNoise), 500, 7500), abs=2)


def test_white_noise_is_normal_and_as_strong_as_that_of_audiomentations() -> None:
    batch = batch_of(noise(8, 2.0))
    sound = batch.features["audio"]
    ours = (broken(WhiteNoise, 3, batch) - sound)[..., 0].numpy()
    theirs = audiomentations.AddGaussianSNR(10, 10, p=1)
    for row, clean in zip(ours, sound[..., 0].numpy(), strict=True):
        other = theirs(samples=clean, sample_rate=RATE) - clean
        assert row.std() == pytest.approx(other.std(), rel=0.03)
        assert float(np.mean((row / row.std()) ** 4)) == pytest.approx(3, abs=0.15)


def test_wind_comes_in_gusts() -> None:
    batch = batch_of(noise(40, 8.0))
    found = (broken(Wind, 3, batch) - batch.features["audio"])[..., 0].unfold(1, 8000, 8000)
    level = decibels(found.square().mean(dim=2).double().numpy())
    assert 3 < level.std(axis=1).mean() < 9


def test_babble_is_five_others_and_never_the_sample_itself() -> None:
    pitches = [200.0 + 50 * k for k in range(40)]  # a whole number of periods in a frame
    split = batch_of(tones(pitches) * torch.linspace(0.1, 1, 40).view(-1, 1, 1))
    added = broken(Babble, 5, split) - split.features["audio"]
    power = torch.fft.rfft(added[..., 0]).abs().square().numpy()[:, [int(pitch) for pitch in pitches]]
    heard = power > 0.02 * power.sum(axis=1, keepdims=True)
    assert heard.sum(axis=1).tolist() == [5] * 40
    assert not heard.diagonal().any()
    assert heard.any(axis=0).sum() == 32  # the kept voices, and all of them are used
    loud = np.where(heard, power, np.nan)
    assert np.nanmax(np.nanmax(loud, axis=1) / np.nanmin(loud, axis=1)) < 1.1  # equally loud


def test_babble_keeps_its_voices_in_any_order_of_the_set_and_without_silent_ones() -> None:
    split = batch_of(noise(50, 0.1), [400 + 20 * k for k in range(50)])
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    one = Babble("audio", 3).prepared(split).voices
    other = Babble("audio", 3).prepared(split.take(order)).voices
    assert one is not None
    assert other is not None
    assert torch.equal(one.sample_id, other.sample_id)
    assert torch.equal(one.frames, other.frames)
    split.features["audio"][one.sample_id[0] == split.sample_id] = 0
    again = Babble("audio", 3).prepared(split).voices
    assert again is not None
    assert int(one.sample_id[0]) not in again.sample_id.tolist()


def test_babble_says_what_it_lacks() -> None:
    with pytest.raises(ValueError, match=r"prepared\(split\)"):
        Babble("audio", 1).apply(batch_of(noise(3, 0.1)))
    with pytest.raises(ValueError, match="fewer than two"):
        Babble("audio", 1).prepared(batch_of(noise(1, 0.1)))
    pair = batch_of(noise(2, 0.1))  # one voice is all there is
    assert not torch.equal(broken(Babble, 1, pair), pair.features["audio"])


@pytest.mark.parametrize("severity", SEVERITIES)
def test_rooms_decay_in_their_time_and_sound_stays_in_time(severity: int) -> None:
    rt60 = Reverberation.levels[severity - 1]
    impulse = torch.zeros(24, 2 * RATE, 1)
    impulse[:, 100] = 1
    response = broken(Reverberation, severity, batch_of(impulse))[..., 0].double().numpy()
    assert np.abs(response[:, :100]).max() < 1e-6
    response = response[:, 100:]
    assert np.square(response).sum(axis=1) == pytest.approx(1, abs=1e-4)
    assert np.abs(response).argmax(axis=1).tolist() == [0] * 24
    ratio = decibels(np.square(response[:, 0]) / np.square(response[:, 1:]).sum(axis=1))
    assert ratio.mean() == pytest.approx(decibels(0.5 / rt60), abs=0.3)
    # Schroeder's backward integral of what follows the direct path, between -5 and -35 dB.
    for tail in response[:, 1:]:
        decay = decibels(np.maximum(np.cumsum(np.square(tail)[::-1])[::-1] / np.square(tail).sum(), 1e-12))
        fitted = (decay < -5) & (decay > -35)
        gradient = np.polyfit(np.flatnonzero(fitted) / RATE, decay[fitted], 1)[0]
        assert -60 / gradient == pytest.approx(rt60, rel=0.12)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_clipping_limits_as_far_below_the_peak_as_stated(severity: int) -> None:
    batch = batch_of(noise(4, 0.5), [8000, 8000, 4000, 8000])
    found = broken(Clipping, severity, batch)[..., 0].numpy()
    for row, wave in zip(found, (batch.features["audio"] * batch.mask["audio"].unsqueeze(-1)), strict=True):
        clean = wave[..., 0].numpy()
        limit = np.abs(clean).max() / 10 ** (Clipping.levels[severity - 1] / 20)
        expected = audiomentations.Clip(-limit, limit, p=1)(samples=clean, sample_rate=RATE)
        assert row == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_a_line_passes_what_lies_below_its_cutoff_without_delay(severity: int) -> None:
    cutoff = BandLimit.levels[severity - 1]
    batch = batch_of(tones([cutoff / 2, cutoff - 100, cutoff, cutoff + 100, 1.5 * cutoff]))
    clean, found = (
        x[:, 1000:-1000, 0].double() for x in (batch.features["audio"], broken(BandLimit, severity, batch))
    )
    assert torch.allclose(clean[:2], found[:2], atol=3e-3)
    gain = decibels((found.square().mean(1) / clean.square().mean(1)).numpy())
    assert gain[2] == pytest.approx(-6, abs=0.1)
    assert (gain[3:] < -50).all()
    theirs = audiomentations.LowPassFilter(cutoff, cutoff, 24, 24, p=1)
    for row in (0, 4):
        wave = batch.features["audio"][row, :, 0].numpy()
        other = theirs(samples=wave, sample_rate=RATE)[1000:-1000]
        assert (decibels(np.square(other).mean() / clean[row].square().mean().item()) > -1) == (row == 0)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_whole_packets_are_lost_at_the_stated_share_in_bursts(severity: int) -> None:
    share = PacketLoss.levels[severity - 1]
    found = broken(PacketLoss, severity, batch_of(torch.ones(60, 10 * RATE, 1)))[..., 0].view(60, 500, 320)
    lost = (found == 0).all(dim=2)
    assert torch.equal(lost, (found == 0).any(dim=2))
    assert float(lost.float().mean()) == pytest.approx(share, abs=0.02)
    begun = int((lost[:, 1:] & ~lost[:, :-1]).sum() + lost[:, 0].sum())
    assert int(lost.sum()) / begun == pytest.approx(3, abs=0.3)


def test_packets_follow_the_chain_and_a_greater_share_loses_more_and_never_others() -> None:
    chance = Stream(0, "a", torch.arange(50)).uniform("x", 200)
    losses = []
    for share in PacketLoss.levels:
        expected = torch.zeros_like(chance, dtype=torch.bool)
        enter = share / 3 / (1 - share)
        for row, numbers in enumerate(chance.tolist()):
            state = numbers[0] < share
            for place, number in enumerate(numbers):
                if place:
                    state = number < 2 / 3 if state else number < enter
                expected[row, place] = state
        assert torch.equal(lost_packets(chance, share, 3.0), expected)
        losses.append(expected)
    for less, more in pairwise(losses):
        assert bool((more | ~less).all())


@pytest.mark.parametrize("severity", SEVERITIES)
def test_gain_is_the_stated_one_up_or_down(severity: int) -> None:
    level = Gain.levels[severity - 1]
    batch = batch_of(noise(60, 0.02))
    found = broken(Gain, severity, batch)[..., 0].numpy()
    up = 0
    for row, wave in zip(found, batch.features["audio"][..., 0].numpy(), strict=True):
        sign = 1 if np.abs(row).sum() > np.abs(wave).sum() else -1
        theirs = audiomentations.Gain(sign * level, sign * level, p=1)(samples=wave, sample_rate=RATE)
        assert row == pytest.approx(theirs, rel=1e-5)
        up += sign == 1
    assert 18 <= up <= 42


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_resampling_is_that_of_torchaudio_and_leaves_nothing_above_half_the_rate(
    severity: int, rate: int
) -> None:
    lower = int(Resampling.levels[severity - 1])
    sound = noise(3, 0.5, rate=rate)
    found = broken(Resampling, severity, batch_of(sound), sample_rate=rate)[..., 0]
    room = torch.nn.functional.pad(sound[..., 0], (0, rate))
    there = torchaudio.functional.resample(room, rate, lower)
    back = torchaudio.functional.resample(there, lower, rate)[:, : sound.shape[1]]
    assert torch.allclose(found, back, atol=1e-6)
    frequency, power = welch(found.numpy(), rate, nperseg=2048)
    clean = welch(sound[..., 0].numpy(), rate, nperseg=2048)[1]
    assert power[:, frequency > 0.65 * lower].max() < 1e-3 * clean.mean()
    kept = frequency < 0.3 * lower
    assert power[:, kept].sum() == pytest.approx(clean[:, kept].sum(), rel=0.02)


def test_resampling_sounds_like_that_of_soxr_below_half_the_rate() -> None:
    # with which audiomentations resamples; its own function compiles a library of other things for many seconds first
    sound = tones([300.0, 700.0, 1100.0])
    found = broken(Resampling, 3, batch_of(sound))[:, 500:-500, 0].numpy()
    for row, wave in zip(found, sound[..., 0].numpy(), strict=True):
        theirs = soxr.resample(soxr.resample(wave, RATE, 4000), 4000, RATE)[500:-500]
        assert row == pytest.approx(theirs, abs=0.02)


def test_without_torchaudio_resampling_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchaudio", None)
    monkeypatch.setitem(sys.modules, "torchaudio.functional", None)
    with pytest.raises(LibraryError, match=r"mmbench\[audio\]"):
        broken(Resampling, 1, batch_of(noise(2, 0.1)), sample_rate=12_320)


def test_levels_are_physical_at_any_rate() -> None:
    rate = 44_100
    found = broken(PacketLoss, 5, batch_of(torch.ones(9, rate, 1)), sample_rate=rate)[..., 0]
    changes = (found[:, 1:] != found[:, :-1]).nonzero()[:, 1] + 1
    assert len(changes) > 20
    assert not bool((changes % 882).any())
    batch = batch_of(tones([900.0, 1100.0], rate=rate))
    passed = broken(BandLimit, 5, batch, sample_rate=rate)[:, 3000:-3000, 0].square().mean(1)
    assert decibels(passed[0] / 0.045) == pytest.approx(0, abs=0.1)
    assert decibels(passed[1] / 0.045) < -50
    impulse = torch.zeros(20, 2 * rate, 1)
    impulse[:, 0] = 1
    tail = broken(Reverberation, 1, batch_of(impulse), sample_rate=rate)[:, 1:, 0].square().sum(0)
    early, late = tail[: rate // 20].sum(), tail[rate // 20 : rate // 10].sum()
    assert decibels(float(early / late)) == pytest.approx(60 * 0.05 / 0.2, abs=0.5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: BandLimit("audio", 1, sample_rate=8000), "nothing above"),
        (lambda: Resampling("audio", 1, sample_rate=8000), "no more"),
        (lambda: Gain("audio", 1, sample_rate=0), "a number of Hz"),
        (lambda: Gain("audio", 6), "expected 0"),
    ],
)
def test_impossible_strengths_are_refused(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()
