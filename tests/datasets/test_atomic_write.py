"""Files are there whole or not at all, whatever fails while they are written."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from threading import Thread
from typing import IO

import pytest
from mmbench.datasets.atomic_write import write_atomic


@pytest.mark.parametrize("durable", [True, False])
def test_bytes_and_what_a_function_writes_take_the_place_of_the_file(tmp_path: Path, durable: bool):
    file = tmp_path / "a.bin"
    assert write_atomic(file, b"old", durable=durable) == file
    assert file.stat().st_mode & 0o777 == 0o644
    write_atomic(file, lambda stream: stream.write(b"new"), durable=durable, mode=0o600)
    assert file.read_bytes() == b"new"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()], ids=["error", "interrupted"])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException):
    file = write_atomic(tmp_path / "a.bin", b"old")

    def write(stream: IO[bytes]) -> None:
        stream.write(b"half")
        raise error

    with pytest.raises(type(error)):
        write_atomic(file, write)
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_an_error_of_the_disk_names_the_file(tmp_path: Path):
    def full(stream: IO[bytes]) -> None:
        raise OSError("100 requested and 10 written")

    with pytest.raises(OSError, match="100 requested and 10 written") as caught:
        write_atomic(tmp_path / "a.bin", full)
    assert caught.value.filename == str(tmp_path / "a.bin")
    with pytest.raises(FileNotFoundError) as caught:
        write_atomic(tmp_path / "nowhere" / "a.bin", b"")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, str(tmp_path / "nowhere" / "a.bin"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        write_atomic(tmp_path / "folder", b"")
    assert caught.value.filename == str(tmp_path / "folder")
    assert sorted(os.listdir(tmp_path)) == ["folder"]


def test_many_writers_of_one_file_leave_one_of_their_contents(tmp_path: Path):
    file, contents = tmp_path / "a.bin", [bytes([number]) * 100_000 for number in range(8)]
    writers = [
        Thread(target=lambda content=content: [write_atomic(file, content, durable=False) for _ in range(20)])
        for content in contents
    ]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        if file.exists():
            assert file.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [file]
