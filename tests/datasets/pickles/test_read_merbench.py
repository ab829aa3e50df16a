"""Packs of MERBench, written by numpy in their layout, from the files to the samples of the open layout."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmbench.benchmark.cli.data import app
from mmbench.datasets.dataset import DataError
from mmbench.datasets.layout.open_layout import locate_open
from mmbench.datasets.pickles.read_merbench import read_merbench

COUNTS = {"train_corpus": 8, "val_corpus": 4, "test_corpus": 5}
EMOTIONS = ("joy", "anger", "neutral")


def corpora() -> dict[str, Any]:
    return {
        key: {
            f"{key[:2]}_{row}": {"emo": EMOTIONS[row % 3], "val": float(row % 5 - 2)} for row in range(count)
        }
        for key, count in COUNTS.items()
    }


def written(folder: Path, held: dict[str, Any]) -> Path:
    """The labels, and features: a vector of text for each sample, steps of sound for all but one."""
    draw = np.random.default_rng(0)
    np.savez_compressed(folder / "label.npz", **held)
    for name in ("text-UTT", "audio-FRA"):
        (folder / name).mkdir()
    for place, name in enumerate(name for part in corpora().values() for name in part):
        np.save(folder / "text-UTT" / f"{name}.npy", draw.normal(size=6).astype(np.float32))
        if name != "tr_3":
            np.save(folder / "audio-FRA" / f"{name}.npy", draw.normal(size=(1 + place % 4, 3)))
    return folder / "label.npz"


def folders_of(folder: Path) -> dict[str, Path]:
    return {"text": folder / "text-UTT", "audio": folder / "audio-FRA"}


def test_samples_have_their_own_features_and_labels(tmp_path: Path):
    labels = written(tmp_path, corpora())
    splits, target = read_merbench(labels, folders_of(tmp_path), "mer")
    assert target.classes == ("anger", "joy", "neutral")
    for split, key in (("train", "train_corpus"), ("valid", "val_corpus"), ("test", "test_corpus")):
        own, told = splits[split], corpora()[key]
        assert own.sample_id.tolist() == list(told)
        assert [target.classes[y] for y in own.target] == [one["emo"] for one in told.values()]
        for row, name in enumerate(told):
            text = np.load(tmp_path / "text-UTT" / f"{name}.npy")
            np.testing.assert_array_equal(own.features["text"][row], text[None])
            there = name != "tr_3"
            assert own.present["audio"][row] == there
            if there:
                sound = np.load(tmp_path / "audio-FRA" / f"{name}.npy")
                assert own.mask["audio"][row].tolist() == [step < len(sound) for step in range(4)]
                np.testing.assert_allclose(own.features["audio"][row, : len(sound)], sound, rtol=1e-6)
                assert not own.features["audio"][row, len(sound) :].any()


def test_scores_are_read_where_their_range_is_given(tmp_path: Path):
    labels = written(tmp_path, corpora())
    splits, target = read_merbench(labels, folders_of(tmp_path), "mer", (-3.0, 3.0))
    assert target.kind == "regression"
    assert splits["test"].target.tolist() == [one["val"] for one in corpora()["test_corpus"].values()]
    with pytest.raises(DataError, match="val"):
        read_merbench(labels, folders_of(tmp_path), "mer", (-1.0, 1.0))


class Command:
    """What runs a command where the labels are read by numpy."""

    def __reduce__(self) -> tuple:
        return os.mkdir, ("made by a pickle",)


def test_nothing_of_the_labels_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    labels = written(tmp_path, {**corpora(), "val_corpus": np.array(Command(), dtype=object)})
    with pytest.raises(DataError, match=r"val_corpus: asks for \w+\.mkdir, which is refused"):
        read_merbench(labels, folders_of(tmp_path), "mer")
    assert not (tmp_path / "made by a pickle").exists()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("no part", "val_corpus: missing"),
        ("numbers", "an array of type float64"),
        ("list", "train_corpus: holds no dict"),
        ("no label", "train_corpus/tr_0: has NoneType for emo"),
        ("path", "train_corpus/../tr_0"),
        ("twice", "sample id tr_0 occurs again"),
        ("wide", "7 features"),
        ("objects", "cannot be read"),
        ("nothing", "no file of any sample"),
        ("damaged", "cannot be read"),
        ("cut", "cannot be read"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, how: str, said: str):
    held = corpora()
    if how == "no part":
        del held["val_corpus"]
    elif how == "numbers":
        held["train_corpus"] = np.zeros(3)
    elif how == "list":
        held["train_corpus"] = np.array([1, None], dtype=object)
    elif how == "no label":
        held["train_corpus"]["tr_0"] = {"val": 1.0}
    elif how == "path":
        held["train_corpus"]["../tr_0"] = held["train_corpus"].pop("tr_0")
    elif how == "twice":
        held["test_corpus"]["tr_0"] = {"emo": "joy", "val": 0.0}
    labels = written(tmp_path, held)
    if how == "wide":
        np.save(tmp_path / "text-UTT" / "tr_1.npy", np.zeros(7))
    elif how == "objects":
        np.save(tmp_path / "text-UTT" / "tr_1.npy", np.array([Command()], dtype=object), allow_pickle=True)
    elif how == "nothing":
        for file in (tmp_path / "audio-FRA").iterdir():
            file.unlink()
    elif how == "damaged":
        content = bytearray(labels.read_bytes())
        content[60:90] = b"\xff" * 30
        labels.write_bytes(content)
    elif how == "cut":
        labels.write_bytes(labels.read_bytes()[:-30])
    with pytest.raises(DataError, match=said) as error:
        read_merbench(labels, folders_of(tmp_path), "mer")
    assert "\n" not in str(error.value)


def test_the_command_writes_a_dataset(tmp_path: Path):
    labels = written(tmp_path, corpora())
    to = tmp_path / "data" / "mer"
    given = [f"--features={name}={folder}" for name, folder in folders_of(tmp_path).items()]
    app(["gather", "mer", str(labels), str(to), *given, "--range=-3,3"], standalone_mode=False)
    read = locate_open(to / "dataset.yaml", "mer").load()
    splits, _ = read_merbench(labels, folders_of(tmp_path), "mer", (-3.0, 3.0))
    for split, own in splits.items():
        np.testing.assert_array_equal(read[split].target, own.target)
        np.testing.assert_array_equal(read[split].features["audio"], own.features["audio"])
        np.testing.assert_array_equal(read[split].present["audio"], own.present["audio"])
