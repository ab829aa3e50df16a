"""Decoding ahead: in order, as far as is said and no further, past what is broken, and no thread left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from mmbench.datasets.media.clip import FrameView, MediaError, Piece, SoundView, TextView
from mmbench.datasets.media.decode import Item, decode_ahead

from .media_files import cut_off, number_of, tone, write_numbered_video, write_sound

VIEW = FrameView(80, 1, interval=1, crop="squash")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_numbered_video(tmp_path_factory.mktemp("ahead") / "a.mp4", 48)


def frame(video: Path, number: int) -> Item:
    return Piece((video,), number / 24), "frames", VIEW


def decoders() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("decode")]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_the_order_of_the_items(video: Path, workers: int) -> None:
    asked = np.random.default_rng(0).integers(0, 48, 60).tolist()
    found = [number_of(np.asarray(one)[0]) for one in decode_ahead([frame(video, n) for n in asked], workers)]
    assert found == asked
    assert not decoders()


def test_what_is_broken_comes_as_its_error_in_its_place(video: Path, tmp_path: Path) -> None:
    sound = write_sound(tmp_path / "a.wav", tone(300, 1))
    items: list[Item] = [
        frame(video, 5),
        (Piece((cut_off(video, 2000),)), "frames", VIEW),
        ("A text", "text", TextView(lower=True)),
        ("  ", "text", TextView()),
        (Piece((sound,)), "waveform", SoundView()),
        (Piece((tmp_path / "no.wav",)), "waveform", SoundView()),
        frame(video, 7),
    ]
    found = list(decode_ahead(items))
    kinds = [type(one) for one in found]
    assert kinds == [np.ndarray, MediaError, str, MediaError, np.ndarray, MediaError, np.ndarray]
    assert str(found[5]) == "there is no such file"


def test_no_more_is_read_ahead_than_said(video: Path) -> None:
    read = []

    def source() -> Iterator[Item]:
        for number in range(40):
            read.append(number)
            yield frame(video, number)

    for taken, _ in enumerate(decode_ahead(source(), workers=2, ahead=4), start=1):
        time.sleep(0.005)  # time enough to run ahead
        assert len(read) <= taken + 4
    assert len(read) == 40


def test_leaving_the_loop_stops_the_threads_and_reads_no_further(video: Path) -> None:
    read = []

    def source() -> Iterator[Item]:
        for number in range(1000):
            read.append(number)
            yield frame(video, number % 48)

    results = decode_ahead(source(), workers=3, ahead=6)
    next(results)
    assert decoders()
    results.close()  # type: ignore[attr-defined]
    assert not decoders()
    assert len(read) <= 8


def test_an_error_where_the_results_are_used_stops_the_threads(video: Path) -> None:
    def use() -> None:
        for _ in decode_ahead([frame(video, 0)] * 100, workers=3):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        use()
    assert not decoders()


def test_a_mistake_of_the_program_ends_the_run(video: Path) -> None:
    items: list[Item] = [frame(video, 0), (Piece((video,)), "frames", SoundView())]
    with pytest.raises(TypeError):
        list(decode_ahead(items))
    with pytest.raises(ValueError, match="at least 1"):
        next(decode_ahead([], 0))
    with pytest.raises(ValueError, match="at least 1"):
        next(decode_ahead([], 1, 0))
    assert list(decode_ahead([])) == []
    assert not decoders()


def test_an_interrupt_ends_a_program_at_once(video: Path) -> None:
    program = (
        "import sys, itertools, pathlib\n"
        "from mmbench.datasets.media.clip import Piece, FrameView\n"
        "from mmbench.datasets.media.decode import decode_ahead\n"
        f"item = (Piece((pathlib.Path({str(video)!r}),)), 'frames', FrameView())\n"
        "for number, one in enumerate(decode_ahead(itertools.repeat(item), 2)):\n"
        "    if number == 3: print('runs', flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "runs\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=10)
    assert process.returncode != 0
    assert said.strip().endswith("KeyboardInterrupt")
