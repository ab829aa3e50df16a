"""Pickles of conversations, written in the layout of the loaders, from the file to the samples of the open layout."""

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
from mmbench.datasets.pickles.read_mmgcn import CLASSES, read_mmgcn

WIDTHS = {"text": 10, "audio": 7, "visual": 5}
LENGTHS = {"Ses01F_a": 3, "Ses01M_b": 2, "Ses02F_c": 4, "Ses05F_d": 2}
Content = list[Any]


def written(file: Path, content: Content, protocol: int = 2) -> Path:
    file.write_bytes(pickle.dumps(tuple(content), protocol))
    return file


@pytest.fixture
def content() -> Content:
    """IEMOCAP's: lists of vectors, speakers M and F, lists of dialogues."""
    draw = np.random.default_rng(0)
    vectors = [
        {d: [draw.normal(size=width).astype(np.float32) for _ in range(n)] for d, n in LENGTHS.items()}
        for width in WIDTHS.values()
    ]
    ids = {d: [f"{d}_{u:03d}" for u in range(n)] for d, n in LENGTHS.items()}
    speakers = {d: ["F" if u % 2 else "M" for u in range(n)] for d, n in LENGTHS.items()}
    labels = {d: [(place + u) % 6 for u in range(n)] for place, (d, n) in enumerate(LENGTHS.items())}
    sentences = {d: [f"words {u}" for u in range(n)] for d, n in LENGTHS.items()}
    return [ids, speakers, labels, *vectors, sentences, ["Ses02F_c", "Ses01F_a", "Ses01M_b"], ["Ses05F_d"]]


def test_every_utterance_is_a_sample_with_its_own_vectors(tmp_path: Path, content: Content):
    splits, target = read_mmgcn(written(tmp_path / "a.pkl", content), "iemocap")
    assert list(splits) == ["train", "test"]
    assert target.classes == CLASSES["iemocap"]
    train = splits["train"]
    assert train.sample_id.tolist() == [f"{d}/{d}_{u:03d}" for d in content[7] for u in range(LENGTHS[d])]
    for name, part in (("text", 3), ("audio", 4), ("vision", 5)):
        wanted = np.stack([one for d in content[7] for one in content[part][d]])
        np.testing.assert_array_equal(train.features[name][:, 0], wanted)
        assert train.present[name].all()
    assert train.target.tolist() == [y for d in content[7] for y in content[2][d]]
    assert train.utterances is not None
    assert train.utterances.speaker.tolist() == [s for d in content[7] for s in content[1][d]]
    assert train.previous.tolist() == [-1, 0, 1, 2, -1, 4, 5, -1, 7]


def test_meld_has_speakers_as_vectors_numbers_as_ids_sets_of_dialogues_and_more_behind(
    tmp_path: Path, content: Content
):
    names = {d: place for place, d in enumerate(LENGTHS)}
    meld = [{names[d]: one for d, one in part.items()} for part in content[:7]]
    meld[0] = {d: list(range(len(one))) for d, one in meld[0].items()}
    meld[1] = {d: [np.eye(9)[2 + u].tolist() for u in range(len(one))] for d, one in meld[1].items()}
    meld[4][1][0] = np.zeros(WIDTHS["audio"])
    splits, target = read_mmgcn(written(tmp_path / "m.pkl", [*meld, {0, 1, 2}, {3}, {"more": 1}]), "meld")
    train = splits["train"]
    assert len(target.classes) == 7
    assert train.sample_id[:4].tolist() == ["0/0", "0/1", "0/2", "1/0"]
    assert train.utterances is not None
    assert train.utterances.speaker[:3].tolist() == ["speaker 2", "speaker 3", "speaker 4"]
    assert train.present["audio"].tolist() == [True] * 3 + [False] + [True] * 5
    assert splits["test"].sample_id.tolist() == ["3/0", "3/1"]


def broken(content: Content, how: str) -> Content:
    if how == "both":
        content[8] = ["Ses05F_d", "Ses01F_a"]
    elif how == "absent":
        content[8] = ["Ses09F_x"]
    elif how == "shorter":
        content[4]["Ses01F_a"].pop()
    elif how == "wider":
        content[3]["Ses01F_a"][1] = np.ones(11, np.float32)
    elif how == "nan":
        content[5]["Ses05F_d"][0][2] = np.nan
    elif how == "class":
        content[2]["Ses01F_a"][0] = 6
    elif how == "few":
        return content[:8]
    elif how == "ragged":
        content[4]["Ses05F_d"][1] = [[1.0], [1.0, 2.0]]
    elif how == "speaker":
        content[1]["Ses01F_a"][0] = [0, 0]
    elif how == "name":
        content[8] = [["Ses05F_d"]]
    elif how == "label":
        content[2]["Ses05F_d"][0] = [1, 2]
    elif how == "dict":
        content[6] = [1]
    return content


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("both", "test: dialogue Ses01F_a is in train, too"),
        ("absent", "test/ids/Ses09F_x: missing"),
        ("shorter", "train/Ses01F_a/audio: 2 samples"),
        ("wider", r"train/text: vectors of shapes \(10,\), \(11,\)"),
        ("nan", "test/visual"),
        ("class", "train/labels"),
        ("few", "holds a tuple"),
        ("ragged", "test/audio: an entry that is no vector"),
        ("speaker", "train/speakers: list names nobody"),
        ("name", "test: a dialogue whose name"),
        ("label", "test/labels"),
        ("dict", "sentences: is a list"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, content: Content, how: str, said: str):
    with pytest.raises(DataError, match=said) as error:
        read_mmgcn(written(tmp_path / "a.pkl", broken(content, how)), "iemocap")
    assert "\n" not in str(error.value)


class Command:
    """What runs a command where a pickle is read by the library."""

    def __reduce__(self) -> tuple:
        return os.mkdir, ("made by a pickle",)


def test_nothing_of_a_pickle_is_run(tmp_path: Path, content: Content, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"asks for \w+\.mkdir, which is refused"):
        read_mmgcn(written(tmp_path / "a.pkl", [Command(), *content[1:]]), "iemocap")
    assert [one.name for one in tmp_path.iterdir()] == ["a.pkl"]


def test_the_command_writes_a_dataset(tmp_path: Path, content: Content):
    file = written(tmp_path / "a.pkl", content)
    app(["unpack", "iemocap", str(file), str(tmp_path / "data" / "iemocap")], standalone_mode=False)
    read = locate_open(tmp_path / "data" / "iemocap" / "dataset.yaml", "iemocap").load()
    splits, _ = read_mmgcn(file, "iemocap")
    np.testing.assert_array_equal(read["test"].features["audio"], splits["test"].features["audio"])
    assert sorted([*read["train"].sample_id, *read["valid"].sample_id]) == sorted(splits["train"].sample_id)
    assert read["test"].utterances is not None
    assert not set(read["train"].utterances.conversation) & set(read["valid"].utterances.conversation)  # type: ignore[union-attr]
