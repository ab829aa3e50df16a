"""Descriptions and arrays that are wrong: one line that names file, entry and what was expected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmbench.datasets.dataset import SPLITS, DataError
from mmbench.datasets.layout.open_layout import locate_open

from .conftest import REGRESSION, Writer, small_arrays, small_description


def entry(*path: str, to: Any) -> dict[str, Any]:
    """The description's entries with one of them changed."""
    changed = small_description()
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return changed


NAN = small_arrays()["audio"].copy()
NAN[5, 1] = np.nan
#: A cast of it to float32 is an invalid operation of the processor, which numpy warns of.
SIGNALLING_NAN = np.full((9, 2), 0x7FF4 << 48, dtype=np.uint64).view(np.float64)


TASK = {"kind": "classification", "classes": ["a", "b"]}
BAD_DESCRIPTION: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown key": ({"modalitys": {}}, "", "unknown entry 'modalitys' (do you mean 'modalities'?)"),
    "unknown in array": (entry("label", to={"array": "label", "value": {}}), "label", "mean 'values'?"),
    "no label": ({"label": None}, "label", "missing"),
    "no modalities": (entry("modalities", to={}), "modalities", "none"),
    "no task": ({"task": None}, "task", "missing"),
    "two rules": (
        entry("modalities", "text", to={"array": "text", "length": "text_length", "padding": "nonzero"}),
        "modalities/text",
        "length and padding",
    ),
    "padding rule": (
        entry("modalities", "text", to={"array": "text", "padding": "zero"}),
        "modalities/text/pad",
        "nonzero or none",
    ),
    "kind": (entry("task", "kind", to="clasification"), "task/kind", "do you mean 'classification'?"),
    "no classes": (entry("task", to={"kind": "classification"}), "task/classes", "missing"),
    "no range": (entry("task", to={"kind": "regression"}), "task/range", "missing"),
    "range order": (entry("task", to={"kind": "regression", "range": [3, -3]}), "task/range", "[3, -3]"),
    "range nan": (entry("task", to={"kind": "regression", "range": [float("nan"), 1]}), "task/range", "low"),
    "range for classes": (entry("task", to={**TASK, "range": [0, 1]}), "task/range", "classes only"),
    "metrics": (entry("task", to={**TASK, "metrics": "mosi"}), "task/metrics", "classification"),
    "class truth": (entry("task", "classes", to=[False, True]), "task/classes", "quote"),
    "class twice": (entry("task", "classes", to=["a", "a"]), "task/classes", "different"),
    "one class": (entry("task", "classes", to=1), "task/classes", "two or more"),
    "no file": ({"file": None}, "split", "no file given"),
    "file gone": (entry("file", to="gone.npz"), "file", "'gone.npz' is not there"),
    "file kind": (entry("file", to="all.csv"), "file", ".parquet"),
    "variable": (entry("file", to="$MMBENCH_NOWHERE/x.npz"), "file", "variable"),
    "no split": ({"split": None}, "split", "nothing says"),
    "split and files": (entry("file", to=dict.fromkeys(SPLITS, "all.npz")), "split", "file for each split"),
    "one of three": (entry("file", to={"train": "all.npz", "valid": "all.npz"}), "file/test", "missing"),
    "valid twice": ({"valid": {"share": 0.2}}, "valid", "has a validation part"),
    "share": (
        {"split": {"array": "split", "values": {0: "train", 2: "test"}}, "valid": {"share": 1}},
        "valid/share",
        "above 0 and below 1",
    ),
    "split name": (entry("split", "values", to={0: "train", 1: "val", 2: "test"}), "split/values", "'valid'"),
    "no test": (entry("split", "values", to={0: "train", 1: "valid"}), "split/values", "test"),
    "clip alone": ({"video": None}, "video", "both or neither"),
    "labels of no modality": ({"unimodal_labels": {"texts": "label"}}, "unimodal_labels", "mean 'text'?"),
    "labels of one array": ({"unimodal_labels": "label"}, "unimodal_labels", "expected a map with text, audio"),
    "flag": ({"synthetic": "yes"}, "synthetic", "true or false"),
    "name": ({"name": 3}, "name", "text"),
}  # fmt: skip


