"""Raw stand-ins of the two sets of actions: small videos, flow and sound in the layouts that the sets come in.

What is planted, for a clip of class c of C in domain d (constants below):

* video: a disc whose hue is c / C of the colour circle, moving in the direction c / C of a turn, over a grey
  texture whose brightness is the domain's.
* flow: the motion of that disc.
* audio: a tone, c / C of the way up two octaves, with noise.
* all of them are moved by SHIFT of the distance of two classes from one domain to the next, and by noise of JITTER
  of that distance: video tells most, sound least.

All that is random comes from (seed, dataset, domain, split, number): the same seed gives the same files.
"""

from __future__ import annotations

import colorsys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..dataset import SYNTHETIC_FILE, SYNTHETIC_MARK
from ..libraries import import_guard

if TYPE_CHECKING:
    import av

SIZE, FRAMES, RATE = 64, 16, 24  # of a video; flow has half the frames at half the rate
SOUND_RATE = 16_000
SHIFT = 0.25
JITTER = {"video": 0.1, "flow": 0.15, "audio": 0.2}
SPEED = 40.0  # pixels a second
RADIUS = 12.0
LOWEST, OCTAVES = 440.0, 2.0  # of the tones
RECORDING = 5  # clips in one recording of EPIC, one a second

#: Where the layouts keep the lists of clips.
HAC_LISTS, EPIC_LISTS = "HAC_Splits", "MM-SADA_Domain_Adaptation_Splits"


@dataclass(frozen=True)
class _Made:
    """A clip: frames [time, height, width, 3], flow [2, time, height, width], sound [time]."""

    label: int
    frames: np.ndarray
    flow: np.ndarray
    sound: np.ndarray


