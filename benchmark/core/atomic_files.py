"""Files that are there whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def write_atomic(file: Path, content: bytes) -> None:
    """Writes a file so that it is there whole or not at all, also after a loss of power. Raises OSError that names it."""
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.", suffix=".tmp")
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, file)
    except BaseException as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(file)) from error
        raise
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_json(file: Path, value: Any) -> None:
    """Writes JSON that people can read."""
    write_atomic(file, as_json(value))


def as_json(value: Any) -> bytes:
    """JSON that people can read."""
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def read_json(file: Path | str) -> Any:
    """The value in a JSON file, or None where there is none or it is not JSON."""
    try:
        with open(file, "rb") as stream:
            return json.loads(stream.read())
    except (OSError, ValueError, RecursionError):
        return None


def at_once(write: Callable[[T], None], items: Iterable[T]) -> None:
    """Writes many things. Each waits for the disk, which takes many at a time as fast as one."""
    with ThreadPoolExecutor(16) as pool:
        for _ in pool.map(write, items):
            pass
