"""A shard: the features of some clips in one file that is never changed, and an index that says what it holds.

``0001-3f2a9c41.safetensors`` holds ``rows`` [steps of all clips, width]. ``0001-3f2a9c41.json`` is written after it:
the keys of the clips, the number of steps of each, the size and the SHA-256 of the shard, and a hash of itself. A shard
without an index does not exist; nothing in an index leads to another file.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ..atomic_write import write_atomic
from ..counting import counted
from ..dataset import DataError
from ..fingerprint import file_sha256
from ..media.memory_map import map_file

_DTYPES = {"float16": "F16", "float32": "F32"}
_MOST_HEADER = 1 << 20


class CacheError(DataError):
    """A cache that cannot be read or written. The message is one line: the file, what is wrong, what to do."""


@dataclass(frozen=True)
class Shard:
    """A shard, by its index.

    Attributes:
        file: the shard.
        keys: of its clips.
        lengths: steps of each clip.
        width: features of a step.
        dtype: ``float16`` or ``float32``.
        size, sha256: of the shard, in bytes and hex digits.
    """

    file: Path
    keys: tuple[str, ...]
    lengths: tuple[int, ...]
    width: int
    dtype: str
    size: int
    sha256: str

    @cached_property
    def rows(self) -> np.ndarray:
        """[steps, width], mapped into memory and not read yet. No file stays open for it, as one does for numpy's
        maps: a cache has more shards than a process may have open files.

        Raises:
            CacheError: the file is not what the index says.
        """
        shape = (sum(self.lengths), self.width)
        try:
            with self.file.open("rb") as stream:
                count = int.from_bytes(stream.read(8), "little")
                header = json.loads(stream.read(count)) if count <= _MOST_HEADER else {}
            rows = header["rows"]
            start, stop = rows["data_offsets"]
            fits = rows["dtype"] == _DTYPES[self.dtype] and tuple(rows["shape"]) == shape
            bytes_ = shape[0] * shape[1] * np.dtype(self.dtype).itemsize
            if not fits or start < 0 or stop - start != bytes_ or 8 + count + stop > self.size:
                raise ValueError("its header is not as the index says")
            content = map_file(self.file, self.size)
            first = 8 + count + start
            return content[first : first + bytes_].view(self.dtype).reshape(shape)
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise CacheError(
                f"{self.file}: cannot be read ({error}); find what is broken with mmbench data cache verify"
            ) from None

    def clips(self) -> dict[str, np.ndarray]:
        """Key -> [steps, width], views of ``rows``."""
        stops = np.cumsum(self.lengths).tolist()
        rows = self.rows
        return {
            key: rows[stop - steps : stop]
            for key, steps, stop in zip(self.keys, self.lengths, stops, strict=True)
        }

    @property
    def is_whole(self) -> bool:
        """Whether the file is there and as it was written. It is read only where it has changed since it was last found whole."""
        try:
            return self.file.stat().st_size == self.size and file_sha256(self.file) == self.sha256
        except (OSError, DataError):
            return False

    def is_unchanged(self) -> bool:
        """Whether the content is what was written; reads all of it."""
        with self.file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == self.sha256


def write_shard(folder: Path, number: int, features: Mapping[str, np.ndarray], dtype: str) -> Shard:
    """Writes the features [steps, width] of clips by their keys; the index last.

    Args:
        folder: of the recipe; it exists.
        number: the beginning of the file's name, for the order.
        features: key of a clip -> [steps, width], of one width.
        dtype: the type that is stored, ``float16`` or ``float32``.

    Returns:
        The shard that was written.

    Raises:
        ValueError: the clips have no steps, differ in width, or are not finite in ``dtype``.
    """
    from safetensors.numpy import save

    lengths = tuple(len(array) for array in features.values())
    with np.errstate(over="ignore"):  # told below, with what to do
        rows = np.concatenate(list(features.values())).astype(dtype)
    if rows.ndim != 2 or 0 in lengths or 0 in rows.shape:
        raise ValueError(
            f"features of shape {rows.shape}, of which a clip has {counted(min(lengths), 'step')}"
        )
    if not np.isfinite(rows).all():
        raise ValueError(f"features that are not finite as {dtype}")
    content = save({"rows": np.ascontiguousarray(rows)})
    name = f"{number:04d}-{secrets.token_hex(4)}"
    file = write_atomic(folder / f"{name}.safetensors", content)
    shard = Shard(
        file,
        tuple(features),
        lengths,
        rows.shape[1],
        dtype,
        len(content),
        hashlib.sha256(content).hexdigest(),
    )
    fields = {
        "keys": list(shard.keys),
        "lengths": list(lengths),
        "width": shard.width,
        "dtype": dtype,
        "size": shard.size,
        "sha256": shard.sha256,
    }
    index = json.dumps({**fields, "index_sha256": _check(fields)}).encode()
    write_atomic(file.with_suffix(".json"), index)
    return shard


def read_index(index: Path) -> Shard:
    """A shard by its index; the shard itself is not looked at.

    Raises:
        CacheError: the index cannot be read or is not what was written.
    """
    try:
        values = json.loads(index.read_bytes())
        if values.pop("index_sha256") != _check(values):
            raise ValueError("its content has changed since it was written")
        lengths, width, size = tuple(values["lengths"]), values["width"], values["size"]
        whole = all(type(number) is int and number > 0 for number in (*lengths, width, size))
        keys = tuple(values["keys"])
        if not whole or values["dtype"] not in _DTYPES or len(keys) != len(lengths):
            raise ValueError("not an index")
        if not all(isinstance(key, str) for key in keys):
            raise ValueError("not an index")
        file = index.with_suffix(".safetensors")
        return Shard(file, keys, lengths, width, values["dtype"], size, str(values["sha256"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CacheError(f"{index}: cannot be read ({error}); its clips are encoded again") from None


def _check(said: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
