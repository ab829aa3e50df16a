"""MATLAB files as multi-view datasets are published, in the layouts that RCML, COMPLETER and TMC use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from mmbench.datasets.dataset import DataError
from mmbench.datasets.layout.arrays import array_names, read_array
from mmbench.datasets.layout.open_layout import locate_open
from scipy.sparse import csc_matrix

COUNT, WIDTHS = 30, (5, 3)
VIEWS = [np.random.default_rng(place).normal(size=(COUNT, width)) for place, width in enumerate(WIDTHS)]
LABELS = np.arange(COUNT) % 3 + 1


def cells(views: list[np.ndarray]) -> np.ndarray:
    """A 1 x V cell array."""
    stored = np.empty((1, len(views)), dtype=object)
    stored[0, :] = views
    return stored


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Views as [features, samples], as in PIE's file."""
    where = tmp_path / "faces.mat"
    content = {"X": cells([view.T for view in VIEWS]), "gt": LABELS[:, None].astype(float)}
    content |= {"sparse": csc_matrix(VIEWS[0]), "about": {"a": 1.0}, "part": np.array(["train", "test"])}
    scipy.io.savemat(where, content)
    return where


def describe(folder: Path, text: str) -> dict:
    (folder / "dataset.yaml").write_text(text)
    return locate_open(folder / "dataset.yaml").load()


def test_arrays_are_named_as_in_matlab(file: Path):
    np.testing.assert_array_equal(read_array(file, "X{2}'")[0], VIEWS[1])
    np.testing.assert_array_equal(read_array(file, "X{1}")[0], VIEWS[0].T)
    np.testing.assert_array_equal(read_array(file, "sparse")[0], VIEWS[0])
    labels, steps = read_array(file, "gt")
    assert (labels.dtype, steps) == (np.int64, None)
    np.testing.assert_array_equal(labels, LABELS)
    assert array_names(file) == {"X{1}", "X{2}", "gt", "sparse", "about", "part"}


def test_a_cell_array_with_labels_from_1_is_a_dataset(file: Path, tmp_path: Path):
    np.savez(tmp_path / "parts.npz", part=np.repeat(["train", "valid", "test"], 10))
    splits = describe(
        tmp_path,
        """
file: faces.mat
modalities: {one: "X{1}'", two: "X{2}'"}
task: {kind: classification, classes: [a, b, c]}
label: {array: gt, values: {1: a, 2: b, 3: c}}
split: {array: part, file: parts.npz}
""",
    )
    np.testing.assert_allclose(splits["valid"].features["two"][:, 0], VIEWS[1][10:20], rtol=1e-6)
    np.testing.assert_array_equal(splits["test"].target, LABELS[20:] - 1)


def test_parts_with_variables_of_their_own_are_a_dataset(tmp_path: Path):
    content = {}
    for part, rows in (("train", slice(0, 20)), ("test", slice(20, 30))):
        content |= {f"x{place + 1}_{part}": view[rows] for place, view in enumerate(VIEWS)}
        content[f"gt_{part}"] = LABELS[rows, None].astype(np.uint8)
    scipy.io.savemat(tmp_path / "views.mat", content)
    splits = describe(
        tmp_path,
        """
file: {train: views.mat, test: views.mat}
modalities: {one: "x1_{split}", two: "x2_{split}"}
task: {kind: classification, classes: [a, b, c]}
label: {array: "gt_{split}", values: {1: a, 2: b, 3: c}}
valid: {share: 0.25}
""",
    )
    assert {split: len(samples) for split, samples in splits.items()} == {"train": 15, "valid": 5, "test": 10}
    np.testing.assert_allclose(splits["test"].features["one"][:, 0], VIEWS[0][20:], rtol=1e-6)
    np.testing.assert_array_equal(splits["test"].target, LABELS[20:] - 1)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Y", "no such array; expected one of X{1}, X{2}, about, gt"),
        ("X", "a cell array; expected numbers or text; an entry of a cell array is X{1}"),
        ("X{0}", "no such entry; expected 1 to 2"),
        ("X{3}", "no such entry; expected 1 to 2"),
        ("gt{1}", "no cell array"),
        ("X(1)", "no name of an array"),
        ("about", "expected numbers or text"),
    ],
)
def test_a_wrong_name_is_one_line(file: Path, name: str, reason: str):
    with pytest.raises(DataError) as error:
        read_array(file, name)
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_a_broken_file_and_one_of_version_7_3_are_named(tmp_path: Path):
    broken, newer = tmp_path / "broken.mat", tmp_path / "newer.mat"
    scipy.io.savemat(broken, {"X": VIEWS[0]})
    broken.write_bytes(broken.read_bytes()[:150])
    newer.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" + bytes(64))
    for file, reason in ((broken, "broken.mat: X: cannot be read"), (newer, "of version 7.3")):
        with pytest.raises(DataError, match=reason):
            read_array(file, "X")