TOKENS = entry("modalities", "text", to={"array": "text", "tokens": "t"})
BAD_ARRAYS: dict[str, tuple[dict[str, np.ndarray], dict[str, Any], str, str]] = {
    "no such array": ({}, entry("label", to="labels"), "labels", "no such array"),
    "nan": ({"audio": NAN}, {}, "valid/audio", "first at sample 1, step 0, feature 1"),
    "signalling nan": ({"audio": SIGNALLING_NAN}, {}, "train/audio", "not finite (nan)"),
    "objects": ({"audio": np.array([None] * 9)}, {}, "audio", "Python objects"),
    "fewer rows": ({"audio": np.ones((8, 2))}, {}, "audio", "8 samples; expected 9"),
    "single value": ({"audio": np.array(1.0)}, {}, "audio", "single value"),
    "one dimension": ({"audio": np.ones(9)}, {}, "train/audio", "shape 4"),
    "no features": ({"audio": np.ones((9, 0))}, {}, "train/audio", "no features"),
    "text as features": ({"audio": np.full((9, 2), "x")}, {}, "train/audio", "numbers"),
    "class": ({"label": np.arange(9)}, {}, "train/label", "unknown class 2 (sample 2)"),
    "class name": ({"label": np.array(["negative"] * 8 + ["good"])}, {}, "test/label", "unknown class good"),
    "own class": ({"own": np.arange(9)}, {"unimodal_labels": {"audio": "own"}}, "train/own", "unknown class 2"),
    "own label": ({"own": np.zeros(8)}, {"unimodal_labels": {"audio": "own"}}, "own", "8 samples; expected 9"),
    "half a class": ({"label": np.full(9, 0.5)}, {}, "train/label", "unknown class 0.5"),
    "score": ({}, {"label": "score", "task": {"kind": "regression", "range": [-2, 2]}}, "train/score", "-3"),
    "huge score": ({"score": np.full(9, 1e300)}, {"label": "score", "task": REGRESSION}, "train/score", "0 is inf"),
    "split value": ({"split": np.arange(9)}, {}, "split", "'3' is not in the map"),
    "split name": ({"split": np.array(["dev"] * 9)}, {"split": "split"}, "split", "unknown split 'dev'"),
    "empty split": ({"split": np.zeros(9, int)}, {}, "split/valid", "no samples"),
    "length": ({"text_length": np.full(9, 5)}, {}, "train/text_length", "length 5"),
    "mask": (
        {"m": np.ones((9, 3))},
        entry("modalities", to={"text": {"array": "text", "mask": "m"}}),
        "train/m",
        "4x4",
    ),
    "token": ({"t": np.full((9, 4), -1)}, TOKENS, "train/t", "-1 (sample 0, position 0); expected token ids"),
    "fewer tokens": ({"t": np.ones((8, 4))}, TOKENS, "t", "8 samples; expected 9"),
    "token rows": ({"t": np.ones((9, 2, 4))}, TOKENS, "train/t", "shape 4x2x4"),
    "same id": ({"clip": np.zeros(9, int)}, {}, "train", "a$_$0 occurs again"),
    "id in two splits": ({}, {"sample_id": "speaker"}, "train", "occurs again"),
    "empty domain": ({"d": np.array(["a"] * 7 + ["b", ""])}, {"domain": "d"}, "test/domain", "has an empty one"),
    "float ids": ({"clip": np.linspace(0, 1, 9)}, {}, "train/clip", "names or whole numbers"),
    "previous": (
        {"p": np.full(9, 7)},
        {"previous": "p", "video": None, "clip": None},
        "train/previous",
        "not there",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_DESCRIPTION)
def test_a_wrong_description_is_one_line(folder: Writer, name: str) -> None:
    entries, key, wrong = BAD_DESCRIPTION[name]
    file = folder(**entries)
    with pytest.raises(DataError) as caught:
        locate_open(file)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{file}: {key}")
    assert wrong in message
    assert "expected" in message


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_wrong_arrays_are_one_line(folder: Writer, name: str) -> None:
    arrays, entries, key, wrong = BAD_ARRAYS[name]
    file = folder(arrays, **entries)
    with pytest.raises(DataError) as caught:
        locate_open(file).load()
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith((f"{file.parent / 'all.npz'}: {key}", f"{file}: {key}"))
    assert wrong in message
    assert "expected" in message


@pytest.mark.parametrize("text", ["", "[1, 2]", "a: [", "\x00", "just text"])
def test_a_file_that_is_no_description(tmp_path: Path, text: str) -> None:
    file = tmp_path / "dataset.yaml"
    file.write_text(text)
    with pytest.raises(DataError) as caught:
        locate_open(file)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="cannot be read"):
        locate_open(tmp_path / "none.yaml")


def test_widths_differ_between_files(folder: Writer, tmp_path: Path) -> None:
    raw = small_arrays()
    for number, split in enumerate(SPLITS):
        part = {key: array[raw["split"] == number] for key, array in raw.items()}
        part["audio"] = part["audio"][:, : 1 + (split == "train")]
        np.savez(tmp_path / f"{split}.npz", **part)  # pyright: ignore[reportArgumentType]
    file = folder(file={split: f"../{split}.npz" for split in SPLITS}, split=None)
    with pytest.raises(DataError, match="valid/audio: 1 feature; expected 2"):
        locate_open(file).load()
