"""Writes files whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from ...datasets.atomic_write import write_atomic as write_atomic

T = TypeVar("T")


def write_json(file: Path, value: Any) -> None:
    """Writes a value as JSON, indented and with sorted keys.

    Args:
        file: where to; it is there whole or not at all.
        value: what JSON can hold.
    """
    write_atomic(file, as_json(value))


def as_json(value: Any) -> bytes:
    """A value as JSON, indented and with sorted keys, in UTF-8."""
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def read_json(file: Path | str) -> Any:
    """The value in a JSON file, or None where there is none or it is not JSON."""
    try:
        with open(file, "rb") as stream:
            return json.loads(stream.read())
    except (OSError, ValueError, RecursionError):
        return None


def write_concurrently(write: Callable[[T], None], items: Iterable[T]) -> None:
    """Writes many things from several threads. Each waits for the disk, which takes many at a time as fast as one.

    Args:
        write: writes one of them.
        items: what to write.
    """
    with ThreadPoolExecutor(16) as pool:
        for _ in pool.map(write, items):
            pass
