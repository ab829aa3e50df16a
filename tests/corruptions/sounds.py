"""Sounds for the tests, and the batches that hold them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmbench.corruptions.corruption import prepare
from mmbench.datasets.batch import Batch

RATE = 16_000


def batch_of(sound: torch.Tensor, lengths: list[int] | None = None, ids: torch.Tensor | None = None) -> Batch:
    """Sound [batch, time, channel], of which the first steps are valid."""
    count, steps = sound.shape[:2]
    length = torch.tensor(lengths or [steps] * count)
    return Batch(
        features={"audio": sound},
        mask={"audio": torch.arange(steps) < length[:, None]},
        present={"audio": torch.ones(count, dtype=torch.bool)},
        target=torch.zeros(count),
        domain=torch.zeros(count, dtype=torch.int64),
        sample_id=torch.arange(count) * 7919 - 3 if ids is None else ids,
    )


def broken(kind: Any, severity: int, batch: Batch, split: Batch | None = None, **more: Any) -> torch.Tensor:
    """[batch, time, channel]: under a corruption that has seen ``split``, by default the batch."""
    condition = prepare(kind("audio", severity, **more), batch if split is None else split)
    return condition.apply(batch).features["audio"]


def noise(count: int, seconds: float, channels: int = 1, rate: int = RATE, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(count, round(seconds * rate), channels, generator=draw)


def tones(frequencies: list[float], seconds: float = 1.0, rate: int = RATE) -> torch.Tensor:
    """One tone a sample, at an amplitude of 0.3."""
    time = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    waves = torch.sin(2 * torch.pi * torch.tensor(frequencies, dtype=torch.float64)[:, None] * time)
    return (0.3 * waves).float().unsqueeze(-1)


def decibels(power: Any) -> Any:
    return 10 * np.log10(np.asarray(power))


#: First and second formant in Hz of five vowels of a man's voice (Peterson and Barney 1952).
VOWELS = ((270, 2290), (530, 1840), (730, 1090), (570, 840), (300, 870))


def vowels(count: int, seed: int, seconds: float = 0.5) -> tuple[torch.Tensor, np.ndarray]:
    """[count, time, 1] and which of the five vowels each is: harmonics of a voice under two resonances."""
    draw = np.random.default_rng(seed)
    label = np.arange(count) % len(VOWELS)
    time = np.arange(round(seconds * RATE)) / RATE
    waves = []
    for vowel in label:
        pitch = draw.uniform(90, 160)
        partial = pitch * np.arange(1, int(7000 / pitch))
        strength = 0.03 / partial
        for formant in np.array(VOWELS[vowel]) * draw.uniform(0.93, 1.07):
            strength = strength + 1 / partial / (1 + ((partial - formant) / 80) ** 2)
        phase = draw.uniform(0, 2 * np.pi, len(partial))
        wave = (strength[:, None] * np.sin(2 * np.pi * partial[:, None] * time + phase[:, None])).sum(axis=0)
        waves.append(0.1 * wave / wave.std())
    hiss = 1e-3 * draw.standard_normal((count, len(time)))
    return torch.tensor(np.stack(waves) + hiss, dtype=torch.float32).unsqueeze(-1), label


def log_bands(sound: torch.Tensor) -> np.ndarray:
    """[count, 24 * 2]: the logarithm of the energies in 24 bands of a constant share of an octave, their mean and
    their deviation over frames of 32 ms."""
    frames = sound[..., 0].unfold(1, 512, 256) * torch.hann_window(512)
    power = torch.fft.rfft(frames).abs().square().numpy()
    edges = np.geomspace(100, 8000, 25)
    band = np.digitize(np.fft.rfftfreq(512, 1 / RATE), edges)
    bands = np.stack([power[..., band == k].sum(axis=-1) for k in range(1, 25)], axis=-1)
    level = np.log(bands + 0.01)  # the vowels have 500 over all bands
    return np.concatenate([level.mean(axis=1), level.std(axis=1)], axis=1)
