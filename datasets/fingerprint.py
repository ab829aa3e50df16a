"""SHA-256 of files, remembered on disk, and of what decides the samples that a dataset returns."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

from .atomic_write import write_atomic
from .dataset import data_error

# Part of every fingerprint: raised when the reading rules change, so that other samples are other data.
READER = 1

# A file that changed so recently may change again within the clock's resolution: its hash is not kept.
_SETTLED_NS = 2_000_000_000


def hash_folder() -> Path:
    """Where file hashes are remembered: ``$XDG_CACHE_HOME/mmbench/hashes``, or below ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(base or Path.home() / ".cache") / "mmbench" / "hashes"


def file_sha256(file: Path) -> str:
    """The SHA-256 (hex) of a file's content.

    It is remembered under the file's resolved path, size, time of change and inode, so that only the first
    call reads the file. A cache that cannot be read or written is ignored.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        path = file.resolve()
        stat = path.stat()
    except OSError as error:
        raise data_error(file, "", f"cannot be read ({error.strerror})", "a readable file") from None
    key = [str(path), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
    # RuntimeError: no home directory can be told
    with contextlib.suppress(OSError, ValueError, RuntimeError, KeyError, TypeError):
        entry = json.loads(_entry(key).read_text())
        if entry["key"] == key and len(bytes.fromhex(entry["sha256"])) == 32:
            return entry["sha256"]
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise data_error(file, "", f"cannot be read ({error.strerror})", "a readable file") from None
    if abs(time.time_ns() - stat.st_mtime_ns) > _SETTLED_NS:
        with contextlib.suppress(OSError, RuntimeError):
            entry = _entry(key)
            entry.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(entry, json.dumps({"key": key, "sha256": digest}).encode(), durable=False)
    return digest


def fingerprint(description: object, files: Iterable[Path]) -> str:
    """SHA-256 (hex) of a description and the contents of files. Paths do not enter.

    Args:
        description: what JSON can hold; the order of keys counts.
        files: in the order in which they count.

    Raises:
        DataError: a file cannot be read.
    """
    parts = [READER, description, [file_sha256(file) for file in files]]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode()).hexdigest()


def code_sha256(*places: Path) -> str:
    """SHA-256 (hex) over the contents of all code in folders, whatever lies how deep in them, and in single files."""
    files = [
        file for place in places for file in (sorted(place.rglob("*.py")) if place.is_dir() else [place])
    ]
    return hashlib.sha256("\n".join(map(file_sha256, files)).encode()).hexdigest()


def _entry(key: list[object]) -> Path:
    return hash_folder() / hashlib.sha256(json.dumps(key).encode()).hexdigest()[:40]
