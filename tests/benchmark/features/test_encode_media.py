"""Videos with sound, and texts, through networks, from files to a dataset."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from mmbench.benchmark.cli.main import main
from mmbench.benchmark.features.encode import encode, encode_clips
from mmbench.corruptions.frames.noise import PixelNoise
from mmbench.corruptions.frames.video import FrameFreeze
from mmbench.datasets.cache.cache import FeatureCache
from mmbench.datasets.encoders.encoder import Media
from mmbench.datasets.encoders.spec import parse
from mmbench.datasets.encoders.table import make
from mmbench.datasets.layout.open_layout import locate_open
from mmbench.datasets.media.decode import decode
from mmbench.datasets.media.find import find_media

from ...datasets.media.media_files import cut_off, tone, write_sound, write_video

COUNT = 15
VIDEO = "timm:test_vit,weights=random,frames=3"
WORDS = ("calm", "angry", "drivers", "sing", "here")


def write_clips(folder: Path) -> Path:
    """Videos of a moving square with a tone, and a sentence for each."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    rows = ["sample_id,video,sound,text,split,label"]
    for clip in range(COUNT):
        label = clip % 3 - 1
        pictures = draw.integers(0, 40, (12, 48, 64, 3)).astype(np.uint8)
        for number, picture in enumerate(pictures):
            picture[10:30, 2 * number : 2 * number + 20, label + 1] = 220
        write_video(folder / f"{clip}.mp4", list(pictures), rate=12, sound=tone(400 + 300 * label, 1.0))
        words = " ".join(draw.choice(WORDS, 4))
        split = ("train", "train", "train", "valid", "test")[clip // 3]
        rows.append(f"c{clip},{clip}.mp4,{clip}.mp4,{words},{split},{label}")
    (folder / "clips.csv").write_text("\n".join(rows) + "\n")
    (folder / "media.yaml").write_text(
        "table: clips.csv\nmodalities: {video: frames, sound: waveform, text: text}\n"
        "task: {kind: regression, range: [-1, 1]}\n"
    )
    return folder


def save_bert(folder: Path) -> Path:
    """A text transformer of random weights and its tokenizer."""
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    transformers.AutoTokenizer.from_pretrained(folder, tokenizer_type="bert").save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=5 + len(WORDS),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
    )
    torch.manual_seed(0)
    transformers.BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "hashes"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("MMBENCH_CACHE", raising=False)


