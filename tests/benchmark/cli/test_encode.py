"""``mmbench data encode`` and ``mmbench data cache``, on real files, as a user calls them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from mmbench.datasets.dataset import SYNTHETIC_FILE
from mmbench.datasets.layout.contents import media_contents
from mmbench.datasets.layout.open_layout import locate_open

from ..conftest import Call
from .clips import ENCODERS, RATE, write_clips


def test_raw_clips_become_a_dataset_with_all_that_is_known_of_them(call: Call, tmp_path: Path):
    write_clips(tmp_path / "own")
    code, said = call("data", "encode", "own", *ENCODERS, "--data-root", tmp_path)
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
    code, said = call("data", "info", "own", "--data-root", tmp_path)
    assert code == 0, said
    assert "x 16 float16" in said


def test_what_an_encoder_cuts_is_said_and_stays_known(call: Call, tmp_path: Path):
    write_clips(tmp_path / "own")
    encoders = ("--encoder", "near=log-mel,bins=16,seconds=0.1", "--encoder", "far=log-mel,bins=8")
    code, said = call("data", "encode", "own", *encoders, "--data-root", tmp_path)
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
    code, said = call("data", "info", "own", "--data-root", tmp_path)
    assert f"near: {cut}" in said
    before = found.fingerprint()
    description = tmp_path / "own" / "dataset.yaml"
    content = yaml.safe_load(description.read_text())
    del content["media"]["modalities"]["near"]["cut"]
    description.write_text(yaml.safe_dump(content, sort_keys=False))
    assert locate_open(description).fingerprint() == before


def test_again_is_no_work_until_something_changes(call: Call, tmp_path: Path):
    write_clips(tmp_path / "own")
    words = ("data", "encode", "own", *ENCODERS, "--data-root", tmp_path)
    assert call(*words)[0] == 0
    arrays = (tmp_path / "own" / "train.npz").stat().st_mtime_ns
    code, said = call(*words)
    assert (code, "nothing to do" in said) == (0, True)
    assert (tmp_path / "own" / "train.npz").stat().st_mtime_ns == arrays
    before = locate_open(tmp_path / "own" / "dataset.yaml").fingerprint()

    soundfile.write(tmp_path / "own" / "3.wav", np.full(RATE // 2, 0.1, np.float32), RATE)
    code, said = call(*words)
    assert code == 0
    assert "near: log-mel,bins=16: encoded 1 of 24 clips now" in said
    assert "far: log-mel,bins=8: encoded 0 of 24 clips now" in said
    assert locate_open(tmp_path / "own" / "dataset.yaml").fingerprint() != before

    table = tmp_path / "own" / "clips.csv"
    table.write_text(table.read_text().replace("c3,3.wav,3-far.wav,train,1", "c3,3.wav,3-far.wav,train,0"))
    code, said = call(*words)
    assert "encoded 0 of 24" in said
    assert locate_open(tmp_path / "own" / "dataset.yaml").load()["train"].target[3] == 0

    (tmp_path / "own" / "valid.npz").unlink()
    assert "wrote" in call(*words)[1]
    code, said = call(*words, "--dtype", "float32")
    assert "encoded 24 of 24" in said
    assert locate_open(tmp_path / "own" / "dataset.yaml").load()["train"].features["near"].dtype == np.float32


def test_the_place_of_the_data_is_not_in_their_fingerprint_but_the_encoder_is(call: Call, tmp_path: Path):
    prints = []
    clips = write_clips(tmp_path / "clips")  # once: a WAV file of floats says when it was written
    for root, encoder in (
        ("a", "log-mel,bins=16"),
        ("b", "log-mel,bins=16"),
        ("c", "log-mel,bins=16,hop=20"),
    ):
        shutil.copytree(clips, tmp_path / root / "own")
        code, said = call(
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


def test_what_is_broken_is_listed_and_problems_only_where_asked_for(call: Call, tmp_path: Path):
    own = write_clips(tmp_path / "own")
    soundfile.write(own / "0.wav", np.full((RATE, 1), np.nan, np.float32), RATE, subtype="FLOAT")
    soundfile.write(own / "1.wav", np.zeros((0, 1), np.float32), RATE)
    soundfile.write(own / "1-far.wav", np.zeros((0, 1), np.float32), RATE)
    (own / "2.wav").write_bytes((own / "2.wav").read_bytes()[:30])
    (own / "4-far.wav").unlink()
    soundfile.write(own / "nobody.wav", np.zeros(9, np.float32), RATE)
    words = ("data", "encode", "own", *ENCODERS, "--data-root", tmp_path)
    code, said = call(*words)
    assert code == 1
    assert "6 problems, and nothing is written" in said
    rows = [re.split(r"\s{2,}", line.strip()) for line in said.splitlines()]
    told = {tuple(row[:2]) for row in rows if len(row) == 4} - {("clip", "modality")}
    assert {("c0", "near"), ("c1", "near"), ("c1", "far"), ("c2", "near"), ("c4", "far")} <= told
    assert "nobody.wav" in said
    assert not (own / "dataset.yaml").exists()
    assert not list(own.glob("*.npz"))

    code, said = call(*words, "--skip-broken")
    assert code == 0, said
    assert "6 problems: what cannot be read is left out" in said
    assert "1 clip with nothing left and dropped" in said
    found = locate_open(own / "dataset.yaml")
    assert found.description.media is not None
    assert found.description.media.problems == 6
    train = found.load()["train"]
    assert "c1" not in train.sample_id
    assert len(train) == 11
    absent = {modality: train.sample_id[~present].tolist() for modality, present in train.present.items()}
    assert absent == {"near": ["c0", "c2"], "far": ["c4"]}
    assert train.previous[:5].tolist() == [-1, 0, -1, 2, 3]  # c2 follows c0, for c1 is gone
    code, said = call(*words, "--skip-broken")
    assert (code, "nothing to do" in said) == (0, True)
    assert call(*words)[0] == 1


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
def test_a_wrong_encoder_is_one_line(call: Call, tmp_path: Path, words: list[str], told: str):
    write_clips(tmp_path / "own", 12)
    asked = [part for word in words for part in ("--encoder", word)]
    code, said = call("data", "encode", "own", *asked, "--data-root", tmp_path)
    assert code == 2
    assert told in said
    assert len(said.strip().splitlines()) == 1


def test_another_dataset_is_not_replaced_unless_asked_for(call: Call, tmp_path: Path):
    write_clips(tmp_path / "own")
    write_clips(tmp_path / "elsewhere" / "other")
    words = ("data", "encode", "own", *ENCODERS, "--data-root", tmp_path)
    assert call(*words)[0] == 0
    raw = ("--from", tmp_path / "elsewhere" / "other")
    before = (tmp_path / "own" / "dataset.yaml").read_text()
    code, said = call(*words, *raw)
    assert code == 2
    assert "--overwrite" in said
    assert (tmp_path / "own" / "dataset.yaml").read_text() == before
    code, said = call(*words, *raw, "--to", tmp_path / "third")
    assert code == 0, said
    origin = locate_open(tmp_path / "third" / "dataset.yaml").description.media
    assert origin is not None
    assert origin.path == str(tmp_path / "elsewhere" / "other")
    code, said = call(*words, *raw, "--overwrite")
    assert code == 0, said


def test_a_folder_is_encoded_where_it_lies(call: Call, tmp_path: Path):
    own = write_clips(tmp_path / "elsewhere" / "own")
    code, said = call("data", "encode", own, *ENCODERS, "--data-root", tmp_path / "data")
    assert code == 0, said
    origin = locate_open(tmp_path / "data" / "own" / "dataset.yaml").description.media
    assert origin is not None
    assert origin.source == str(own)
    assert "nothing to do" in call("data", "encode", own, *ENCODERS, "--data-root", tmp_path / "data")[1]


def test_a_folder_can_be_named_from_where_one_stands(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_clips(tmp_path / "my-clips")
    monkeypatch.chdir(tmp_path)
    assert call("data", "encode", "my-clips", *ENCODERS)[0] == 0
    assert (tmp_path / "data" / "my-clips" / "dataset.yaml").exists()
    for name in ("my-clips", "./my-clips", tmp_path / "my-clips"):
        code, said = call("data", "encode", name, *ENCODERS)
        assert (code, "nothing to do" in said) == (0, True), said
    assert call("check", "media", "my-clips")[0] == 0


def test_a_modality_that_nobody_has_is_not_written(call: Call, tmp_path: Path):
    own = write_clips(tmp_path / "own")
    for file in own.glob("*-far.wav"):
        file.write_bytes(b"RIFF")
    for more in ([], ["--skip-broken"]):
        code, said = call("data", "encode", "own", *ENCODERS, "--data-root", tmp_path, *more)
        assert code == 1
        assert "nothing is written: no clip has far that can be read" in said
        assert not (own / "dataset.yaml").exists()


def test_a_clip_of_two_splits_is_left_out_of_the_earlier_one_or_kept_as_published(call: Call, tmp_path: Path):
    raw = tmp_path / "raw"
    for domain in ("human", "animal", "cartoon"):
        for kind in ("audio", "videos", "flow"):
            (raw / domain / kind).mkdir(parents=True)
        lists = {"train": [f"t{n}" for n in range(10)], "test": ["u0", "u1", *["t3"] * (domain == "human")]}
        for part, names in lists.items():
            (raw / f"HAC_{part}_only_{domain}.csv").write_text("".join(f"{one}.mp4,0\n" for one in names))
            for one in names:
                soundfile.write(raw / domain / f"audio/{one}.wav", np.ones(800, np.float32) / 2, 16_000)
                for file in (f"videos/{one}.mp4", f"flow/{one}_flow_x.mp4", f"flow/{one}_flow_y.mp4"):
                    (raw / domain / file).touch()  # no encoder reads them
    (raw / SYNTHETIC_FILE).touch()  # else other numbers of clips are a problem
    name = "human/t3"
    words = ("data", "encode", "hac", "--from", raw, "--data-root", tmp_path, "--encoder", "audio=log-mel")

    def clips() -> dict[str, str]:
        splits = locate_open(tmp_path / "hac" / "dataset.yaml").load()
        return {one: split for split, samples in splits.items() for one in samples.sample_id.tolist()}

    code, said = call(*words)
    assert code == 1
    assert (
        "1 problem, and nothing is written: mend them, or leave them out with --skip-broken, or keep" in said
    )
    code, said = call(*words, "--skip-broken")
    assert code == 0, said
    assert "1 clip of a later split, too, left out of the earlier one" in said
    left = clips()
    assert name not in left
    assert left[f"{name}#2"] == "test"
    code, said = call(*words, "--skip-broken")
    assert (code, "nothing to do" in said) == (0, True)
    code, said = call(*words, "--as-published")
    assert code == 0, said
    assert "listed before, in HAC_train_only_human.csv" in said  # it is still told
    published = clips()
    assert published.pop(name) in ("train", "valid")
    assert published == left


def test_a_converted_copy_still_says_what_it_was_made_of(call: Call, tmp_path: Path):
    own = write_clips(tmp_path / "own")
    assert call("data", "encode", "own", *ENCODERS, "--data-root", tmp_path)[0] == 0
    assert call("data", "convert", "own", tmp_path / "copy", "--data-root", tmp_path)[0] == 0
    there, copy = (locate_open(folder / "dataset.yaml").description for folder in (own, tmp_path / "copy"))
    assert copy.media == there.media
    assert media_contents(copy, "near") == media_contents(there, "near")
    assert len(media_contents(copy, "near")) == 24


def test_the_block_of_origin_is_checked(tmp_path: Path, call: Call):
    write_clips(tmp_path / "own", 12)
    assert call("data", "encode", "own", *ENCODERS, "--data-root", tmp_path)[0] == 0
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
        code, said = call("data", "info", "own", "--data-root", tmp_path)
        assert code == 2
        assert "media" in said
        assert len(said.strip().splitlines()) == 1, said
