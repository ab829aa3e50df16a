"""A small dataset in the open layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

Writer = Callable[..., Path]


REGRESSION = {"kind": "regression", "range": [-3, 3]}


def small_arrays() -> dict[str, np.ndarray]:
    """Nine samples: text [9, 4, 3] of different lengths, audio [9, 2]."""
    draw = np.random.default_rng(0)
    lengths = np.array([4, 3, 2, 1, 4, 3, 2, 1, 4])
    text = draw.normal(size=(9, 4, 3)).astype(np.float32)
    text[np.arange(4) >= lengths[:, None]] = 0
    return {
        "text": text,
        "text_length": lengths,
        "audio": draw.normal(size=(9, 2)),
        "label": np.array([0, 1, 1, 0, 1, 0, 0, 1, 1], np.int8),
        "split": np.array([0, 0, 0, 0, 1, 1, 2, 2, 2], np.int8),
        "video": np.array(["a", "a", "a", "b", "c", "c", "d", "d", "e"]),
        "clip": np.array([10, 2, 1, 1, 2, 1, 9, 10, 1], np.int16),
        "speaker": np.array(["x", "y", "x", "y", "x", "y", "x", "y", "x"]),
        "score": np.linspace(-3, 3, 9),
    }


def small_description() -> dict[str, Any]:
    """The ``dataset.yaml`` of :func:`small_arrays`."""
    return {
        "file": "all.npz",
        "modalities": {"text": {"array": "text", "length": "text_length"}, "audio": "audio"},
        "task": {"kind": "classification", "classes": ["negative", "positive"]},
        "label": "label",
        "split": {"array": "split", "values": {0: "train", 1: "valid", 2: "test"}},
        "video": "video",
        "clip": "clip",
        "domain": "speaker",
    }


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes one npz and a ``dataset.yaml`` into a folder: ``folder(arrays, **entries)`` -> the yaml."""

    def write(arrays: dict[str, np.ndarray] | None = None, **entries: Any) -> Path:
        place = tmp_path / "mine"
        place.mkdir(exist_ok=True)
        np.savez(place / "all.npz", **{**small_arrays(), **(arrays or {})})  # pyright: ignore[reportArgumentType]
        described = {**small_description(), **entries}
        described = {key: value for key, value in described.items() if value is not None}
        file = place / "dataset.yaml"
        file.write_text(yaml.safe_dump(described, sort_keys=False))
        return file

    return write
