"""Frames of a video, taken exactly by their time stamps.

The frame shown at a time is the last one whose time stamp is not later; times are rounded to the ticks of the
stream first, because time stamps are. So it holds for a variable rate, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..counting import counted
from ..libraries import import_guard
from .clip import FrameView, MediaError
from .files import can_seek, on_one_thread, open_container, stream_end, stretch_bounds, zero
from .pictures import resize_picture

if TYPE_CHECKING:
    from av import VideoFrame, VideoStream
    from av.container import InputContainer

    _TimedFrame = tuple[int, VideoFrame]  # a time stamp in ticks of the stream

Colours = Literal["rgb24", "gray"]

#: The lowest rate that fits all time stamps is the rate of a video if it is this close to the average: it is exact,
#: the average is not where a header rounds the duration.
_SAME_RATE = 0.01
#: Pixels of a frame, above which a header is wrong or a frame would fill the memory; 16384 x 8192 are accepted.
_MOST_PIXELS = 1 << 27


def read_video(
    file: Path, start: float | None, stop: float | None, view: FrameView, colours: Colours = "rgb24"
) -> np.ndarray:
    """Frames of a stretch of a video, upright, pixels made square.

    Args:
        file: what FFmpeg reads.
        start, stop: seconds from the file's beginning; None is its beginning, or its end.
        view: which frames, and their size.
        colours: ``rgb24``, or ``gray`` for grey values alone.

    Returns: [time, 3, size, size] or [time, size, size], uint8.

    Raises:
        MediaError: there is no video, the stretch is not in it, or it breaks off or is damaged inside the stretch.
    """
    return _read(file, start, stop, view, colours)[0]


def read_flow(
    files: tuple[Path, Path], start: float | None, stop: float | None, view: FrameView
) -> np.ndarray:
    """Optical flow, stored as two grey videos of one length and size: its horizontal and its vertical part.

    Args:
        files: the horizontal and the vertical part.
        start, stop: seconds from the files' beginning; None is the beginning, or the end.
        view: which frames, and their size.

    Returns:
        [time, 2, size, size], uint8.

    Raises:
        MediaError: as of ``read_video``, or the two do not fit each other.
    """
    parts, tracks = [], []
    for name, file in zip(("horizontal", "vertical"), files, strict=True):
        try:
            pixels, track = _read(file, start, stop, view, "gray")
        except MediaError as error:
            raise MediaError(f"the {name} flow ({file.name}) {error}") from None
        parts.append(pixels)
        tracks.append(track)
    _check_pair(*tracks)
    return np.stack(parts, axis=1)


def _check_pair(one: _Track, other: _Track) -> None:
    """Two parts of one flow show the same times. Headers are compared: whole files need not be decoded for it.

    One frame more or less is let pass: programs that cut or encode drop or repeat the last one of a file, and it
    moves no other frame.
    """
    differ = "its two parts differ: "
    if one.size != other.size:
        shown = " and ".join(f"{width} x {height}" for width, height in (one.size, other.size))
        raise MediaError(f"{differ}{shown} pixels")
    if abs(one.frames - other.frames) > 1:
        raise MediaError(f"{differ}{one.frames} and {counted(other.frames, 'frame')}")
    if abs(one.end - other.end) > 1.5 / min(one.rate, other.rate):  # as many frames at another rate
        raise MediaError(f"{differ}{one.end:.3f} and {other.end:.3f} s")


def _read(
    file: Path, start: float | None, stop: float | None, view: FrameView, colours: Colours
) -> tuple[np.ndarray, _Track]:
    with import_guard("av", "reading videos"):
        from av.video.reformatter import VideoReformatter

    with open_container(file) as container:
        track = _track(file, container)
        first, last = stretch_bounds(start, stop, track.end, "video")
        picked = _pick_frames(track, first, last, view)
        convert = VideoReformatter()
        ready: dict[int, np.ndarray] = {}
        for frame in picked:
            if id(frame) not in ready:
                pixels = convert.reformat(frame, format=colours, threads=1).to_ndarray()
                ready[id(frame)] = _resize(pixels, frame.rotation, track.stream.sample_aspect_ratio, view)
        return np.stack([ready[id(frame)] for frame in picked]), track


@dataclass(frozen=True)
class _Track:
    """The video of a file.

    Attributes:
        container, stream: of FFmpeg.
        tick: seconds of one step of its time stamps.
        offset: the time stamp of the file's beginning, in seconds.
        end: seconds from the file's beginning to the end of the last frame, as the header promises.
        rate: frames a second, on average.
        frames: how many there are, as the header promises.
        size: width and height in pixels, as stored.
    """

    container: InputContainer
    stream: VideoStream
    tick: float
    offset: float
    end: float
    rate: float
    frames: int
    size: tuple[int, int]

    def stamp(self, seconds: float) -> int:
        """The time stamp, in ticks, of a time from the file's beginning."""
        return round((seconds + self.offset) / self.tick)

    def seconds(self, stamp: int) -> float:
        """The time of a stamp, from the file's beginning."""
        return stamp * self.tick - self.offset


