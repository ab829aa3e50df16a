"""Opens media files; every fault is told in half a sentence."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..libraries import LibraryError, import_guard
from .clip import MediaError
from .lengths import container_states_length

if TYPE_CHECKING:
    import av.container

_log = logging.getLogger("mmbench.datasets.media")

#: Seconds that a stretch may reach beyond the end of its file: times in lists are rounded, and the sound and the
#: picture of one recording rarely end together.
SLACK = 0.1
#: Seconds by which the length that a file states as a whole may lie beyond its last packet.
_ROUNDED = 0.25
_WORDS = {"audio": "sound", "video": "a video"}


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
def decoding(medium: str) -> Iterator[None]:
    """Turns whatever a decoding library raises into a MediaError, so that one file never ends a run.

    Libraries raise more than their own errors on damaged files: ValueError of an absurd size of an array, struct.error
    of malformed EXIF data, MemoryError, OverflowError and others. KeyboardInterrupt and the like pass.

    Args:
        medium: what the file should hold, such as ``frames``.

    Raises:
        MediaError: of anything but itself and a LibraryError.
    """
    try:
        yield
    except (MediaError, LibraryError):
        raise
    except Exception as error:
        _log.debug("a file cannot be read as %s", medium, exc_info=True)
        words = " ".join(str(error).split())
        reason = f"{type(error).__name__}: {words}" if words else type(error).__name__
        raise MediaError(f"cannot be read as {medium}, cut or damaged: {reason[:200]}") from error


@contextmanager
def open_container(file: Path) -> Iterator[av.container.InputContainer]:
    """Opens a file with FFmpeg and closes it afterwards.

    Raises:
        MediaError: FFmpeg raised an error meanwhile, or the file holds neither sound nor pictures.
    """
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


def seconds_text(seconds: float) -> str:
    """A time in messages: all digits that its writer typed, without the rounding error of a sum."""
    return f"{seconds:.12g}"


def stretch_bounds(start: float | None, stop: float | None, end: float, what: str) -> tuple[float, float]:
    """The bounds of a stretch of a file.

    Args:
        start: seconds; None for the beginning.
        stop: seconds; None for the end.
        end: the file's length in seconds.
        what: what it holds, for messages.

    Returns:
        The first and the last second, within the file.

    Raises:
        MediaError: the file or the stretch is empty, or begins before the file, or ends more than ``SLACK`` after it.
    """
    first = 0.0 if start is None else start
    last = end if stop is None else stop
    if not (first >= 0 and last < float("inf")):
        raise MediaError(f"the stretch {seconds_text(first)} s to {seconds_text(last)} s is none of a file")
    if end <= 0:
        raise MediaError(f"holds no {what}")
    if stop is not None and last <= first:
        raise MediaError(f"the stretch {seconds_text(first)} s to {seconds_text(last)} s is empty")
    if first >= end:
        raise MediaError(f"the stretch begins at {seconds_text(first)} s, but the {what} ends at {end:.3f} s")
    if last > end + SLACK:
        raise MediaError(f"the stretch reaches to {seconds_text(last)} s, but the {what} ends at {end:.3f} s")
    return first, min(last, end)


def stream_end(
    file: Path, container: av.container.InputContainer, stream: av.VideoStream | av.AudioStream
) -> float:
    """Seconds from the file's beginning to the end of one stream.

    As its header states it; where it does not, as the packets of the file do, which are read through, not decoded.

    Args:
        file: which was opened.
        container: of FFmpeg.
        stream: of that container.

    Raises:
        MediaError: the stream is empty, or the file is shorter than it says as a whole.
    """
    assert stream.time_base is not None
    stated = _stated_end(file, container, stream)
    if stated is not None:
        return stated - zero(container)
    ends = _packets(file).ends
    if stream.index not in ends:
        raise MediaError(f"has {_WORDS[stream.type]} without a packet")
    # Matroska and FLV may state how long the whole is; in other files FFmpeg estimates it.
    names = container.format.name.split(",")
    if container.duration is not None and any(name in names for name in ("matroska", "flv")):
        whole = container.duration / 1_000_000
        if max(ends.values()) - zero(container) < whole - _ROUNDED:
            return whole  # cut: reading will say where
    return ends[stream.index] - zero(container)


def _stated_end(
    file: Path, container: av.container.InputContainer, stream: av.VideoStream | av.AudioStream
) -> float | None:
    """The time stamp, in seconds, of a stream's end as the header states it; None: it does not."""
    if stream.duration and stream.time_base and container_states_length(file, container.format.name):
        return float(((stream.start_time or 0) + stream.duration) * stream.time_base)
    words = stream.metadata.get("DURATION", "").split(":")  # Matroska: hours, minutes, seconds
    try:
        hours, minutes, seconds = map(float, words)
    except ValueError:
        return None
    end = 3600 * hours + 60 * minutes + seconds
    return end if 0 < end < float("inf") else None


@dataclass(frozen=True)
class _Packets:
    """The facts that reading through a file shows.

    Attributes:
        ends: index of a stream -> the time stamp, in seconds, at which its last packet ends.
        cut: whether the last packet is shorter than another one that begins alike, which in MP3, whose frames state
            rate and padding in their first three bytes, is a frame that was cut.
    """

    ends: Mapping[int, float]
    cut: bool


def ends_in_a_frame(file: Path, container: av.container.InputContainer) -> bool:
    """Whether an MP3 file without a count of its frames ends within a frame.

    Args:
        file: which was opened.
        container: of FFmpeg.
    """
    is_measured = container.format.name == "mp3" and not container_states_length(file, "mp3")
    return is_measured and _packets(file).cut


def _packets(file: Path) -> _Packets:
    state = file.stat()
    return _read_through(file, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4096)
def _read_through(file: Path, changed: int, size: int) -> _Packets:
    """Reads all packets of a file; once, however many stretches of it are asked for.

    Args:
        file: what FFmpeg reads.
        changed, size: when it was written, and its bytes: another content is read anew.
    """
    ends: dict[int, float] = {}
    sizes: dict[bytes, int] = {}
    cut = False
    with open_container(file) as container:  # anew: not every file can be wound back
        for packet in container.demux():
            if packet.pts is not None and packet.time_base and packet.size:
                end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                ends[packet.stream_index] = max(end, ends.get(packet.stream_index, end))
                head = bytes(memoryview(packet)[:3])
                cut = packet.size < sizes.get(head, 0)
                sizes[head] = max(packet.size, sizes.get(head, 0))
    return _Packets(MappingProxyType(ends), cut)


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
