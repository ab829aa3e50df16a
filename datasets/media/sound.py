"""Sound of a file: cut to the sample, mixed down and resampled."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..counting import counted
from ..libraries import import_guard
from .clip import MediaError, SoundView
from .files import (
    SLACK,
    can_seek,
    check_file,
    ends_in_a_frame,
    on_one_thread,
    open_container,
    seconds_text,
    stream_end,
    stretch_bounds,
    zero,
)
from .lengths import content_start, holds_another, is_cut, leaves_length_open
from .resampling import resample

if TYPE_CHECKING:
    import soundfile

#: Names of what libsndfile reads to the sample, if the content is what they say; everything else is read by FFmpeg.
SNDFILE = {".wav", ".flac", ".ogg", ".oga", ".aif", ".aiff"}
#: Seconds decoded before a stretch: what lossy sound needs before it is itself after a jump.
_LEAD = 0.5
#: Loud masters and lossy codecs reach a little beyond full scale, now and then, and are clipped; nothing else than a
#: wrong scale reaches so far, or with so many of its samples.
_LOUDEST = 4.0
_OFTEN = 0.01
#: The power of a mixture beside that of its channels below which they cancel each other out: one is the other inverted.
_CANCELLED = 1e-4
#: Samples a second below which a header is wrong: at the rate that is asked for, the sound would fill the memory.
_LOWEST = 100
#: Samples that libsndfile reads at a time: so many more than a file holds are in memory where its header lies.
_BLOCK = 1 << 20
_UNKNOWN = 1 << 62  # libsndfile's number of samples where a header leaves it open is above


def read_sound(file: Path, start: float | None, stop: float | None, view: SoundView) -> np.ndarray:
    """The sound of a stretch, [time, channel] float32 in -1 to 1.

    Sample n of the file belongs to the stretch where ``round(start * rate) <= n < round(stop * rate)``.

    Args:
        file: a sound file, or a video with a sound track.
        start, stop: seconds from the file's beginning; None is its beginning, or its end.
        view: rate, length and channels.

    Raises:
        MediaError: there is no sound, the stretch is not in it, it breaks off inside the stretch, or it holds
            NaN or infinity, or its full scale is not 1, or its channels cancel each other out.
    """
    check_file(file)
    state = file.stat()
    if _is_joined(file, state.st_mtime_ns, state.st_size):
        raise MediaError(
            "two files were joined as they are, and only the first would be read: join their sound"
        )
    read = _by_sndfile if _is_for_sndfile(file) else _by_ffmpeg
    sound, rate = read(file, start, stop, view.seconds)
    if not np.isfinite(sound).all():
        raise MediaError("the sound holds NaN or infinity")
    _check_scale(float(np.abs(sound).max(initial=0)))
    over = float((np.abs(sound) > 1).mean())
    if over > _OFTEN:
        raise MediaError(
            f"{over:.0%} of its samples are beyond full scale and would be clipped: make it quieter"
        )
    if view.mono:
        sound = _mixed(sound)
    if rate != view.rate:
        sound = _resample(sound, rate, view.rate)
    if view.seconds is not None:
        length = round(view.seconds * view.rate)
        if view.tile and len(sound) < length:
            sound = np.tile(sound, (-(-length // len(sound)), 1))
        sound = sound[:length]
    return np.clip(np.ascontiguousarray(sound, dtype=np.float32), -1, 1)


@lru_cache(maxsize=4096)
def _is_joined(file: Path, changed: int, size: int) -> bool:
    """As ``holds_another``, once for each content, however many stretches of it are asked for."""
    return holds_another(file)


def _mixed(sound: np.ndarray) -> np.ndarray:
    """The mean of the channels [time, channel], as [time, 1]."""
    if sound.shape[1] == 1:
        return sound
    mixture = sound.mean(axis=1, keepdims=True, dtype=np.float32)
    if float(np.square(mixture).mean()) < _CANCELLED * float(np.square(sound).mean()):
        raise MediaError(
            "its channels cancel each other out when they are mixed: turn one around, or take one alone"
        )
    return mixture


def _is_for_sndfile(file: Path) -> bool:
    """Whether the content is WAV, AIFF or FLAC, whatever the name says; or Ogg, and named as sound."""
    with file.open("rb") as stream:
        stream.seek(content_start(stream))
        head = stream.read(12)
    if head[:4] in (b"RIFF", b"RF64", b"RIFX"):
        return head[8:] == b"WAVE" or file.suffix.lower() in SNDFILE
    if head[:4] == b"OggS":
        return file.suffix.lower() in SNDFILE
    return head[:4] == b"fLaC" or head[:4] == b"FORM"


def _resample(sound: np.ndarray, old: int, new: int) -> np.ndarray:
    """[time, channel] at another rate."""
    if old < _LOWEST:
        raise MediaError(f"states {counted(old, 'sample')} a second, too few for sound")
    import torch

    return resample(torch.from_numpy(np.ascontiguousarray(sound.T)), old, new).numpy().T


def _bounds(
    start: float | None, stop: float | None, seconds: float | None, end: float, rate: int
) -> tuple[int, int]:
    """The first sample of a stretch and the one after its last, cut to ``seconds``."""
    first, last = stretch_bounds(start, stop, end, "sound")
    begin, after = round(first * rate), round(last * rate)
    if seconds is not None:
        after = min(after, begin + -(-round(seconds * rate * 1000) // 1000))
    if after <= begin:
        raise MediaError(f"the stretch {seconds_text(first)} s to {seconds_text(last)} s holds no sample")
    return begin, after


def _by_sndfile(
    file: Path, start: float | None, stop: float | None, seconds: float | None
) -> tuple[np.ndarray, int]:
    with import_guard("soundfile", "reading sound files"):
        import soundfile

    try:
        with soundfile.SoundFile(str(file)) as sound:
            rate, frames = sound.samplerate, sound.frames
            if frames >= _UNKNOWN or leaves_length_open(file) or sound.subtype.startswith("MPEG"):
                return _by_ffmpeg(file, start, stop, seconds)
            if not sound.seekable():  # as GSM 6.10
                return _by_ffmpeg(file, start, stop, seconds)
            if holds_another(file):
                raise MediaError(
                    "two files were joined as they are, and only the first would be read: join their sound"
                )
            begin, after = _bounds(start, stop, seconds, frames / rate, rate)
            if after == frames and is_cut(file):
                raise MediaError(f"the sound breaks off at {frames / rate:.3f} s, the file is cut")
            if sound.format == "OGG":  # where libsndfile lands only near the sample that it is sent to
                for place in range(0, begin, rate):
                    sound.read(min(rate, begin - place), dtype="float32")
            else:
                sound.seek(begin)
            samples = _samples(sound, after - begin)
            if sound.subtype in ("FLOAT", "DOUBLE"):
                _check_scale_of_floats(file)
    except soundfile.LibsndfileError as error:
        reason = f"cannot be read as sound: {error.error_string.rstrip('.')}"
        raise MediaError(f"{reason}{_codec_words(file)}") from None
    if len(samples) < after - begin:
        raise MediaError(f"the sound breaks off at {(begin + len(samples)) / rate:.3f} s")
    return samples, rate


def _codec_words(file: Path) -> str:
    """The content of a file that libsndfile cannot read, such as AC-3 in WAV, as the end of a message."""
    try:
        with open_container(file) as container:
            known = [stream.codec_context for stream in container.streams.audio if stream.codec_context]
            names = {context.codec.long_name for context in known}
            return f"; it holds {', '.join(sorted(names))}, in {container.format.long_name}" if names else ""
    except MediaError:
        return ""


def _check_scale_of_floats(file: Path) -> None:
    """Raises MediaError where the floating numbers of a file show anywhere that full scale is not 1: a quiet stretch
    alone does not show that they are scaled as integers are."""
    state = file.stat()
    _check_scale(_peak(file, state.st_mtime_ns, state.st_size))


@lru_cache(maxsize=4096)
def _peak(file: Path, changed: int, size: int) -> float:
    """The largest amplitude of a whole file, NaN and infinity left out.

    Args:
        file: of floating numbers.
        changed, size: when it was written, and its bytes: another content is read anew.
    """
    blocks = _blocks_by_sndfile(file) if _is_for_sndfile(file) else _blocks_by_ffmpeg(file)
    peak = 0.0
    for block in blocks:
        finite = np.where(np.isfinite(block), block, 0)
        peak = max(peak, float(finite.max(initial=0)), -float(finite.min(initial=0)))
    return peak


def _blocks_by_sndfile(file: Path) -> Iterator[np.ndarray]:
    with import_guard("soundfile", "reading sound files"):
        import soundfile

    with soundfile.SoundFile(str(file)) as sound:
        yield from sound.blocks(max(1, _BLOCK // sound.channels), dtype="float32")


def _blocks_by_ffmpeg(file: Path) -> Iterator[np.ndarray]:
    with import_guard("av", "reading media files"):
        from av import AudioResampler

    to_float = AudioResampler(format="flt")
    with open_container(file) as container:
        for decoded in container.decode(audio=0):
            for frame in to_float.resample(decoded):
                yield frame.to_ndarray()


def _check_scale(peak: float) -> None:
    """Raises MediaError where an amplitude shows that full scale is not 1."""
    if peak > _LOUDEST:
        raise MediaError(
            f"its samples reach {peak:.6g}, where 1 is full scale: they look like integers written as floating "
            "numbers; divide them (those of 16 bits by 32768)"
        )


def _samples(sound: soundfile.SoundFile, count: int) -> np.ndarray:
    """The next ``count`` samples [time, channel], or those that are there."""
    block = max(1, _BLOCK // sound.channels)
    parts = [sound.read(min(block, count), dtype="float32", always_2d=True)]
    while len(parts[-1]) == block and (count := count - block):
        parts.append(sound.read(min(block, count), dtype="float32", always_2d=True))
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _by_ffmpeg(
    file: Path, start: float | None, stop: float | None, seconds: float | None
) -> tuple[np.ndarray, int]:
    with import_guard("av", "reading compressed sound"):
        from av import AudioResampler

    with open_container(file) as container:
        if not container.streams.audio:
            raise MediaError("has no sound")
        stream = container.streams.audio[0]
        time_base, rate = on_one_thread(stream), stream.rate
        if not rate:
            raise MediaError("has sound without a rate")
        end = stream_end(file, container, stream)
        begin, after = _bounds(start, stop, seconds, end, rate)
        if after >= round(end * rate) and (is_cut(file) or ends_in_a_frame(file, container)):
            raise MediaError(f"the sound breaks off at {end:.3f} s, the file is cut")
        lead = begin / rate - _LEAD
        if lead > 0 and can_seek(container):
            container.seek(round((lead + zero(container)) / time_base), stream=stream, backward=True)
        if stream.codec_context.name.startswith("pcm_f"):
            _check_scale_of_floats(file)
        block = stream.codec_context.frame_size or 1024
        # A cut packet may still give sound, so two more must follow, unless the file ends; there, headers are rounded.
        ending = round(end * rate)
        enough = ending - block if ending < after + 2 * block else after + 2 * block
        channels = stream.channels
        # Channels in turn: of eight or more in planes of their own, PyAV's array reads one plane that is not there.
        to_float = AudioResampler(format="flt")
        parts: list[np.ndarray] = []
        place = -1  # the number of the next sample
        for packet in container.demux(stream):
            for decoded in packet.decode():
                if (decoded.layout.nb_channels, decoded.sample_rate) != (channels, rate):
                    raise MediaError(
                        "the sound is damaged, its channels or rate change"
                    )  # no array holds both
                if decoded.pts is not None:
                    now = round((decoded.pts * time_base - zero(container)) * rate)
                    if place >= begin and now > place + SLACK * rate:
                        raise MediaError(f"the sound has a gap at {place / rate:.3f} s")
                    if place < begin or now > place + SLACK * rate:
                        place = now
                for frame in to_float.resample(decoded):
                    samples = frame.to_ndarray().reshape(-1, channels)
                    parts.append(samples[max(begin - place, 0) : max(after - place, 0)])
                    place += len(samples)
            if place >= enough + block or packet.is_corrupt:
                break
    sound = np.concatenate(parts) if parts else np.empty((0, 1), np.float32)
    if place < enough or not len(sound):
        raise MediaError(f"the sound breaks off at {max(place, 0) / rate:.3f} s, before the stretch ends")
    return sound, rate
