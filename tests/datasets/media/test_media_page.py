"""What the page about media shows works as it stands."""

from __future__ import annotations

import re
from pathlib import Path

from mmbench.datasets.chipsal import Chipsal
from mmbench.datasets.dataset import SPLITS
from mmbench.datasets.epic import Epic
from mmbench.datasets.media.clip import Piece
from mmbench.datasets.media.find import find_media
from mmbench.datasets.mosi import Mosi
from mmbench.datasets.pickles.unpickle_frame import load_frame

PAGE = (Path(__file__).parents[3] / "docs/media.md").read_text(encoding="utf-8")


def block(kind: str) -> str:
    """The first block of a kind: that of the drivers."""
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.S)[0]


def trees() -> dict[str, list[str]]:
    """Name of the set -> the paths shown below it."""
    found = {}
    for text in re.findall(r"```text\n(.*?)```", PAGE, re.S):
        first, *lines = text.splitlines()
        found[first.rstrip("/")] = [line.split("#")[0].strip() for line in lines]
    return found


def test_the_example_of_ones_own_clips_is_read(tmp_path: Path):
    folder = tmp_path / "drivers"
    files = re.findall(r"[\w/]+\.(?:mp4|wav)", block("csv"))
    files += [f"flow/d{number}_{axis}.mp4" for number in range(1, 5) for axis in "uv"]
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    (folder / "media.yaml").write_text(block("yaml"), encoding="utf-8")
    (folder / "clips.csv").write_text(block("csv"), encoding="utf-8")
    found = find_media("drivers", tmp_path)
    assert found.problems == ()
    assert {clip.split for clip in found.clips} == set(SPLITS)
    assert found.clips[0].split == found.clips[1].split  # both are of anna
    assert [clip.label for clip in found.clips] == [0, 1, 1, 0]
    assert {clip.domain for clip in found.clips} == {"Oslo", "Turin"}
    lacking = [set(found.modalities) - set(clip.media) for clip in found.clips]
    assert lacking == [set(), set(), {"text"}, {"video"}]
    assert found.clips[1].media["sound"] == Piece((folder / "rides/anna.wav",), 4.5, 9.2)
    assert found.clips[0].media["text"] == "Left here, please."


def test_the_tree_of_epic_is_where_its_first_clip_lies(tmp_path: Path, real_data: Path):
    lists, *media = trees()["epic"]
    folder = tmp_path / "epic"
    folder.mkdir()
    for name in lists.split():
        (folder / name).write_bytes((real_data / "epic-annotations" / name).read_bytes())
    shown = [*media, media[1].replace("_u.mp4", "_v.mp4")]
    for file in shown:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    clip = next(clip for clip in Epic().raw(folder).clips if "video" in clip.media)
    files = [file for piece in clip.media.values() if isinstance(piece, Piece) for file in piece.files]
    assert sorted(str(file.relative_to(folder)) for file in files) == sorted(shown)
    assert clip.label == load_frame(folder / "D1_train.pkl")["verb_class"][0]


def test_the_tree_of_hac_names_what_is_read(real_data: Path, tmp_path: Path):
    lists, *media = trees()["hac"]
    folder = tmp_path / "hac"
    folder.mkdir()
    for file in (real_data / "hac-splits").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    assert all((folder / name).is_file() for name in lists.split()[:2])
    shown = [
        f"{line.split()[0].rpartition('/')[0]}/{name.rpartition('/')[2]}"
        for line in media
        for name in line.split()
    ]
    shown = [name.replace("NAME", "SnyMPFLLgH4_000012_000022") for name in shown]
    for file in shown:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    (clip,) = [clip for clip in find_media("hac", tmp_path).clips if clip.media]
    files = [file for piece in clip.media.values() if isinstance(piece, Piece) for file in piece.files]
    assert sorted(str(file.relative_to(folder)) for file in files) == sorted(shown)


def test_the_tree_of_mmsa_names_what_is_read(tmp_path: Path):
    table, media = trees()["mosi"]
    (tmp_path / media).parent.mkdir(parents=True)
    (tmp_path / media).touch()
    (tmp_path / table).write_text("video_id,clip_id,text,label,mode\n03bSnISJMiM,11,so,1.5,train\n")
    (clip,) = Mosi().raw(tmp_path).clips
    assert clip.media["vision"] == clip.media["audio"] == Piece((tmp_path / media,))


def test_the_tree_of_chipsal_names_what_is_read(tmp_path: Path):
    table, image = trees()["chipsal"]
    (tmp_path / image).parent.mkdir(parents=True)
    for name in (image, image.replace("0001", "0002")):
        (tmp_path / name).write_text(name)
    (tmp_path / table).write_text("index,text,label\n0001,so,1\n0002,,0\n")
    found = Chipsal().raw(tmp_path)
    assert not found.problems
    assert found.clips[0].media == {"image": Piece((tmp_path / image,)), "text": "so"}
