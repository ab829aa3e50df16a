"""The names and shapes of the tensors of a GGUF file, from its header: the package gguf takes seconds where a vocabulary is long."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from .encoder import EncoderError

#: Type of a value -> its bytes (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_TEXT, _ARRAY = 8, 9
#: More dimensions, or tensors, than any file has.
_DIMENSIONS, _TENSORS = 8, 1_000_000


def gguf_shapes(file: Path) -> dict[str, list[int]]:
    """Name -> shape of every tensor of a GGUF file.

    Raises:
        EncoderError: it is no GGUF file, is cut off, or cannot be read.
    """
    try:
        with file.open("rb") as stream:
            magic, version, tensors, values = struct.unpack("<4sIQQ", _taken(stream, 24))
            if magic != b"GGUF" or version < 2 or tensors > _TENSORS:
                raise ValueError
            for _ in range(values):
                _text(stream)
                _skip(stream, _number(stream, "<I"))
            return dict(_tensor(stream) for _ in range(tensors))
    except (OSError, ValueError, KeyError, struct.error):
        raise EncoderError(f"{file}: is no GGUF file, or is cut off") from None


def _tensor(stream: BinaryIO) -> tuple[str, list[int]]:
    """Name and shape of the tensor that is described next."""
    name, dimensions = _text(stream), _number(stream, "<I")
    if dimensions > _DIMENSIONS:
        raise ValueError
    shape = [_number(stream, "<Q") for _ in range(dimensions)]
    _taken(stream, 12)  # its type, and where it lies
    return name, shape


def _skip(stream: BinaryIO, kind: int) -> None:
    """Passes over a value of some type."""
    if kind == _TEXT:
        _text(stream)
    elif kind == _ARRAY:
        inner, count = _number(stream, "<I"), _number(stream, "<Q")
        if inner in _SIZES:
            stream.seek(_SIZES[inner] * count, 1)
        else:
            for _ in range(count):
                _skip(stream, inner)
    else:
        _taken(stream, _SIZES[kind])


def _number(stream: BinaryIO, form: str) -> int:
    return int(struct.unpack(form, _taken(stream, struct.calcsize(form)))[0])


def _text(stream: BinaryIO) -> str:
    return _taken(stream, _number(stream, "<Q")).decode()


def _taken(stream: BinaryIO, count: int) -> bytes:
    """The next bytes, all of them."""
    if count > 1 << 28:
        raise ValueError
    found = stream.read(count)
    if len(found) < count:
        raise ValueError
    return found
