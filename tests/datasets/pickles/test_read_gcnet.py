"""Packs of GCNet, written in the layout of its loaders, from the files to the samples of the open layout."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmbench.benchmark.cli.data import app
from mmbench.datasets.dataset import DataError
from mmbench.datasets.layout.open_layout import locate_open
from mmbench.datasets.pickles.read_gcnet import read_gcnet

LENGTHS = {"Ses01F_a": 3, "Ses01M_b": 2, "Ses02F_c": 4, "Ses05F_d": 2}
RANGE = (-3.0, 3.0)
Content = list[Any]


def written(folder: Path, content: Content) -> Path:
    """The labels as Python 2 wrote them, a vector of text for each utterance, steps of sound for all but one."""
    file = folder / "labels.pkl"
    file.write_bytes(pickle.dumps(content, 2))
    draw = np.random.default_rng(0)
    for name in ("text-UTT", "audio-FRA"):
        (folder / name).mkdir(exist_ok=True)
    for place, name in enumerate(f"{v}_{u:03d}" for v, n in LENGTHS.items() for u in range(n)):
        np.save(folder / "text-UTT" / f"{name}.npy", draw.normal(size=6).astype(np.float32))
        if name != "Ses01F_a_001":
            np.save(folder / "audio-FRA" / f"{name}.npy", draw.normal(size=(1 + place % 4, 3)))
    return file


def folders_of(folder: Path) -> dict[str, Path]:
    return {"text": folder / "text-UTT", "audio": folder / "audio-FRA"}


@pytest.fixture
def content() -> Content:
    """MOSI's: scores, nobody named, three sets of videos."""
    ids = {v: [f"{v}_{u:03d}" for u in range(n)] for v, n in LENGTHS.items()}
    scores = {v: [np.float64(u - 1.5) for u in range(n)] for v, n in LENGTHS.items()}
    speakers = {v: [""] * n for v, n in LENGTHS.items()}
    said = {v: [f"words {u}" for u in range(n)] for v, n in LENGTHS.items()}
    return [ids, scores, speakers, said, {"Ses02F_c", "Ses01F_a"}, {"Ses01M_b"}, {"Ses05F_d"}]


def test_utterances_have_their_own_features_scores_and_places(tmp_path: Path, content: Content):
    splits, target = read_gcnet(written(tmp_path, content), folders_of(tmp_path), "mosi", RANGE)
    assert target.label_range == RANGE
    assert {split: len(part) for split, part in splits.items()} == {"train": 7, "valid": 2, "test": 2}
    train = splits["train"]
    names = [f"{v}_{u:03d}" for v in ("Ses01F_a", "Ses02F_c") for u in range(LENGTHS[v])]
    assert train.sample_id.tolist() == names
    assert train.target.tolist() == [-1.5, -0.5, 0.5, -1.5, -0.5, 0.5, 1.5]
    assert train.previous.tolist() == [-1, 0, 1, -1, 3, 4, 5]
    assert train.utterances is not None
    assert train.utterances.conversation.tolist() == ["Ses01F_a"] * 3 + ["Ses02F_c"] * 4
    for row, name in enumerate(names):
        text = np.load(tmp_path / "text-UTT" / f"{name}.npy")
        np.testing.assert_array_equal(train.features["text"][row], text[None])
        assert train.present["audio"][row] == (name != "Ses01F_a_001")
        if name != "Ses01F_a_001":
            sound = np.load(tmp_path / "audio-FRA" / f"{name}.npy").astype(np.float32)
            np.testing.assert_array_equal(train.features["audio"][row][train.mask["audio"][row]], sound)


def iemocap(content: Content) -> Content:
    """Classes by number, two who speak, no validation part."""
    labels = {v: [u % 4 for u in range(n)] for v, n in LENGTHS.items()}
    speakers = {v: ["F" if u % 2 else "M" for u in range(n)] for v, n in LENGTHS.items()}
    return [content[0], labels, speakers, content[3], set(LENGTHS) - {"Ses05F_d"}, {"Ses05F_d"}]


def test_classes_are_numbers_and_a_validation_part_may_lack(tmp_path: Path, content: Content):
    splits, target = read_gcnet(written(tmp_path, iemocap(content)), folders_of(tmp_path), "iemocap")
    assert list(splits) == ["train", "test"]
    assert target.classes == ("0", "1", "2", "3")
    assert splits["train"].target.tolist() == [0, 1, 2, 0, 1, 0, 1, 2, 3]
    assert splits["test"].utterances is not None
    assert splits["test"].utterances.speaker.tolist() == ["M", "F"]


def broken(content: Content, how: str) -> Content:
    if how == "both":
        content[6] = {"Ses05F_d", "Ses01F_a"}
    elif how == "absent":
        content[5] = {"Ses09F_x"}
    elif how == "shorter":
        content[1]["Ses02F_c"].pop()
    elif how == "range":
        content[1]["Ses05F_d"][0] = 4.0
    elif how == "label":
        content[1]["Ses05F_d"][0] = "sad"
    elif how == "path":
        content[0]["Ses05F_d"][0] = "../labels"
    elif how == "few":
        return content[:5]
    elif how == "dict":
        content[2] = ["M"]
    return content


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("both", "test: video Ses01F_a is in train, too"),
        ("absent", "valid/ids/Ses09F_x: missing"),
        ("shorter", "train/Ses02F_c/labels: 3 samples"),
        ("range", "test/labels: 1 label out of range"),
        ("label", "test/labels/Ses05F_d: a label that is a str"),
        ("path", "test/ids/Ses05F_d: an utterance"),
        ("few", "four dicts by video"),
        ("dict", "four dicts by video"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, content: Content, how: str, said: str):
    with pytest.raises(DataError, match=said) as error:
        read_gcnet(written(tmp_path, broken(content, how)), folders_of(tmp_path), "mosi", RANGE)
    assert "\n" not in str(error.value)


def test_scores_without_a_range_are_no_classes(tmp_path: Path, content: Content):
    with pytest.raises(DataError, match="scores, and not numbers of classes"):
        read_gcnet(written(tmp_path, content), folders_of(tmp_path), "mosi")


class Command:
    """What runs a command where a pickle is read by the library."""

    def __reduce__(self) -> tuple:
        return os.mkdir, ("made by a pickle",)


def test_nothing_of_a_pickle_is_run(tmp_path: Path, content: Content, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"asks for \w+\.mkdir, which is refused"):
        read_gcnet(written(tmp_path, [Command(), *content[1:]]), folders_of(tmp_path), "mosi", RANGE)
    assert not (tmp_path / "made by a pickle").exists()


def test_the_command_writes_a_dataset(tmp_path: Path, content: Content):
    labels, to = written(tmp_path, content), tmp_path / "data" / "mosi"
    arguments = ["gather", "mosi", str(labels), str(to), "--range=-3,3"]
    for modality, folder in folders_of(tmp_path).items():
        arguments += ["--features", f"{modality}={folder}"]
    app(arguments, standalone_mode=False)
    read = locate_open(to / "dataset.yaml", "mosi").load()
    splits, _ = read_gcnet(labels, folders_of(tmp_path), "mosi", RANGE)
    for split, part in splits.items():
        np.testing.assert_array_equal(read[split].features["audio"], part.features["audio"])
        assert read[split].target.tolist() == part.target.tolist()
