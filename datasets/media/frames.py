"""Frames of a video, taken exactly by their time stamps.

The frame shown at a time is the last one whose time stamp is not later; times are rounded to the ticks of the
stream first, because time stamps are. So it holds for a variable rate, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from .clip import FrameView, MediaError
from .files import can_seek, checked_stretch, on_one_thread, opened, stream_end, zero
from .pictures import fitted

if TYPE_CHECKING:
    from av import VideoFrame, VideoStream
    from av.container import InputContainer

    _Timed = tuple[int, VideoFrame]  # a time stamp in ticks of the stream

Colours = Literal["rgb24", "gray"]

#: The lowest rate that fits all time stamps is the rate of a video if it is this close to the average: it is exact,
#: the average is not where a header rounds the duration.
_SAME_RATE = 0.01


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
    from av.video.reformatter import VideoReformatter

    with opened(file) as container:
        stream = next((video for video in container.streams.video if not _is_cover(video)), None)
        if stream is None:
            raise MediaError("has no video")
        tick = on_one_thread(stream)
        end = stream_end(container, stream)
        if end is None:
            end = _last_packet(container, stream) * tick - zero(container)
        first, last = checked_stretch(start, stop, end, "video")
        picked = _picked(container, stream, tick, first, last, view)
        convert = VideoReformatter()
        ready: dict[int, np.ndarray] = {}
        for frame in picked:
            if id(frame) not in ready:
                pixels = convert.reformat(frame, format=colours, threads=1).to_ndarray()
                ready[id(frame)] = _fitted(pixels, frame.rotation, stream.sample_aspect_ratio, view)
        return np.stack([ready[id(frame)] for frame in picked])


def _is_cover(stream: VideoStream) -> bool:
    """Whether a stream is the one picture that a sound file shows while it plays."""
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def _last_packet(container: InputContainer, stream: VideoStream) -> int:
    """The tick at which the last frame of a stream ends, by reading through it: its header does not tell."""
    ends = [
        packet.pts + (packet.duration or 0) for packet in container.demux(stream) if packet.pts is not None
    ]
    if not ends:
        raise MediaError("has a video without frames")
    container.seek(0)
    return max(ends)


def _rate(stream: VideoStream) -> Fraction:
    """Frames a second, on average."""
    average, base = stream.average_rate, stream.base_rate
    if not average:
        average = base or stream.guessed_rate
    if not average:
        raise MediaError("has a video without a frame rate")
    return base if base and abs(base / average - 1) < _SAME_RATE else average


def _picked(
    container: InputContainer,
    stream: VideoStream,
    time_base: float,
    first: float,
    last: float,
    view: FrameView,
) -> list[VideoFrame]:
    """The frames that a view takes of the stretch from ``first`` to ``last`` seconds; some may be the same."""
    rate, offset = float(_rate(stream)), zero(container)

    def tick(seconds: float) -> int:
        return round((seconds + offset) / time_base)

    begin, stop = tick(first), tick(last)
    stop = max(stop, begin + 1)
    if view.interval is None:
        part = (last - first) / view.frames
        wanted = [tick(first + (place + 0.5) * part) for place in range(view.frames)]
    else:
        step = view.interval / (view.rate or rate)
        wanted = [tick(first + place * step) for place in range(view.frames)]
    wanted = [min(time, stop - 1) for time in wanted]

    picked: list[VideoFrame] = []
    every: list[VideoFrame] = []  # the first frames of the stretch, one more than are asked for
    shown: VideoFrame | None = None
    time = begin
    for time, frame in _from_key_frame(container, stream, begin):
        while shown is not None and len(picked) < len(wanted) and wanted[len(picked)] < time:
            picked.append(shown)
        if shown is not None and time >= stop:
            break
        if len(picked) == len(wanted) and (view.interval is not None or len(every) >= view.frames):
            return picked
        shown = frame
        if frame.is_corrupt and time >= begin:
            raise MediaError(f"the video is damaged at {time * time_base - offset:.3f} s")
        if time <= begin:
            every.clear()
        if len(every) <= view.frames:
            every.append(frame)
    else:
        reached = 0.0 if shown is None else time * time_base - offset + _lasts(shown, rate)
        if shown is None or reached < last - 0.5 / rate:
            raise MediaError(
                f"the video breaks off at {reached:.3f} s, before the stretch ends at {last:.3f} s"
            )
    assert shown is not None
    picked += [shown] * (len(wanted) - len(picked))
    if view.interval is None and len(every) < view.frames:
        return every + [every[-1]] * (view.frames - len(every))
    return picked


def _from_key_frame(container: InputContainer, stream: VideoStream, begin: int) -> Iterator[_Timed]:
    """The frames of a stream in the order in which they are shown, from a key frame not later than ``begin``."""
    if can_seek(container):
        container.seek(begin, stream=stream, backward=True)
    frames = _decoded(container, stream)
    first = next(frames, None)
    if first is not None and first[0] > begin:  # the key frame is decoded before, but shown after that time
        container.seek(0)
        stream.codec_context.flush_buffers()
        frames = _decoded(container, stream)
        first = next(frames, None)
    if first is not None:
        yield first
        yield from frames


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[_Timed]:
    """Frames until the stream ends, or its file does amid a packet."""
    for packet in container.demux(stream):
        for frame in packet.decode():
            time = frame.dts if frame.pts is None else frame.pts
            if time is not None:
                yield time, frame
        if packet.is_corrupt:
            return


def _lasts(frame: VideoFrame, rate: float) -> float:
    return float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 1 / rate


def _fitted(pixels: np.ndarray, rotation: int, aspect: Fraction | None, view: FrameView) -> np.ndarray:
    turns = round(rotation / 90) % 4
    width = float(aspect) if aspect else 1.0
    return fitted(np.ascontiguousarray(np.rot90(pixels, turns)), view, 1 / width if turns % 2 else width)
