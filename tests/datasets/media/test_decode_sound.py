"""Sound: cut to the sample, resampled, tiled; and what broken sound files give."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbench.datasets.media.clip import MediaError, Piece, SoundView
from mmbench.datasets.media.decode import decode
from scipy.signal import resample_poly

from .media_files import cut_off, tone, write_compressed, write_numbered_video, write_sound

RATE = 16_000
SECONDS = 3.0
STEREO = SoundView(RATE, mono=False)


def sound_of(
    file: Path, view: SoundView, start: float | None = None, stop: float | None = None
) -> np.ndarray:
    found = np.asarray(decode(Piece((file,), start, stop), "waveform", view))
    assert found.dtype == np.float32
    assert found.ndim == 2
    assert np.abs(found).max() <= 1
    return found


def coloured(seconds: float = SECONDS, channels: int = 2) -> np.ndarray:
    """Noise below half the band, [time, channel], the same for the same arguments."""
    draw = np.random.default_rng(0)
    noise = draw.standard_normal((round(seconds * RATE) // 4, channels))
    return (0.1 * resample_poly(noise, 4, 1)).clip(-1, 1).astype(np.float32)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sound")
    return {
        "wav": write_sound(folder / "a.wav", coloured()),
        "flac": write_sound(folder / "a.flac", coloured()),
        "ogg": write_sound(folder / "a.ogg", coloured()),
        "m4a": write_compressed(folder / "a.m4a", coloured()),
        "mp3": write_compressed(folder / "a.mp3", coloured(), codec="libmp3lame"),
        "mp4": write_numbered_video(folder / "a.mp4", 72, sound=coloured()),
        "mkv": write_numbered_video(folder / "a.mkv", 72, sound=coloured()),
    }


def whole(file: Path) -> np.ndarray:
    """All samples of a file from its beginning, without any jump."""
    if file.suffix in (".wav", ".flac", ".ogg"):
        return soundfile.read(file, dtype="float32")[0]
    with av.open(str(file)) as container:
        frames = list(container.decode(audio=0))
        first = frames[0]
        assert first.pts is not None
        assert first.time_base is not None
        lead = round((first.pts * float(first.time_base) - (container.start_time or 0) / 1e6) * RATE)
    samples = np.concatenate([frame.to_ndarray() for frame in frames], axis=1).T
    return np.concatenate([np.zeros((max(lead, 0), samples.shape[1]), np.float32), samples[max(-lead, 0) :]])


@pytest.mark.parametrize("name", ["wav", "flac", "ogg", "m4a", "mp3", "mp4"])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_stretch_is_cut_to_the_sample(files: dict[str, Path], name: str, data: st.DataObject) -> None:
    start = data.draw(st.floats(0, 2.9))
    stop = data.draw(st.floats(start + 0.001, 2.99))
    wanted = whole(files[name])[round(start * RATE) : round(stop * RATE)]
    found = sound_of(files[name], STEREO, start, stop)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_sound_in_matroska_is_cut_to_its_time_stamps_of_a_millisecond(files: dict[str, Path]) -> None:
    every = whole(files["mkv"])
    for start in (0.7, 1.9):
        found = sound_of(files["mkv"], STEREO, start, start + 0.5)
        assert len(found) == 8000
        moves = range(-20, 21)
        errors = [np.abs(every[round(start * RATE) + move :][:8000] - found).max() for move in moves]
        assert min(errors) < 1e-5
        assert abs(moves[int(np.argmin(errors))]) <= 0.001 * RATE


@pytest.mark.parametrize("name", ["m4a", "mp3", "mp4"])
def test_lossy_sound_lies_where_it_was_written(files: dict[str, Path], name: str) -> None:
    found, written = sound_of(files[name], STEREO, 0.5, 2.5)[:, 0], coloured()[8000:40000, 0]
    moves = np.arange(-40, 41)
    likeness = [np.corrcoef(found[40:-40], np.roll(written, move)[40:-40])[0, 1] for move in moves]
    assert moves[int(np.argmax(likeness))] == 0
    assert max(likeness) > 0.98


@pytest.mark.parametrize("new", [8_000, 22_050, 48_000])
def test_resampling_agrees_with_scipy(files: dict[str, Path], new: int) -> None:
    found = sound_of(files["wav"], SoundView(new, mono=False))
    wanted = resample_poly(coloured(), *np.array([new, RATE]) // np.gcd(new, RATE))
    assert abs(len(found) - SECONDS * new) <= 1
    inside = slice(new // 10, 2 * new)  # away from the ends, which each filter treats in its way
    np.testing.assert_allclose(found[inside], wanted[inside], atol=0.01)


def test_a_tone_keeps_its_frequency_at_another_rate(tmp_path: Path) -> None:
    file = write_sound(tmp_path / "a.wav", tone(1000, 1, 44_100), 44_100)
    found = sound_of(file, SoundView(8_000))[:, 0]
    assert len(found) == 8000
    assert np.argmax(np.abs(np.fft.rfft(found))) == 1000


def test_mono_is_the_mean_of_the_channels(files: dict[str, Path]) -> None:
    np.testing.assert_allclose(
        sound_of(files["wav"], SoundView()), coloured().mean(axis=1, keepdims=True), atol=1e-6
    )


@settings(max_examples=25, deadline=None)
@given(seconds=st.floats(0.01, 5), tile=st.booleans(), rate=st.sampled_from([8_000, 16_000]))
def test_seconds_cut_and_tiles_fill(files: dict[str, Path], seconds: float, tile: bool, rate: int) -> None:
    found = sound_of(files["wav"], SoundView(rate, seconds, tile), 1.0)
    every = sound_of(files["wav"], SoundView(rate), 1.0)
    length = round(seconds * rate) if tile else min(round(seconds * rate), len(every))
    assert len(found) == length
    kept = min(length, len(every)) - (40 if rate != RATE else 0)  # the filter reads beyond a cut
    np.testing.assert_allclose(found[: max(kept, 0)], every[: max(kept, 0)], atol=1e-6)
    if length > len(every):
        np.testing.assert_array_equal(found, np.resize(every, found.shape))


def reason(file: Path, start: float | None = None, stop: float | None = None) -> str:
    with pytest.raises(MediaError) as caught:
        decode(Piece((file,), start, stop), "waveform", SoundView())
    assert str(file) not in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_sound_that_is_not_finite_is_refused_where_it_lies(tmp_path: Path, value: float) -> None:
    sound = tone(300, 1)
    sound[12_000] = value
    file = write_sound(tmp_path / "a.wav", sound)
    assert reason(file) == "the sound holds NaN or infinity"
    assert reason(file, 0.7, 0.8) == "the sound holds NaN or infinity"
    assert len(sound_of(file, SoundView(), 0.0, 0.5)) == 8000


def test_a_cut_wav_is_refused_where_it_breaks_off(tmp_path: Path) -> None:
    file = write_sound(tmp_path / "a.wav", tone(300, 1))
    half = cut_off(file, file.stat().st_size // 2)
    assert "breaks off at 0." in reason(half)
    assert "ends at 0." in reason(half, 0.2, 0.9)
    assert len(sound_of(half, SoundView(), 0.1, 0.3)) == 3200
    assert "cannot be read as sound" in reason(cut_off(file, 20))
    assert reason(cut_off(file, 0)) == "the file is empty"


@pytest.mark.parametrize("name", ["flac", "ogg", "mp3", "m4a", "mp4", "mkv"])
@settings(max_examples=30, deadline=None)
@given(share=st.floats(0.01, 0.99), start=st.floats(0, 2.4))
def test_a_cut_file_gives_the_very_sound_or_says_that_it_is_cut(
    files: dict[str, Path], name: str, share: float, start: float
) -> None:
    file = files[name]
    if name in ("m4a", "mp4"):
        file = file.with_name(f"fast-{file.name}")
        if not file.exists() and name == "m4a":
            write_compressed(file, coloured(), movflags="faststart")
        elif not file.exists():
            write_numbered_video(file, 72, sound=coloured(), options={"movflags": "faststart"})
    cut = cut_off(file, int(share * file.stat().st_size))
    try:
        found = sound_of(cut, STEREO, start, start + 0.5)
    except MediaError:
        return
    finally:
        cut.unlink()
    np.testing.assert_allclose(found, sound_of(file, STEREO, start, start + 0.5), atol=1e-4)


@pytest.mark.parametrize("name", ["wav", "m4a", "mp3", "mp4"])
def test_stretches_that_are_not_in_the_sound_are_refused(files: dict[str, Path], name: str) -> None:
    assert "is empty" in reason(files[name], 1.0, 1.0)
    assert "begins at 7 s, but the sound ends at 3." in reason(files[name], 7.0)
    assert "reaches to 4 s, but the sound ends at 3." in reason(files[name], 1.0, 4.0)
    assert "is none of a file" in reason(files[name], -1.0, 1.0)
    assert reason(files[name], 0.9999999, 1.0) == "the stretch 0.9999999 s to 1 s holds no sample"
    assert reason(files[name], 0.1 + 0.2, 0.3) == "the stretch 0.3 s to 0.3 s is empty"


def test_files_without_sound_are_named_as_what_they_are(tmp_path: Path) -> None:
    assert reason(write_numbered_video(tmp_path / "a.mp4", 4)) == "has no sound"
    assert reason(tmp_path / "no.wav") == "there is no such file"
    assert reason(tmp_path) == "is a folder, not a file"
    for suffix in ("wav", "mp3"):
        words = tmp_path / f"words.{suffix}"
        words.write_text("no sound at all, " * 50)
        assert "cannot be" in reason(words)
    assert reason(write_sound(tmp_path / "none.wav", np.zeros((0, 1)))) == "holds no sound"


def test_sound_whose_channels_change_is_refused(tmp_path: Path) -> None:
    one, two = (
        write_compressed(tmp_path / f"{channels}.aac", coloured(1.0, channels)).read_bytes()
        for channels in (1, 2)
    )
    (tmp_path / "both.aac").write_bytes(one + two)
    assert "channels or rate change" in reason(tmp_path / "both.aac", 0.0, 1.5)
    assert len(sound_of(tmp_path / "1.aac", SoundView(), 0.0, 0.5)) == 8000
