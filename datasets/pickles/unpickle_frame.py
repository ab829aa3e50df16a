"""A reader for pandas tables in ``.pkl`` files, such as the published lists of EPIC-Kitchens, that executes nothing.

pandas itself is never called: its way of rebuilding a table trusts the pickled state. Small stand-ins hold what the
file says, as plain values; when all is read, it is checked and the columns are taken out. Known are the tables that
pandas 0.14 to 3 write in protocol 2 and up, with columns of numbers, text and plain objects; every other name is
refused as in ``unpickle.py``.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ..counting import counted
from ..dataset import data_error
from .unpickle import Call, Unpickler, load_pickle, refused_call

_OLD_STATE = "0.14.1"  # the key below which pandas 0.14 to 1 keep axes and blocks
_PLAIN = (str, bytes, int, float, bool, type(None), np.generic)
_OFFSETS = {"string": np.dtype("<i4"), "large_string": np.dtype("<i8")}  # Arrow's, by the type's name


class _Sealed(type):
    """A class that a pickle may name, and whose attributes it cannot set."""

    def __setattr__(cls, name: str, value: object) -> NoReturn:
        raise pickle.UnpicklingError(f"attribute {name!r} set on a class")


class _Held(metaclass=_Sealed):
    """Holds the arguments and the state that a pickle gives to a class of pandas."""

    __slots__ = ("arguments", "state")

    def __new__(cls, *arguments: object) -> _Held:
        self = object.__new__(cls)
        self.arguments, self.state = arguments, None
        return self

    def __setstate__(self, state: object) -> None:
        self.state = state


class _Frame(_Held):
    __slots__ = ()


class _Manager(_Held):
    """The blocks of a table: arrays that hold columns of one type."""

    __slots__ = ()


class _Block(_Held):
    __slots__ = ()


class _Index(_Held):
    __slots__ = ()


class _Strings(_Held):
    """pandas 3's column of text, whose state holds an array made by ``_arrow_strings``."""

    __slots__ = ()


def _bytearray(data: object = b"") -> bytes:
    if not isinstance(data, bytes):  # a number would be a size
        raise pickle.UnpicklingError("a buffer that is not made of bytes")
    return data


def _buffer(data: object) -> bytes:
    if not isinstance(data, (bytes, bytearray)):
        raise pickle.UnpicklingError("a buffer that is not made of bytes")
    return bytes(data)


def _type_for_alias(name: object) -> str:
    if not isinstance(name, str) or name not in _OFFSETS:
        raise pickle.UnpicklingError(f"an Arrow array of type {name!r}")
    return name


def _arrow_strings(parts: object) -> np.ndarray:
    """Text [length], objects, from the parts of an Arrow array: type, length, number of nulls, offset, buffers
    (validity bits, offsets, letters), children, dictionary."""
    if not isinstance(parts, tuple) or len(parts) != 7 or parts[0] not in _OFFSETS or parts[5] or parts[6]:
        raise pickle.UnpicklingError("an Arrow array that is not text")
    kind, length, _, offset, buffers = parts[:5]
    if not all(isinstance(number, int) and number >= 0 for number in (length, offset)) or len(buffers) != 3:
        raise pickle.UnpicklingError("an Arrow array of unknown form")
    letters = _buffer(b"" if buffers[2] is None else buffers[2])
    ends = np.frombuffer(_buffer(buffers[1]), _OFFSETS[kind])[offset : offset + length + 1]
    rising = (
        len(ends) == length + 1 and ends[0] >= 0 and ends[-1] <= len(letters) and (np.diff(ends) >= 0).all()
    )
    if not rising:  # so memory is never asked for by a number that the file states
        raise pickle.UnpicklingError("an Arrow array longer than its data")
    valid = np.ones(length, dtype=bool)
    if buffers[0] is not None:
        bits = np.unpackbits(np.frombuffer(_buffer(buffers[0]), np.uint8), bitorder="little")
        valid = bits[offset : offset + length].astype(bool)
    strings = np.empty(length, dtype=object)
    for row, (start, stop, there) in enumerate(zip(ends[:-1], ends[1:], valid, strict=True)):
        strings[row] = letters[start:stop].decode() if there else None
    return strings


def _allowed_globals() -> dict[tuple[str, str], Any]:
    name_only = Call(refused_call)
    known: dict[tuple[str, str], Any] = {
        ("pandas.core.internals.managers", "BlockManager"): _Manager,
        ("pandas._libs.internals", "_unpickle_block"): _Block,
        ("pandas.core.indexes.base", "_new_Index"): _Index,
        ("pandas.arrays", "ArrowStringArray"): _Strings,
        ("pandas", "StringDtype"): Call(lambda *_: None),
        ("pyarrow.lib", "_restore_array"): Call(_arrow_strings),
        ("pyarrow.lib", "type_for_alias"): Call(_type_for_alias),
        ("pyarrow.lib", "py_buffer"): Call(_buffer),
    }
    for builtins in ("builtins", "__builtin__"):  # protocols 3 and up, and 2
        known[builtins, "bytearray"] = Call(_bytearray)
        known[builtins, "slice"] = Call(slice)
    for module in ("pandas", "pandas.core.frame"):
        known[module, "DataFrame"] = _Frame
    for module in (
        "pandas",
        "pandas.core.indexes.base",
        "pandas.core.indexes.range",
        "pandas.core.indexes.numeric",
    ):
        for name in ("Index", "RangeIndex", "Int64Index"):
            known[module, name] = name_only
    return known


