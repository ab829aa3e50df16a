"""``mmbench data encode`` and ``mmbench data cache``, on real files, as a user calls them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from mmbench.benchmark.cli.main import main
from mmbench.benchmark.features.dataset import exclusive_writer
from mmbench.datasets.cache.cache import FeatureCache
from mmbench.datasets.layout.contents import media_contents
from mmbench.datasets.layout.open_layout import locate_open

RATE = 16_000
Command = Callable[..., tuple[int, str]]


@pytest.fixture
def mmbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Calls the command in this process; its exit code and what it says. Hashes are remembered apart."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "hashes"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("MMBENCH_CACHE", raising=False)

    def call(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["mmbench", *map(str, words)])
        code: object = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        said = capsys.readouterr()
        assert isinstance(code, int)
        return code, said.out + said.err

    return call


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


def test_raw_clips_become_a_dataset_with_all_that_is_known_of_them(mmbench: Command, tmp_path: Path):
    write_clips(tmp_path / "own")
    code, said = mmbench("data", "encode", "own", *ENCODERS, "--data-root", tmp_path)
    assert code == 0, said
    assert "near: log-mel,bins=16: encoded 24 of 24 clips now" in said
    found = locate_open(tmp_path / "own" / "dataset.yaml")
    assert found.modalities == ("near", "far")
    origin = found.description.media
    assert origin is not None
    assert (origin.source, origin.path, origin.problems) == ("own", "", 0)
    assert origin.cache == str(tmp_path / "cache" / "features")
    assert {name: one.encoder for name, one in origin.modalities.items()} == {
        "near": "log-mel,bins=16",
        "far": "log-mel,bins=8",
    }
    assert origin.modalities["near"].identity["bins"] == "16"
    splits = found.load()
    assert {split: len(samples) for split, samples in splits.items()} == {"train": 12, "valid": 6, "test": 6}
    train = splits["train"]
    assert train.features["near"].dtype == np.float16
    assert train.features["near"].shape[2] == 16
    assert train.present["far"].all()
    assert train.sample_id.tolist() == [f"c{clip}" for clip in (*range(6), *range(12, 18))]
    assert train.domain.tolist() == ["a"] * 3 + ["b"] * 3 + ["a"] * 3 + ["b"] * 3
    assert train.previous.tolist() == [-1, 0, 1, -1, 3, 4, -1, 6, 7, -1, 9, 10]
    assert train.target.tolist() == [0, 1] * 6
    code, said = mmbench("data", "info", "own", "--data-root", tmp_path)
    assert code == 0, said
    assert "x 16 float16" in said


def test_what_an_encoder_cuts_is_said_and_stays_known(mmbench: Command, tmp_path: Path):
    write_clips(tmp_path / "own")
    encoders = ("--encoder", "near=log-mel,bins=16,seconds=0.1", "--encoder", "far=log-mel,bins=8")
    code, said = mmbench("data", "encode", "own", *encoders, "--data-root", tmp_path)
    assert code == 0, said
    cut = "24 of 24 clips are longer than 0.1 s and are cut there: they lose 0.2 s on average, 0.2 s at most"
    assert f"warning: near: {cut}" in said
    assert "warning: far" not in said
    found = locate_open(tmp_path / "own" / "dataset.yaml")
    assert found.description.media is not None
    assert {name: one.cut for name, one in found.description.media.modalities.items()} == {
        "near": cut,
        "far": "",
    }
    code, said = mmbench("data", "info", "own", "--data-root", tmp_path)
    assert f"near: {cut}" in said
    before = found.fingerprint()
    description = tmp_path / "own" / "dataset.yaml"
    content = yaml.safe_load(description.read_text())
    del content["media"]["modalities"]["near"]["cut"]
    description.write_text(yaml.safe_dump(content, sort_keys=False))
    assert locate_open(description).fingerprint() == before


def test_again_is_no_work_until_something_changes(mmbench: Command, tmp_path: Path):
    write_clips(tmp_path / "own")
    call = ("data", "encode", "own", *ENCODERS, "--data-root", tmp_path)
    assert mmbench(*call)[0] == 0
    arrays = (tmp_path / "own" / "train.npz").stat().st_mtime_ns
    code, said = mmbench(*call)
    assert (code, "nothing to do" in said) == (0, True)
    assert (tmp_path / "own" / "train.npz").stat().st_mtime_ns == arrays
    before = locate_open(tmp_path / "own" / "dataset.yaml").fingerprint()

    soundfile.write(tmp_path / "own" / "3.wav", np.full(RATE // 2, 0.1, np.float32), RATE)
    code, said = mmbench(*call)
    assert code == 0
    assert "near: log-mel,bins=16: encoded 1 of 24 clips now" in said
    assert "far: log-mel,bins=8: encoded 0 of 24 clips now" in said
    assert locate_open(tmp_path / "own" / "dataset.yaml").fingerprint() != before

    table = tmp_path / "own" / "clips.csv"
    table.write_text(table.read_text().replace("c3,3.wav,3-far.wav,train,1", "c3,3.wav,3-far.wav,train,0"))
    code, said = mmbench(*call)
    assert "encoded 0 of 24" in said
    assert locate_open(tmp_path / "own" / "dataset.yaml").load()["train"].target[3] == 0

    (tmp_path / "own" / "valid.npz").unlink()
    assert "wrote" in mmbench(*call)[1]
    code, said = mmbench(*call, "--dtype", "float32")
    assert "encoded 24 of 24" in said
    assert locate_open(tmp_path / "own" / "dataset.yaml").load()["train"].features["near"].dtype == np.float32


def test_the_place_of_the_data_is_not_in_their_fingerprint_but_the_encoder_is(
    mmbench: Command, tmp_path: Path
):
    prints = []
    clips = write_clips(tmp_path / "clips")  # once: a WAV file of floats says when it was written
    for root, encoder in (
        ("a", "log-mel,bins=16"),
        ("b", "log-mel,bins=16"),
        ("c", "log-mel,bins=16,hop=20"),
    ):
        shutil.copytree(clips, tmp_path / root / "own")
        code, said = mmbench(
            "data", "encode", "own", "--encoder", f"near={encoder}", "--data-root", tmp_path / root
        )
        assert code == 0, said
        assert "without an encoder, and left out: far" in said
        file = tmp_path / root / "own" / "dataset.yaml"
        prints.append(locate_open(file).fingerprint())
    assert prints[0] == prints[1] != prints[2]
    content = yaml.safe_load(file.read_text())
    content["media"]["modalities"]["near"]["identity"]["version"] = "other"
    file.write_text(yaml.safe_dump(content))
    assert locate_open(file).fingerprint() != prints[2]


def test_what_is_broken_is_listed_and_problems_only_where_asked_for(mmbench: Command, tmp_path: Path):
    own = write_clips(tmp_path / "own")
    soundfile.write(own / "0.wav", np.full((RATE, 1), np.nan, np.float32), RATE, subtype="FLOAT")
    soundfile.write(own / "1.wav", np.zeros((0, 1), np.float32), RATE)
    soundfile.write(own / "1-far.wav", np.zeros((0, 1), np.float32), RATE)
    (own / "2.wav").write_bytes((own / "2.wav").read_bytes()[:30])
    (own / "4-far.wav").unlink()
    soundfile.write(own / "nobody.wav", np.zeros(9, np.float32), RATE)
    call = ("data", "encode", "own", *ENCODERS, "--data-root", tmp_path)
    code, said = mmbench(*call)
    assert code == 1
    assert "6 problems, and nothing is written" in said
    rows = [re.split(r"\s{2,}", line.strip()) for line in said.splitlines()]
    told = {tuple(row[:2]) for row in rows if len(row) == 4} - {("clip", "modality")}
    assert {("c0", "near"), ("c1", "near"), ("c1", "far"), ("c2", "near"), ("c4", "far")} <= told
    assert "nobody.wav" in said
    assert not (own / "dataset.yaml").exists()
    assert not list(own.glob("*.npz"))

    code, said = mmbench(*call, "--skip-broken")
    assert code == 0, said
    assert "6 problems: what cannot be read is left out" in said
    assert "1 clips have nothing left and are dropped" in said
    found = locate_open(own / "dataset.yaml")
    assert found.description.media is not None
    assert found.description.media.problems == 6
    train = found.load()["train"]
    assert "c1" not in train.sample_id
    assert len(train) == 11
    absent = {modality: train.sample_id[~present].tolist() for modality, present in train.present.items()}
    assert absent == {"near": ["c0", "c2"], "far": ["c4"]}
    assert train.previous[:5].tolist() == [-1, 0, -1, 2, 3]  # c2 follows c0, for c1 is gone
    code, said = mmbench(*call, "--skip-broken")
    assert (code, "nothing to do" in said) == (0, True)
    assert mmbench(*call)[0] == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["near"], "expected MODALITY=ENCODER"),
        (["sound=log-mel"], "has no 'sound'"),
        (["near=log-mell"], "log-mel"),
        (["near=log-mel,bin=3"], "bins"),
        (["near=log-mel", "near=log-mel,bins=9"], "has an encoder already"),
    ],
)
def test_a_wrong_encoder_is_one_line(mmbench: Command, tmp_path: Path, words: list[str], told: str):
    write_clips(tmp_path / "own", 12)
    asked = [part for word in words for part in ("--encoder", word)]
    code, said = mmbench("data", "encode", "own", *asked, "--data-root", tmp_path)
    assert code == 2
    assert told in said
    assert len(said.strip().splitlines()) == 1


def test_another_dataset_is_not_replaced_unless_asked_for(mmbench: Command, tmp_path: Path):
    write_clips(tmp_path / "own")
    write_clips(tmp_path / "elsewhere" / "other")
    call = ("data", "encode", "own", *ENCODERS, "--data-root", tmp_path)
    assert mmbench(*call)[0] == 0
    raw = ("--from", tmp_path / "elsewhere" / "other")
    before = (tmp_path / "own" / "dataset.yaml").read_text()
    code, said = mmbench(*call, *raw)
    assert code == 2
    assert "--overwrite" in said
    assert (tmp_path / "own" / "dataset.yaml").read_text() == before
    code, said = mmbench(*call, *raw, "--to", tmp_path / "third")
    assert code == 0, said
    origin = locate_open(tmp_path / "third" / "dataset.yaml").description.media
    assert origin is not None
    assert origin.path == str(tmp_path / "elsewhere" / "other")
    code, said = mmbench(*call, *raw, "--overwrite")
    assert code == 0, said


def test_a_folder_is_encoded_where_it_lies(mmbench: Command, tmp_path: Path):
    own = write_clips(tmp_path / "elsewhere" / "own")
    code, said = mmbench("data", "encode", own, *ENCODERS, "--data-root", tmp_path / "data")
    assert code == 0, said
    origin = locate_open(tmp_path / "data" / "own" / "dataset.yaml").description.media
    assert origin is not None
    assert origin.source == str(own)
    assert "nothing to do" in mmbench("data", "encode", own, *ENCODERS, "--data-root", tmp_path / "data")[1]


def test_a_folder_can_be_named_from_where_one_stands(
    mmbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_clips(tmp_path / "my-clips")
    monkeypatch.chdir(tmp_path)
    assert mmbench("data", "encode", "my-clips", *ENCODERS)[0] == 0
    assert (tmp_path / "data" / "my-clips" / "dataset.yaml").exists()
    for name in ("my-clips", "./my-clips", tmp_path / "my-clips"):
        code, said = mmbench("data", "encode", name, *ENCODERS)
        assert (code, "nothing to do" in said) == (0, True), said
    assert mmbench("check", "media", "my-clips")[0] == 0


def test_a_modality_that_nobody_has_is_not_written(mmbench: Command, tmp_path: Path):
    own = write_clips(tmp_path / "own")
    for file in own.glob("*-far.wav"):
        file.write_bytes(b"RIFF")
    for more in ([], ["--skip-broken"]):
        code, said = mmbench("data", "encode", "own", *ENCODERS, "--data-root", tmp_path, *more)
        assert code == 1
        assert "nothing is written: no clip has far that can be read" in said
        assert not (own / "dataset.yaml").exists()


def test_a_converted_copy_still_says_what_it_was_made_of(mmbench: Command, tmp_path: Path):
    own = write_clips(tmp_path / "own")
    assert mmbench("data", "encode", "own", *ENCODERS, "--data-root", tmp_path)[0] == 0
    assert mmbench("data", "convert", "own", tmp_path / "copy", "--data-root", tmp_path)[0] == 0
    there, copy = (locate_open(folder / "dataset.yaml").description for folder in (own, tmp_path / "copy"))
    assert copy.media == there.media
    assert media_contents(copy, "near") == media_contents(there, "near")
    assert len(media_contents(copy, "near")) == 24


def test_a_cache_that_is_not_there_is_said(mmbench: Command, tmp_path: Path):
    for words in (["ls"], ["verify"], ["rm", "all"]):
        code, said = mmbench("data", "cache", *words, "--cache", tmp_path / "tpyo")
        assert code == 2
        assert "no folder of features" in said


def test_the_cache_is_listed_verified_and_removed(mmbench: Command, tmp_path: Path):
    write_clips(tmp_path / "own")
    assert mmbench("data", "encode", "own", *ENCODERS, "--data-root", tmp_path)[0] == 0
    code, said = mmbench("data", "cache", "ls", "--data-root", tmp_path)
    assert code == 0
    assert "2 kinds of features" in said
    assert said.count("clean") == 2
    code, said = mmbench("data", "cache", "verify", "--data-root", tmp_path)
    assert (code, "2 shards of 48 clips are as they were written" in said) == (0, True)

    shard = sorted((tmp_path / "cache" / "features").glob("*/*.safetensors"))[0]
    content = bytearray(shard.read_bytes())
    content[-1] ^= 4
    shard.write_bytes(content)
    code, said = mmbench("data", "cache", "verify", "--data-root", tmp_path)
    assert code == 1
    assert f"removed {shard}: its content has changed" in said
    (tmp_path / "own" / "train.npz").unlink()
    said = mmbench("data", "encode", "own", *ENCODERS, "--data-root", tmp_path)[1]
    assert said.count("encoded 24 of 24") == said.count("encoded 0 of 24") == 1
    assert mmbench("data", "cache", "verify", "--data-root", tmp_path)[0] == 0

    code, said = mmbench("data", "cache", "rm", "nothing", "--data-root", tmp_path)
    assert (code, len(said.strip().splitlines())) == (2, 1)
    code, said = mmbench("data", "cache", "rm", shard.parent.name[:9], "--data-root", tmp_path)
    assert (code, said.count("removed")) == (0, 1)
    assert not shard.parent.exists()
    mmbench("data", "cache", "rm", "all", "--data-root", tmp_path)
    assert "0 kinds" in mmbench("data", "cache", "ls", "--data-root", tmp_path)[1]


def test_the_block_of_origin_is_checked(tmp_path: Path, mmbench: Command):
    write_clips(tmp_path / "own", 12)
    assert mmbench("data", "encode", "own", *ENCODERS, "--data-root", tmp_path)[0] == 0
    file = tmp_path / "own" / "dataset.yaml"
    good = file.read_text()
    for change in (
        {"source": 3},
        {"modalities": {"near": "log-mel"}},
        {"modalities": {"near": {"encoder": "log-mel", "identity": {"bins": 16}}}},
        {"problems": "many"},
        {"other": 1},
    ):
        content = yaml.safe_load(good)
        content["media"] |= change
        file.write_text(yaml.safe_dump(content))
        code, said = mmbench("data", "info", "own", "--data-root", tmp_path)
        assert code == 2
        assert "media" in said
        assert len(said.strip().splitlines()) == 1, said


def start(root: Path, *more: str) -> subprocess.Popen[str]:
    command = [str(Path(sys.executable).with_name("mmbench")), "data", "encode", "own"]
    command += ["--encoder", "near=log-mel,bins=16", "--data-root", str(root), *more]
    environment = os.environ | {"XDG_CACHE_HOME": str(root / "hashes")}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


def test_two_that_write_one_dataset_never_mix_their_splits(tmp_path: Path):
    own = write_clips(tmp_path / "own")
    with exclusive_writer(own, FeatureCache(tmp_path / "cache" / "features")):
        other = start(tmp_path)
        end = time.monotonic() + 60
        while not list((tmp_path / "cache").glob("features/*/*.safetensors")) and time.monotonic() < end:
            time.sleep(0.05)
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(2)
        assert not list(own.glob("*.npz"))
    assert other.wait(60) == 0
    assert len(locate_open(own / "dataset.yaml").load()) == 3


@pytest.mark.slow
def test_after_control_c_the_command_goes_on_and_the_result_trains(mmbench: Command, tmp_path: Path):
    write_clips(tmp_path / "own", count=200, seconds=0.5)
    first = start(tmp_path)
    until = time.monotonic() + 120
    while not list((tmp_path / "cache").rglob("0*.json")) and time.monotonic() < until:
        time.sleep(0.005)
    first.send_signal(signal.SIGINT)
    said, _ = first.communicate(timeout=60)
    assert first.returncode == 130, said
    assert "the same command goes on from there" in said
    assert not (tmp_path / "own" / "dataset.yaml").exists()
    kept = sum(len(json.loads(file.read_bytes())["keys"]) for file in (tmp_path / "cache").rglob("0*.json"))
    assert 0 < kept < 200
    two = [start(tmp_path), start(tmp_path)]  # both at once, on what is left
    heard = [process.communicate(timeout=200)[0] for process in two]
    assert [process.returncode for process in two] == [0, 0], heard
    counts = [int(re.findall(r"encoded (\d+) of 200", text)[0]) if "encoded" in text else 0 for text in heard]
    assert sum(counts) == 200 - kept
    store = ("--store", tmp_path / "runs", "--launcher", "debug")
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
    code, said = mmbench(*run, "--data-root", tmp_path, *store)
    assert code == 0, said
    assert "the job is done" in said
