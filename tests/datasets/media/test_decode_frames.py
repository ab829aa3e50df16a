"""Which frame of a video is taken for which time, against decoding everything; and what cut files give."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbench.datasets.media.clip import FrameView, MediaError, Piece, SoundView, TextView
from mmbench.datasets.media.decode import decode

from .media_files import cut_off, number_of, numbered, tone, write_flow, write_numbered_video, write_video

LENGTH = 60


@dataclass(frozen=True)
class Whole:
    """A video decoded whole: the time stamps of its frames and the numbers that they show."""

    file: Path
    tick: Fraction
    stamps: list[int]
    numbers: list[int]
    end: int


def numbers(file: Path, view: FrameView, start: float | None = None, stop: float | None = None) -> list[int]:
    return [number_of(frame) for frame in np.asarray(decode(Piece((file,), start, stop), "frames", view))]


def view(frames: int = 8, interval: int | None = None, rate: float | None = None) -> FrameView:
    return FrameView(80, frames, interval, crop="squash", rate=rate)


def uneven(seed: int = 0) -> list[float]:
    """Times of frames between 5 and 200 ms apart."""
    return np.cumsum(np.r_[0, np.random.default_rng(seed).uniform(0.005, 0.2, LENGTH - 1)]).tolist()


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Whole]:
    folder = tmp_path_factory.mktemp("videos")
    sound = tone(300, LENGTH / 24)
    files = {
        "constant": write_numbered_video(folder / "a.mp4", LENGTH, sound=sound),
        "odd rate": write_numbered_video(folder / "b.mp4", LENGTH, rate=Fraction(30000, 1001), key_every=25),
        "variable": write_numbered_video(folder / "c.mp4", LENGTH, times=uneven()),
        "variable, in ms": write_numbered_video(folder / "d.mkv", LENGTH, times=uneven(1)),
        "offset": write_numbered_video(folder / "e.ts", LENGTH),
        "old": write_numbered_video(folder / "f.avi", LENGTH, codec="mpeg4"),
    }
    return {name: decoded_whole(file) for name, file in files.items()}


def decoded_whole(file: Path) -> Whole:
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        offset = round(Fraction(container.start_time or 0, 1_000_000) / stream.time_base)
        found = []
        for frame in container.decode(video=0):
            stamp = frame.pts if frame.pts is not None else frame.dts
            assert stamp is not None
            picture = frame.to_ndarray(format="rgb24").transpose(2, 0, 1)
            found.append((stamp - offset, number_of(picture), frame.duration))
    stamps = [stamp for stamp, _, _ in found]
    assert stamps == sorted(stamps)
    end = stamps[-1] + found[-1][2]
    if (
        stream.duration is not None
    ):  # what the header promises; a guess at how long the last frame is shown may not fit
        end = min(end, (stream.start_time or 0) + stream.duration - offset)
    return Whole(file, stream.time_base, stamps, [n for _, n, _ in found], end)


def expected(whole: Whole, start: float, stop: float, frames: int, step: float | None) -> list[int]:
    """The numbers by the documented rule, from the list of all time stamps; ``step`` in seconds."""

    def tick(time: float) -> int:
        return round(time / whole.tick)

    def shown(time: int) -> int:
        return max([place for place, stamp in enumerate(whole.stamps) if stamp <= time], default=0)

    begin, after = tick(start), max(tick(stop), tick(start) + 1)
    places = list(range(shown(begin), shown(after - 1) + 1))
    if step is not None:
        times = [start + place * step for place in range(frames)]
        picked = [min(shown(tick(time)), places[-1]) for time in times]
    elif len(places) < frames:
        picked = places + [places[-1]] * (frames - len(places))
    else:
        part = (stop - start) / frames
        picked = [shown(min(tick(start + (place + 0.5) * part), after - 1)) for place in range(frames)]
    return [whole.numbers[place] for place in picked]


@pytest.mark.parametrize("name", ["constant", "odd rate", "variable", "variable, in ms", "offset", "old"])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_frames_are_those_found_by_decoding_everything(
    videos: dict[str, Whole], name: str, data: st.DataObject
) -> None:
    whole = videos[name]
    end = float(whole.end * whole.tick)
    start = data.draw(st.floats(0, end * 0.95))
    stop = data.draw(st.floats(start + 0.01, end)) if start + 0.01 < end else end
    frames = data.draw(st.integers(1, 12))
    interval = data.draw(st.none() | st.integers(1, 9))
    rate = data.draw(st.sampled_from([5.0, 24.0, 60.0])) if interval else None
    step = interval / rate if interval and rate else None
    found = numbers(whole.file, view(frames, interval, rate), start, stop)
    assert found == expected(whole, start, stop, frames, step)


@pytest.mark.parametrize("name", ["constant", "odd rate", "offset", "old"])
def test_every_frame_of_a_constant_rate_is_found_at_its_time(videos: dict[str, Whole], name: str) -> None:
    whole = videos[name]
    every = [numbers(whole.file, view(1, 1), float(stamp * whole.tick))[0] for stamp in whole.stamps]
    assert every == whole.numbers == list(range(LENGTH))


@pytest.mark.parametrize("name", ["constant", "odd rate", "offset", "old"])
def test_an_interval_takes_every_nth_frame_and_then_repeats_the_last(
    videos: dict[str, Whole], name: str
) -> None:
    file = videos[name].file
    assert numbers(file, view(10, 3)) == list(range(0, 30, 3))
    assert numbers(file, view(8, 9)) == [0, 9, 18, 27, 36, 45, 54, 59]


def test_frames_are_spread_as_centres_of_equal_parts(videos: dict[str, Whole]) -> None:
    assert numbers(videos["constant"].file, view(4), 0.5, 2.5) == [18, 30, 42, 54]


def test_a_stretch_of_fewer_frames_repeats_its_last(videos: dict[str, Whole]) -> None:
    assert numbers(videos["constant"].file, view(6), 0.5, 0.6) == [12, 13, 14, 14, 14, 14]


def test_a_late_stretch_is_reached_without_decoding_what_lies_before(
    videos: dict[str, Whole], tmp_path: Path
) -> None:
    """The frames before the key frame are overwritten: they can be decoded no more, and need not be."""
    whole = videos["constant"]
    with av.open(str(whole.file)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.pos is not None and p.size]
    content = bytearray(whole.file.read_bytes())
    for position, size in places[:24]:
        content[position : position + size] = bytes(size)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(content)
    assert numbers(broken, view(4), 2.0, 2.5) == numbers(whole.file, view(4), 2.0, 2.5)
    with pytest.raises(MediaError, match=r"damaged|breaks off"):
        numbers(broken, view(4), 0.2, 0.5)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@settings(max_examples=40, deadline=None)
@given(share=st.floats(0.02, 0.95), start=st.floats(0, 2), length=st.floats(0.05, 0.5))
def test_a_cut_file_gives_the_very_frames_or_says_that_it_is_cut(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, share: float, start: float, length: float
) -> None:
    folder = tmp_path_factory.getbasetemp() / f"cut-{suffix}"
    folder.mkdir(exist_ok=True)
    file = folder / f"whole.{suffix}"
    if not file.exists():
        write_numbered_video(file, LENGTH, options={"movflags": "faststart"} if suffix == "mp4" else {})
    cut = cut_off(file, int(share * file.stat().st_size))
    reason, found = "", []
    try:
        found = numbers(cut, view(), start, start + length)
    except MediaError as error:
        reason = str(error)
    if reason:
        assert re.search("cut|breaks off|damaged|ends at", reason)
    else:
        assert found == numbers(file, view(), start, start + length)
    with pytest.raises(MediaError):
        decode(Piece((cut,)), "frames", view(LENGTH))
    cut.unlink()


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(["constant", "variable, in ms", "offset", "old"]),
    damage=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=40)), min_size=1, max_size=4),
)
def test_whatever_is_wrong_with_a_file_is_a_media_error(
    videos: dict[str, Whole], name: str, damage: list[tuple[float, bytes]]
) -> None:
    content = bytearray(videos[name].file.read_bytes())
    for share, garbage in damage:
        place = int(share * (len(content) - len(garbage)))
        content[place : place + len(garbage)] = garbage
    file = videos[name].file.with_name(f"damaged-{videos[name].file.name}")
    file.write_bytes(content)
    found: list[np.ndarray] = []
    with contextlib.suppress(MediaError):
        found.append(np.asarray(decode(Piece((file,)), "frames", view(4))))
    assert all(frames.shape == (4, 3, 80, 80) for frames in found)
    with contextlib.suppress(MediaError):
        found.append(np.asarray(decode(Piece((file,)), "waveform", SoundView())))
    assert all(np.isfinite(media).all() for media in found)


def test_sound_and_the_file_handle_do_not_stay_behind(videos: dict[str, Whole], tmp_path: Path) -> None:
    whole = videos["constant"].file
    cut = cut_off(whole, 3000)

    def handles() -> int:
        return len(os.listdir("/proc/self/fd"))

    def read_all() -> None:
        for _ in range(50):
            decode(Piece((whole,), 0.5, 1.0), "frames", view(2))
            decode(Piece((whole,), 0.5, 1.0), "waveform", SoundView())
            with pytest.raises(MediaError):
                decode(Piece((cut,)), "frames", view(2))

    before = handles()
    read_all()
    assert handles() == before


def test_decoding_starts_no_threads(videos: dict[str, Whole]) -> None:
    seen, done = [], threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.append(len(os.listdir("/proc/self/task")))
            done.wait(0.001)

    watcher = threading.Thread(target=watch)
    before = len(os.listdir("/proc/self/task"))
    watcher.start()
    for _ in range(10):
        decode(Piece((videos["constant"].file,)), "frames", view())
    done.set()
    watcher.join()
    assert len(seen) > 10
    assert max(seen) == before + 1


def test_a_turned_video_comes_upright(tmp_path: Path) -> None:
    """The display matrix of the track is written as a telephone held upright does: a quarter turn."""
    lying = np.zeros((64, 96, 3), np.uint8)
    lying[:, :32] = 255  # white on the left becomes white on top
    file = write_video(tmp_path / "a.mp4", [lying] * 4)
    content = bytearray(file.read_bytes())
    matrix = content.index(b"tkhd") + 44
    words = (0, 0x10000, 0, -0x10000 & 0xFFFFFFFF, 0, 0)
    content[matrix : matrix + 24] = b"".join(word.to_bytes(4, "big") for word in words)
    file.write_bytes(content)
    upright = np.asarray(decode(Piece((file,)), "frames", view(1)))[0].mean(axis=0)
    assert upright[:20].min() > 230
    assert upright[34:].max() < 25


def test_flow_is_the_grey_values_of_both_files(tmp_path: Path) -> None:
    pair = write_flow(tmp_path, "x", 24)
    flow = np.asarray(decode(Piece(pair), "flow", FrameView(32, frames=24)))
    assert flow.shape == (24, 2, 32, 32)
    assert flow.dtype == np.uint8
    wanted = np.stack([40 + np.arange(24), 200 - np.arange(24)], axis=1)[..., None, None]
    assert np.abs(flow.astype(int) - wanted).max() <= 2
    with pytest.raises(MediaError, match=r"vertical flow \(no.mp4\) there is no such file"):
        decode(Piece((pair[0], tmp_path / "no.mp4")), "flow", FrameView(32))
    with pytest.raises(MediaError, match="expected 2"):
        decode(Piece(pair[:1]), "flow", FrameView(32))
    with pytest.raises(MediaError, match="expected 1"):
        decode(Piece(pair), "frames", FrameView(32))


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
@pytest.mark.parametrize(
    ("frames", "size", "rate", "reason"),
    [
        (10, (64, 64), 10, None),
        (9, (64, 64), 10, None),  # the last frame is lost
        (5, (64, 64), 10, "its two parts differ: 10 and 5 frames"),
        (10, (32, 32), 10, "its two parts differ: 64 x 64 and 32 x 32 pixels"),
        (10, (64, 64), 5, "its two parts differ: 1.000 and 2.000 s"),
    ],
)
def test_two_parts_of_a_flow_must_fit_each_other(
    tmp_path: Path, suffix: str, frames: int, size: tuple[int, int], rate: int, reason: str | None
) -> None:
    codec = "mpeg4" if suffix == "avi" else "libx264"
    one = write_video(tmp_path / f"u.{suffix}", [numbered(0, (64, 64))] * 10, rate=10, codec=codec)
    other = write_video(tmp_path / f"v.{suffix}", [numbered(0, size)] * frames, rate=rate, codec=codec)
    if reason is None:
        assert np.asarray(decode(Piece((one, other)), "flow", FrameView(16, 4))).shape == (4, 2, 16, 16)
        return
    with pytest.raises(MediaError) as caught:
        decode(Piece((one, other)), "flow", FrameView(16, 4))
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("start", "stop", "reason"),
    [
        (1.0, 1.0, "is empty"),
        (1.0, 0.5, "is empty"),
        (2.5, None, "begins at 2.5 s, but the video ends at 2.500 s"),
        (7.0, 8.0, "begins at 7 s"),
        (2.0, 2.7, "reaches to 2.7 s, but the video ends at 2.500 s"),
        (-0.5, 1.0, "is none of a file"),
        (float("nan"), 1.0, "is none of a file"),
        (0.0, float("inf"), "is none of a file"),
    ],
)
def test_a_stretch_that_is_not_in_the_file_is_refused(
    videos: dict[str, Whole], start: float, stop: float | None, reason: str
) -> None:
    with pytest.raises(MediaError, match=reason):
        numbers(videos["constant"].file, view(), start, stop)


def test_a_stretch_may_end_where_rounding_puts_it(videos: dict[str, Whole]) -> None:
    assert numbers(videos["constant"].file, view(4), 2.0, 2.55) == numbers(
        videos["constant"].file, view(4), 2.0
    )


def test_files_that_are_none_are_named_as_what_they_are(videos: dict[str, Whole], tmp_path: Path) -> None:
    def reason(file: Path) -> str:
        with pytest.raises(MediaError) as caught:
            decode(Piece((file,)), "frames", view())
        assert str(file) not in str(caught.value)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("no video at all, " * 100)
    assert reason(tmp_path / "none.mp4") == "there is no such file"
    assert reason(tmp_path) == "is a folder, not a file"
    assert reason(tmp_path / "empty.mp4") == "the file is empty"
    assert "cut or damaged" in reason(tmp_path / "text.mp4")
    whole = videos["constant"].file
    assert "cut or damaged" in reason(cut_off(whole, whole.stat().st_size // 2))  # its index lay at the end
    sound = tmp_path / "sound.wav"
    sound.write_bytes(b"")
    assert reason(sound) == "the file is empty"


def test_a_file_that_may_not_be_read_is_said_so(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody who may not read")
    file = write_numbered_video(tmp_path / "a.mp4", 4)
    file.chmod(0o600)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and "pytest" in str(folder):
            folder.chmod(0o755)
    os.seteuid(65534)
    try:
        with pytest.raises(MediaError, match="may not be read"):
            decode(Piece((file,)), "frames", view())
    finally:
        os.seteuid(0)


def test_text_is_stripped_and_never_empty(tmp_path: Path) -> None:
    assert decode("  What a  FILM!\n", "text", TextView()) == "What a  FILM!"
    assert decode("ÄÖ", "text", TextView(lower=True)) == "äö"
    file = tmp_path / "a.txt"
    file.write_text("Grüße\n", encoding="utf-8")
    assert decode(Piece((file,)), "text", TextView()) == "Grüße"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MediaError, match="UTF-8"):
        decode(Piece((file,)), "text", TextView())
    for nothing in ("", " \n\t"):
        with pytest.raises(MediaError, match="empty"):
            decode(nothing, "text", TextView())


def test_a_view_of_another_medium_is_a_mistake_of_the_program(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="frames cannot be read with a SoundView"):
        decode(Piece((tmp_path / "a.mp4",)), "frames", SoundView())
    with pytest.raises(TypeError, match="cannot be decoded as waveform"):
        decode("a text", "waveform", SoundView())
