from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from mmbench.datasets.dataset import DataError
from mmbench.datasets.layout.arrays import read_array
from safetensors.torch import save_file as save_torch


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
        ([[[1.0], [2.0]], None, [[3.0], [4.0]]], [[[1], [2]], [[0], [0]], [[3], [4]]], [2, 0, 2]),
        ([[1.0, 2.0], None, [], [3.0, 4.0]], [[1, 2], [0, 0], [0, 0], [3, 4]], [1, 0, 0, 1]),
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


@pytest.mark.parametrize("column", [[[1.0, 2.0], [3.0]], [[[1.0, 2.0], [1.0]], [[1.0, 2.0]]]])
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


def arrow(folder: Path, column: Any) -> Path:
    file = folder / "arrow.parquet"
    pq.write_table(pa.table({"x": column}), file)
    return file


THREE = [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]], [[0.0, 1.0], [1.5, 0.5]]]


def tensor(order: list[int] | None = None) -> pa.Array:
    kind = pa.fixed_shape_tensor(pa.float32(), [2, 2], permutation=order)
    flat = [[*first, *second] for first, second in THREE]
    return pa.ExtensionArray.from_storage(kind, pa.array(flat, pa.list_(pa.float32(), 4)))


@pytest.mark.parametrize(
    "column",
    [
        tensor(),
        pa.array(THREE, pa.list_(pa.list_(pa.float64(), 2), 2)),
        pa.array(THREE, pa.large_list(pa.list_(pa.float16()))),
        pa.array(THREE).cast(pa.list_(pa.large_list(pa.decimal128(4, 2)))),
    ],
)
def test_arrow_types_of_lists_are_one_array(tmp_path: Path, column: pa.Array) -> None:
    array, steps = read_array(arrow(tmp_path, column), "x")
    assert array.tolist() == THREE
    assert steps is None
    missing = pa.concat_arrays([column.slice(0, 1), pa.nulls(1, column.type), column.slice(1)])
    array, steps = read_array(arrow(tmp_path, missing), "x")
    assert array.tolist() == [THREE[0], [[0, 0], [0, 0]], *THREE[1:]]
    assert steps is not None
    assert steps.tolist() == [2, 0, 2, 2]


def test_a_tensor_whose_axes_are_stored_in_another_order_is_turned(tmp_path: Path) -> None:
    array, _ = read_array(arrow(tmp_path, tensor([1, 0])), "x")
    assert array.tolist() == np.swapaxes(THREE, 1, 2).tolist()


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
        (pa.array([b"a", b"b"], pa.binary()), [b"a", b"b"]),
        (pa.array([b"a", b"b"], pa.binary(1)), [b"a", b"b"]),
        (pa.array(["a", "b"], pa.string_view()), ["a", "b"]),
        (pa.array([1, 2], pa.decimal128(5, 1)), [1.0, 2.0]),
        (pa.array([1.5, 2], pa.float16()), [1.5, 2.0]),
        (pa.array([True, False]), [True, False]),
    ],
)
def test_arrow_types_of_values_are_read(tmp_path: Path, column: pa.Array, expected: list[Any]) -> None:
    assert read_array(arrow(tmp_path, column), "x")[0].tolist() == expected


@pytest.mark.parametrize(
    ("column", "named"),
    [
        (pa.array([{"a": 1.0}]), "struct<a: double>"),
        (pa.array([[[[1.0]]]]), "list<"),
        (pa.nulls(2), "nothing but nulls"),
        (pa.array([[{"a": 1.0}]]), "struct<a: double>"),
    ],
)
def test_arrow_types_that_are_not_read_are_named(tmp_path: Path, column: pa.Array, named: str) -> None:
    with pytest.raises(DataError, match=named) as caught:
        read_array(arrow(tmp_path, column), "x")
    assert "whole parquet" not in str(caught.value)


def test_a_row_without_any_of_its_numbered_columns_is_absent(tmp_path: Path) -> None:
    columns = {"f_0": [1.0, None, None], "f_1": [2.0, None, 3.0]}
    array, steps = read_array(parquet(tmp_path, columns), "f")
    np.testing.assert_array_equal(array, [[1, 2], [0, 0], [np.nan, 3]])
    assert steps is not None
    assert steps.tolist() == [1, 0, 1]


def test_bfloat16_is_read_exactly_and_float8_is_named(tmp_path: Path) -> None:
    values = torch.tensor([[0.1, -2.5], [3e38, 1e-40]]).bfloat16()
    file = tmp_path / "x.safetensors"
    save_torch({"other": torch.ones(3), "x": values, "y": torch.ones(2).to(torch.float8_e4m3fn)}, file)
    array, _ = read_array(file, "x")
    assert array.dtype == np.float32
    assert array.tolist() == values.float().tolist()
    with pytest.raises(DataError, match=r"an array of type float8_e4m3; .*save it as float16 or float32"):
        read_array(file, "y")
