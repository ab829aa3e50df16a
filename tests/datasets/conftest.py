"""What the tests of the datasets share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmbench.datasets.dataset import Samples
from mmbench.datasets.mosi import Mosi
from mmbench.datasets.pickles.mmsa_layout import Layout
from mmbench.datasets.shared.sentiment_synthetic import generate

LAYOUT = Layout("mosi.pkl", {"train": 12, "valid": 5, "test": 6}, (7, 8, 9), (4, 5, 6))


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of file hashes of the test's own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.fixture
def content() -> dict[str, Any]:
    """The content of a small sentiment pickle, without the mark of a stand-in."""
    made = generate("mosi", Mosi.target, LAYOUT, size="full")
    del made["synthetic"]
    return made


@pytest.fixture
def real_data() -> Path:
    """The folder of real data; the test is skipped where it is not there."""
    place = os.environ.get("MMBENCH_TEST_DATA")
    if not place:
        pytest.skip("MMBENCH_TEST_DATA names no folder with mosi-real.npz")
    return Path(place)


def assert_same(found: dict[str, Samples], expected: dict[str, Samples]) -> None:
    assert list(found) == list(expected)
    for split, one in expected.items():
        other = found[split]
        assert list(other.features) == list(one.features)
        for name in one.features:
            for kind in ("features", "mask", "present"):
                result, wanted = getattr(other, kind)[name], getattr(one, kind)[name]
                assert result.dtype == wanted.dtype
                np.testing.assert_array_equal(result, wanted)
        for kind in ("observed", "time"):
            assert list(getattr(other, kind)) == list(getattr(one, kind))
            for name, wanted in getattr(one, kind).items():
                result = getattr(other, kind)[name]
                assert result.dtype == wanted.dtype
                np.testing.assert_array_equal(result, wanted)
        for kind in ("target", "sample_id", "domain", "previous"):
            result, wanted = getattr(other, kind), getattr(one, kind)
            assert result.dtype.kind == wanted.dtype.kind
            np.testing.assert_array_equal(result, wanted)
