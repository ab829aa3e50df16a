"""The raw stand-ins of the action sets: layouts as published, classes in every modality, shifted domains."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mmbench.datasets.dataset import SYNTHETIC_MARK
from mmbench.datasets.media.clip import FrameView, Piece, SoundView
from mmbench.datasets.media.decode import decode
from mmbench.datasets.media.synthetic import FRAMES, RATE, write_action
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

CLASSES = 4
COUNTS = {"train": 24, "test": 16}


@pytest.fixture(scope="module")
def hac(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hac")
    write_action(folder, "hac", ("human", "animal"), CLASSES, COUNTS, seed=3)
    return folder


@pytest.fixture(scope="module")
def epic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("epic")
    write_action(folder, "epic", ("D1", "D2"), CLASSES, {"train": 12, "test": 6}, seed=3)
    return folder


def hac_rows(folder: Path, domain: str, split: str) -> list[tuple[str, int]]:
    with (folder / "HAC_Splits" / f"HAC_{split}_only_{domain}.csv").open(newline="") as stream:
        return [(Path(name).stem, int(label)) for name, label in csv.reader(stream)]


def epic_rows(folder: Path, domain: str, split: str) -> list[dict[Any, Any]]:
    table = pd.read_pickle(folder / "MM-SADA_Domain_Adaptation_Splits" / f"{domain}_{split}.pkl")
    assert isinstance(table, pd.DataFrame)
    return table.to_dict("records")


def pieces(folder: Path, domain: str, name: str) -> dict[str, Piece]:
    flow = tuple(folder / domain / "flow" / f"{name}_flow_{part}.mp4" for part in "xy")
    return {
        "video": Piece((folder / domain / "videos" / f"{name}.mp4",)),
        "flow": Piece(flow),
        "audio": Piece((folder / domain / "audio" / f"{name}.wav",)),
    }


def features(piece: Piece, modality: str) -> np.ndarray:
    """A few numbers of what was decoded: mean colours, mean motion, a coarse log spectrum."""
    if modality == "audio":
        power = np.abs(np.fft.rfft(np.asarray(decode(piece, "waveform", SoundView()))[:, 0])) ** 2
        return np.log(np.add.reduceat(power, np.geomspace(200, len(power) - 1, 24).astype(int)) + 1e-6)
    frames = np.asarray(
        decode(piece, "flow" if modality == "flow" else "frames", FrameView(32, crop="squash"))
    )
    middle = frames[:, :, 8:24, 8:24] / 255
    return middle.mean(axis=(0, 2, 3))


def table(folder: Path, domain: str, split: str, modality: str) -> tuple[np.ndarray, np.ndarray]:
    rows = hac_rows(folder, domain, split)
    found = [features(pieces(folder, domain, name)[modality], modality) for name, _ in rows]
    return np.array(found), np.array([label for _, label in rows])


@pytest.mark.parametrize("modality", ["video", "flow", "audio"])
def test_a_linear_probe_tells_the_classes_and_the_other_domain_is_shifted(hac: Path, modality: str) -> None:
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=10, max_iter=2000))
    probe.fit(*table(hac, "human", "train", modality))
    within = probe.score(*table(hac, "human", "test", modality))
    assert within >= 0.8  # chance is 0.25
    ours, theirs = (table(hac, domain, "train", modality) for domain in ("human", "animal"))
    spread = ours[0].std(axis=0)
    moves = [
        np.abs(ours[0][ours[1] == c].mean(0) - theirs[0][theirs[1] == c].mean(0)) / spread
        for c in range(CLASSES)
    ]
    assert np.max(moves) > 0.3


def test_hac_has_what_its_lists_name_and_nothing_else(hac: Path) -> None:
    for domain in ("human", "animal"):
        named = {split: [name for name, _ in hac_rows(hac, domain, split)] for split in COUNTS}
        assert {split: len(names) for split, names in named.items()} == COUNTS
        every = named["train"] + named["test"]
        assert len(set(every)) == len(every)
        wanted = {
            file for name in every for piece in pieces(hac, domain, name).values() for file in piece.files
        }
        assert wanted == {file for file in (hac / domain).rglob("*") if file.is_file()}


def test_epic_names_clips_by_frames_and_flow_by_half_of_them(epic: Path) -> None:
    recordings: dict[str, set[str]] = {}
    for domain in ("D1", "D2"):
        for split in ("train", "test"):
            rows = epic_rows(epic, domain, split)
            recordings[domain + split] = {row["video_id"] for row in rows}
            named = set()
            for row in rows:
                video, label = row["video_id"], row["verb_class"]
                start, stop = row["start_frame"], row["stop_frame"]
                named.add(f"video/{split}/{domain}/{domain}_{video}_{start}_{stop}_{label}.mp4")
                start, stop = math.ceil(start / 2), math.ceil(start / 2) + int((stop - start) / 2)
                for part in ("u", "v"):
                    named.add(f"flow/{split}/{domain}/{domain}_{video}_{start}_{stop}_{label}_{part}.mp4")
                begin, end = (
                    sum(float(part) * 60**place for place, part in enumerate(reversed(row[key].split(":"))))
                    for key in ("start_timestamp", "stop_timestamp")
                )
                recording = epic / "audio" / split / domain / f"{video}.wav"
                cut = np.asarray(decode(Piece((recording,), begin, end), "waveform", SoundView()))
                assert abs(len(cut) / 16_000 - FRAMES / RATE) <= 0.01
                assert np.sqrt((cut**2).mean()) > 0.2  # the tone, not the silence between clips
            there = (file for kind in ("video", "flow") for file in (epic / kind / split / domain).iterdir())
            assert named == {str(file.relative_to(epic)) for file in there}
        assert not recordings[f"{domain}train"] & recordings[f"{domain}test"]


def test_epic_lists_have_the_columns_and_types_of_the_published_ones(epic: Path) -> None:
    ours = pd.read_pickle(epic / "MM-SADA_Domain_Adaptation_Splits" / "D1_train.pkl")
    words = ["participant_id", "video_id", "narration", "start_timestamp", "stop_timestamp", "verb"]
    numbers = ["uid", "start_frame", "stop_frame", "verb_class"]
    assert set(ours.columns) == {*words, *numbers}
    assert all(ours[name].dtype == object and isinstance(ours[name][0], str) for name in words)
    assert all(ours[name].dtype == np.int64 for name in numbers)


def test_a_stand_in_is_marked_and_the_same_seed_gives_the_same_bytes(hac: Path, tmp_path: Path) -> None:
    assert (hac / "SYNTHETIC").read_text().startswith(SYNTHETIC_MARK)
    for seed, same in ((3, True), (4, False)):
        again = tmp_path / str(seed)
        write_action(again, "hac", ("human", "animal"), CLASSES, {"train": 2}, seed=seed)
        for file in ("human/videos/train_0001.mp4", "animal/audio/train_0000.wav"):
            assert ((again / file).read_bytes() == (hac / file).read_bytes()) is same
