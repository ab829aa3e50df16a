"""Sound of a file: cut to the sample, mixed down and resampled."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..libraries import import_guard
from .clip import MediaError, SoundView
from .files import SLACK, can_seek, check_file, checked_stretch, on_one_thread, opened, stream_end, told, zero
from .resampling import resample

#: What libsndfile reads to the sample; everything else is read by FFmpeg.
SNDFILE = {".wav", ".flac", ".ogg", ".oga", ".aif", ".aiff"}
#: Seconds decoded before a stretch: what lossy sound needs before it is itself after a jump.
_LEAD = 0.5
#: Samples a second below which a header is wrong: at the rate that is asked for, the sound would fill the memory.
_LOWEST = 100
_OGG_PAGE = 65_307  # the longest that a page of an Ogg file can be, in bytes (RFC 3533)
_OGG_LAST = 4  # the flag of the last page


def read_sound(file: Path, start: float | None, stop: float | None, view: SoundView) -> np.ndarray:
    """The sound of a stretch, [time, channel] float32 in -1 to 1.

    Sample n of the file belongs to the stretch where ``round(start * rate) <= n < round(stop * rate)``.

    Args:
        file: a sound file, or a video with a sound track.
        start, stop: seconds from the file's beginning; None is its beginning, or its end.
        view: rate, length and channels.

    Raises:
        MediaError: there is no sound, the stretch is not in it, it breaks off inside the stretch, or it holds
            NaN or infinity.
    """
    check_file(file)
    read = _by_sndfile if file.suffix.lower() in SNDFILE else _by_ffmpeg
    sound, rate = read(file, start, stop, view.seconds)
    if not np.isfinite(sound).all():
        raise MediaError("the sound holds NaN or infinity")
    if view.mono:
        sound = sound.mean(axis=1, keepdims=True, dtype=np.float32)
    if rate != view.rate:
        sound = _resampled(sound, rate, view.rate)
    if view.seconds is not None:
        length = round(view.seconds * view.rate)
        if view.tile and len(sound) < length:
            sound = np.tile(sound, (-(-length // len(sound)), 1))
        sound = sound[:length]
    return np.clip(np.ascontiguousarray(sound, dtype=np.float32), -1, 1)


def _resampled(sound: np.ndarray, old: int, new: int) -> np.ndarray:
    """[time, channel] at another rate."""
    if old < _LOWEST:
        raise MediaError(f"states {old} samples a second, too few for sound")
    import torch

    return resample(torch.from_numpy(np.ascontiguousarray(sound.T)), old, new).numpy().T


def _bounds(
    start: float | None, stop: float | None, seconds: float | None, end: float, rate: int
) -> tuple[int, int]:
    """The first sample of a stretch and the one after its last, cut to ``seconds``."""
    first, last = checked_stretch(start, stop, end, "sound")
    begin, after = round(first * rate), round(last * rate)
    if seconds is not None:
        after = min(after, begin + -(-round(seconds * rate * 1000) // 1000))
    if after <= begin:
        raise MediaError(f"the stretch {told(first)} s to {told(last)} s holds no sample")
    return begin, after


def _by_sndfile(
    file: Path, start: float | None, stop: float | None, seconds: float | None
) -> tuple[np.ndarray, int]:
    with import_guard("soundfile", "reading sound files"):
        import soundfile

    try:
        with soundfile.SoundFile(str(file)) as sound:
            rate, frames = sound.samplerate, sound.frames
            begin, after = _bounds(start, stop, seconds, frames / rate, rate)
            if after == frames and _is_cut(file):
                raise MediaError(f"the sound breaks off at {frames / rate:.3f} s, the file is cut")
            if sound.format == "OGG":  # where libsndfile lands only near the sample that it is sent to
                for place in range(0, begin, rate):
                    sound.read(min(rate, begin - place), dtype="float32")
            else:
                sound.seek(begin)
            samples = sound.read(after - begin, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise MediaError(f"cannot be read as sound: {error.error_string.rstrip('.')}") from None
    if len(samples) < after - begin:
        raise MediaError(f"the sound breaks off at {(begin + len(samples)) / rate:.3f} s")
    return samples, rate


def _is_cut(file: Path) -> bool:
    """Whether a WAV file is shorter than its header says, or an Ogg file lacks its last page or a part of it."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        head = stream.read(8)
        stream.seek(max(0, size - _OGG_PAGE))
        tail = stream.read()
    if head[:4] == b"OggS":
        page = tail[max(0, tail.rfind(b"OggS")) :]
        whole = len(page) > 26 and len(page) >= 27 + page[26] + sum(
            page[27 : 27 + page[26]]
        )  # lengths of its parts
        return not whole or not page[5] & _OGG_LAST
    promised = int.from_bytes(head[4:8], "little")  # near the largest number where written to a pipe: unknown
    return head[:4] == b"RIFF" and size - 8 < promised < 0x7FFFFF00


def _by_ffmpeg(
    file: Path, start: float | None, stop: float | None, seconds: float | None
) -> tuple[np.ndarray, int]:
    with import_guard("av", "reading compressed sound"):
        from av import AudioResampler

    with opened(file) as container:
        if not container.streams.audio:
            raise MediaError("has no sound")
        stream = container.streams.audio[0]
        time_base, rate = on_one_thread(stream), stream.rate
        if not rate:
            raise MediaError("has sound without a rate")
        end = stream_end(container, stream)
        if end is None:
            end = float("inf")  # what is missing shows below
            if stop is None:
                raise MediaError("does not say how long its sound is")
        begin, after = _bounds(start, stop, seconds, end, rate)
        lead = begin / rate - _LEAD
        if lead > 0 and can_seek(container):
            container.seek(round((lead + zero(container)) / time_base), stream=stream, backward=True)
        block = stream.codec_context.frame_size or 1024
        # A cut packet may still give sound, so two more must follow, unless the file ends; there, headers are rounded.
        ending = round(end * rate) if end < float("inf") else after
        enough = ending - block if ending < after + 2 * block else after + 2 * block
        channels = stream.channels
        to_float = AudioResampler(format="fltp")
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
                    samples = frame.to_ndarray().T
                    parts.append(samples[max(begin - place, 0) : max(after - place, 0)])
                    place += len(samples)
            if place >= enough + block or packet.is_corrupt:
                break
    sound = np.concatenate(parts) if parts else np.empty((0, 1), np.float32)
    if place < enough or not len(sound):
        raise MediaError(f"the sound breaks off at {max(place, 0) / rate:.3f} s, before the stretch ends")
    return sound, rate
