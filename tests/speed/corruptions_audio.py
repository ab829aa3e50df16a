"""Damage to sound, beside the libraries that do the same: audiomentations and torchaudio.

    python tests/speed/corruptions_audio.py

A batch of 32 samples of 3 s at 16 kHz goes in as a tensor and comes out as one. audiomentations takes one sample
after another; its results are stacked. All take turns on one thread, and the ratio is to the fastest library. Ours is
the whole of ``apply``: masks, random numbers and damage. Times are of the processor, which other work on the machine
disturbs less than those of the clock.

Where the libraries do something less or different, the name says so. None of them loses packets in bursts; its
neighbour here cuts one gap into each sample. Recordings that audiomentations reads lie on disk, in the system's cache.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import audiomentations
import numpy as np
import soundfile
import torch
import torchaudio.functional as sound
from audiomentations.core.transforms_interface import BaseWaveformTransform
from measure import Row, estimate, print_machine, print_table, scratch
from mmbench.corruptions import audio
from mmbench.corruptions.corruption import prepare
from mmbench.datasets.batch import Batch
from torch import Tensor
from torchaudio.transforms import Vol

COUNT, SECONDS, RATE, TURNS = 32, 3, 16_000, 41
SEVERITY = 3
now = time.process_time
Work = Callable[[], Tensor]


def batch_of(waves: Tensor) -> Batch:
    count, steps = waves.shape
    return Batch(
        features={"audio": waves.unsqueeze(-1)},
        mask={"audio": torch.ones(count, steps, dtype=torch.bool)},
        present={"audio": torch.ones(count, dtype=torch.bool)},
        target=torch.zeros(count),
        domain=torch.zeros(count, dtype=torch.int64),
        sample_id=torch.arange(count) * 7919,
    )


def one_by_one(waves: Tensor, *transforms: BaseWaveformTransform) -> Work:
    """audiomentations' transforms of each wave; one that resamples says what rate the next one reads."""
    rows = waves.numpy()

    def work() -> Tensor:
        found = []
        for row in rows:
            rate = RATE
            for transform in transforms:
                row = transform(samples=row, sample_rate=rate)
                rate = getattr(transform, "max_sample_rate", rate)
            found.append(row)
        return torch.from_numpy(np.stack(found))

    return work


def libraries(waves: Tensor, kind: type[audio.Waveform], severity: int, folder: Path) -> Mapping[str, Work]:
    """Name -> the same work by a library, at the level of the severity."""
    level = kind.levels[severity - 1]
    ratio = torch.full((COUNT,), level)

    def filtered_noise(decay: float) -> Work:
        return one_by_one(waves, audiomentations.AddColorNoise(level, level, decay, decay, p=1))

    if kind is audio.WhiteNoise:
        return {
            "AddGaussianSNR": one_by_one(waves, audiomentations.AddGaussianSNR(level, level, p=1)),
            "randn, torchaudio add_noise": lambda: sound.add_noise(waves, torch.randn_like(waves), ratio),
        }
    if kind is audio.PinkNoise:
        return {"AddColorNoise": filtered_noise(-3.01)}
    if kind is audio.Wind:
        return {"AddColorNoise, brown, no gusts": filtered_noise(-6.02)}
    if kind is audio.Babble:
        for place, wave in enumerate(waves):
            soundfile.write(folder / f"{place}.wav", wave.numpy(), RATE, subtype="FLOAT")
        return {
            "AddBackgroundNoise, one voice": one_by_one(
                waves, audiomentations.AddBackgroundNoise(folder, level, level, p=1)
            ),
            "five rows, torchaudio add_noise": lambda: sound.add_noise(
                waves, waves[torch.randint(COUNT, (COUNT, 5))].sum(1), ratio
            ),
        }
    if kind is audio.Reverberation:
        responses = torch.randn(COUNT, int(level * RATE)) * torch.linspace(1, 0, int(level * RATE)) ** 4
        file = folder / f"response{severity}.wav"
        soundfile.write(file, responses[0].numpy(), RATE, subtype="FLOAT")
        return {
            "ApplyImpulseResponse": one_by_one(waves, audiomentations.ApplyImpulseResponse(str(file), p=1)),
            "torchaudio fftconvolve": lambda: sound.fftconvolve(waves, responses)[:, : waves.shape[1]],
        }
    if kind is audio.Clipping:
        return {"ClippingDistortion": one_by_one(waves, audiomentations.ClippingDistortion(20, 20, p=1))}
    if kind is audio.BandLimit:
        low = audiomentations.LowPassFilter(level, level, 24, 24, p=1)
        return {
            "LowPassFilter, 24 dB/octave": one_by_one(waves, low),
            "torchaudio lowpass_biquad": lambda: sound.lowpass_biquad(waves, RATE, level),
        }
    if kind is audio.PacketLoss:
        return {"TimeMask, one gap": one_by_one(waves, audiomentations.TimeMask(level, level, 0.0, p=1))}
    if kind is audio.Gain:
        return {
            "Gain": one_by_one(waves, audiomentations.Gain(level, level, p=1)),
            "torchaudio Vol": lambda: Vol(level, "db")(waves),
        }
    lower = int(level)
    down, up = (audiomentations.Resample(rate, rate, p=1) for rate in (lower, RATE))
    return {
        "Resample twice": one_by_one(waves, down, up),
        "torchaudio resample twice": lambda: sound.resample(sound.resample(waves, RATE, lower), lower, RATE),
    }


def row(kind: type[audio.Waveform], severity: int, waves: Tensor, folder: Path) -> Row:
    batch = batch_of(waves)
    condition = prepare(kind("audio", severity), batch)
    others = libraries(waves, kind, severity, folder)
    contenders: list[Callable[[], object]] = [lambda: condition.apply(batch), *others.values()]
    for contender in contenders:
        contender()
    turns = []
    for turn in range(TURNS):
        seconds = [0.0] * len(contenders)
        for place in np.roll(np.arange(len(contenders)), turn):
            begun = now()
            contenders[place]()
            seconds[place] = now() - begun
        turns.append(seconds)
    ratio = estimate({"all": turns}, lambda medians: float(medians["all"][0] / medians["all"][1:].min()))
    times = np.median(turns, axis=0) * 1e3
    words = [f"{name} {time:.1f} ms" for name, time in zip(("ours", *others), times, strict=True)]
    promised = None if kind is audio.PacketLoss else 1.0  # no library does it
    return Row(f"{kind.kind}@{severity}", *ratio, "x", promised, note="; ".join(words))


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    print_machine()
    waves = 0.1 * torch.randn(COUNT, SECONDS * RATE, generator=torch.Generator().manual_seed(0))
    fixed = (
        audio.WhiteNoise,
        audio.PinkNoise,
        audio.Wind,
        audio.Babble,
        audio.Clipping,
        audio.BandLimit,
        audio.PacketLoss,
        audio.Gain,
    )
    asked = [(kind, SEVERITY) for kind in fixed]
    # What a level of these costs depends on the level.
    asked += [
        (kind, severity) for kind in (audio.Reverberation, audio.Resampling) for severity in range(1, 6)
    ]
    with scratch() as folder:
        rows = [row(kind, severity, waves, folder) for kind, severity in asked]
    print_table(f"{COUNT} x {SECONDS} s at {RATE} Hz: ours / the fastest library", rows)


if __name__ == "__main__":
    main()
