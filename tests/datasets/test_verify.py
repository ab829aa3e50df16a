from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmbench.datasets.dataset import Published
from mmbench.datasets.layout.convert import convert
from mmbench.datasets.layout.open_layout import locate_open
from mmbench.datasets.mosi import Mosi
from mmbench.datasets.verify import info, verify


@pytest.fixture
def file(tmp_path: Path, content: dict[str, Any]) -> Path:
    """A small pickle that says it is real."""
    content["valid"]["audio"][2] = 0
    content["valid"]["regression_labels"][:] = [-3, 0, 0, 1, 3]
    file = tmp_path / "mosi.pkl"
    file.write_bytes(pickle.dumps(content))
    return file


def test_info_says_what_is_there(tmp_path: Path, file: Path) -> None:
    located = Mosi().locate(tmp_path)
    found = info(located)
    assert (found.name, found.format, found.synthetic, found.files) == ("mosi", "casp", False, (file,))
    assert found.fingerprint == located.fingerprint()
    valid = found.splits["valid"]
    assert valid.samples == 5
    audio = valid.modalities["audio"]
    assert (audio.steps, audio.features, audio.dtype, audio.absent) == (5, 8, "float32", 1)
    present = located.load()["valid"].mask["audio"][[0, 1, 3, 4]].sum(axis=1)
    assert audio.mean_length == present.mean()
    assert (valid.label_min, valid.label_max, valid.zeros) == (-3.0, 3.0, 2)
    assert list(valid.labels.values()) == [1, 0, 0, 2, 1, 0, 1]
    assert valid.domains == {"mosi": 5}
    assert valid.with_previous == 4


def test_verify_compares_counts_and_hashes(tmp_path: Path, file: Path) -> None:
    class Same(Mosi):
        published = {  # noqa: RUF012
            "casp": Published(
                {"train": 12, "valid": 5, "test": 7},
                {"mosi.pkl": hashlib.sha256(file.read_bytes()).hexdigest()[:8]},
                "a source",
            )
        }

    found = verify(Mosi().locate(tmp_path), Same())
    assert [finding.status for finding in found] == ["ok", "ok", "differs", "ok", "ok", "ok"]
    assert found[2].what == "test samples"
    assert (found[2].expected, found[2].found) == ("7 (a source)", "6")
    found = verify(Mosi().locate(tmp_path), Mosi())
    assert [finding.status for finding in found] == ["differs", "differs", "differs", "unknown", "ok", "ok"]
    assert [finding.what for finding in found[-2:]] == [
        "near-duplicates in two splits",
        "groups in two splits",
    ]
    assert {finding.status for finding in verify(Mosi().locate(tmp_path))[:-2]} == {"unknown"}


def test_a_changed_file_differs_from_its_published_hash(tmp_path: Path, file: Path) -> None:
    file.rename(tmp_path / "aligned_50.pkl")
    found = verify(Mosi().locate(tmp_path, tmp_path / "aligned_50.pkl"), Mosi())
    assert found[-3].status == "differs"
    assert found[-3].expected.startswith("d3994fd2")


def test_a_stand_in_is_not_the_published_data(tmp_path: Path) -> None:
    Mosi().synthesize(tmp_path)
    (finding,) = verify(Mosi().locate(tmp_path, tmp_path), Mosi())
    assert finding.status == "differs"
    assert "synthetic" in finding.found


def test_classes_are_counted_by_name(tmp_path: Path) -> None:
    names = np.array(["train"] * 3 + ["valid"] * 2 + ["test"])
    np.savez(tmp_path / "x.npz", x=np.ones((6, 2)), y=np.array([0, 1, 1, 0, 0, 1]), split=names)
    (tmp_path / "dataset.yaml").write_text(
        "{file: x.npz, modalities: {x: x}, task: {kind: classification, classes: ['no', 'yes']}, "
        "label: y, split: split}"
    )
    found = info(Mosi().locate(tmp_path, tmp_path)).splits["valid"]
    assert found.labels == {"no": 2, "yes": 0}
    assert found.zeros is None


def test_what_splits_share_is_a_warning_with_counts_names_and_a_remedy(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    features = draw.normal(size=(30, 20))
    features[25] = features[3]
    people = np.array([f"p{row // 3}" for row in range(30)])
    people[29] = "p0"
    split = np.array(["train"] * 15 + ["valid"] * 6 + ["test"] * 9)
    np.savez(tmp_path / "x.npz", x=features, y=np.arange(30) % 2, split=split, who=people)
    description = (
        "{file: x.npz, modalities: {x: x}, task: {kind: classification, classes: ['no', 'yes']}, "
        "label: y, split: split, group: who}"
    )
    (tmp_path / "dataset.yaml").write_text(description)
    located = locate_open(tmp_path / "dataset.yaml")
    found = [one for one in verify(located) if one.status == "warning"]
    assert [(one.what, one.found) for one in found] == [
        (
            "near-duplicates in train and test",
            "1 of 9 test samples has a near-duplicate in train: 3 (train) and 25 (test), distance 0.00",
        ),
        ("groups in train and test", "1 of 4 groups of test is also in train: p0"),
    ]
    assert "keep one of each pair" in found[0].expected
    assert "into one split" in found[1].expected
    convert(located, tmp_path / "other")
    again = [
        one for one in verify(locate_open(tmp_path / "other" / "dataset.yaml")) if one.status == "warning"
    ]
    assert again == found
