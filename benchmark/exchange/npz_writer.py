"""Writes npz files array by array, so that no more than a batch is in memory."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np


class NpzWriter:
    """An npz file that is written array by array.

    Args:
        file: where to; it appears whole, or not at all.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._partial = file.with_name(f".{file.name}.partial")
        self._zip = zipfile.ZipFile(self._partial, "w", zipfile.ZIP_DEFLATED, compresslevel=1)

    def __enter__(self) -> NpzWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()
        if kind is None:
            self._partial.replace(self.file)
        else:
            self._partial.unlink(missing_ok=True)

    def add(self, name: str, array: np.ndarray) -> None:
        """Writes an array.

        Args:
            name: of the array in the file, without ``.npy``.
            array: of any shape and type but objects.
        """
        self.add_rows(name, array.shape, array.dtype, [array])

    def add_rows(
        self, name: str, shape: tuple[int, ...], dtype: np.dtype, parts: Iterable[np.ndarray]
    ) -> None:
        """Writes an array that is given in parts.

        Args:
            name: its name.
            shape: of the whole.
            dtype: of the numbers.
            parts: rows of it, one part after the other.
        """
        entry = zipfile.ZipInfo(
            f"{name}.npy"
        )  # without the time of day, so that equal content is an equal file
        entry.compress_type = zipfile.ZIP_DEFLATED
        header: dict[str, Any] = {
            "descr": np.lib.format.dtype_to_descr(dtype),
            "fortran_order": False,
            "shape": shape,
        }
        with self._zip.open(entry, "w", force_zip64=True) as stream:
            _write_header(stream, header)
            for part in parts:
                stream.write(np.ascontiguousarray(part, dtype).tobytes())


def _write_header(stream: IO[bytes], header: dict[str, Any]) -> None:
    np.lib.format.write_array_header_1_0(stream, header)
