"""EPIC-Kitchens as videos: the real lists of MM-SADA, with placeholders of no bytes for the media."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mmbench.benchmark.domains import in_place
from mmbench.benchmark.job import Task
from mmbench.datasets.dataset import SPLITS, DataError, Samples
from mmbench.datasets.epic import Epic
from mmbench.datasets.media.clip import MediaSet, Piece
from mmbench.datasets.unpickle_frame import load_frame

KITCHENS = ("D1", "D2", "D3")


def touch(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole set, made from the lists by the rules that are written in section 1.1 of the notes."""
    place = os.environ.get("MMBENCH_TEST_DATA")
    if not place:
        pytest.skip("MMBENCH_TEST_DATA names no folder with epic-annotations")
    folder = tmp_path_factory.mktemp("epic")
    shutil.copytree(Path(place) / "epic-annotations", folder / "annotations")
    for kitchen in KITCHENS:
        for part in ("train", "test"):
            rows = load_frame(folder / "annotations" / f"{kitchen}_{part}.pkl")
            columns = ("video_id", "start_frame", "stop_frame", "verb_class")
            for video, start, stop, label in zip(*(rows[name].tolist() for name in columns), strict=True):
                touch(folder / f"video/{part}/{kitchen}/{kitchen}_{video}_{start}_{stop}_{label}.mp4")
                touch(folder / f"audio/{part}/{kitchen}/{video}.wav")
                half = -(-start // 2)
                end = half + int((stop - start) / 2)
                for axis in "uv":
                    touch(folder / f"flow/{part}/{kitchen}/{kitchen}_{video}_{half}_{end}_{label}_{axis}.mp4")
    return folder


@pytest.fixture(scope="module")
def found(tree: Path) -> MediaSet:
    return Epic().raw(tree)


def test_every_published_clip_is_there_with_all_its_media(found: MediaSet):
    assert dict(found.modalities) == {"video": "frames", "audio": "waveform", "flow": "flow"}
    assert len({clip.sample_id for clip in found.clips}) == len(found.clips) == 10_094
    for domain, (train, test) in {"d1": (1543, 435), "d2": (2495, 750), "d3": (3897, 974)}.items():
        counts = Counter(clip.split for clip in found.clips if clip.domain == domain)
        assert (counts["train"] + counts["valid"], counts["test"]) == (train, test)
    assert all(set(clip.media) == set(found.modalities) for clip in found.clips)
    # the published list names one clip of P22 twice
    assert [str(problem) for problem in found.problems] == [
        "D3_P22_08_17280_17853_4#2: D3_train.pkl: listed before, in D3_train.pkl"
    ]


def test_sound_is_cut_by_the_times_of_the_list(found: MediaSet, tree: Path):
    rows = load_frame(tree / "annotations/D2_test.pkl")
    clips = [clip for clip in found.clips if clip.domain == "d2" and clip.split == "test"]
    starts = pd.to_timedelta(pd.Series(rows["start_timestamp"])).dt.total_seconds().tolist()
    stops = pd.to_timedelta(pd.Series(rows["stop_timestamp"])).dt.total_seconds().tolist()
    pieces = [clip.media["audio"] for clip in clips]
    assert [piece.start for piece in pieces if isinstance(piece, Piece)] == pytest.approx(starts)
    assert [piece.stop for piece in pieces if isinstance(piece, Piece)] == pytest.approx(stops)
    assert [clip.label for clip in clips] == rows["verb_class"].tolist()


def test_a_fifth_of_the_recordings_validates_and_none_is_on_two_sides(found: MediaSet):
    for domain in ("d1", "d2", "d3"):
        clips = [clip for clip in found.clips if clip.domain == domain]
        videos = {split: {clip.video for clip in clips if clip.split == split} for split in SPLITS}
        assert not videos["train"] & videos["valid"]
        assert not (videos["train"] | videos["valid"]) & videos["test"]
        counts = Counter(clip.split for clip in clips)
        assert counts["valid"] / (counts["train"] + counts["valid"]) == pytest.approx(0.2, abs=0.02)
        assert {clip.label for clip in clips if clip.split == "valid"} == set(range(8))


def test_clips_of_a_recording_are_counted_in_the_order_of_time(found: MediaSet):
    videos = {clip.video for clip in found.clips}
    for video in sorted(videos)[:8]:
        clips = sorted((clip for clip in found.clips if clip.video == video), key=lambda clip: clip.number)
        assert [clip.number for clip in clips] == list(range(len(clips)))
        starts = [int(re.findall(r"_(\d+)_\d+_\d+(?:#2)?$", clip.sample_id)[0]) for clip in clips]
        assert starts == sorted(starts)


def as_samples(found: MediaSet) -> dict[str, Samples]:
    """The clips as a run knows them, with one number for the features."""
    splits = {}
    for split in SPLITS:
        clips = [clip for clip in found.clips if clip.split == split]
        ones = np.ones((len(clips), 1), dtype=bool)
        splits[split] = Samples(
            features={"video": np.zeros((len(clips), 1, 1), dtype=np.float32)},
            mask={"video": ones},
            present={"video": ones[:, 0]},
            target=np.array([clip.label for clip in clips]),
            sample_id=np.array([clip.sample_id for clip in clips]),
            domain=np.array([clip.domain for clip in clips]),
            previous=np.full(len(clips), -1),
        )
    return splits


def test_the_rules_as_published_give_the_published_lists(found: MediaSet, tree: Path):
    task = Task(("epic/d1", "epic/d2"), "epic/d3")
    roles = Epic.rules_as_published["roles"]
    for place, parts in {"epic/d1": {"train": 1543, "valid": 435}, "epic/d3": {"test": 974}}.items():
        given = in_place(as_samples(found), place, task, roles)
        for part, count in parts.items():
            assert len(given[part]) == count
    given = in_place(as_samples(found), "epic/d1", task, roles)
    listed = {part: load_frame(tree / f"annotations/D1_{part}.pkl") for part in ("train", "test")}
    for part, name in (("train", "train"), ("valid", "test")):
        frames = Counter(listed[name]["start_frame"].tolist())
        assert Counter(int(one.split("_")[3]) for one in given[part].sample_id.tolist()) == frames


def test_a_label_without_a_file_and_a_file_without_a_label_are_said(tree: Path, found: MediaSet):
    clip = next(clip for clip in found.clips if clip.domain == "d1" and clip.split == "test")
    flow, video = clip.media["flow"], clip.media["video"]
    assert isinstance(flow, Piece)
    assert isinstance(video, Piece)
    extra = tree / "video/train/D2/D2_P01_01_1_2_3.mp4"
    flow.files[1].unlink()
    touch(extra)
    try:
        again = Epic().raw(tree)
    finally:
        touch(flow.files[1])
        extra.unlink()
    assert len(again.clips) == len(found.clips)
    lost = next(one for one in again.clips if one.sample_id == clip.sample_id)
    assert set(lost.media) == {"video", "audio"}
    new = [str(problem) for problem in again.problems if problem not in found.problems]
    assert new == [
        f"{clip.sample_id} flow: {flow.files[1].relative_to(tree)}: no such file",
        f"no clip: {extra.relative_to(tree)}: no clip names this file",
    ]


def test_other_places_of_lists_and_media_are_found(tree: Path, tmp_path: Path):
    """The folder of MM-SADA with EPIC-mp4 in it, frames and sound in `rgb`, and no flow."""
    splits = tmp_path / "MM-SADA_Domain_Adaptation_Splits"
    shutil.copytree(tree / "annotations", splits)
    media = splits / "EPIC-mp4"
    media.mkdir()
    (media / "rgb").mkdir()
    for part in ("train", "test"):
        os.symlink(tree / "video" / part, media / "rgb" / part)
    found = Epic().raw(tmp_path)
    assert dict(found.modalities) == {"video": "frames", "audio": "waveform"}
    assert all("video" in clip.media for clip in found.clips)
    kinds = Counter((problem.modality, problem.reason) for problem in found.problems)
    assert kinds["flow", "no such folder: there is no flow"] == 1
    assert kinds["audio", "no such file"] == len(found.clips)


def test_a_missing_list_and_missing_media_are_one_line(real_data: Path, tmp_path: Path):
    with pytest.raises(DataError, match=r"epic: no list D1_train.pkl and 5 more in .*splits, annotations"):
        Epic().raw(tmp_path)
    shutil.copytree(real_data / "epic-annotations", tmp_path / "splits")
    with pytest.raises(DataError, match=r"epic: no media in .*expected folders .*video"):
        Epic().raw(tmp_path)
    (tmp_path / "splits/D2_test.pkl").unlink()
    with pytest.raises(DataError, match=r"epic: no list D2_test.pkl in .*splits; expected all in one"):
        Epic().raw(tmp_path)


WRONG = {
    "verb_class": (9, r"row 1, verb_class: 9; expected 0 to 7"),
    "start_timestamp": ("soon", r"row 1, start_timestamp: 'soon'; expected hours:minutes:seconds"),
    "video_id": ("../x", r"row 1, video_id: '../x'; expected letters"),
    "stop_frame": (2, r"row 1, stop_frame: 2; expected more than start_frame, 10"),
    "stop_timestamp": ("00:00:00.01", r"row 1, stop_timestamp: 0.01 s; expected after 1 s"),
}


@pytest.mark.parametrize("column", WRONG)
def test_a_wrong_row_is_named(tmp_path: Path, column: str):
    value, message = WRONG[column]
    rows = pd.DataFrame(
        {
            "video_id": ["P01_01", "P01_02"],
            "start_frame": [10, 10],
            "stop_frame": [20, 20],
            "start_timestamp": ["00:00:01.00"] * 2,
            "stop_timestamp": ["00:00:02.00"] * 2,
            "verb_class": [0, 7],
        }
    )
    rows.loc[1, column] = value
    (tmp_path / "video").mkdir()
    for kitchen in KITCHENS:
        for part in ("train", "test"):
            rows.to_pickle(tmp_path / f"{kitchen}_{part}.pkl")
    with pytest.raises(DataError, match=message):
        Epic().raw(tmp_path)
    rows.drop(columns=column).to_pickle(tmp_path / "D1_train.pkl")
    with pytest.raises(DataError, match=f"D1_train.pkl: {column}: missing"):
        Epic().raw(tmp_path)


def test_a_list_with_another_number_of_clips_is_a_problem(tree: Path, tmp_path: Path):
    shutil.copytree(tree / "annotations", tmp_path, dirs_exist_ok=True)
    shutil.copy(tmp_path / "D1_test.pkl", tmp_path / "D2_test.pkl")
    os.symlink(tree / "video", tmp_path / "video")
    reasons = {problem.file: problem.reason for problem in Epic().raw(tmp_path).problems}
    assert reasons["D2_test.pkl"] == "lists 435 clips where 750 are published"
