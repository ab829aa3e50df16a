from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest
from mmbench.datasets.dataset import DataError
from mmbench.datasets.fingerprint import file_sha256, fingerprint, hash_folder


def settled(folder: Path, content: bytes, name: str = "data.bin") -> Path:
    """A file that was changed a while ago, so that its hash is remembered."""
    file = folder / name
    file.write_bytes(content)
    past = time.time_ns() - 3_600_000_000_000
    os.utime(file, ns=(past, past))
    return file


def test_the_hash_is_remembered_until_the_file_changes(tmp_path: Path, cache: Path) -> None:
    file = settled(tmp_path, b"one")
    assert file_sha256(file) == hashlib.sha256(b"one").hexdigest()
    (entry,) = hash_folder().iterdir()
    assert entry.is_relative_to(cache)
    forged = entry.read_text().replace(hashlib.sha256(b"one").hexdigest(), "ab" * 32)
    entry.write_text(forged)
    assert file_sha256(file) == "ab" * 32  # it was not read again
    file.write_bytes(b"two")
    assert file_sha256(file) == hashlib.sha256(b"two").hexdigest()


def test_a_file_that_just_changed_is_not_remembered(tmp_path: Path) -> None:
    file = tmp_path / "new.bin"
    file.write_bytes(b"one")
    file_sha256(file)
    assert not hash_folder().exists()


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"key": 1}', '{"sha256": "zz"}', "null"])
def test_a_broken_cache_is_ignored(tmp_path: Path, broken: str) -> None:
    file = settled(tmp_path, b"one")
    expected = file_sha256(file)
    (entry,) = hash_folder().iterdir()
    entry.write_text(broken)
    assert file_sha256(file) == expected
    entry.write_bytes(b"\xff\xfe")
    assert file_sha256(file) == expected


def test_a_cache_that_cannot_be_written_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    file = settled(tmp_path, b"one")
    assert file_sha256(file) == file_sha256(file) == hashlib.sha256(b"one").hexdigest()


def test_fingerprint_follows_description_and_content_in_order(tmp_path: Path) -> None:
    one, two = settled(tmp_path, b"one", "1"), settled(tmp_path, b"two", "2")
    first = fingerprint({"a": 1}, [one, two])
    assert first == fingerprint({"a": 1}, [settled(tmp_path, b"one", "3"), two])
    assert len({first, fingerprint({"a": 2}, [one, two]), fingerprint({"a": 1}, [two, one])}) == 3


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        file_sha256(tmp_path / "none")