class _FrameUnpickler(Unpickler):
    allowed = {**Unpickler.allowed, **_allowed_globals()}  # noqa: RUF012 (never changed)


class _FormError(Exception):
    """What was read is not a table in a known form."""


def load_frame(file: Path) -> dict[str, np.ndarray]:
    """Reads a pickled pandas table.

    Returns:
        Column -> [rows]: numbers, or objects that are text, numbers, bytes or None. The index is left out.

    Raises:
        DataError: the file asks for anything else (which is then named), is broken, or is no such table.
    """
    held = load_pickle(file, _FrameUnpickler)
    try:
        return _columns(held)
    except _FormError as error:
        wrong = str(error)
    # a forged state can hold anything: whatever it makes the checks raise is the file's fault
    except Exception as error:
        wrong = str(error) or type(error).__name__
    raise data_error(file, "", f"no table in a known form ({wrong})", "a pandas table of numbers and text")


def _columns(held: object) -> dict[str, np.ndarray]:
    if type(held) is not _Frame or not isinstance(held.state, dict):
        raise _FormError(f"a {type(held).__name__.strip('_').lower()}")
    manager = held.state.get("_mgr", held.state.get("_data"))
    if type(manager) is not _Manager:
        raise _FormError("no blocks")
    axes, blocks = _axes_and_blocks(manager)
    if len(axes) != 2:
        raise _FormError(counted(len(axes), "axis", "axes"))
    names, count = _names(axes[0]), _length(axes[1])
    columns: dict[str, np.ndarray] = {}
    for values, placement in blocks:
        rows = _rows(values)
        places = _places(placement, len(names))
        if len(rows) != len(places):
            raise _FormError(f"{counted(len(rows), 'column')} in {counted(len(places), 'place')}")
        for place, column in zip(places, rows, strict=True):
            if len(column) != count:
                raise _FormError(
                    f"column {names[place]!r} has {counted(len(column), 'row')}, the index {count}"
                )
            if names[place] in columns:
                raise _FormError(f"column {names[place]!r} is there twice")
            columns[names[place]] = _plain(column, names[place])
    missing = [name for name in names if name not in columns]
    if missing:
        raise _FormError(f"column {missing[0]!r} has no data")
    return {name: columns[name] for name in names}


def _axes_and_blocks(manager: _Held) -> tuple[Any, list[tuple[Any, Any]]]:
    if manager.arguments:  # pandas 1.3 and up
        blocks, axes = manager.arguments[:2]
        if not isinstance(blocks, (tuple, list)) or not all(type(block) is _Block for block in blocks):
            raise _FormError("blocks of an unknown form")
        return axes, [block.arguments[:2] for block in blocks]
    state = manager.state
    if not isinstance(state, tuple) or len(state) < 4 or _OLD_STATE not in state[3]:
        raise _FormError("written by pandas below 0.14, or not by it")
    parts = state[3][_OLD_STATE]
    return parts["axes"], [(block["values"], block["mgr_locs"]) for block in parts["blocks"]]


def _index_parts(index: object) -> dict[str, Any]:
    if type(index) is not _Index or len(index.arguments) != 2 or not isinstance(index.arguments[1], dict):
        raise _FormError("an index of an unknown form")
    return index.arguments[1]


def _names(index: object) -> list[str]:
    (row,) = _rows(_index_parts(index).get("data"))
    names = _plain(row, "names").tolist()
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise _FormError("columns that are not named by text, each by its own")
    return names


def _length(index: object) -> int:
    parts = _index_parts(index)
    if "data" in parts:
        return len(_rows(parts["data"])[0])
    return len(range(parts["start"], parts["stop"], parts["step"]))


def _rows(values: object) -> list[np.ndarray]:
    """The columns of a block, each an array [rows]."""
    if type(values) is _Strings and isinstance(values.state, dict):
        values = values.state.get("_pa_array")
    if not isinstance(values, np.ndarray) or values.ndim not in (1, 2):
        raise _FormError("values that are not an array of rows and columns")
    plain = np.asarray(values)
    return [plain] if plain.ndim == 1 else list(plain)


def _places(placement: object, count: int) -> list[int]:
    """Which of ``count`` columns the rows of a block are."""
    if isinstance(placement, slice):
        return list(range(count))[placement]
    if not isinstance(placement, np.ndarray) or placement.dtype.kind not in "iu" or placement.ndim != 1:
        raise _FormError("places that are not whole numbers")
    if ((placement < 0) | (placement >= count)).any():
        raise _FormError("a place outside of the table")
    return placement.tolist()


def _plain(column: np.ndarray, name: str) -> np.ndarray:
    if column.dtype.kind == "O":
        odd = next((value for value in column.tolist() if not isinstance(value, _PLAIN)), None)
        if odd is not None:
            raise _FormError(f"column {name!r} holds a {type(odd).__name__.strip('_').lower()}")
    return column
