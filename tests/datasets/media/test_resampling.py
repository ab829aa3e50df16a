"""Resampling: torchaudio's filter at every pair of rates, at a bounded cost."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbench.corruptions.sound import resample_by_matrix
from mmbench.datasets.media.resampling import has_few_phases, resample, resample_by_steps

Resample = Callable[[torch.Tensor, int, int], torch.Tensor]
USUAL = [8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000]


@settings(max_examples=60, deadline=None)
@given(
    before=st.sampled_from(USUAL),
    after=st.sampled_from(USUAL),
    steps=st.integers(1, 3000),
    seed=st.integers(0, 9),
)
def test_each_step_alone_gives_what_torchaudio_gives(before: int, after: int, steps: int, seed: int) -> None:
    assert has_few_phases(before, after)
    sound = (
        2 * torch.rand(2, 3, steps, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 1
    )
    wanted = torchaudio.functional.resample(sound, before, after) if before != after else None
    found = resample_by_steps(sound, before, after)
    if wanted is not None:
        torch.testing.assert_close(found, wanted, atol=1e-9, rtol=0)
    single = torchaudio.functional.resample(sound.float(), before, after)
    if wanted is not None:
        torch.testing.assert_close(resample_by_steps(sound.float(), before, after), single, atol=1e-4, rtol=0)
    assert torch.equal(resample(sound.float(), before, after), single)  # bit for bit, as before


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (11_127, 16_000),
        (22_254, 16_000),
        (44_101, 16_000),
        (15_999, 16_000),
        (16_000, 44_101),
        (192_001, 16_000),
    ],
)
@pytest.mark.parametrize("function", [resample, resample_by_matrix])
def test_a_tone_at_an_odd_rate_costs_little_and_stays_the_tone(
    before: int, after: int, function: Resample
) -> None:
    def at(rate: int) -> np.ndarray:
        return 0.5 * np.sin(2 * np.pi * 440 * np.arange(3 * rate) / rate)

    sound = torch.from_numpy(at(before)).float()[None, None]
    peak, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    found = function(sound, before, after)[0, 0].numpy()
    assert time.process_time() - began < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 300_000  # KiB
    inside = slice(after // 10, 3 * after - after // 10)
    # The filter's own ripple: torchaudio's differs from the tone by as much at 44100 Hz.
    np.testing.assert_allclose(found[: 3 * after][inside], at(after)[inside], atol=2e-3)


def test_neighbouring_odd_rates_agree_with_the_usual_one() -> None:
    """44101 Hz is read by the other way of computing; on a smooth sound the results can hardly differ."""
    usual = torchaudio.functional.resample(torch.ones(1, 44_100), 44_100, 16_000)[0, 100:15_900]
    odd = resample(torch.ones(1, 44_101), 44_101, 16_000)[0, 100:15_900]
    torch.testing.assert_close(odd, usual, atol=2e-3, rtol=0)
