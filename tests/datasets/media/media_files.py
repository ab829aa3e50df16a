"""Small real media files, written by real encoders, whose content is known.

A video shows the number of each frame in its picture (``number_of``), so that a test can tell which frame it got.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import av.container
import numpy as np
import soundfile

#: The number of a frame is written in binary, as black and white squares in a row: most significant first.
BITS = 10
_TICKS = 90_000


def numbered(number: int, size: tuple[int, int] = (64, 80)) -> np.ndarray:
    """A picture that shows a number below 1024, [height, width, 3] uint8.

    The squares fill the middle half of both sides, so that a center crop keeps them.
    """
    height, width = size
    picture = np.full((height, width, 3), 90, np.uint8)
    edges = np.linspace(width / 4, 3 * width / 4, BITS + 1).round().astype(int)
    for bit in range(BITS):
        value = 255 if number >> (BITS - 1 - bit) & 1 else 0
        picture[height // 4 : 3 * height // 4, edges[bit] : edges[bit + 1]] = value
    return picture


def number_of(picture: np.ndarray) -> int:
    """The number that a picture shows.

    Args:
        picture: [3, height, width] or [height, width], uncropped (``crop="squash"``), at least 64 wide.
    """
    grey = picture.astype(float).mean(axis=0) if picture.ndim == 3 else picture.astype(float)
    height, width = grey.shape
    edges = np.linspace(width / 4, 3 * width / 4, BITS + 1)
    middles = ((edges[:-1] + edges[1:]) / 2).astype(int)
    row = grey[height * 3 // 8 : height * 5 // 8].mean(axis=0)
    return int(sum(int(row[x] > 128) << (BITS - 1 - bit) for bit, x in enumerate(middles)))


def write_video(
    file: Path,
    pictures: Sequence[np.ndarray],
    times: Sequence[float] | None = None,
    rate: Fraction | int = 24,
    sound: np.ndarray | None = None,
    sound_rate: int = 16_000,
    codec: str = "libx264",
    key_every: int = 12,
    options: dict[str, str] | None = None,
) -> Path:
    """Writes a video with FFmpeg, and a sound track where one is given.

    Args:
        file: its suffix names the container: ``.mp4``, ``.mkv``, ``.avi``.
        pictures: [height, width, 3] uint8 each, sides even.
        times: when each is shown, seconds from 0; None: at the constant ``rate``.
        rate: frames a second.
        sound: [time, channel] float in -1 to 1, AAC in the file.
        sound_rate: of the sound.
        codec: of the video.
        key_every: distance of key frames.
        options: of the container, such as ``{"movflags": "faststart"}``.
    """
    with av.open(str(file), "w", options=options or {}) as container:
        video = container.add_stream(codec, rate=rate)
        assert isinstance(video, av.VideoStream)
        video.height, video.width = pictures[0].shape[:2]
        video.pix_fmt = "yuv420p"
        video.codec_context.gop_size = key_every
        video.codec_context.thread_count = 1
        video.codec_context.time_base = Fraction(1, _TICKS) if times is not None else 1 / Fraction(rate)
        if codec == "libx264":
            video.options = {"preset": "veryfast", "crf": "12"}
        else:
            video.bit_rate = 4_000_000
        track = None
        if sound is not None:
            layout = "mono" if sound.shape[1] == 1 else "stereo"
            track = container.add_stream("aac", rate=sound_rate, layout=layout)
            assert isinstance(track, av.AudioStream)
        for place, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.time_base = video.codec_context.time_base
            frame.pts = place if times is None else round(times[place] * _TICKS)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if track is not None and sound is not None:
            _encode_sound(container, track, sound, sound_rate)
    return file


def write_numbered_video(file: Path, frames: int, size: tuple[int, int] = (64, 80), **more: object) -> Path:
    """Writes a video whose frames show 0, 1, 2 and so on; ``more`` as of ``write_video``."""
    return write_video(file, [numbered(number, size) for number in range(frames)], **more)  # type: ignore[arg-type]


def write_flow(folder: Path, name: str, frames: int, rate: int = 12) -> tuple[Path, Path]:
    """Writes flow as two grey videos, ``NAME_flow_x.mp4`` and ``NAME_flow_y.mp4``.

    Frame n has the grey value ``40 + n`` in the first and ``200 - n`` in the second, all over.
    """
    pair = folder / f"{name}_flow_x.mp4", folder / f"{name}_flow_y.mp4"
    for file, values in zip(pair, (range(40, 40 + frames), range(200, 200 - frames, -1)), strict=True):
        write_video(file, [np.full((64, 64, 3), value, np.uint8) for value in values], rate=rate)
    return pair


def write_sound(file: Path, sound: np.ndarray, rate: int = 16_000) -> Path:
    """Writes sound [time, channel] with libsndfile: the suffix names the format; WAV holds floats."""
    subtype = "FLOAT" if file.suffix == ".wav" else None
    soundfile.write(file, sound, rate, subtype=subtype)
    return file


def write_compressed(
    file: Path, sound: np.ndarray, rate: int = 16_000, codec: str = "aac", **options: str
) -> Path:
    """Writes sound [time, channel] with FFmpeg: ``.m4a`` with ``aac``, ``.mp3`` with ``libmp3lame``; ``options`` are
    of the container."""
    with av.open(str(file), "w", options=options) as container:
        layout = "mono" if sound.shape[1] == 1 else "stereo"
        track = container.add_stream(codec, rate=rate, layout=layout)
        assert isinstance(track, av.AudioStream)
        _encode_sound(container, track, sound, rate)
    return file


def _encode_sound(
    container: av.container.OutputContainer, track: av.AudioStream, sound: np.ndarray, rate: int
) -> None:
    values = np.ascontiguousarray(sound.T, dtype=np.float32)
    block = av.AudioFrame.from_ndarray(values, format="fltp", layout=track.layout.name)
    block.sample_rate, block.pts, block.time_base = rate, 0, Fraction(1, rate)
    container.mux(track.encode(block))
    container.mux(track.encode())


def cut_off(file: Path, length: int) -> Path:
    """Writes the first ``length`` bytes of a file beside it, and says where."""
    cut = file.with_name(f"cut-{length}-{file.name}")
    cut.write_bytes(file.read_bytes()[:length])
    return cut


def tone(frequency: float, seconds: float, rate: int = 16_000, channels: int = 1) -> np.ndarray:
    """A sine of amplitude 0.5, [time, channel] float32."""
    time = np.arange(round(seconds * rate)) / rate
    return np.repeat(0.5 * np.sin(2 * np.pi * frequency * time)[:, None], channels, axis=1).astype(np.float32)


def write_picture(file: Path, picture: np.ndarray) -> Path:
    """Writes a picture [height, width], [height, width, 3] or, with alpha, [height, width, 4], with Pillow."""
    from PIL import Image

    Image.fromarray(picture).save(file)
    return file
