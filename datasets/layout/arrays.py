"""Named arrays in npz, safetensors, parquet and MATLAB files. Nothing that a file holds is executed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..array_values import text
from ..counting import counted
from ..dataset import DataError, data_error
from .description import ArrayRef
from .matlab import matlab_names, read_matlab


def read_array(file: Path, name: str, fill: bool = False) -> tuple[np.ndarray, np.ndarray | None]:
    """Reads one array.

    npz and safetensors: the array of that name; mat: as ``matlab.py`` says. Parquet, one row a sample: the column of that name, which
    holds numbers, text, lists of numbers of one length ([samples, feature]), lists of such lists
    ([samples, time, feature]; of any length, padded with zeros at the end) or tensors of one shape; or, where there is no such
    column, the numeric columns ``name_0``, ``name_1``, ... ([samples, feature]).

    bfloat16 and decimal numbers are read as float32 and float64. A sample whose list is empty or null, or whose
    numbered columns are all null, has zeros and no valid step.

    Args:
        file: .npz, .safetensors, .parquet or .mat.
        name: of the array or column.
        fill: lists of numbers of different lengths are filled up with NaN, to [samples, longest].

    Returns:
        The array; and the number of valid steps [samples], int64, or None where every step is valid.

    Raises:
        DataError: the file is broken, or has no such array, or one of Python objects.
    """
    reader = {".npz": _npz, ".safetensors": _safetensors, ".parquet": _parquet, ".mat": _mat}[
        file.suffix.lower()
    ]
    try:
        return reader(file, name, fill)
    except DataError:
        raise
    except FileNotFoundError:
        raise data_error(file, name, "the file is not there", "a readable file") from None
    # zip, compression, array headers, thrift and JSON each have their own ways to be broken
    except Exception as error:
        kind = file.suffix.lower().lstrip(".")
        reason = str(error) or type(error).__name__
        raise data_error(file, name, f"cannot be read ({reason})", f"a whole {kind} file") from None


def array_names(file: Path) -> set[str]:
    """The names of the arrays, or columns, of a file.

    Raises:
        DataError: the file is broken.
    """
    try:
        if file.suffix.lower() == ".npz":
            with np.load(file, allow_pickle=False) as arrays:
                return set(arrays.files)
        if file.suffix.lower() == ".mat":
            return matlab_names(file)
        if file.suffix.lower() == ".parquet":
            import pyarrow.parquet as pq

            return set(pq.read_schema(file).names)
        from safetensors import safe_open

        with safe_open(file, framework="np") as tensors:
            return set(tensors.keys())
    except DataError:
        raise
    except Exception as error:  # as in ``read_array``
        kind = file.suffix.lower().lstrip(".")
        reason = str(error) or type(error).__name__
        raise data_error(file, "", f"cannot be read ({reason})", f"a whole {kind} file") from None


def _missing_array(file: Path, name: str, known: list[str]) -> DataError:
    names = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
    return data_error(file, name, "no such array", f"one of {names}" if known else "an array of that name")


def _npz(file: Path, name: str, fill: bool) -> tuple[np.ndarray, None]:
    arrays = np.load(file, allow_pickle=False)
    if not isinstance(arrays, np.lib.npyio.NpzFile):
        raise data_error(file, name, "the file holds a single array", "an npz file")
    with arrays:
        if name not in arrays.files:
            raise _missing_array(file, name, arrays.files)
        try:
            return arrays[name], None
        except ValueError as error:
            if "allow_pickle" in str(error):
                raise data_error(file, name, "an array of Python objects", "numbers or text") from None
            raise


def _mat(file: Path, name: str, fill: bool) -> tuple[np.ndarray, None]:
    return read_matlab(file, name), None


def _safetensors(file: Path, name: str, fill: bool) -> tuple[np.ndarray, None]:
    from safetensors import safe_open

    with safe_open(file, framework="np") as tensors:
        if name not in tensors.keys():  # noqa: SIM118 (not a mapping)
            raise _missing_array(file, name, sorted(tensors.keys()))
        kind = tensors.get_slice(name).get_dtype()
        if kind in _KNOWN_TO_NUMPY:
            return tensors.get_tensor(name), None
    if kind == "BF16":
        return _bfloat16(file, name), None
    expected = "numbers of a type that numpy knows: save it as float16 or float32"
    raise data_error(file, name, f"an array of type {_TENSOR_TYPES.get(kind, kind)}", expected)


_KNOWN_TO_NUMPY = {"BOOL", "F16", "F32", "F64", "I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64"}
_TENSOR_TYPES = {
    "F8_E4M3": "float8_e4m3",
    "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0",
    "F4": "float4",
    "C64": "complex64",
}


def _bfloat16(file: Path, name: str) -> np.ndarray:
    """A tensor of type bfloat16 as float32, which holds each of its values exactly.

    The file begins with the size of its header (8 bytes, little-endian) and the header, JSON, which says where
    each tensor lies behind it.
    """
    with file.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        about = json.loads(stream.read(size))[name]
        first, last = about["data_offsets"]
        stream.seek(8 + size + first)
        halves = np.frombuffer(stream.read(last - first), "<u2")
    return (halves.astype(np.uint32) << 16).view(np.float32).reshape(about["shape"])


def _parquet(file: Path, name: str, fill: bool) -> tuple[np.ndarray, np.ndarray | None]:
    import pyarrow.parquet as pq

    known = pq.read_schema(file).names
    if name in known:
        column = pq.read_table(file, columns=[name]).column(0)
        return _column(_one_chunk(column), file, name, fill)
    numbered = []
    while f"{name}_{len(numbered)}" in known:
        numbered.append(f"{name}_{len(numbered)}")
    if not numbered:
        raise _missing_array(file, name, known)
    table = pq.read_table(file, columns=numbered)
    parts = [_one_chunk(table.column(part)) for part in numbered]
    array = np.stack([_values(part, file, name) for part in parts], axis=1)
    absent = np.all([part.is_null().to_numpy(zero_copy_only=False) for part in parts], axis=0)
    if not absent.any():
        return array, None
    array = np.where(absent[:, None], 0, array)
    return array, (~absent).astype(np.int64)


def _one_chunk(column: Any) -> Any:
    """A column of a table as one array; of an extension type, other than a tensor, what it is stored as."""
    import pyarrow as pa

    chunk = column.combine_chunks()
    if hasattr(chunk, "chunks"):  # a column without rows stays chunked
        chunk = pa.concat_arrays(chunk.chunks) if chunk.num_chunks else pa.array([], chunk.type)
    if isinstance(chunk, pa.ExtensionArray) and not isinstance(chunk, pa.FixedShapeTensorArray):
        return chunk.storage
    return chunk


def _is_list(kind: Any) -> bool:
    import pyarrow.types as types

    tests = (
        types.is_list,
        types.is_large_list,
        types.is_fixed_size_list,
        types.is_list_view,
        types.is_large_list_view,
    )
    return any(test(kind) for test in tests)


def _column(column: Any, file: Path, name: str, fill: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """A column as an array, and the number of valid steps of each sample where not all have as many; ``fill`` as of
    ``read_array``."""
    import pyarrow as pa
    import pyarrow.compute

    pc: Any = pyarrow.compute  # its functions are made at run time
    tensor = isinstance(column, pa.FixedShapeTensorArray)
    if not tensor and not _is_list(column.type):
        return _values(column, file, name), None
    filled = column.is_valid().to_numpy(zero_copy_only=False)
    lists = column.filter(column.is_valid())
    if tensor:
        return _fill_rows(lists.to_numpy_ndarray(), filled)
    steps = np.zeros(len(column), np.int64)
    steps[filled] = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
    inner = pc.list_flatten(lists)
    if not _is_list(inner.type) and fill:
        padded = np.full((len(steps), int(steps.max(initial=0))), np.nan)
        padded[np.arange(padded.shape[1]) < steps[:, None]] = _values(inner, file, name)
        return padded, None
    if not _is_list(inner.type):
        filled = steps > 0
        return _fill_rows(_equal_rows(inner, steps[filled], np.flatnonzero(filled), file, name), filled)
    if inner.null_count:
        raise data_error(
            file,
            name,
            f"{counted(inner.null_count, 'time step')} {'has' if inner.null_count == 1 else 'have'} no list",
            "a list at every step",
        )
    widths = pc.list_value_length(inner).to_numpy(zero_copy_only=False)
    values = _equal_rows(pc.list_flatten(inner), widths, np.repeat(np.arange(len(steps)), steps), file, name)
    longest = int(steps.max(initial=0))
    padded = np.zeros((len(steps), longest, values.shape[1]), values.dtype)
    valid = np.arange(longest) < steps[:, None]
    padded[valid] = values
    return padded, None if longest and valid.all() else steps


def _fill_rows(rows: np.ndarray, filled: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows at the places of the samples that have one, zeros elsewhere; and the number of valid steps, 0 elsewhere.

    Args:
        rows: [samples that have one, ...].
        filled: [samples], bool.

    Returns:
        The array [samples, ...], and the valid steps [samples], or None where every sample has a row.
    """
    if filled.all():
        return rows, None
    array = np.zeros((len(filled), *rows.shape[1:]), rows.dtype)
    array[filled] = rows
    return array, filled * (rows.shape[1] if rows.ndim > 2 else 1)


