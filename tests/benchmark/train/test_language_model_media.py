"""A language model that hears and sees, from the command line on real sound and frames."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from ...datasets.media.media_files import write_numbered_video
from ...methods.language.tiny_models import save_llama, save_thinker
from ..conftest import Call
from .test_media_method import FAST, save_model, succeed

TEXTS = ("the film is good", "a bad film", "great", "so sad and poor", "fine", "it was bad", "good and great")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Transcripts, their voices and videos, encoded; the features of the sound are those of 8 kHz in ``slow``."""
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    made = tmp_path_factory.mktemp("spoken")
    save_thinker(made / "thinker")
    bert = save_model(made / "bert")
    for name, rate in (("own", 16_000), ("slow", 8_000)):
        clips = made / "data" / name
        clips.mkdir(parents=True)
        rows = ["sample_id,text,voice,film,split,label"]
        for place, text in enumerate(TEXTS):
            subprocess.run(["espeak-ng", "-w", clips / f"{place}.wav", text], check=True)
            split = ("train", "train", "train", "valid", "valid", "test", "test")[place]
            film = f"{place}.mp4" if place % 3 else ""  # some have none
            if film:
                write_numbered_video(clips / film, 4 + place)
            rows.append(f"c{place},{text},{place}.wav,{film},{split},{1 if 'g' in text else -1}")
        (clips / "clips.csv").write_text("\n".join(rows) + "\n")
        (clips / "media.yaml").write_text(
            "table: clips.csv\nmodalities:\n  text: text\n  audio: {medium: waveform, column: voice}\n"
            "  video: {medium: frames, column: film}\ntask: {kind: regression, range: [-3, 3], metrics: mosi}\n"
        )
        succeed(
            "data", "encode", name, "--data-root", made / "data", "--encoder", f"text=text:{bert}",
            "--encoder", f"audio=log-mel,bins=16,rate={rate}",
            "--encoder", "video=timm:test_vit,size=32,frames=4,weights=random",
        )  # fmt: skip
    return made


def test_it_reads_voices_and_frames_and_damage_to_them(folder: Path, call: Call):
    code, told = call(
        "run", "--methods", f"lmm(model={folder / 'thinker'},question=sentiment ?,rank=2)", "--datasets", "own",
        "--epochs", "2", "--batch-size", "2", *FAST, "--data-root", folder / "data", "--store", folder / "runs",
        "--corruptions", "white-noise",
    )  # fmt: skip
    assert code == 0, told
    (job,) = (folder / "runs" / "jobs").iterdir()
    table = pd.read_parquet(job / "predictions.parquet")
    test = table[table.split == "test"].pivot(index="sample_id", columns="condition", values="score")
    assert test.notna().all().all()
    missing = test.drop(columns="clean")
    assert missing.shape[1] == 6  # every set of modalities that leaves one
    assert ((missing.sub(test.clean, axis=0)).abs() > 1e-6).sum().min() >= 1
    (broken,) = job.glob("evaluations/white-noise*.parquet")
    noisy = pd.read_parquet(broken).pivot(index="sample_id", columns="condition", values="score")
    assert (noisy.sub(test.clean, axis=0).abs() > 1e-6).any(axis=None)


def test_media_that_a_model_does_not_read_are_refused_before_anything_runs(folder: Path, call: Call):
    save_llama(folder / "llama")
    asked = (
        "plan",
        "--methods",
        f"lmm(model={folder / 'llama'})",
        "--datasets",
        "own",
        "--data-root",
        folder / "data",
    )
    code, told = call(*asked)
    assert code == 2, told
    reason = "the model llama reads text, and audio of own is waveform: leave it out with --modalities"
    assert reason in " ".join(told.split())
    assert call(*asked, "--modalities", "text")[0] == 0


def test_sound_that_was_decoded_at_another_rate_is_refused(folder: Path, tmp_path: Path, call: Call):
    code, told = call(
        "run", "--methods", f"lmm(model={folder / 'thinker'})", "--datasets", "slow", "--epochs", "1", *FAST,
        "--data-root", folder / "data", "--store", tmp_path / "runs",
    )  # fmt: skip
    assert code != 0
    assert "hears 16000 samples a second, and audio was decoded at 8000" in " ".join(told.split())
