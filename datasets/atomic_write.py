"""The one writer of files: what it writes is there whole or not at all. No torch here."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

Content = bytes | Callable[[IO[bytes]], object]


def write_atomic(file: Path, content: Content, *, durable: bool = True, mode: int = 0o644) -> Path:
    """Writes a file under a temporary name of its own in the same folder, and renames it.

    Whoever reads sees the old file or the new one. Several writers do not disturb each other: the last one stays.
    On a failure nothing is left behind, and the old file is as it was.

    Args:
        file: where to; its folder must exist.
        content: the bytes, or a function that writes them to a binary stream.
        durable: wait for the disk, so that the file is there also after a loss of power. False is for what can be
            made again, and for what is written often.
        mode: permissions of the file.

    Returns:
        ``file``.

    Raises:
        OSError: it cannot be written; the error names ``file``.
    """
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.", suffix=".tmp")
        with os.fdopen(handle, "wb") as stream:
            if callable(content):
                content(stream)
            else:
                stream.write(content)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, file)
    except BaseException as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            reason = error.strerror or str(error)  # numpy tells a full disk without a number
            raise OSError(error.errno, reason, str(file)) from error
        raise
    if durable:
        _flush_folder(file.parent)
    return file


def _flush_folder(folder: Path) -> None:
    """Waits until the names in a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
