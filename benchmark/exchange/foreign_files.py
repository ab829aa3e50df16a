"""Files that came from elsewhere: opened once, without following links, and read as JSON where they are."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

from ..store.job_schema import RefusedError

#: The most bytes of a JSON file, and of any other: a file is read whole, and checked in memory.
MOST_JSON, MOST_BYTES = 2**24, 2**29


def read_file(file: Path, most: int = MOST_BYTES) -> bytes:
    """The content of a regular file that is no link.

    Args:
        file: where it lies.
        most: bytes that are read at the most.

    Returns:
        All of it.

    Raises:
        RefusedError: it is anything else, or larger than ``most`` bytes.
    """
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        why = "is a link" if error.errno == errno.ELOOP else f"cannot be read ({error.strerror})"
        raise RefusedError(f"{file.name}: {why}") from None
    with os.fdopen(handle, "rb") as stream:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise RefusedError(f"{file.name}: is no file")
        if status.st_size > most:
            raise RefusedError(f"{file.name}: has {status.st_size} bytes, more than the {most} that are read")
        return stream.read()


def parse_json(name: str, content: bytes) -> Any:
    """The value in a JSON file.

    Args:
        name: of the file, for messages.
        content: its bytes.

    Returns:
        Whatever it holds.

    Raises:
        RefusedError: it is no JSON in UTF-8, or gives a key twice.
    """
    try:
        return json.loads(content.decode(), object_pairs_hook=_each_key_once)
    except RefusedError as error:
        raise RefusedError(f"{name}: {error}") from None
    except (ValueError, RecursionError):
        raise RefusedError(f"{name}: not JSON") from None


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object. Readers of JSON differ in which of two values they take where a key is given twice."""
    values = dict(pairs)
    if len(values) < len(pairs):
        raise RefusedError("gives a key twice")
    return values
