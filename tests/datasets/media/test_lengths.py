"""How long media are: stated by a header, measured where none states it, and said to be cut where they are."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from mmbench.datasets.media import files
from mmbench.datasets.media.clip import FrameView, MediaError, Piece, SoundView
from mmbench.datasets.media.decode import decode

from .media_files import number_of, tone, write_compressed, write_numbered_video, write_sound

RATE = 16_000
NOISE = np.random.default_rng(0).uniform(-0.7, 0.7, (3 * RATE, 1)).astype(np.float32)
QUIET = np.zeros((6 * RATE, 1), np.float32)


def sound_of(file: Path, start: float | None = None, stop: float | None = None) -> np.ndarray:
    return np.asarray(decode(Piece((file,), start, stop), "waveform", SoundView()))[:, 0]


def every_sample(file: Path) -> np.ndarray:
    """All that FFmpeg decodes from the beginning to the end."""
    with av.open(str(file)) as container:
        to_float = av.AudioResampler(format="fltp")
        frames = [
            part.to_ndarray()[0] for frame in container.decode(audio=0) for part in to_float.resample(frame)
        ]
    return np.concatenate(frames).clip(-1, 1)


def reason(file: Path, start: float | None = None, stop: float | None = None) -> str:
    with pytest.raises(MediaError) as caught:
        sound_of(file, start, stop)
    return str(caught.value)


class Pipe:
    """A file that cannot be wound back, as standard output cannot."""

    def __init__(self, file: Path) -> None:
        self.stream = file.open("wb")

    def write(self, data: bytes) -> int:
        return self.stream.write(data)

    def close(self) -> None:
        self.stream.close()


def coded(
    file: Path, container: str, codec: str, sound: np.ndarray, pipe: bool = False, **options: str
) -> Path:
    """Writes sound [time, 1]; MP3 of a variable rate; into a pipe where wished."""
    target = Pipe(file) if pipe else str(file)
    with av.open(target, "w", format=container, options=options) as output:
        track = output.add_stream(codec, rate=RATE, layout="mono")
        assert isinstance(track, av.AudioStream)
        if codec == "libmp3lame":
            track.codec_context.options = {"flags": "+qscale", "global_quality": "236"}
        fmt = "fltp" if codec in ("libmp3lame", "aac") else "s16"
        resampler = av.AudioResampler(fmt, "mono", RATE, track.codec_context.frame_size or 1152)
        whole = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.T), format="fltp", layout="mono")
        whole.sample_rate, whole.pts = RATE, 0
        place = 0
        for frame in resampler.resample(whole) + resampler.resample(None):
            frame.pts, place = place, place + frame.samples
            output.mux(track.encode(frame))
        output.mux(track.encode(None))
    if isinstance(target, Pipe):
        target.close()
    return file


@pytest.mark.parametrize("parts", [(NOISE, QUIET), (QUIET, NOISE)], ids=["falling", "rising"])
def test_mp3_of_a_variable_rate_is_read_to_its_end(
    tmp_path: Path, parts: tuple[np.ndarray, np.ndarray]
) -> None:
    """FFmpeg guesses 4.4 and 30.9 s from the bit rate of the first frames."""
    file = coded(tmp_path / "a.mp3", "mp3", "libmp3lame", np.concatenate(parts), write_xing="0")
    wanted = every_sample(file)
    assert 9 * RATE <= len(wanted) < 9.2 * RATE
    np.testing.assert_array_equal(sound_of(file), wanted)
    np.testing.assert_allclose(sound_of(file, 7.0, 8.0), wanted[7 * RATE : 8 * RATE], atol=1e-5)
    assert len(sound_of(file, 8.5)) == len(wanted) - round(8.5 * RATE)
    assert "the sound ends at 9.072 s" in reason(file, 8.0, 12.0)


def test_mp3_without_a_count_that_is_cut_within_a_frame_says_so(tmp_path: Path) -> None:
    file = coded(tmp_path / "a.mp3", "mp3", "libmp3lame", np.concatenate([NOISE, QUIET]), write_xing="0")
    content = file.read_bytes()
    for kept in (len(content) // 2, len(content) - 50):
        file.write_bytes(content[:kept])
        assert "cut" in reason(file)
        assert "cut" in reason(file, 1.0)
        assert len(sound_of(file, 1.0, 2.0)) == RATE
    file.write_bytes(content + b"TAG" + bytes(125))  # ID3v1, which is no frame
    assert len(sound_of(file)) >= 9 * RATE


def test_mp3_with_a_count_of_its_frames_that_is_cut_says_so(tmp_path: Path) -> None:
    file = coded(tmp_path / "a.mp3", "mp3", "libmp3lame", np.concatenate([NOISE, QUIET]))
    assert 9 * RATE <= len(sound_of(file)) < 9.2 * RATE
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])
    assert "breaks off" in reason(file)


@pytest.mark.parametrize(
    ("suffix", "container", "codec", "pipe"),
    [
        ("aac", "adts", "aac", False),
        ("ts", "mpegts", "aac", False),
        ("flv", "flv", "aac", False),
        ("flv", "flv", "aac", True),
        ("mka", "matroska", "aac", True),
        ("au", "au", "pcm_s16be", True),
        ("flac", "flac", "flac", True),
        ("wav", "wav", "pcm_s16le", True),
        ("nut", "nut", "aac", False),
    ],
)
def test_what_states_no_length_is_read_to_its_end(
    tmp_path: Path, suffix: str, container: str, codec: str, pipe: bool
) -> None:
    file = coded(tmp_path / f"a.{suffix}", container, codec, np.concatenate([NOISE, QUIET]), pipe)
    wanted = every_sample(file)
    assert len(wanted) >= 9 * RATE
    found = sound_of(file)
    assert abs(len(found) - len(wanted)) <= 1024  # the delay of an encoder is left out, or not
    np.testing.assert_allclose(sound_of(file, 1.0, 2.0), found[RATE : 2 * RATE], atol=1e-4)
    assert len(sound_of(file, 8.0)) == len(found) - 8 * RATE
    assert "begins at 20 s, but the sound ends at 9." in reason(file, 20.0)


def test_matroska_whose_track_states_no_length_is_read_and_told_when_it_is_cut(tmp_path: Path) -> None:
    file = write_numbered_video(tmp_path / "a.mkv", 96, sound=tone(300, 4))
    content = file.read_bytes().replace(b"DURATION", b"DURATIOX")
    for name, kept in (("untagged", len(content)), ("cut", len(content) * 2 // 3)):
        (tmp_path / f"{name}.mkv").write_bytes(content[:kept])
    np.testing.assert_array_equal(sound_of(tmp_path / "untagged.mkv", 0, 3.9), sound_of(file, 0, 3.9))
    assert abs(len(sound_of(tmp_path / "untagged.mkv")) - 4 * RATE) <= 2048
    assert "breaks off" in reason(tmp_path / "cut.mkv")
    with pytest.raises(MediaError, match="breaks off"):
        decode(Piece((tmp_path / "cut.mkv",)), "frames", FrameView(80, 4))


@pytest.mark.parametrize("suffix", ["flv", "ts", "mkv"])
def test_sound_and_video_of_a_file_answer_alike(tmp_path: Path, suffix: str) -> None:
    file = write_numbered_video(tmp_path / f"a.{suffix}", 72, sound=tone(300, 3))
    file.write_bytes(file.read_bytes().replace(b"DURATION", b"DURATIOX"))
    assert abs(len(sound_of(file)) - 3 * RATE) <= 2048
    frames = np.asarray(decode(Piece((file,)), "frames", FrameView(80, 72, crop="squash")))
    numbers = [number_of(frame) for frame in frames]  # the sound of some begins some frames before the video
    assert numbers == sorted(numbers)
    assert numbers[0] == 0
    assert numbers[-1] == 71


SIZES = [0x7FFFF000, 0x7FFFF024, 0x7FFFFFFF, 0x7FFFFF00, 0x80000000, 0xFFFFFFFF, 0xFFFFF000]


def with_sizes(file: Path, riff: int, data: int, kept: int | None = None) -> Path:
    """A WAV of 3 s with these two sizes in its header, and so many bytes."""
    soundfile.write(file, NOISE, RATE, subtype="PCM_16")
    content = bytearray(file.read_bytes())
    assert content[36:40] == b"data"
    content[4:8], content[40:44] = struct.pack("<I", riff), struct.pack("<I", data)
    file.write_bytes(content[:kept])
    return file


@pytest.mark.parametrize("riff", [0, 36, *SIZES])
@pytest.mark.parametrize("data", [0, 96_000, *SIZES])
def test_placeholders_of_a_stream_are_no_lengths(tmp_path: Path, riff: int, data: int) -> None:
    file = with_sizes(tmp_path / "a.wav", riff, data)
    soundfile.write(tmp_path / "right.wav", NOISE, RATE, subtype="PCM_16")
    right = soundfile.read(tmp_path / "right.wav", dtype="float32")[0]
    np.testing.assert_array_equal(sound_of(file), right)
    np.testing.assert_array_equal(sound_of(file, 1.5), right[24_000:])
    np.testing.assert_array_equal(sound_of(file, 1.5, 2.0), right[24_000:32_000])


@pytest.mark.parametrize("riff", [96_036, 0, 0x7FFFF024])
def test_a_wav_shorter_than_its_samples_is_cut_whatever_its_first_size_says(
    tmp_path: Path, riff: int
) -> None:
    file = with_sizes(tmp_path / "a.wav", riff, 96_000, 44 + 48_000)
    assert reason(file) == "the sound breaks off at 1.500 s, the file is cut"
    assert len(sound_of(file, 0.5, 1.0)) == 8000


def test_an_empty_wav_with_a_list_behind_holds_no_sound(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((0, 1)), RATE, subtype="PCM_16")
    content = (tmp_path / "a.wav").read_bytes()[:44] + b"LIST" + struct.pack("<I", 64) + b"INFO" + bytes(60)
    content = content[:4] + struct.pack("<I", len(content) - 8) + content[8:40] + bytes(4) + content[44:]
    (tmp_path / "a.wav").write_bytes(content)
    assert reason(tmp_path / "a.wav") == "holds no sound"


@pytest.mark.parametrize("kind", ["AIFF", "AU", "RF64", "RIFX"])
def test_other_files_of_chunks_that_are_cut_say_so(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"a.{'wav' if kind.startswith('R') else kind.lower()}"
    endian: dict[str, Any] = {"endian": "BIG"} if kind == "RIFX" else {}
    soundfile.write(file, NOISE, RATE, "PCM_16", format="WAV" if kind == "RIFX" else kind, **endian)
    assert len(sound_of(file)) == 3 * RATE
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert "breaks off at 1." in reason(file)
    assert len(sound_of(file, 0.5, 1.0)) == 8000


def test_flac_that_does_not_count_its_samples_is_read_whole(tmp_path: Path) -> None:
    content = bytearray(write_sound(tmp_path / "a.flac", NOISE).read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    (tmp_path / "b.flac").write_bytes(content)
    np.testing.assert_array_equal(sound_of(tmp_path / "b.flac"), sound_of(tmp_path / "a.flac"))
    np.testing.assert_array_equal(
        sound_of(tmp_path / "b.flac", 1.1, 2.2), sound_of(tmp_path / "a.flac", 1.1, 2.2)
    )


@pytest.mark.parametrize("wrong", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.mp4", "a.aiff"])
@pytest.mark.parametrize("right", ["m4a", "mp3", "wav", "flac", "aiff"])
def test_the_content_of_sound_decides_and_not_its_name(tmp_path: Path, right: str, wrong: str) -> None:
    file = tmp_path / f"right.{right}"
    if right in ("m4a", "mp3"):
        write_compressed(file, NOISE, codec="aac" if right == "m4a" else "libmp3lame")
    else:
        soundfile.write(file, NOISE, RATE, subtype="PCM_16")
    (tmp_path / wrong).write_bytes(file.read_bytes())
    np.testing.assert_array_equal(sound_of(tmp_path / wrong), sound_of(file))


def test_a_codec_that_is_not_read_in_a_wav_is_named(tmp_path: Path) -> None:
    file = write_compressed(tmp_path / "a.wav", np.repeat(NOISE, 2, axis=0), 32_000, "ac3")
    assert "it holds ATSC A/52A (AC-3), in WAV" in reason(file)
    file = write_compressed(tmp_path / "b.wav", NOISE, codec="libmp3lame")
    assert abs(len(sound_of(file)) - 3 * RATE) < 2304


@pytest.mark.parametrize("suffix", ["wav", "aiff", "caf", "w64", "au"])
@pytest.mark.parametrize("scale", [32_768, 2**23, 2**31, 128])
def test_floats_that_are_scaled_as_integers_are_refused_even_where_they_are_quiet(
    tmp_path: Path, suffix: str, scale: float
) -> None:
    file = tmp_path / f"a.{suffix}"
    quiet = np.concatenate([NOISE, QUIET]) * scale
    soundfile.write(file, quiet, RATE, subtype="FLOAT")
    assert f"its samples reach {np.abs(quiet).max():.6g}, where 1 is full scale" in reason(file)
    assert "where 1 is full scale" in reason(file, 5.0, 6.0)
    soundfile.write(file, NOISE, RATE, subtype="FLOAT")  # written anew: nothing is remembered of it
    np.testing.assert_array_equal(sound_of(file), NOISE[:, 0])


def test_sound_is_clipped_now_and_then_and_not_often(tmp_path: Path) -> None:
    file, master = tmp_path / "a.wav", NOISE / np.abs(NOISE).max()
    soundfile.write(file, master * 1.005, RATE, subtype="FLOAT")
    np.testing.assert_allclose(sound_of(file), np.clip(master[:, 0] * 1.005, -1, 1), atol=1e-6)
    soundfile.write(file, master * 2, RATE, subtype="FLOAT")
    assert reason(file).endswith("of its samples are beyond full scale and would be clipped: make it quieter")


def test_channels_that_cancel_each_other_out_are_no_silence(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    soundfile.write(file, np.concatenate([NOISE, -NOISE], axis=1), RATE, subtype="FLOAT")
    assert "its channels cancel each other out" in reason(file)
    soundfile.write(file, np.concatenate([NOISE, 0 * NOISE], axis=1), RATE, subtype="FLOAT")
    np.testing.assert_allclose(sound_of(file), NOISE[:, 0] / 2, atol=1e-6)
    soundfile.write(file, np.zeros((RATE, 2)), RATE, subtype="FLOAT")
    assert not sound_of(file).any()


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_files_that_were_joined_as_they_are_are_named(tmp_path: Path, suffix: str) -> None:
    one, joined = tmp_path / f"one.{suffix}", tmp_path / f"joined.{suffix}"
    soundfile.write(one, NOISE, RATE)
    joined.write_bytes(one.read_bytes() * 2)
    assert "two files were joined" in reason(joined)
    joined.write_bytes(one.read_bytes())
    np.testing.assert_array_equal(sound_of(joined), sound_of(one))


def test_an_mp3_file_that_another_was_joined_to_is_read_to_its_end(tmp_path: Path) -> None:
    one, joined = tmp_path / "one.mp3", tmp_path / "joined.mp3"
    soundfile.write(one, NOISE, RATE, format="MP3")  # with a count of its own frames
    joined.write_bytes(one.read_bytes() * 2)
    assert abs(len(sound_of(joined)) - 2 * len(sound_of(one))) < 4 * 1152


def test_sound_that_cannot_be_wound_back_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    tone = 0.4 * np.sin(2 * np.pi * 300 * np.arange(3 * 8000) / 8000)
    soundfile.write(file, tone, 8000, subtype="GSM610")
    found = sound_of(file)
    assert len(found) == 3 * RATE
    assert np.corrcoef(found, 0.4 * np.sin(2 * np.pi * 300 * np.arange(3 * RATE) / RATE))[0, 1] > 0.9


def test_a_cut_opus_file_says_so_wherever_it_is_cut(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, (480_000, 1)).astype(np.float32)
    file = write_compressed(tmp_path / "a.opus", noise, 48_000, "libopus")
    whole = len(sound_of(file))
    assert 9.9 * RATE < whole <= 10.1 * RATE
    content = file.read_bytes()
    page = content.rfind(b"OggS")
    for kept in (page, page + 20, len(content) - 1, len(content) // 2):
        file.write_bytes(content[:kept])
        assert "cut" in reason(file) or "breaks off" in reason(file)


def test_many_stretches_of_a_file_read_through_it_once(tmp_path: Path) -> None:
    file = coded(tmp_path / "a.aac", "adts", "aac", NOISE)
    before = files._read_through.cache_info()
    for start in np.linspace(0, 2, 9).tolist():
        assert len(sound_of(file, start, start + 0.5)) == 8000
    after = files._read_through.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (1, 8)
    coded(file, "adts", "aac", QUIET)  # written anew
    assert len(sound_of(file)) >= 6 * RATE


@pytest.mark.parametrize(("layout", "channels"), [("mono", 1), ("5.1", 6), ("7.1", 8)])
@pytest.mark.parametrize("suffix", ["m4a", "mka"])
def test_as_many_channels_as_there_are_are_read(
    tmp_path: Path, suffix: str, layout: str, channels: int
) -> None:
    """Each channel has its own loudness."""
    loud = np.arange(1, channels + 1, dtype=np.float32) / 20
    values = np.ascontiguousarray((tone(300, 2) * loud).T.astype(np.float32))
    file = tmp_path / f"a.{suffix}"
    with av.open(str(file), "w") as output:
        track = output.add_stream("aac", rate=RATE, layout=layout)
        assert isinstance(track, av.AudioStream)
        track.bit_rate = 64_000 * channels
        # In planes of their own only where PyAV can fill them.
        block = av.AudioFrame.from_ndarray(values.T.reshape(1, -1), format="flt", layout=layout)
        block.sample_rate, block.pts = RATE, 0
        for frame in av.AudioResampler("fltp", layout, RATE, 1024).resample(block):
            output.mux(track.encode(frame))
        output.mux(track.encode())
    every = np.asarray(decode(Piece((file,), 0.5, 1.5), "waveform", SoundView(mono=False)))
    assert every.shape == (RATE, channels)
    levels = np.abs(every).max(axis=0)
    keep = [
        number for number in range(channels) if not (channels > 1 and number == 3)
    ]  # 3: low frequencies alone
    np.testing.assert_allclose(levels[keep], 0.5 * loud[keep], rtol=0.1)
