"""Human-Animal-Cartoon as videos: the real lists, with placeholders of no bytes for the media."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from pathlib import Path

import pytest
from mmbench.benchmark.check.conformance import check_media
from mmbench.benchmark.data.domains import ROLES
from mmbench.datasets.dataset import SPLITS, DataError
from mmbench.datasets.hac import Hac
from mmbench.datasets.media.clip import MediaSet, Piece

PUBLISHED = {"human": (1111, 276), "animal": (730, 176), "cartoon": (870, 218)}


def rows_of(lists: Path, part: str, domain: str) -> list[list[str]]:
    with (lists / f"HAC_{part}_only_{domain}.csv").open() as stream:
        return list(csv.reader(stream))


def write_media(lists: Path, folder: Path) -> None:
    for domain in PUBLISHED:
        for kind in ("videos", "flow", "audio"):
            (folder / domain / kind).mkdir(parents=True)
        for name, _ in rows_of(lists, "train", domain) + rows_of(lists, "test", domain):
            stem = name[:-4]
            for file in (
                f"videos/{name}",
                f"audio/{stem}.wav",
                f"flow/{stem}_flow_x.mp4",
                f"flow/{stem}_flow_y.mp4",
            ):
                open(f"{folder}/{domain}/{file}", "wb").close()  # thousands of them: faster than Path.touch


@pytest.fixture
def tree(real_data: Path, tmp_path: Path) -> Path:
    """A whole set, lists and media in HAC_Splits as published."""
    folder = tmp_path / "hac"
    shutil.copytree(real_data / "hac-splits", folder / "HAC_Splits")
    write_media(folder / "HAC_Splits", folder / "HAC_Splits")
    return folder


def test_a_whole_set(tree: Path):
    found = Hac().raw(tree)
    lists = tree / "HAC_Splits"
    assert len({clip.sample_id for clip in found.clips}) == len(found.clips) == 3381
    for domain, (train, test) in PUBLISHED.items():
        clips = [clip for clip in found.clips if clip.domain == domain]
        counts = Counter(clip.split for clip in clips)
        assert (counts["train"] + counts["valid"], counts["test"]) == (train, test)
        assert counts["valid"] / train == pytest.approx(0.2, abs=0.01)
        listed = {
            part: Counter(int(row[1]) for row in rows_of(lists, part, domain)) for part in ("train", "test")
        }
        assert Counter(clip.label for clip in clips if clip.split == "test") == listed["test"]
        assert Counter(clip.label for clip in clips if clip.split != "test") == listed["train"]
    assert all(set(clip.media) == {"video", "audio", "flow"} for clip in found.clips)
    check_that_repeats_are_the_only_problems(found, lists)
    check_that_parts_of_a_video_stay_together(found)
    check_roles_as_published(found)
    name = "drinking_54 "  # with a space before the suffix, in the published list
    clip = next(clip for clip in found.clips if clip.sample_id == f"cartoon/{name}")
    assert clip.media["flow"] == Piece(
        (lists / f"cartoon/flow/{name}_flow_x.mp4", lists / f"cartoon/flow/{name}_flow_y.mp4")
    )


def check_that_repeats_are_the_only_problems(found: MediaSet, lists: Path) -> None:
    """24 clips of people are in both published lists."""
    both = {row[0] for row in rows_of(lists, "train", "human")} & {
        row[0] for row in rows_of(lists, "test", "human")
    }
    assert len(both) == 24
    assert {problem.sample_id for problem in found.problems} == {f"human/{name[:-4]}#2" for name in both}
    assert found.faults == found.problems  # they are trained on and tested
    assert {problem.reason for problem in found.problems} == {"listed before, in HAC_train_only_human.csv"}
    assert found.leaks == {f"human/{name[:-4]}" for name in both}
    left = found.without_leaks()
    assert len(left.clips) == len(found.clips) - 24
    parts = {
        split: {one.sample_id.partition("#")[0] for one in left.clips if one.split == split}
        for split in SPLITS
    }
    assert not parts["test"] & (parts["train"] | parts["valid"])
    assert len(parts["test"]) == sum(test for _, test in PUBLISHED.values())
    assert found.as_published().clips == found.clips
    assert not found.as_published().faults
    assert [result.reason for result in check_media(found) if not result.ok] == []  # it is published so


def check_that_parts_of_a_video_stay_together(found: MediaSet) -> None:
    sides: dict[str, set[str]] = {}
    for clip in found.clips:
        if clip.domain == "animal" and clip.split != "test" and clip.sample_id[-4] == "-":
            sides.setdefault(clip.sample_id[:-4], set()).add(clip.split)
    assert len(sides) > 50
    assert all(len(splits) == 1 for splits in sides.values())


def check_roles_as_published(found: MediaSet) -> None:
    """Train lists train, test lists validate, and all clips of the target are tested."""
    parts = ROLES[Hac.rules_as_published["roles"]]
    counts = {
        domain: Counter(clip.split for clip in found.clips if clip.domain == domain) for domain in PUBLISHED
    }
    for domain, (train, test) in PUBLISHED.items():
        assert sum(counts[domain][split] for split in parts["train"]) == train
        assert sum(counts[domain][split] for split in parts["valid"]) == test
        assert sum(counts[domain][split] for split in parts["test"]) == train + test
    assert set(parts["test"]) == set(SPLITS)


def write_small(folder: Path) -> None:
    for domain in PUBLISHED:
        for part in ("train", "test"):
            names = [f"{part}_{number}.mp4,{number}" for number in range(3)]
            (folder / f"HAC_{part}_only_{domain}.csv").write_text("\n".join(names) + "\n")
    write_media(folder, folder)


def test_a_label_without_a_file_and_a_file_without_a_label_are_said(tmp_path: Path):
    write_small(tmp_path)
    before = Hac().raw(tmp_path)
    (tmp_path / "human/flow/test_1_flow_x.mp4").unlink()
    (tmp_path / "animal/videos/test_9.mp4").touch()
    (tmp_path / "animal/videos/notes.txt").touch()
    after = Hac().raw(tmp_path)
    assert len(after.clips) == len(before.clips) == 18
    assert [str(problem) for problem in after.problems if problem not in before.problems] == [
        "human/test_1 flow: human/flow/test_1_flow_x.mp4: no such file",
        "no clip: animal/videos/test_9.mp4: no clip names this file",
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("x.mp4", r"row 2: x.mp4; expected NAME.mp4,CLASS"),
        ("x.mp4,7", r"row 2: class '7'; expected 0 to 6"),
        ("x.mp4,two", r"row 2: class 'two'"),
        ("x.avi,1", r"row 2: x.avi,1; expected NAME.mp4"),
        ("../../x.mp4,1", r"row 2: ../../x.mp4,1; expected NAME.mp4"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, line: str, message: str):
    write_small(tmp_path)
    (tmp_path / "HAC_test_only_animal.csv").write_text(f"a.mp4,0\n{line}\n")
    with pytest.raises(DataError, match=message) as caught:
        Hac().raw(tmp_path)
    assert "HAC_test_only_animal.csv" in str(caught.value)


def test_a_missing_list_and_missing_media_are_one_line(tmp_path: Path):
    with pytest.raises(DataError, match=r"hac: no list HAC_train_only_human.csv and 5 more"):
        Hac().raw(tmp_path)
    write_small(tmp_path)
    for domain in PUBLISHED:
        shutil.rmtree(tmp_path / domain)
    with pytest.raises(DataError, match=r"hac: no media in"):
        Hac().raw(tmp_path)
