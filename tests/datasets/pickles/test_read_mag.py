"""Pickles of words, written in the layout of MAG-BERT's loader, from the file to a dataset with an encoded text."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmbench.benchmark.cli.data import app
from mmbench.benchmark.core.errors import UsageError
from mmbench.datasets.dataset import DataError
from mmbench.datasets.layout.open_layout import locate_open
from mmbench.datasets.pickles.read_mag import read_mag

WORDS = ("the", "film", "was", "not", "good", "at", "all")
COUNTS = {"train": 6, "dev": 3, "test": 4}
Content = dict[str, list[Any]]


@pytest.fixture
def content() -> Content:
    """Utterances of one to seven words, two to a video; scores as arrays of one number."""
    draw = np.random.default_rng(0)

    def utterance(key: str, row: int) -> tuple:
        count = 1 + row % len(WORDS)
        visual, acoustic = draw.normal(size=(count, 4)), draw.normal(size=(count, 3)).astype(np.float32)
        score = np.array([[row - 2.5]], np.float32)
        return (list(WORDS[:count]), visual, acoustic), score, f"{key}{row // 2}[{row % 2}]"

    return {key: [utterance(key, row) for row in range(n)] for key, n in COUNTS.items()}


def written(file: Path, content: object) -> Path:
    file.write_bytes(pickle.dumps(content, 4))
    return file


def test_every_word_is_a_step_with_what_is_seen_and_heard(tmp_path: Path, content: Content):
    found = read_mag(written(tmp_path / "mosi.pkl", content), "mosi")
    assert found.target.label_range == (-3, 3)
    for split, key in (("train", "train"), ("valid", "dev"), ("test", "test")):
        own = found.splits[split]
        assert own.sample_id.tolist() == [one[2] for one in content[key]]
        assert own.target.tolist() == [one[1].item() for one in content[key]]
        assert found.texts[split] == [" ".join(one[0][0]) for one in content[key]]
        for m, place in (("vision", 1), ("audio", 2)):
            for row, one in enumerate(content[key]):
                valid = own.mask[m][row]
                assert valid.sum() == len(one[0][0])
                wanted = one[0][place].astype(np.float32)
                np.testing.assert_array_equal(own.features[m][row][valid], wanted)
    assert found.splits["train"].previous.tolist() == [-1, 0, -1, 2, -1, 4]


def test_silence_is_zero_and_segments_that_repeat_are_counted(tmp_path: Path, content: Content):
    (words, visual, acoustic), score, _ = content["train"][3]
    acoustic[1, 2] = -np.inf
    content["train"][3] = (np.array(words), visual, acoustic), score.item(), content["train"][0][2]
    found = read_mag(written(tmp_path / "mosei.pkl", content), "mosei").splits["train"]
    assert found.sample_id[3] == "train0[0]#2"
    assert found.features["audio"][3, 1, 2] == 0


def broken(content: Content, how: str) -> object:
    (words, visual, acoustic), score, segment = content["test"][1]
    changed: dict[str, Any] = {
        "numbers": ((np.array([5, 7]), visual, acoustic), score, segment),
        "rows": ((words, visual[:1], acoustic), score, segment),
        "nan": ((words, visual * np.nan, acoustic), score, segment),
        "infinite": ((words, visual * -np.inf, acoustic), score, segment),
        "wider": ((words, visual[:, :3], acoustic), score, segment),
        "range": ((words, visual, acoustic), 3.5, segment),
        "label": ((words, visual, acoustic), "good", segment),
        "two": ((words, visual), score, segment),
        "flat": (words, visual, acoustic, score, segment),
    }
    if how == "dev":
        del content["dev"]
    elif how == "empty":
        content["dev"] = []
    else:
        content["test"][1] = changed[how]
    return content


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("numbers", "test/1/words: numbers or other things"),
        ("rows", "test/1/vision: shape 1x4"),
        ("nan", "test/vision"),
        ("infinite", "test/vision"),
        ("wider", "test/1/vision: 3 features"),
        ("range", "test/labels: 1 label out of range"),
        ("label", "test/1/label: is a str"),
        ("two", "test/1: begins with a tuple"),
        ("flat", "test/1: is a tuple"),
        ("dev", "holds a dict"),
        ("empty", "dev: is a list, or empty"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, content: Content, how: str, said: str):
    with pytest.raises(DataError, match=said) as error:
        read_mag(written(tmp_path / "mosi.pkl", broken(content, how)), "mosi")
    assert "\n" not in str(error.value)


class Command:
    """What runs a command where a pickle is read by the library."""

    def __reduce__(self) -> tuple:
        return os.mkdir, ("made by a pickle",)


def test_nothing_of_a_pickle_is_run(tmp_path: Path, content: Content, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    content["dev"] = [Command()]
    with pytest.raises(DataError, match=r"asks for \w+\.mkdir, which is refused"):
        read_mag(written(tmp_path / "mosi.pkl", content), "mosi")
    assert [one.name for one in tmp_path.iterdir()] == ["mosi.pkl"]


LETTERS = Path(__file__).parents[2] / "benchmark" / "features" / "letters.py"


def test_words_are_unpacked_and_encoded_beside_what_is_seen_and_heard(tmp_path: Path, content: Content):
    file, words, to = written(tmp_path / "mosi.pkl", content), tmp_path / "words", tmp_path / "data" / "mosi"
    app(["unpack", "mosi", str(file), str(words)], standalone_mode=False)
    command = ["encode", str(words / "raw"), "--beside", str(words), "--encoder", "text=letters"]
    place = ["--plugin", str(LETTERS), "--to", str(to), "--data-root", str(tmp_path / "data")]
    app([*command, *place], standalone_mode=False)
    read, unpacked = locate_open(to / "dataset.yaml", "mosi").load(), read_mag(file, "mosi").splits
    for split, part in unpacked.items():
        assert list(read[split].features) == ["text", "vision", "audio"]
        assert read[split].sample_id.tolist() == part.sample_id.tolist()
        np.testing.assert_array_equal(read[split].target, part.target)
        np.testing.assert_array_equal(read[split].previous, part.previous)
        for m in ("vision", "audio"):
            np.testing.assert_array_equal(read[split].features[m], part.features[m])
            np.testing.assert_array_equal(read[split].mask[m], part.mask[m])
    written_at = (to / "dataset.yaml").stat().st_mtime_ns
    app([*command, *place], standalone_mode=False)  # nothing to do
    assert (to / "dataset.yaml").stat().st_mtime_ns == written_at
    again = [
        *command[:2],
        "--beside",
        str(to),
        *command[4:],
        *place[:2],
        "--to",
        str(tmp_path / "other"),
        *place[4:],
    ]
    with pytest.raises(UsageError, match="has features of text, which --encoder makes"):
        app(again, standalone_mode=False)
    strangers = tmp_path / "strangers"
    content["dev"] = [(parts, score, f"other{segment}") for parts, score, segment in content["dev"]]
    app(["unpack", "mosi", str(written(file, content)), str(strangers)], standalone_mode=False)
    again[3] = str(strangers)
    with pytest.raises(UsageError, match="none of the clips of valid is in it"):
        app(again, standalone_mode=False)
