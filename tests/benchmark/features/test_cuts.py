"""What encoders do not read of long clips, with small encoders of each kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from mmbench.benchmark.features.cuts import cut_summary
from mmbench.datasets.encoders.encoder import Encoder
from mmbench.datasets.encoders.spec import parse
from mmbench.datasets.encoders.table import make
from mmbench.datasets.media.clip import MediaSet
from mmbench.datasets.media.own import read_own

from ...datasets.encoders.small_models import WORDS, save_ast, save_bert, save_whisper

SECONDS = (0.5, 0.58, 1.25, 3.0)
COUNTS = (1, 6, 9, 14)  # words; two special tokens come on top


@pytest.fixture
def clips(tmp_path: Path) -> MediaSet:
    """Four clips of different lengths; the last is a stretch of one second of the longest recording."""
    rows = ["sample_id,label,split,audio,audio.start,audio.stop,text"]
    for row, (seconds, count) in enumerate(zip(SECONDS, COUNTS, strict=True)):
        soundfile.write(tmp_path / f"{row}.wav", np.zeros(int(16_000 * seconds), np.float32), 16_000)
        rows.append(f"c{row},0,train,{row}.wav,,,{' '.join(WORDS[:1] * count)}")
    rows += ["c4,1,valid,3.wav,1,2,", "c5,1,test,3.wav,2.5,,"]
    (tmp_path / "clips.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "media.yaml").write_text(
        "table: clips.csv\nmodalities: {audio: waveform, text: text}\n"
        "task: {kind: classification, classes: [low, high]}\n"
    )
    return read_own(tmp_path / "media.yaml")


def encoder(text: str) -> Encoder:
    return make(parse(text), torch.device("cpu"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "log-mel,bins=8,seconds=0.5",
            "4 of 6 clips are longer than 0.5 s and are cut there: they lose 1.0 s on average, 2.5 s at most",
        ),
        (
            "log-mel,bins=8,seconds=1",
            "2 of 6 clips are longer than 1 s and are cut there: they lose 1.1 s on average, 2 s at most",
        ),
        ("log-mel,bins=8,seconds=3", ""),
        ("log-mel,bins=8", ""),
    ],
)
def test_clips_longer_than_a_spectrum_are_counted(clips: MediaSet, text: str, expected: str) -> None:
    assert cut_summary(clips, "audio", encoder(text)) == expected


@pytest.mark.parametrize(
    ("kind", "save", "longest"), [("whisper", save_whisper, 1.0), ("ast", save_ast, 0.575)]
)
def test_clips_longer_than_a_network_reads_are_counted(
    clips: MediaSet, tmp_path: Path, kind: str, save: Callable[[Path], None], longest: float
) -> None:
    (tmp_path / kind).mkdir()
    save(tmp_path / kind)
    said = cut_summary(clips, "audio", encoder(f"{kind}:{tmp_path / kind}"))
    count = sum(length > longest + 0.01 for length in (*SECONDS, 1.0, 0.5))
    assert said.startswith(f"{count} of 6 clips are longer than {longest:g} s")
    assert said.endswith(f"{3 - longest:g} s at most")


def test_texts_of_more_tokens_are_counted(clips: MediaSet, tmp_path: Path) -> None:
    (tmp_path / "bert").mkdir()
    save_bert(tmp_path / "bert")
    cut = cut_summary(clips, "text", encoder(f"text:{tmp_path / 'bert'},max_length=8"))
    assert (
        cut
        == "2 of 4 texts are longer than 8 tokens and are cut there: they lose 5.5 tokens on average, 8 tokens at most"
    )
    assert not cut_summary(clips, "text", encoder(f"text:{tmp_path / 'bert'},max_length=16"))
