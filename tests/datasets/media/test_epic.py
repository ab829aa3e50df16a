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
from mmbench.benchmark.check.conformance import check_media
from mmbench.benchmark.core.task import Task
from mmbench.benchmark.data.domains import samples_of_place
from mmbench.datasets.dataset import SPLITS, DataError, Samples
from mmbench.datasets.epic import Epic
from mmbench.datasets.media.clip import MediaSet, Piece
from mmbench.datasets.pickles.unpickle_frame import load_frame

KITCHENS = ("D1", "D2", "D3")


def touch(file: str | Path) -> None:
    """A file of no bytes; tens of thousands are made, so without looking twice."""
    try:
        open(file, "xb").close()
    except FileNotFoundError:
        Path(file).parent.mkdir(parents=True)
        open(file, "xb").close()
    except FileExistsError:
        pass


ROWS = pd.DataFrame(
    {
        "video_id": ["P01_01", "P01_02"],
        "start_frame": [10, 11],
        "stop_frame": [20, 26],
        "start_timestamp": ["00:00:01.00", "00:01:00.50"],
        "stop_timestamp": ["00:00:02.00", "00:01:02.00"],
        "verb_class": [0, 7],
    }
)
NAMES = {"video": ["P01_01_10_20_0", "P01_02_11_26_7"], "flow": ["P01_01_5_10_0", "P01_02_6_13_7"]}


def write_small(
    lists: Path, media: Path, video: str = "video", audio: str = "audio", rows: pd.DataFrame = ROWS
):
    """Two clips in each of the six lists, with names worked out by hand."""
    lists.mkdir(parents=True, exist_ok=True)
    for kitchen in KITCHENS:
        for part in ("train", "test"):
            rows.to_pickle(lists / f"{kitchen}_{part}.pkl")
            for one, slow in zip(NAMES["video"], NAMES["flow"], strict=True):
                touch(media / f"{video}/{part}/{kitchen}/{kitchen}_{one}.mp4")
                touch(media / f"{audio}/{part}/{kitchen}/{one[:6]}.wav")
                for axis in "uv":
                    touch(media / f"flow/{part}/{kitchen}/{kitchen}_{slow}_{axis}.mp4")


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
                touch(f"{folder}/video/{part}/{kitchen}/{kitchen}_{video}_{start}_{stop}_{label}.mp4")
                touch(f"{folder}/audio/{part}/{kitchen}/{video}.wav")
                half = -(-start // 2)
                end = half + int((stop - start) / 2)
                for axis in "uv":
                    touch(f"{folder}/flow/{part}/{kitchen}/{kitchen}_{video}_{half}_{end}_{label}_{axis}.mp4")
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
    assert found.faults == ()
    assert [result.reason for result in check_media(found) if not result.ok] == []  # it is published so


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
        given = samples_of_place(as_samples(found), place, task, roles)
        for part, count in parts.items():
            assert len(given[part]) == count
    given = samples_of_place(as_samples(found), "epic/d1", task, roles)
    listed = {part: load_frame(tree / f"annotations/D1_{part}.pkl") for part in ("train", "test")}
    for part, name in (("train", "train"), ("valid", "test")):
        frames = Counter(listed[name]["start_frame"].tolist())
        assert Counter(int(one.split("_")[3]) for one in given[part].sample_id.tolist()) == frames


def others(found: MediaSet) -> list[str]:
    """All problems but that the lists are shorter than the published ones and name the same clips."""
    reasons = ("lists 2 clips where", "listed before")
    return [str(problem) for problem in found.problems if not problem.reason.startswith(reasons)]


def test_a_label_without_a_file_and_a_file_without_a_label_are_said(tmp_path: Path):
    write_small(tmp_path, tmp_path)
    whole = Epic().raw(tmp_path)
    assert others(whole) == []
    (tmp_path / "flow/test/D1/D1_P01_02_6_13_7_v.mp4").unlink()
    (tmp_path / "audio/test/D3/P01_01.wav").unlink()
    touch(tmp_path / "video/train/D2/D2_P01_01_1_2_3.mp4")
    found = Epic().raw(tmp_path)
    assert len(found.clips) == len(whole.clips)
    changed = {
        after.sample_id: set(before.media) - set(after.media)
        for before, after in zip(whole.clips, found.clips, strict=True)
        if before != after
    }
    assert changed == {"D1_P01_02_11_26_7#2": {"flow"}, "D3_P01_01_10_20_0#2": {"audio"}}
    assert others(found) == [
        "D1_P01_02_11_26_7#2 flow: flow/test/D1/D1_P01_02_6_13_7_v.mp4: no such file",
        "D3_P01_01_10_20_0#2 audio: audio/test/D3/P01_01.wav: no such file",
        "no clip: video/train/D2/D2_P01_01_1_2_3.mp4: no clip names this file",
    ]


@pytest.mark.parametrize("lists", ["", "splits", "annotations", "MM-SADA_Domain_Adaptation_Splits"])
@pytest.mark.parametrize("inside", ["", "EPIC-mp4"])
def test_other_places_of_lists_and_media_are_found(tmp_path: Path, lists: str, inside: str):
    folder = tmp_path / lists
    write_small(folder, folder / inside, "rgb", "rgb")
    shutil.rmtree(folder / inside / "flow")
    found = Epic().raw(tmp_path)
    assert dict(found.modalities) == {"video": "frames", "audio": "waveform"}
    assert all(set(clip.media) == {"video", "audio"} for clip in found.clips)
    assert len(others(found)) == 1
    assert others(found)[0].endswith("no such folder: there is no flow")
    first = found.clips[1].media["audio"]
    assert first == Piece((folder / inside / "rgb/train/D1/P01_02.wav",), 60.5, 62.0)


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
    "stop_frame": (2, r"row 1, stop_frame: 2; expected more than start_frame, 11"),
    "stop_timestamp": ("00:00:00.01", r"row 1, stop_timestamp: 0.01 s; expected after 60.5 s"),
}


@pytest.mark.parametrize("column", WRONG)
def test_a_wrong_row_is_named(tmp_path: Path, column: str):
    value, message = WRONG[column]
    rows = ROWS.copy()
    rows.loc[1, column] = value
    write_small(tmp_path, tmp_path, rows=rows)
    with pytest.raises(DataError, match=message):
        Epic().raw(tmp_path)
    rows.drop(columns=column).to_pickle(tmp_path / "D1_train.pkl")
    with pytest.raises(DataError, match=f"D1_train.pkl: {column}: missing"):
        Epic().raw(tmp_path)


def test_a_list_with_another_number_of_clips_is_a_problem(tmp_path: Path):
    write_small(tmp_path, tmp_path)
    problems = map(str, Epic().raw(tmp_path).problems)
    assert "no clip: D2_test.pkl: lists 2 clips where 750 are published" in problems
