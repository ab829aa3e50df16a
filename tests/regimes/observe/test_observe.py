"""Observations mean what they say."""

from __future__ import annotations

import numpy as np
import pytest
from mmbench.regimes.observe.energy import energy, loudness_and_height
from mmbench.regimes.observe.given import given
from mmbench.regimes.observe.vader import vader
from mmbench.regimes.segmenter import SegmenterError

RATE = 16000


def tone(height: float, loud: float, seconds: float = 0.5) -> np.ndarray:
    """Harmonics of a fundamental."""
    time = np.arange(round(seconds * RATE)) / RATE
    return loud * np.sum([np.sin(2 * np.pi * height * k * time) / k for k in range(1, 6)], axis=0)


def test_words_of_the_lexicon_have_a_valence_and_others_none():
    pytest.importorskip("vaderSentiment")
    texts = np.array(
        ["I love this, wonderful!", "I hate this, it is terrible.", "Where were you going?", "", "not good"]
    )
    found = vader({"transcript": texts}, None)
    assert found[0, 0] > 0.5 > -0.5 > found[1, 0]
    assert np.isnan(found[2:4, 0]).all()
    assert found[4, 0] < 0
    assert np.isnan(found[:, 1]).all()


@pytest.mark.parametrize("height", [90.0, 180.0, 310.0])
def test_the_fundamental_is_found(height: float):
    loud, log_height = loudness_and_height(tone(height, 0.3), RATE)
    assert 2**log_height == pytest.approx(height, rel=0.03)
    assert loud == pytest.approx(10 * np.log10((tone(height, 0.3) ** 2).mean()))


def test_loud_and_high_is_aroused_and_silence_says_nothing():
    sounds = [tone(110, 0.05), tone(110, 0.5), tone(250, 0.05), tone(250, 0.5), np.zeros(8000)]
    found = energy({"waveform": np.stack(sounds)}, RATE)
    quiet_low, loud_low, quiet_high, loud_high = found[:4, 1]
    assert loud_high > max(loud_low, quiet_high) >= min(loud_low, quiet_high) > quiet_low
    assert np.isnan(found[4, 1])
    assert np.isnan(found[:, 0]).all()


def test_noise_has_no_fundamental_and_what_follows_the_end_is_not_heard():
    noise = 0.1 * np.random.default_rng(0).standard_normal(8000)
    assert np.isnan(loudness_and_height(noise, RATE)[1])
    padded = np.concatenate([tone(150, 0.3), np.full(4000, 9.0)])
    both = np.stack([padded, np.concatenate([tone(150, 0.3), np.zeros(4000)])])
    found = energy({"waveform": both, "length": np.array([8000, 8000])}, RATE)
    assert found[0, 1] == found[1, 1]
    assert np.isnan(loudness_and_height(np.zeros(0), RATE)).all()
    assert np.isnan(loudness_and_height(tone(150, 0.3)[:200], RATE)[1])


@pytest.mark.parametrize("length", [-1.0, 8001.0, 100.5, np.nan])
def test_a_length_that_is_none_of_its_waveform_is_refused(length: float):
    with pytest.raises(SegmenterError, match=r"the length of sample 1 is .*from 0 to 8000 are expected"):
        energy({"waveform": np.ones((2, 8000)), "length": np.array([8000.0, length])}, RATE)


def test_sound_that_is_not_finite_is_no_silence_and_padding_may_be():
    wave = np.stack([tone(150, 0.3), tone(150, 0.3)])
    wave[1, 6000] = np.nan
    with pytest.raises(SegmenterError, match="sample 1 has values that are not finite"):
        energy({"waveform": wave}, RATE)
    assert np.isfinite(energy({"waveform": wave, "length": np.array([6000, 6000])}, RATE)[:, 1]).all()


def test_what_is_not_finite_was_not_observed():
    found = given({"valence": np.array([0.5, np.inf, np.nan])}, None)
    assert found[0, 0] == 0.5
    assert np.isnan(found).sum() == 5
