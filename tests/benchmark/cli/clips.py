"""Clips that are encoded in the tests of the command."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import soundfile

RATE = 16_000


def write_clips(folder: Path, count: int = 24, seconds: float = 0.3) -> Path:
    """Sounds of two pitches, in speakers' recordings of three clips each, and a second microphone for each."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    rows = ["sample_id,near,far,split,label,domain,video_id,clip_id"]
    for clip in range(count):
        label, split = clip % 2, ("train", "train", "valid", "test")[clip // 3 % 4]
        time_ = np.arange(int(RATE * seconds)) / RATE
        sound = 0.3 * np.sin(2 * np.pi * (300 + 900 * label) * time_) + draw.normal(0, 0.05, len(time_))
        soundfile.write(folder / f"{clip}.wav", sound.astype(np.float32), RATE, subtype="FLOAT")
        shutil.copy(folder / f"{clip}.wav", folder / f"{clip}-far.wav")
        speaker = clip // 3
        rows.append(
            f"c{clip},{clip}.wav,{clip}-far.wav,{split},{label},{'ab'[speaker % 2]},v{speaker},{clip % 3}"
        )
    (folder / "clips.csv").write_text("\n".join(rows) + "\n")
    (folder / "media.yaml").write_text(
        "table: clips.csv\nmodalities: {near: waveform, far: waveform}\n"
        "task: {kind: classification, classes: [low, high]}\n"
    )
    return folder


ENCODERS = ("--encoder", "near=log-mel,bins=16", "--encoder", "far=log-mel,bins=8")