def _equal_rows(values: Any, lengths: np.ndarray, samples: np.ndarray, file: Path, name: str) -> np.ndarray:
    """Flattened lists as rows of one length.

    Args:
        values: all numbers, one list behind the other.
        lengths: of the lists.
        samples: the sample of each list, which an error names.
        file, name: what an error names.
    """
    width = int(lengths[0]) if len(lengths) else 0
    if (lengths != width).any():
        row = int(np.argmax(lengths != width))
        wrong = f"a list of {counted(lengths[row], 'number')} (sample {samples[row]})"
        raise data_error(file, name, wrong, f"{width}, as in the first")
    return _values(values, file, name).reshape(len(lengths), width)


def _values(values: Any, file: Path, name: str) -> np.ndarray:
    """Values that are no lists as an array: numbers (decimal ones as float64), text, bytes, times."""
    import pyarrow as pa
    import pyarrow.types as types

    kind = values.type
    if types.is_dictionary(kind):
        values = values.dictionary_decode()
        kind = values.type
    if types.is_decimal(kind):
        values, kind = values.cast(pa.float64()), pa.float64()
    numbers = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
    text = (
        types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
        or types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)
        or types.is_fixed_size_binary(kind)
    )  # fmt: skip
    if numbers or text or types.is_temporal(kind):
        return values.to_numpy(zero_copy_only=False)
    if types.is_null(kind):
        raise data_error(file, name, "nothing but nulls", "a column of a known type")
    expected = "numbers, text, lists of numbers, or lists of such lists: split it into columns of these"
    raise data_error(file, name, f"a column of type {str(kind)[:80]}", expected)


def names_of(ref: ArrayRef, array: np.ndarray, file: Path, key: str) -> np.ndarray:
    """What the values of an array mean by its description.

    Args:
        ref: the array, as described.
        array: its values.
        file: where they lie, for the message.
        key: their name there, for the message.

    Returns:
        The array itself where nothing is said of its values, else [samples] of text.

    Raises:
        DataError: a value of which nothing is said, or values that are no names where something is.
    """
    if not ref.values:
        return array
    names = text(array, file, key)
    unknown = [name for name in dict.fromkeys(names.tolist()) if name not in ref.values]
    if unknown:
        wrong = f"value {unknown[0]!r} is not in the map 'values'"
        raise data_error(file, ref.array, wrong, ", ".join(ref.values))
    return np.array([ref.values[name] for name in names.tolist()], dtype=str)