def write_action(
    folder: Path,
    dataset: Literal["hac", "epic"],
    domains: Sequence[str],
    classes: int,
    counts: Mapping[str, int],
    seed: int = 0,
) -> None:
    """Writes a raw stand-in of HAC or EPIC-Kitchens; a clip takes some 15 ms.

    HAC: ``DOMAIN/videos/X.mp4``, ``DOMAIN/flow/X_flow_x.mp4`` and ``_flow_y.mp4``, ``DOMAIN/audio/X.wav``; lists
    ``HAC_Splits/HAC_SPLIT_only_DOMAIN.csv`` of file name and label, without a head.

    EPIC: ``video/SPLIT/DOMAIN/DOMAIN_VIDEO_START_STOP_LABEL.mp4`` with frame numbers of the recording,
    ``flow/SPLIT/DOMAIN/DOMAIN_VIDEO_HALF_STOP_LABEL_u.mp4`` and ``_v.mp4`` with those of the flow at half the rate
    (ceil(START / 2), and half as many frames), and the sound of a whole recording in
    ``audio/SPLIT/DOMAIN/VIDEO.wav``; lists ``MM-SADA_Domain_Adaptation_Splits/DOMAIN_SPLIT.pkl``, pandas tables.

    A file ``SYNTHETIC`` says what this is.

    Args:
        folder: made where it is not there.
        dataset: whose layout.
        domains: their names in file names: ``human``, or ``D1``.
        classes: how many.
        counts: split -> clips of each domain.
        seed: of everything.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SYNTHETIC_FILE).write_text(f"{SYNTHETIC_MARK} for {dataset}, seed {seed}\n", encoding="utf-8")
    for place, domain in enumerate(domains):
        recordings = 0
        for split, count in counts.items():
            names = (dataset, domain, split)
            made = (_clip(number % classes, classes, place, seed, names, number) for number in range(count))
            if dataset == "hac":
                _write_hac(folder, domain, split, made)
            else:
                _write_epic(folder, domain, split, made, f"P{place + 1:02d}", recordings)
            recordings += -(-count // RECORDING)


def _write_hac(folder: Path, domain: str, split: str, clips: Iterator[_Made]) -> None:
    rows = []
    for kind in ("videos", "flow", "audio"):
        (folder / domain / kind).mkdir(parents=True, exist_ok=True)
    for number, clip in enumerate(clips):
        name = f"{split}_{number:04d}"
        rows.append(f"{name}.mp4,{clip.label}\n")
        _write_video(folder / domain / "videos" / f"{name}.mp4", clip.frames, RATE)
        for part, grey in zip("xy", clip.flow, strict=True):
            _write_video(folder / domain / "flow" / f"{name}_flow_{part}.mp4", _grey(grey), RATE // 2)
        _write_sound(folder / domain / "audio" / f"{name}.wav", clip.sound)
    lists = folder / HAC_LISTS
    lists.mkdir(exist_ok=True)
    (lists / f"HAC_{split}_only_{domain}.csv").write_text("".join(rows), encoding="utf-8")


def _write_epic(
    folder: Path, domain: str, split: str, clips: Iterator[_Made], person: str, before: int
) -> None:
    """``before``: how many recordings of the person the splits written so far have."""
    import pandas as pd

    places = {kind: folder / kind / split / domain for kind in ("video", "flow", "audio")}
    for kind in places.values():
        kind.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, str | int]] = []
    recordings: dict[str, np.ndarray] = {}
    for number, clip in enumerate(clips):
        video, second = f"{person}_{before + number // RECORDING + 1:02d}", number % RECORDING
        start = second * RATE + 1
        stop = start + FRAMES
        half = -(-start // 2)
        _write_video(places["video"] / f"{domain}_{video}_{start}_{stop}_{clip.label}.mp4", clip.frames, RATE)
        for part, grey in zip("uv", clip.flow, strict=True):
            name = f"{domain}_{video}_{half}_{half + FRAMES // 2}_{clip.label}_{part}.mp4"
            _write_video(places["flow"] / name, _grey(grey), RATE // 2)
        sound = recordings.setdefault(video, np.zeros(RECORDING * SOUND_RATE, np.float32))
        sound[second * SOUND_RATE :][: len(clip.sound)] = clip.sound
        rows.append(
            {
                "uid": number,
                "participant_id": person,
                "video_id": video,
                "narration": f"action {clip.label}",
                "start_timestamp": f"00:00:{second:05.2f}",
                "stop_timestamp": f"00:00:{second + FRAMES / RATE:05.2f}",
                "start_frame": start,
                "stop_frame": stop,
                "verb": f"action-{clip.label}",
                "verb_class": clip.label,
            }
        )
    for video, sound in recordings.items():
        _write_sound(places["audio"] / f"{video}.wav", sound)
    lists = folder / EPIC_LISTS
    lists.mkdir(exist_ok=True)
    table = pd.DataFrame(rows)
    words = {name: object for name, value in (rows[0] if rows else {}).items() if isinstance(value, str)}
    table.astype(words).to_pickle(lists / f"{domain}_{split}.pkl", protocol=4)


def _clip(label: int, classes: int, place: int, seed: int, names: Sequence[str], number: int) -> _Made:
    """One clip; ``place`` is the number of its domain."""
    keys = [seed, *(zlib.crc32(name.encode()) for name in names), number]
    draw = np.random.default_rng(np.random.SeedSequence(keys))

    def turn(modality: str) -> float:
        """Where on the circle of classes the clip lies, in 0 to 1."""
        return (label + SHIFT * place + JITTER[modality] * draw.standard_normal()) / classes % 1.0

    hue, direction, pitch = turn("video"), turn("flow"), turn("audio")
    step = np.array([np.cos(2 * np.pi * direction), np.sin(2 * np.pi * direction)])  # right, down
    middle = SIZE / 2 + draw.normal(0, 3, 2)
    seconds = (np.arange(FRAMES) - (FRAMES - 1) / 2) / RATE
    across, down = (middle[axis] + SPEED * step[axis] * seconds for axis in (0, 1))
    pixels = np.arange(SIZE) + 0.5
    distance = np.hypot(pixels - across[:, None, None], pixels[:, None] - down[:, None, None])
    disc = np.clip(RADIUS - distance + 0.5, 0, 1)[..., None]  # a soft edge
    texture = 60 + 50 * (place % 3) + draw.normal(0, 12, (1, SIZE, SIZE, 1))
    colour = 255 * np.array(colorsys.hsv_to_rgb(hue, 0.85, 0.9))
    frames = disc * colour + (1 - disc) * texture
    moving = disc[::2, ..., 0]
    flow = np.stack([128 + 100 * part * moving for part in step]) + draw.normal(0, 3, (2, *moving.shape))

    time = np.arange(FRAMES * SOUND_RATE // RATE) / SOUND_RATE
    tone = np.sin(2 * np.pi * LOWEST * 2 ** (OCTAVES * pitch) * time + draw.uniform(0, 2 * np.pi))
    sound = 0.4 * tone + (0.03 + 0.03 * place) * draw.standard_normal(len(time))
    return _Made(label, _bytes(frames), _bytes(flow), np.clip(sound, -1, 1).astype(np.float32))


def _bytes(values: np.ndarray) -> np.ndarray:
    return values.round().clip(0, 255).astype(np.uint8)


def _grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=-1)


def _write_video(file: Path, frames: np.ndarray, rate: int) -> None:
    """Writes frames [time, height, width, 3] as H.264."""
    with import_guard("av", "writing videos"):
        import av

    with av.open(str(file), "w") as container:
        stream: av.VideoStream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        stream.options = {"preset": "ultrafast", "crf": "18"}
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def _write_sound(file: Path, sound: np.ndarray) -> None:
    with import_guard("soundfile", "writing sound"):
        import soundfile

    soundfile.write(file, sound, SOUND_RATE, subtype="PCM_16")
