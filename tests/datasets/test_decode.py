"""Decoding frames: which frame is shown when, and what is said of files that cannot be decoded."""

from __future__ import annotations

from pathlib import Path

from mmbench.datasets.media.clip import FrameView, Piece
from mmbench.datasets.media.decode import decode

from .media_files import number_of, write_numbered_video


def numbers(file: Path, view: FrameView, start: float | None = None, stop: float | None = None) -> list[int]:
    frames = decode(Piece((file,), start, stop), "frames", view)
    return [number_of(frame) for frame in frames]  # type: ignore[arg-type]


def test_frames_are_spread_as_centres_of_equal_parts(tmp_path: Path) -> None:
    file = write_numbered_video(tmp_path / "a.mp4", 48)
    assert numbers(file, FrameView(80, frames=8, crop="squash")) == [3, 9, 15, 21, 27, 33, 39, 45]
