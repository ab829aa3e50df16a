"""Named arrays in npz, safetensors and parquet files. Nothing that a file holds is executed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..dataset import DataError, data_error


def read_array(file: Path, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Reads one array.

    npz and safetensors: the array of that name. Parquet, one row a sample: the column of that name, which
    holds numbers, text, lists of numbers of one length ([samples, feature]) or lists of such lists
    ([samples, time, feature]; of any length, padded with zeros at the end); or, where there is no such
    column, the numeric columns ``name_0``, ``name_1``, ... ([samples, feature]).

    Returns:
        The array, and the number of valid steps of each sample where the lists had different lengths.

    Raises:
        DataError: the file is broken, or has no such array, or one of Python objects.
    """
    reader = {".npz": _npz, ".safetensors": _safetensors, ".parquet": _parquet}[file.suffix.lower()]
    try:
        return reader(file, name)
    except DataError:
        raise
    except FileNotFoundError:
        raise data_error(file, name, "the file is not there", "a readable file") from None
    # zip, compression, array headers, thrift and JSON each have their own ways to be broken
    except Exception as error:
        kind = file.suffix.lower().lstrip(".")
        reason = str(error) or type(error).__name__
        raise data_error(file, name, f"cannot be read ({reason})", f"a whole {kind} file") from None


def _missing(file: Path, name: str, known: list[str]) -> DataError:
    found = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
    return data_error(file, name, "no such array", f"one of {found}" if known else "an array of that name")


def _npz(file: Path, name: str) -> tuple[np.ndarray, None]:
    arrays = np.load(file, allow_pickle=False)
    if not isinstance(arrays, np.lib.npyio.NpzFile):
        raise data_error(file, name, "the file holds a single array", "an npz file")
    with arrays:
        if name not in arrays.files:
            raise _missing(file, name, arrays.files)
        try:
            return arrays[name], None
        except ValueError as error:
            if "allow_pickle" in str(error):
                raise data_error(file, name, "an array of Python objects", "numbers or text") from None
            raise


def _safetensors(file: Path, name: str) -> tuple[np.ndarray, None]:
    from safetensors import safe_open

    with safe_open(file, framework="np") as tensors:
        if name not in tensors.keys():  # noqa: SIM118 (not a mapping)
            raise _missing(file, name, sorted(tensors.keys()))
        return tensors.get_tensor(name), None


def _parquet(file: Path, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    import pyarrow.parquet as pq

    known = pq.read_schema(file).names
    if name in known:
        column = pq.read_table(file, columns=[name]).column(0)
        return _column(column.combine_chunks(), file, name)
    numbered = []
    while f"{name}_{len(numbered)}" in known:
        numbered.append(f"{name}_{len(numbered)}")
    if not numbered:
        raise _missing(file, name, known)
    table = pq.read_table(file, columns=numbered)
    return np.stack([table.column(part).to_numpy() for part in numbered], axis=1), None


def _column(column: Any, file: Path, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    import pyarrow.compute
    import pyarrow.types as types

    pc: Any = pyarrow.compute  # its functions are made at run time

    if hasattr(column, "chunks"):  # a column without rows stays chunked
        import pyarrow as pa

        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)

    def is_list(kind: Any) -> bool:
        return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)

    if not is_list(column.type):
        return column.to_numpy(zero_copy_only=False), None
    if column.null_count:
        raise data_error(file, name, f"{column.null_count} samples have no list", "a list in every row")
    steps = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    inner = pc.list_flatten(column)
    if not is_list(inner.type):
        return _equal(inner, steps, file, name), None
    if inner.null_count:
        raise data_error(file, name, f"{inner.null_count} time steps have no list", "a list at every step")
    widths = pc.list_value_length(inner).to_numpy(zero_copy_only=False)
    values = _equal(pc.list_flatten(inner), widths, file, name)
    longest = int(steps.max(initial=0))
    padded = np.zeros((len(steps), longest, values.shape[1]), values.dtype)
    valid = np.arange(longest) < steps[:, None]
    padded[valid] = values
    return padded, None if valid.all() else steps


def _equal(values: Any, lengths: np.ndarray, file: Path, name: str) -> np.ndarray:
    width = int(lengths[0]) if len(lengths) else 0
    if (lengths != width).any():
        row = int(np.argmax(lengths != width))
        raise data_error(file, name, f"a list of {lengths[row]} numbers", f"{width}, as in the first")
    return values.to_numpy(zero_copy_only=False).reshape(len(lengths), width)
