"""Opening a media file, so that what is wrong with it is said in half a sentence."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..libraries import import_guard
from .clip import MediaError

if TYPE_CHECKING:
    import av.container

#: Seconds that a stretch may reach beyond the end of its file: times in lists are rounded, and the sound and the
#: picture of one recording rarely end together.
SLACK = 0.1


def check_file(file: Path) -> None:
    """Raises MediaError unless ``file`` is a file that may be read and holds something."""
    try:
        size = file.stat().st_size
    except FileNotFoundError:
        raise MediaError("there is no such file") from None
    except OSError as error:
        raise MediaError(f"cannot be opened: {error.strerror}") from None
    if file.is_dir():
        raise MediaError("is a folder, not a file")
    if not os.access(file, os.R_OK, effective_ids=True):
        raise MediaError("may not be read: permission denied")
    if size == 0:
        raise MediaError("the file is empty")


@contextmanager
def opened(file: Path) -> Iterator[av.container.InputContainer]:
    """A file opened by FFmpeg, closed afterwards; what FFmpeg says in between becomes a MediaError."""
    with import_guard("av", "reading videos and compressed sound"):
        import av
        import av.error

    check_file(file)
    try:
        with av.open(str(file), mode="r", metadata_errors="replace") as container:
            if not (container.streams.video or container.streams.audio):
                raise MediaError("holds neither sound nor pictures, cut or damaged")
            yield container
    except av.error.FFmpegError as error:
        raise MediaError(f"cannot be decoded, cut or damaged: {error.strerror}") from None


def told(seconds: float) -> str:
    """A time as a message shows it: all that its writer typed, without the last bits of its sum."""
    return f"{seconds:.12g}"


def checked_stretch(start: float | None, stop: float | None, end: float, what: str) -> tuple[float, float]:
    """The bounds of a stretch of something that lasts ``end`` seconds.

    Raises:
        MediaError: the file or the stretch is empty, or it begins before the file, or it reaches more than ``SLACK`` beyond its end.
    """
    first = 0.0 if start is None else start
    last = end if stop is None else stop
    if not (first >= 0 and last < float("inf")):
        raise MediaError(f"the stretch {told(first)} s to {told(last)} s is none of a file")
    if end <= 0:
        raise MediaError(f"holds no {what}")
    if stop is not None and last <= first:
        raise MediaError(f"the stretch {told(first)} s to {told(last)} s is empty")
    if first >= end:
        raise MediaError(f"the stretch begins at {told(first)} s, but the {what} ends at {end:.3f} s")
    if last > end + SLACK:
        raise MediaError(f"the stretch reaches to {told(last)} s, but the {what} ends at {end:.3f} s")
    return first, min(last, end)


def stream_end(
    container: av.container.InputContainer, stream: av.VideoStream | av.AudioStream
) -> float | None:
    """Seconds from the file's beginning to the end of one stream, as its header promises; None: it does not."""
    assert stream.time_base is not None
    if stream.duration is not None:
        return float(((stream.start_time or 0) + stream.duration) * stream.time_base) - zero(container)
    words = stream.metadata.get("DURATION", "").split(":")  # Matroska: hours, minutes, seconds
    try:
        hours, minutes, seconds = map(float, words)
    except ValueError:
        return None
    return 3600 * hours + 60 * minutes + seconds - zero(container)


def zero(container: av.container.InputContainer) -> float:
    """The time stamp, in seconds, of a file's beginning: sound and pictures count from the same."""
    return (container.start_time or 0) / 1_000_000  # FFmpeg's AV_TIME_BASE


def on_one_thread(stream: av.VideoStream | av.AudioStream) -> float:
    """Readies a stream for decoding in the calling thread; returns its tick in seconds."""
    if stream.codec_context is None or not stream.time_base:
        raise MediaError(f"has {stream.type} of no known codec, or cut")
    stream.codec_context.thread_count = 1
    stream.codec_context.thread_type = "NONE"
    return float(stream.time_base)


def can_seek(container: av.container.InputContainer) -> bool:
    """Whether a file holds an index, so that a jump in it lands where it should."""
    return any(name in container.format.name.split(",") for name in ("mp4", "matroska"))
