"""A reader for the field's published ``.pkl`` files that executes nothing.

A pickle is a program. This reader knows the few calls by which numpy arrays, numpy scalars and plain
containers are rebuilt, and answers every other name with a :class:`DataError`. It does not even call numpy's
own ``dtype`` and ``_reconstruct``: their states can be forged to make numpy read memory as objects, so small
stand-ins check them first.
"""

from __future__ import annotations

import math
import os
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np

from ..counting import counted
from ..dataset import DataError, data_error

# Booleans, integers, floats, complex, bytes, text, objects. No structured and no date types.
_KINDS = frozenset("biufcSUO")


#: Package -> what to do before its objects are pickled.
_REMEDIES = {
    "torch": " (call .numpy() on each tensor before you pickle)",
    "pandas": " (call .to_numpy() on each series or frame before you pickle)",
}


#: The first bytes of what is mistaken for a pickle -> what it is.
_BEGINNINGS = {
    b"PK\x03\x04": "a zip archive, as torch.save and numpy.savez write it",
    b"\x1f\x8b": "compressed by gzip: unpack it",
    b"BZh": "compressed by bzip2: unpack it",
    b"\xfd7zXZ": "compressed by xz: unpack it",
    b"\x89HDF": "an HDF5 file, such as .hdf5, .csd and new .mat",
    b"\x93NUMPY": "an array of numpy.save",
    b"<": "a web page: the download gave no file",
    b"version https://git-lfs": "a pointer of Git LFS: git lfs pull gets the file",
}


class _RefusedError(Exception):
    """A global that no data file needs."""


class Call:
    """A function that a pickle may call. The pickle cannot change it, as it can a bare one."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        object.__setattr__(self, "_function", function)

    def __call__(self, *args: Any) -> Any:
        """What the function returns."""
        return self._function(*args)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise pickle.UnpicklingError(f"attribute {name!r} set on a function")

    def __setstate__(self, state: object) -> NoReturn:
        raise pickle.UnpicklingError("state set on a function")


class _Dtype:
    """Takes the place of ``numpy.dtype`` while the file is read; ``value`` is the real one."""

    def __init__(self, spec: object) -> None:
        if not isinstance(spec, str) or "," in spec:
            raise pickle.UnpicklingError(f"array type {spec!r}")
        self.value = np.dtype(spec)
        if self.value.kind not in _KINDS or self.value.subdtype is not None:
            raise pickle.UnpicklingError(f"array type {spec!r}")

    def __setstate__(self, state: object) -> None:
        # (version, byte order, sub-array, names, fields, item size, alignment, flags[, metadata])
        if not isinstance(state, tuple) or len(state) < 5 or any(part is not None for part in state[2:5]):
            raise pickle.UnpicklingError("a structured array type")
        order = state[1]
        if order not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError(f"byte order {order!r}")
        self.value = self.value.newbyteorder(order)


class _Array(np.ndarray):
    """An array whose state is checked before numpy sees it. ``np.asarray`` makes a plain one of it."""

    def __setstate__(self, state: Any, /) -> None:
        version, shape, dtype, fortran, data = state if len(state) == 5 else (1, *state)
        if not isinstance(dtype, _Dtype):
            raise pickle.UnpicklingError("an array without a type")
        if isinstance(data, list) != (dtype.value.kind == "O"):
            raise pickle.UnpicklingError("array data that does not fit its type")
        shape = tuple(shape)
        if not all(isinstance(size, int) and size >= 0 for size in shape):
            raise pickle.UnpicklingError(f"shape {shape!r}")
        # numpy takes as many objects from the list as the shape says, also from behind its end
        if isinstance(data, list) and len(data) != math.prod(shape):
            raise pickle.UnpicklingError(f"{counted(len(data), 'object')} for shape {shape!r}")
        set_state: Any = super().__setstate__  # typed for numpy's own flags only
        set_state((version, shape, dtype.value, bool(fortran), data))


def _dtype(spec: object, *_: object) -> _Dtype:
    return _Dtype(spec)


def _reconstruct(*_: object) -> _Array:
    return np.ndarray.__new__(_Array, (0,), np.int8)


def _from_buffer(data: bytes | bytearray, dtype: _Dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    if not isinstance(dtype, _Dtype) or dtype.value.kind == "O":
        raise pickle.UnpicklingError("a buffer of objects")
    if not isinstance(
        data, (bytes, bytearray)
    ):  # an array could be given other memory later, and this keep the old
        raise pickle.UnpicklingError("a buffer that is not made of bytes")
    return np.frombuffer(data, dtype.value).reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: _Dtype, data: bytes | str) -> Any:
    if not isinstance(dtype, _Dtype) or dtype.value.kind == "O":
        raise pickle.UnpicklingError("a scalar of type object")
    raw = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(raw, dtype.value)[0]


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"text encoding {encoding!r}")
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    return b""


def refused_call(*_: object) -> NoReturn:
    """Takes the place of what a pickle may name and never calls."""
    raise pickle.UnpicklingError("a name called that stands for itself only")


def _allowed_globals() -> dict[tuple[str, str], Call]:
    reconstruct, scalar, buffer = Call(_reconstruct), Call(_scalar), Call(_from_buffer)
    known = {
        ("numpy", "dtype"): Call(_dtype),
        ("numpy", "ndarray"): Call(refused_call),
        ("_codecs", "encode"): Call(_encode),
        ("collections", "OrderedDict"): Call(OrderedDict),
    }
    for core in ("numpy.core", "numpy._core"):  # numpy 1.x and 2.x
        known[core + ".multiarray", "_reconstruct"] = reconstruct
        known[core + ".multiarray", "scalar"] = scalar
        known[core + ".numeric", "_frombuffer"] = buffer
    for builtins in ("builtins", "__builtin__"):  # protocols 3 and up, and 0 to 2
        known[builtins, "bytes"] = Call(_empty_bytes)
        known[builtins, "set"] = Call(set)
        known[builtins, "frozenset"] = Call(frozenset)
    return known


class _Bounded:
    """A file of which no more is read than it has: a forged pickle may announce any number of bytes.

    Args:
        stream: the open file.
        size: how many bytes it has.
    """

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self._size = size
        self.readline = stream.readline

    def read(self, size: int) -> bytes:
        """As of a file. Raises UnpicklingError, before memory is set aside, where fewer bytes are left."""
        if size > 2**16 and size > self._size - self._stream.tell():  # small reads are many, and harmless
            raise pickle.UnpicklingError(f"announces {size} bytes, more than are left in the file")
        return self._stream.read(size)


def _load_bytearray(unpickler: Any) -> None:
    """Reads a bytearray of protocol 5; the library sets aside what is announced before it reads."""
    (size,) = struct.unpack("<Q", unpickler.read(8))
    unpickler.append(bytearray(unpickler.read(size)))


class Unpickler(pickle._Unpickler):
    """Knows the calls in ``allowed``, (module, name) -> what is called instead, and refuses all others.

    It is the one written in Python: the one in C sets aside as much memory as a forged file says that it will name,
    and frees arrays of bytes that are still in use where a file is cut short.
    """

    allowed: Mapping[tuple[str, str], Any] = _allowed_globals()
    dispatch = {**pickle._Unpickler.dispatch, pickle.BYTEARRAY8[0]: _load_bytearray}  # noqa: RUF012 - of the library

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in that is called in place of a global.

        Args:
            module: as the pickle names it.
            name: of the global.

        Raises:
            UnpicklingError: the global is not allowed.
        """
        stand_in = self.allowed.get((module, name))
        if stand_in is None:
            raise _RefusedError(f"{module}.{name}")
        return stand_in

    def persistent_load(self, pid: Any) -> NoReturn:
        """Always refused."""
        raise _RefusedError("a persistent object")


