from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mmbench.datasets.dataset import DataError
from mmbench.datasets.layout.convert import convert
from mmbench.datasets.mosi import Mosi


@pytest.mark.parametrize("format", ["mmsa-aligned", "mmsa-unaligned", "casp", "open"])
def test_samples_are_the_same_after_conversion(tmp_path: Path, format: str) -> None:
    Mosi().synthesize(tmp_path / "a" / "mosi", format=format)
    source = Mosi().locate(tmp_path / "a")
    files = convert(source, tmp_path / "b" / "mosi")
    assert [file.name for file in files] == ["dataset.yaml", "train.npz", "valid.npz", "test.npz"]
    found = Mosi().locate(tmp_path / "b")
    assert (found.format, found.synthetic, found.target) == ("open", True, source.target)
    for split, one in source.load().items():
        other = found.load()[split]
        for modality in source.modalities:
            np.testing.assert_array_equal(other.features[modality], one.features[modality])
            np.testing.assert_array_equal(other.mask[modality], one.mask[modality])
        np.testing.assert_array_equal(other.target, one.target)
        np.testing.assert_array_equal(other.sample_id, one.sample_id)
        np.testing.assert_array_equal(other.previous, one.previous)
        np.testing.assert_array_equal(other.domain, one.domain)
    with pytest.raises(DataError, match="is there already"):
        convert(source, tmp_path / "b" / "mosi")
    convert(source, tmp_path / "b" / "mosi", overwrite=True)
