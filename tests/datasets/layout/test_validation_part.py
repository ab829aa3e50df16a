"""A dataset without a validation part: some of its training samples validate, and what was said decides which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbench.datasets.dataset import DataError, Samples
from mmbench.datasets.layout.open_layout import locate_open
from mmbench.datasets.validation import draw_validation

TRAIN, TEST = 100, 10


def write(folder: Path, **entries: Any) -> Path:
    """A hundred training and ten test samples of two classes, one in four of the second; twenty videos."""
    folder.mkdir(parents=True, exist_ok=True)
    count = TRAIN + TEST
    arrays = {
        "x": np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32),
        "label": (np.arange(count) % 4 == 0).astype(np.int64),
        "video": np.arange(count) // 5,
        "clip": np.arange(count) % 5,
        "part": np.array(["train"] * TRAIN + ["test"] * TEST),
    }
    np.savez(folder / "all.npz", **arrays)
    for part, rows in (("train", slice(0, TRAIN)), ("test", slice(TRAIN, count))):
        np.savez(folder / f"{part}.npz", **{name: array[rows] for name, array in arrays.items()})
    content: dict[str, Any] = {
        "file": "all.npz",
        "modalities": {"text": "x"},
        "task": {"kind": "classification", "classes": ["no", "yes"]},
        "label": "label",
        "split": "part",
        **entries,
    }
    content = {key: value for key, value in content.items() if value is not None}
    (folder / "dataset.yaml").write_text(yaml.safe_dump(content))
    return folder / "dataset.yaml"


def load(file: Path) -> dict[str, Samples]:
    return dict(locate_open(file).load())


def rows(samples: Samples) -> set[bytes]:
    return {row.tobytes() for row in samples.features["text"]}


@pytest.mark.parametrize(
    "entries",
    [
        {},
        {"split": {"array": "part", "values": {"train": "train", "test": "test"}}},
        {"split": None, "file": {"train": "train.npz", "test": "test.npz"}},
    ],
    ids=["an array of names", "a map", "files"],
)
def test_a_fifth_of_train_validates_evenly_from_the_classes(tmp_path: Path, entries: dict[str, Any]):
    splits = load(write(tmp_path, **entries))
    assert {name: len(part) for name, part in splits.items()} == {"train": 80, "valid": 20, "test": TEST}
    assert int(splits["valid"].target.sum()) == 5
    assert not rows(splits["train"]) & rows(splits["valid"])
    again = load(write(tmp_path / "again", **entries))
    assert rows(again["valid"]) == rows(splits["valid"])


def test_no_video_and_no_group_lies_on_both_sides(tmp_path: Path):
    videos = load(write(tmp_path / "videos", video="video", clip="clip"))
    names = {part: {name.partition("$_$")[0] for name in videos[part].sample_id} for part in videos}
    assert not names["train"] & names["valid"]
    assert len(videos["valid"]) == 20
    assert set(videos["valid"].previous.tolist()) > {-1}  # the context of what validates goes along
    persons = load(write(tmp_path / "persons", group="video"))
    assert {part: len(samples.group) for part, samples in persons.items()} == {  # type: ignore[arg-type]
        "train": 80, "valid": 20, "test": TEST,
    }  # fmt: skip
    assert {int(name) // 5 for name in persons["valid"].sample_id} == {
        number
        for number in range(20)
        if number not in {int(name) // 5 for name in persons["train"].sample_id}
    }
    groups = load(write(tmp_path / "groups", valid={"share": 0.3, "group": "video"}))
    assert len(groups["valid"]) == 30
    valid = {int(name) // 5 for name in groups["valid"].sample_id}
    assert not valid & {int(name) // 5 for name in groups["train"].sample_id}


def test_what_is_drawn_is_part_of_the_fingerprint(tmp_path: Path):
    prints = {
        locate_open(write(tmp_path / str(place), **entries)).fingerprint()
        for place, entries in enumerate(
            ({}, {"valid": {"share": 0.2}}, {"valid": {"share": 0.3}}, {"valid": {"group": "video"}})
        )
    }
    assert len(prints) == 4


def test_what_cannot_be_drawn_is_one_line(tmp_path: Path):
    file = write(tmp_path / "stated", valid={"share": 0.5}, split="label2")
    np.savez(
        tmp_path / "stated" / "all.npz",
        **dict(np.load(tmp_path / "stated" / "all.npz")),
        label2=np.array((["train", "valid"] * TRAIN)[:TRAIN] + ["test"] * TEST),
    )
    with pytest.raises(DataError, match="50 samples validate, and 'valid' draws others"):
        load(file)
    one = write(tmp_path / "one", valid={"group": {"array": "part"}})
    with pytest.raises(DataError, match="1 group for 2 splits"):
        load(one)
    with pytest.raises(DataError, match="'x' and 'label' differ"):
        load(
            write(
                tmp_path / "files",
                split=None,
                file={"train": "train.npz", "test": "test.npz"},
                label={
                    "array": "label",
                    "file": {"train": "train.npz", "valid": "all.npz", "test": "test.npz"},
                },
            )
        )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=60), st.floats(0.05, 0.95))
def test_every_class_gives_its_share_to_within_a_sample(classes: list[int], share: float):
    found = draw_validation(len(classes), share, classes=np.array(classes))
    wanted = min(max(1, round(share * len(classes))), len(classes) - 1)
    assert found.sum() == wanted
    for one in set(classes):
        own = np.array(classes) == one
        assert abs((found & own).sum() - wanted / len(classes) * own.sum()) <= 1