def load_pickle(file: Path, unpickler: type[Unpickler] = Unpickler) -> object:
    """Reads a pickle (protocols 0 to 5) of numpy arrays and plain containers.

    Args:
        file: the pickle.
        unpickler: one that knows more calls.

    Raises:
        DataError: the file asks for anything else (which is then named), is cut short, or is not a pickle.
    """
    try:
        with file.open("rb") as stream:
            return load_pickle_from(stream, os.fstat(stream.fileno()).st_size, file, "", unpickler)
    except OSError as error:
        raise data_error(file, "", f"cannot be read ({error.strerror})", "a readable file") from None


def load_pickle_from(
    stream: BinaryIO, size: int, file: Path, key: str, unpickler: type[Unpickler] = Unpickler
) -> object:
    """Reads a pickle from an open file, as ``load_pickle``.

    Args:
        stream: at the beginning of the pickle.
        size: the number of bytes of the whole stream.
        file, key: what an error names.
        unpickler: one that knows more calls.

    Raises:
        DataError: as of ``load_pickle``.
        OSError: the stream cannot be read.
    """
    try:
        start = stream.tell()
        first = stream.read(max(map(len, _BEGINNINGS)))
        if not first:
            raise pickle.UnpicklingError("it is empty")
        for beginning, meaning in _BEGINNINGS.items():
            if first.startswith(beginning):
                raise pickle.UnpicklingError(meaning)
        stream.seek(start)
        # latin1: how pickles that Python 2 wrote keep their bytes
        return unpickler(_Bounded(stream, size), encoding="latin1").load()
    except _RefusedError as refused:
        expected = "a pickle of numpy arrays and plain containers"
        remedy = _REMEDIES.get(str(refused).partition(".")[0], "")
        raise data_error(file, key, f"asks for {refused}, which is refused", expected + remedy) from None
    except (DataError, OSError):
        raise
    # Whatever else a forged or broken program makes numpy and pickle raise, it is the file's fault.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise data_error(
            file, key, f"cut short or not a pickle ({reason})", "a whole pickle of numpy arrays"
        ) from None
