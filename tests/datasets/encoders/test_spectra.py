"""Spectra of sound, against scipy and a written-out mel bank."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbench.datasets.encoders.encoder import EncoderError, Media
from mmbench.datasets.encoders.spec import parse
from mmbench.datasets.encoders.table import make
from mmbench.datasets.media.clip import SoundView

CPU = torch.device("cpu")


def media(*clips: np.ndarray) -> Media:
    """Clips [time] as one batch of one channel, padded with what must not be read."""
    longest = max(len(clip) for clip in clips)
    values = torch.full((len(clips), longest, 1), 0.7)
    mask = torch.zeros(len(clips), longest, dtype=torch.bool)
    for row, clip in enumerate(clips):
        values[row, : len(clip), 0] = torch.from_numpy(clip)
        mask[row, : len(clip)] = True
    return Media(values, mask)


def noise(samples: int, seed: int = 0) -> np.ndarray:
    """Sound of two tones and noise."""
    time = np.arange(samples) / 16_000
    drawn = np.random.default_rng(seed).normal(0, 0.05, samples)
    return (0.3 * np.sin(880 * np.pi * time) + 0.2 * np.sin(5000 * np.pi * time * time) + drawn).astype("f4")


def official(sound: np.ndarray) -> np.ndarray:
    """The published log-spectrogram of a clip, [1004, 257], by scipy."""
    sound = sound[:160_000].astype("f8")
    tiled = np.tile(sound, -(-160_000 // len(sound)))[:160_000]
    _, _, power = scipy.signal.spectrogram(np.clip(tiled, -1, 1), 16_000, nperseg=512, noverlap=353)
    logarithm = np.log(power + 1e-7)
    assert logarithm.shape == (257, 1004)
    return ((logarithm - logarithm.mean()) / (logarithm.std() + 1e-9)).T


@pytest.mark.parametrize("samples", [1, 700, 48_000, 160_000, 200_000])
def test_the_log_spectrogram_is_scipys(samples: int):
    encoder = make(parse("log-spectrogram"), CPU)
    sound = 5 * noise(samples)  # beyond 1, to be clipped
    encoded = encoder.encode(media(sound, noise(90_000, 1)))
    assert encoded.features.dtype == torch.float32
    assert encoded.features.shape == (2, 1004, encoder.width) == (2, 1004, 257)
    assert encoded.length.tolist() == [1004, 1004]
    np.testing.assert_allclose(encoded.features[0], official(sound), atol=1e-3)


def test_silence_has_no_spectrum():
    encoded = make(parse("log-spectrogram"), CPU).encode(media(np.zeros(16_000, "f4")))
    assert encoded.features.abs().max() < 1e-3


def test_views():
    assert make(parse("log-spectrogram"), CPU).view == SoundView(16_000, 10.0, tile=True)
    assert make(parse("log-mel,rate=8000,seconds=2"), CPU).view == SoundView(8000, 2.0)


def mel_reference(sound: np.ndarray, bins: int, rate: int, window: int, hop: int, points: int) -> np.ndarray:
    """Log-mel spectrum written out: triangles between points that are evenly apart in mel."""
    sound = np.pad(sound.astype("f8"), (0, max(window - len(sound), 0)))
    starts = range(0, len(sound) - window + 1, hop)
    frames = np.stack([sound[start : start + window] for start in starts])
    power = np.abs(np.fft.rfft(frames * scipy.signal.get_window("hann", window), points)) ** 2
    top = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, bins + 2) / 2595) - 1)
    frequency = np.arange(points // 2 + 1) * rate / points
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bank = np.maximum(0, np.minimum((frequency - low) / (middle - low), (high - frequency) / (high - middle)))
    return np.log(power @ bank.T + 1e-6)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 9000), min_size=1, max_size=4), st.sampled_from([8, 40]))
def test_the_log_mel_spectrum_is_the_reference_in_any_batch(lengths: list[int], bins: int):
    encoder = make(parse(f"log-mel,bins={bins}"), CPU)
    clips = [noise(length, seed) for seed, length in enumerate(lengths)]
    encoded = encoder.encode(media(*clips))
    assert encoded.features.shape[::2] == (len(clips), bins)
    for clip, features, steps in zip(clips, encoded.features, encoded.length.tolist(), strict=True):
        expected = mel_reference(clip, bins, 16_000, 400, 160, 512)
        assert steps == len(expected)
        np.testing.assert_allclose(features[:steps], expected, atol=2e-3)
        assert not features[steps:].any()


def test_channels_are_averaged():
    encoder = make(parse("log-mel"), CPU)
    left, right = noise(4000), noise(4000, 3)
    both = Media(torch.from_numpy(np.stack([left, right], axis=1))[None])
    torch.testing.assert_close(
        encoder.encode(both).features, encoder.encode(media((left + right) / 2)).features
    )


def test_the_options_are_in_the_identity():
    names = [
        "log-spectrogram,average=2",
        "log-mel",
        "log-mel,bins=40",
        "log-mel,hop=5",
        "log-mel,average=2",
        "log-spectrogram",
    ]
    identities = [tuple(sorted(make(parse(name), CPU).identity().items())) for name in names]
    assert len(set(identities)) == len(names)
    assert make(parse("log-mel,bins=80"), CPU).identity() == make(parse("log-mel"), CPU).identity()


@pytest.mark.parametrize("name", ["log-mel,bins=8", "log-spectrogram"])
@pytest.mark.parametrize("count", [2, 3, 64])
def test_neighbouring_steps_can_be_averaged(name: str, count: int):
    clips = [noise(length) for length in (300, 2_000, 9_000)]
    whole = make(parse(name), CPU).encode(media(*clips))
    averaged = make(parse(f"{name},average={count}"), CPU).encode(media(*clips))
    for clip, (features, steps) in enumerate(zip(whole.features.numpy(), whole.length.tolist(), strict=True)):
        expected = [
            features[first : min(first + count, steps)].mean(axis=0) for first in range(0, steps, count)
        ]
        assert averaged.length[clip] == len(expected)
        np.testing.assert_allclose(averaged.features[clip, : len(expected)], expected, rtol=1e-4, atol=1e-5)
        assert not averaged.features[clip, len(expected) :].any()


@pytest.mark.parametrize("name", ["log-mel,average=0", "log-spectrogram,average=0"])
def test_a_step_is_the_mean_of_one_window_at_least(name: str):
    with pytest.raises(EncoderError, match="option average=0: should be"):
        make(parse(name), CPU)
