from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mmbench.datasets.dataset import DataError
from mmbench.datasets.layout.arrays import read_array


def parquet(folder: Path, columns: dict[str, Any]) -> Path:
    file = folder / "x.parquet"
    pd.DataFrame(columns).to_parquet(file)
    return file


@pytest.mark.parametrize(
    ("column", "expected", "lengths"),
    [
        ([1, 2], [1, 2], None),
        (["a", "b"], ["a", "b"], None),
        ([[1.0, 2.0], [3.0, 4.0]], [[1, 2], [3, 4]], None),
        ([[[1.0], [2.0]], [[3.0], [4.0]]], [[[1], [2]], [[3], [4]]], None),
        ([[[1.0], [2.0]], [[3.0]], []], [[[1], [2]], [[3], [0]], [[0], [0]]], [2, 1, 0]),
    ],
)
def test_parquet_columns(tmp_path: Path, column: Any, expected: Any, lengths: Any) -> None:
    array, steps = read_array(parquet(tmp_path, {"x": column}), "x")
    assert array.tolist() == expected
    assert (None if steps is None else steps.tolist()) == lengths


def test_numbered_columns_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    columns = {f"f_{number}": np.array([number, -number]) for number in reversed(range(12))}
    array, _ = read_array(parquet(tmp_path, columns), "f")
    assert array.tolist() == [list(range(12)), [-number for number in range(12)]]


@pytest.mark.parametrize("column", [[[1.0, 2.0], [3.0]], [[1.0], None], [[[1.0, 2.0], [1.0]], [[1.0, 2.0]]]])
def test_uneven_lists_are_one_line(tmp_path: Path, column: Any) -> None:
    with pytest.raises(DataError, match=r"x\.parquet: x: .*expected") as caught:
        read_array(parquet(tmp_path, {"x": column}), "x")
    assert "\n" not in str(caught.value)


def whole(folder: Path, suffix: str) -> Path:
    file = folder / f"x.{suffix}"
    arrays = {"x": np.arange(200.0).reshape(-1, 2), "y": np.ones((100, 2))}
    if suffix == "npz":
        np.savez_compressed(file, **arrays)  # pyright: ignore[reportArgumentType]
    elif suffix == "safetensors":
        from safetensors.numpy import save_file

        save_file(arrays, file)
    else:
        pd.DataFrame({key: list(array) for key, array in arrays.items()}).to_parquet(file)
    return file


@pytest.mark.parametrize("suffix", ["npz", "safetensors", "parquet"])
def test_missing_arrays_and_broken_files_are_one_line(tmp_path: Path, suffix: str) -> None:
    file = whole(tmp_path, suffix)
    assert read_array(file, "x")[0].shape == (100, 2)
    with pytest.raises(DataError, match="z: no such array; expected one of x, y"):
        read_array(file, "z")
    raw = file.read_bytes()
    for end in range(0, len(raw), max(1, len(raw) // 60)):
        file.write_bytes(raw[:end])
        with pytest.raises(DataError) as caught:
            read_array(file, "x")
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith(f"{file}: ")
    draw = np.random.default_rng(0)
    for _ in range(60):  # a flipped byte is either found or leaves an array
        broken = bytearray(raw)
        broken[draw.integers(len(raw))] ^= int(draw.integers(1, 256))
        file.write_bytes(bytes(broken))
        with contextlib.suppress(DataError):
            read_array(file, "x")
    file.unlink()
    with pytest.raises(DataError, match="x: "):
        read_array(file, "x")


def test_objects_in_npz_are_not_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "o.npz", x=np.array([{}], dtype=object))
    with pytest.raises(DataError, match="x: an array of Python objects"):
        read_array(tmp_path / "o.npz", "x")
    with (tmp_path / "p.npz").open("wb") as stream:
        np.save(stream, np.ones(3))
    with pytest.raises(DataError, match="single array"):
        read_array(tmp_path / "p.npz", "x")
