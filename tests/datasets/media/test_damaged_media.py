"""Damaged media: each file is read or is named in one line, in bounded time and memory, whatever a library raises.

``MMBENCH_FUZZ`` says how many damaged files there are of each kind.
"""

from __future__ import annotations

import os
import resource
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmbench.datasets.libraries import LibraryError
from mmbench.datasets.media.clip import FrameView, MediaError, Piece, SoundView
from mmbench.datasets.media.decode import decode
from mmbench.datasets.media.files import decoding
from PIL import Image

from ..damage_bytes import damaged
from .media_files import tone, write_compressed, write_numbered_video, write_sound

NUMBER = int(os.environ.get("MMBENCH_FUZZ", "300"))
SECONDS_EACH = 10.0
MEMORY_KIB = 2_000_000
KINDS = ["wav", "aiff", "flac", "ogg", "mp3", "m4a", "mkv", "mp4", "png", "jpg", "tif", "gif", "webp"]


def written(folder: Path, kind: str) -> Path:
    """A small whole file of a kind."""
    file = folder / f"whole.{kind}"
    if kind in ("wav", "aiff", "flac", "ogg"):
        return write_sound(file, tone(300, 0.5))
    if kind in ("mp3", "m4a"):
        return write_compressed(file, tone(300, 0.5), codec="aac" if kind == "m4a" else "libmp3lame")
    if kind in ("mkv", "mp4"):
        return write_numbered_video(file, 12, sound=tone(300, 0.5))
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112], exif[0x011A], exif[0x010F] = 6, 72.0, "a maker"
    more: dict[str, Any] = {} if kind == "gif" else {"exif": exif}
    picture.convert("P" if kind == "gif" else "RGB").save(file, **more)
    return file


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_read_or_named(tmp_path: Path, kind: str) -> None:
    content = written(tmp_path, kind).read_bytes()
    file = tmp_path / f"damaged.{kind}"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    views: list[tuple[str, FrameView | SoundView]] = []
    if kind not in ("png", "jpg", "tif", "gif", "webp"):
        views.append(("waveform", SoundView(mono=False)))
    if kind in ("mkv", "mp4", "png", "jpg", "tif", "gif", "webp"):
        views.append(("frames", FrameView(16, 2)))
    faults = []
    for number, broken in enumerate(damaged(content, NUMBER)):
        file.write_bytes(broken)
        known = len(faults)
        for medium, view in views:
            began = time.process_time()
            try:
                media = np.asarray(decode(Piece((file,)), medium, view))  # type: ignore[arg-type]
                assert np.isfinite(media).all()
                assert media.size
                words = ""
            except MediaError as error:
                words = str(error)
                if error.__cause__ is not None:  # what no reader foresaw: allowed, and worth a look
                    print(kind, number, words)
            except Exception as error:
                words = ""
                faults.append(f"{number}: {type(error).__name__}: {error}")
            spent = time.process_time() - began
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
            if spent > SECONDS_EACH or grown > MEMORY_KIB or "\n" in words:
                faults.append(f"{number}: {spent:.1f} s, {grown} KiB more, {words!r}")
                peak += max(0, grown)
        if len(faults) > known and (keep := os.environ.get("MMBENCH_FUZZ_KEEP")):
            (Path(keep) / f"{number}-{file.name}").write_bytes(broken)
    assert not faults, faults[:20]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("array is too big"),
        struct.error("argument out of range"),
        AttributeError("x"),
        OverflowError("y"),
        MemoryError(),
        RecursionError("deep"),
        SyntaxError("not a TIFF"),
        TypeError("z"),
        AssertionError(),
    ],
)
def test_whatever_a_library_raises_is_an_error_of_the_file(error: Exception) -> None:
    with pytest.raises(MediaError) as caught, decoding("frames"):
        raise error
    assert str(caught.value).startswith(f"cannot be read as frames, cut or damaged: {type(error).__name__}")
    assert str(error) in str(caught.value)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(3), LibraryError("no av"), MediaError("is cut")]
)
def test_what_is_no_fault_of_the_file_passes(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, decoding("frames"):
        raise error
    assert caught.value is error


def test_few_bytes_that_claim_a_rate_of_one_sample_a_second_are_refused(tmp_path: Path) -> None:
    content = bytearray(write_sound(tmp_path / "a.wav", tone(300, 3)).read_bytes())
    place = content.index(b"fmt ") + 12
    content[place : place + 4] = (1).to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(MediaError, match="1 sample a second, too few"):
        decode(Piece((tmp_path / "a.wav",)), "waveform", SoundView())