def call(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["mmbench", *map(str, words)])
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@pytest.mark.slow
@pytest.mark.usefixtures("hashes")
def test_video_sound_and_text_become_features_that_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    own = write_clips(tmp_path / "own")
    whole = (own / "4.mp4").read_bytes()
    (own / "4.mp4").write_bytes(whole[: len(whole) // 2])
    encoders = [f"video={VIDEO}", "sound=log-mel,bins=12,hop=20", f"text=text:{save_bert(tmp_path / 'bert')}"]
    asked = ["data", "encode", "own", "--data-root", tmp_path]
    asked += [part for encoder in encoders for part in ("--encoder", encoder)]
    assert call(monkeypatch, *asked) == 1
    said = capsys.readouterr().out
    assert "2 problems, and nothing is written" in said
    assert said.count("4.mp4") == 2
    assert not (own / "dataset.yaml").exists()
    assert call(monkeypatch, *asked, "--skip-broken") == 0
    assert "text: encoded" not in capsys.readouterr().out

    found = locate_open(own / "dataset.yaml")
    train = found.load()["train"]
    assert {name: array.shape[2] for name, array in train.features.items()} == {
        "video": make(parse(VIDEO), torch.device("cpu")).width,
        "sound": 12,
        "text": 8,
    }
    assert train.mask["video"].sum(axis=1).tolist() == [3, 3, 3, 3, 0, 3, 3, 3, 3]
    assert train.sample_id[~train.present["video"]].tolist() == ["c4"]
    assert train.present["text"].all()
    assert train.target.tolist() == [-1.0, 0.0, 1.0] * 3
    for encoder, (name, array) in zip(encoders, train.features.items(), strict=True):
        media_set = find_media("own", tmp_path)
        made = make(parse(encoder.partition("=")[2]), torch.device("cpu"))
        media = decode(media_set.clips[0].media[name], made.medium, made.view)
        if isinstance(media, str):
            given = Media(texts=[media])
        else:
            values = torch.from_numpy(media.astype(np.float32) / (255 if media.dtype == np.uint8 else 1))[
                None
            ]
            given = Media(values, torch.ones(values.shape[:2], dtype=torch.bool))
        direct = made.encode(given)
        steps = int(direct.length)
        assert train.mask[name][0].sum() == steps
        np.testing.assert_allclose(array[0, :steps], direct.features[0, :steps].numpy(), rtol=2e-3, atol=2e-3)

    run = (
        "run",
        "--methods",
        "erm",
        "--datasets",
        "own",
        "--preset",
        "quick",
        "--seeds",
        "0",
        "--epochs",
        "1",
    )
    where = ("--data-root", tmp_path, "--store", tmp_path / "runs", "--launcher", "debug")
    assert call(monkeypatch, *run, *where) == 0
    assert "the job is done" in capsys.readouterr().out


@pytest.mark.usefixtures("hashes")
def test_frames_are_broken_before_they_are_encoded(tmp_path: Path):
    write_clips(tmp_path / "own")
    media_set, cache = find_media("own", tmp_path), FeatureCache(tmp_path / "cache")
    encoder = make(parse(VIDEO), torch.device("cpu"))
    clean = encode_clips(media_set, "video", encoder, cache, None, media_set.clips)
    noisy = encode_clips(media_set, "video", encoder, cache, PixelNoise("video", 5), media_set.clips)
    assert noisy.present.all()
    assert clean.features.shape == noisy.features.shape
    assert (np.abs(noisy.features - clean.features).max(axis=(1, 2)) > 0.01).all()
    alone = FeatureCache(tmp_path / "alone")
    one = encode_clips(media_set, "video", encoder, alone, PixelNoise("video", 5), media_set.clips[7:8])
    np.testing.assert_allclose(one.features[0], noisy.features[7], atol=5e-3)
    frozen = encode_clips(media_set, "video", encoder, cache, FrameFreeze("video", 5), media_set.clips)
    still = (frozen.features[:, 1:] == frozen.features[:, :-1]).all(axis=2).any(axis=1)
    assert still.any()
    assert encode(media_set, "video", encoder, cache, FrameFreeze("video", 5)).encoded == 0


@pytest.mark.usefixtures("hashes")
def test_every_kind_of_bad_input_is_in_one_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    own = tmp_path / "own"
    own.mkdir()
    pictures = list(np.zeros((12, 48, 64, 3), np.uint8))
    sound = tone(400, 0.5)
    rows = ["sample_id,video,sound,sound.start,sound.stop,text,split,label"]
    for clip, split in enumerate(["train"] * 7 + ["valid", "test"]):
        write_video(own / f"{clip}.mp4", pictures, rate=12)
        write_sound(own / f"{clip}.wav", sound)
        rows.append(f"c{clip},{clip}.mp4,{clip}.wav,,,calm drivers,{split},0")
    cut_off(own / "0.mp4", 900).replace(own / "0.mp4")
    write_sound(own / "1.wav", tone(400, 0.5, 44_100), 44_100)
    write_sound(own / "2.wav", np.full_like(sound, np.nan))
    rows[4] = "c3,3.mp4,3.wav,,,,train,0"
    rows[5] = "c4,4.mp4,4.wav,0.2,0.2,calm,train,0"
    (own / "5.mp4").rename(own / "nobody.mp4")
    (own / "clips.csv").write_text("\n".join(rows) + "\n")
    (own / "media.yaml").write_text(
        "table: clips.csv\nmodalities: {video: frames, sound: waveform, text: text}\n"
        "task: {kind: regression, range: [-1, 1]}\n"
    )
    asked = ["data", "encode", "own", "--data-root", tmp_path, "--encoder", f"video={VIDEO}"]
    asked += ["--encoder", "sound=log-mel", "--encoder", f"text=text:{save_bert(tmp_path / 'bert')}"]
    assert call(monkeypatch, *asked) == 1
    said = capsys.readouterr().out
    rows = [tuple(re.split(r"\s{2,}", line.strip())) for line in said.splitlines()]
    told = {(row[0], row[1]): row[-1] for row in rows if len(row) in (2, 4) and row[0] != "clip"}
    expected = {
        ("c0", "video"): "cut or damaged",
        ("c1", "sound"): "44100 samples a second, most have 16000: resampled to 16000",
        ("c2", "sound"): "NaN",
        ("c3", "text"): "empty",
        ("c4", "sound"): "the stretch 0.2 s to 0.2 s is empty",
        ("c5", "video"): "no such file",
        ("nobody.mp4", "no clip names this file"): "no clip names this file",
    }
    assert set(told) == set(expected)
    assert all(expected[place] in reason for place, reason in told.items()), told
    assert "5 problems, and nothing is written" in said  # another rate and no text are none
