"""Damaged arrays, tables, descriptions and pickles: each is read or is named in one line, in bounded time and memory.

``MMBENCH_FUZZ`` says how many damaged files there are of each kind.
"""

from __future__ import annotations

import os
import pickle
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from mmbench.datasets.dataset import DataError
from mmbench.datasets.layout.open_layout import locate_open
from mmbench.datasets.media.own import read_own
from mmbench.datasets.mosi import Mosi
from mmbench.datasets.pickles.mmsa import locate_pickle
from safetensors.numpy import save_file

from .damage_bytes import damaged
from .layout.conftest import small_arrays, small_description
from .media.test_own import write as write_clips

NUMBER = int(os.environ.get("MMBENCH_FUZZ", "150"))
SECONDS_EACH = 5.0
MEMORY_KIB = 2_000_000


def numbers(folder: Path, kind: str) -> tuple[Path, Path]:
    """A small dataset in the open layout; its description, and the file of its arrays."""
    arrays = {name: value for name, value in small_arrays().items() if value.dtype.kind in "fi"}
    file = folder / f"all.{kind}"
    if kind == "npz":
        np.savez_compressed(file, **arrays)  # pyright: ignore[reportArgumentType]
    elif kind == "safetensors":
        save_file(arrays, file)
    else:
        pq.write_table(pa.table({name: list(value.tolist()) for name, value in arrays.items()}), file)
    described = {
        key: value for key, value in small_description().items() if key not in ("video", "clip", "domain")
    }
    (folder / "dataset.yaml").write_text(yaml.safe_dump(described | {"file": file.name}))
    return folder / "dataset.yaml", file


def read_folder(file: Path) -> None:
    locate_open(file).load()


def read_clips(file: Path) -> None:
    for problem in read_own(file).problems:
        assert "\n" not in str(problem)


@pytest.fixture
def written(tmp_path: Path, content: dict[str, Any]) -> Callable[[str], tuple[Path, Callable[[], None]]]:
    """A whole file of a kind, and what reads it."""

    def write(kind: str) -> tuple[Path, Callable[[], None]]:
        if kind in ("npz", "safetensors", "parquet"):
            description, file = numbers(tmp_path, kind)
            return file, lambda: read_folder(description)
        if kind == "dataset.yaml":
            description, _ = numbers(tmp_path, "npz")
            return description, lambda: read_folder(description)
        if kind in ("media.yaml", "clips.csv"):
            description = write_clips(tmp_path)
            return tmp_path / kind, lambda: read_clips(description)
        file = tmp_path / "mosi.pkl"
        file.write_bytes(pickle.dumps(content, protocol=4))
        return file, lambda: _read_pickle(file)

    return write


def _read_pickle(file: Path) -> None:
    locate_pickle("mosi", file, Mosi.target).load()


@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    "kind", ["npz", "safetensors", "parquet", "dataset.yaml", "media.yaml", "clips.csv", "pickle"]
)
def test_a_damaged_file_is_read_or_named(
    written: Callable[[str], tuple[Path, Callable[[], None]]], kind: str
) -> None:
    file, read = written(kind)
    read()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    faults, refused = [], 0
    for number, broken in enumerate(damaged(file.read_bytes(), NUMBER)):
        file.write_bytes(broken)
        began, words, known = time.process_time(), "", len(faults)
        try:
            read()
        except DataError as error:
            words, refused = str(error), refused + 1
        except Exception as error:
            faults.append(f"{number}: {type(error).__name__}: {error}")
        spent = time.process_time() - began
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
        if spent > SECONDS_EACH or grown > MEMORY_KIB or "\n" in words:
            faults.append(f"{number}: {spent:.1f} s, {grown} KiB more, {words!r}")
            peak += max(0, grown)
        if len(faults) > known and (keep := os.environ.get("MMBENCH_FUZZ_KEEP")):
            (Path(keep) / f"{number}-{file.name}").write_bytes(broken)
    assert not faults, faults[:20]
    assert refused, "nothing that was damaged was noticed"
