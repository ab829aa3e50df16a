"""CH-SIMS v2 is read as CH-SIMS is, from MMSA's pickle, with the labels by single modalities."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from mmbench.datasets.dataset import DataError
from mmbench.datasets.simsv2 import SimsV2


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A small file in MMSA's layout."""
    draw = np.random.default_rng(0)
    content = {}
    for split, count in (("train", 12), ("valid", 5), ("test", 7)):
        text = draw.normal(size=(count, 4, 6)).astype(np.float32)
        content[split] = {
            "text": text,
            "audio": draw.normal(size=(count, 8, 3)).astype(np.float32),
            "vision": draw.normal(size=(count, 5, 2)).astype(np.float32),
            "audio_lengths": [8] * count,
            "vision_lengths": [5] * count,
            "text_bert": np.ones((count, 3, 4)),
            "id": [f"video_{split}$_${row}" for row in range(count)],
            "regression_labels": draw.uniform(-1, 1, count),
            **{f"regression_labels_{m}": draw.uniform(-1, 1, count) for m in "TAV"},
        }
    where = tmp_path / "simsv2" / "sims_unaligned.pkl"
    where.parent.mkdir()
    where.write_bytes(pickle.dumps(content, protocol=4))
    return where


def test_a_file_in_the_published_layout_is_found_and_read(file: Path, tmp_path: Path):
    located = SimsV2().locate(tmp_path)
    assert (located.format, located.modalities) == ("mmsa-unaligned", ("text", "audio", "vision"))
    splits = located.load()
    assert [len(splits[split]) for split in ("train", "valid", "test")] == [12, 5, 7]
    content = pickle.loads(file.read_bytes())
    for name, letter in (("text", "T"), ("audio", "A"), ("vision", "V")):
        expected = content["test"][f"regression_labels_{letter}"]
        np.testing.assert_allclose(splits["test"].unimodal_target[name], expected, rtol=1e-6)
    assert splits["train"].previous.tolist() == [-1, *range(11)]


def test_labels_out_of_range_are_named(file: Path, tmp_path: Path):
    content = pickle.loads(file.read_bytes())
    content["test"]["regression_labels_A"][3] = 2.0
    file.write_bytes(pickle.dumps(content, protocol=4))
    with pytest.raises(DataError, match="test/regression_labels_A: 1 label out of range, first 2"):
        SimsV2().locate(tmp_path).load()


@pytest.mark.parametrize("format", ["mmsa-unaligned", "open"])
def test_it_has_a_stand_in(tmp_path: Path, format: str):
    SimsV2().synthesize(tmp_path / "simsv2", format=format)
    located = SimsV2().locate(tmp_path)
    assert located.synthetic
    assert set(located.load()) == {"train", "valid", "test"}