def _track(file: Path, container: InputContainer) -> _Track:
    stream = next((video for video in container.streams.video if not _is_cover(video)), None)
    if stream is None:
        raise MediaError("has no video")
    tick, offset = on_one_thread(stream), zero(container)
    if stream.width * stream.height > _MOST_PIXELS:
        raise MediaError(f"has a video of {stream.width} x {stream.height} pixels, too many to be decoded")
    end = stream_end(file, container, stream)
    rate = float(_rate(stream))
    frames = stream.frames or round(end * rate)  # not every container counts them
    return _Track(container, stream, tick, offset, end, rate, frames, (stream.width, stream.height))


def _is_cover(stream: VideoStream) -> bool:
    """Whether a stream is the one picture that a sound file shows while it plays."""
    with import_guard("av", "reading videos"):
        from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def _rate(stream: VideoStream) -> Fraction:
    """Frames a second, on average."""
    average, base = stream.average_rate, stream.base_rate
    if not average:
        average = base or stream.guessed_rate
    if not average:
        raise MediaError("has a video without a frame rate")
    return base if base and abs(base / average - 1) < _SAME_RATE else average


def _pick_frames(track: _Track, first: float, last: float, view: FrameView) -> list[VideoFrame]:
    """The frames that a view takes of the stretch from ``first`` to ``last`` seconds; some may be the same."""
    begin = track.stamp(first)
    stop = max(track.stamp(last), begin + 1)
    if view.interval is None:
        part = (last - first) / view.frames
        wanted = [track.stamp(first + (place + 0.5) * part) for place in range(view.frames)]
    else:
        step = view.interval / (view.rate or track.rate)
        wanted = [track.stamp(first + place * step) for place in range(view.frames)]
    wanted = [min(time, stop - 1) for time in wanted]

    picked: list[VideoFrame] = []
    every: list[VideoFrame] = []  # the first frames of the stretch, one more than are asked for
    shown: VideoFrame | None = None
    reached = 0.0
    for time, frame in _from_key_frame(track, begin):
        while shown is not None and len(picked) < len(wanted) and wanted[len(picked)] < time:
            picked.append(shown)
        enough = view.interval is not None or len(every) >= view.frames
        if shown is not None and (time >= stop or (len(picked) == len(wanted) and enough)):
            break
        if time <= begin:
            every.clear()
        shown = frame
        reached = track.seconds(time) + (frame.duration * track.tick or 1 / track.rate)
        if len(every) <= view.frames:
            every.append(frame)
    else:
        # Headers are rounded: the last half frame of a file may be missing.
        if shown is None or reached < min(last - 1.5 * track.tick, track.end - 0.5 / track.rate):
            raise MediaError(
                f"the video breaks off at {reached:.3f} s, before the stretch ends at {last:.3f} s"
            )
    assert shown is not None
    picked += [shown] * (len(wanted) - len(picked))
    if view.interval is None and len(every) < view.frames:
        picked = every + [every[-1]] * (view.frames - len(every))
    if any(frame.is_corrupt for frame in picked):
        raise MediaError("the video is damaged in the stretch")
    return picked


def _from_key_frame(track: _Track, begin: int) -> Iterator[_TimedFrame]:
    """The frames of a video in the order in which they are shown, from a key frame not later than ``begin``."""
    if can_seek(track.container):
        track.container.seek(begin, stream=track.stream, backward=True)
    frames = _decode_frames(track)
    first = next(frames, None)
    if first is not None and first[0] > begin:  # the key frame is decoded before, but shown after that time
        track.container.seek(0)
        track.stream.codec_context.flush_buffers()
        frames = _decode_frames(track)
        first = next(frames, None)
    if first is not None:
        yield first
        yield from frames


def _decode_frames(track: _Track) -> Iterator[_TimedFrame]:
    """Frames until the video ends, or the file does before it.

    Frames are stored in another order than they are shown in. Where a file is cut, some that are shown before the
    last one are missing, but none that is shown before the last was to be decoded: later ones are left out.
    """
    decoded_at: int | None = None
    reached = track.stamp(0)
    for packet in track.container.demux(track.stream):
        if packet.size and not packet.is_corrupt:
            decoded_at = packet.dts
            if packet.pts is not None:
                reached = max(reached, packet.pts + (packet.duration or 0))
            yield from _with_times(packet.decode())
            continue
        cut = packet.is_corrupt or track.seconds(reached) < track.end - 0.5 / track.rate
        for time, frame in _with_times(track.stream.decode(None)):
            if not cut or (decoded_at is not None and time <= decoded_at):
                yield time, frame
        return


def _with_times(frames: Iterable[VideoFrame]) -> Iterator[_TimedFrame]:
    for frame in frames:
        time = frame.dts if frame.pts is None else frame.pts
        if time is not None:
            yield time, frame


def _resize(pixels: np.ndarray, rotation: int, aspect: Fraction | None, view: FrameView) -> np.ndarray:
    turns = round(rotation / 90) % 4
    width = float(aspect) if aspect else 1.0
    return resize_picture(
        np.ascontiguousarray(np.rot90(pixels, turns)), view, 1 / width if turns % 2 else width
    )
