"""The check of raw media: what is right passes, and each way to be wrong is found by its own check."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mmbench.benchmark.check.conformance import check_media
from mmbench.benchmark.cli.main import main
from mmbench.datasets.media.clip import MediaSet, Piece, Problem
from mmbench.datasets.media.own import read_own

YAML = """
table: clips.csv
modalities: {text: text, sound: waveform, flow: flow}
task: {kind: classification, classes: [calm, angry]}
"""
TABLE = """sample_id,split,label,text,sound,sound.start,sound.stop,flow_u,flow_v,video_id,clip_id
a,train,calm,x,a.wav,,2,a_u.mp4,a_v.mp4,one,0
b,valid,angry,y,a.wav,2,4,a_u.mp4,a_v.mp4,one,1
c,test,calm,z,a.wav,4,,a_u.mp4,a_v.mp4,two,0
d,train,calm,u,a.wav,6,,a_u.mp4,a_v.mp4,two,1
e,train,angry,v,a.wav,8,,a_u.mp4,a_v.mp4,two,2
"""


FILE = Path(__file__)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine").mkdir()
    for name, content in (
        ("media.yaml", YAML),
        ("clips.csv", TABLE),
        ("a.wav", ""),
        ("a_u.mp4", ""),
        ("a_v.mp4", ""),
    ):
        (tmp_path / "mine" / name).write_text(content)
    return tmp_path / "mine"


def failed(media: MediaSet) -> list[str]:
    return [result.reason for result in check_media(media) if not result.ok]


def test_what_is_right_passes(folder: Path):
    results = list(check_media(read_own(folder / "media.yaml")))
    assert all(result.ok for result in results)
    assert (results[-1].what, results[-1].reason) == ("5 clips are listed; problems: 0.", "")


def test_every_problem_is_told_and_fails(folder: Path):
    table = TABLE.replace("a_u.mp4,a_v.mp4,one", "a_u.mp4,none.mp4,one")
    table += "".join(f"n{place},test,calm,x,gone{place}.wav,,,,,three,{place}\n" for place in range(6))
    (folder / "clips.csv").write_text(table)
    media = read_own(folder / "media.yaml")
    wanted = [f"n{place} sound: gone{place}.wav: no such file" for place in range(6)]
    wanted += [f"{name} flow: none.mp4: no such file" for name in "ab"]
    last = list(check_media(media))[-1]
    assert last.what == "11 clips are listed; problems: 8."
    assert last.reason.splitlines() == wanted
    assert failed(media) == [f"8 problems, listed below; the first: {wanted[0]}"]
    assert failed(replace(media, problems=media.problems[:1]))[0].startswith("1 problem, listed below")


def test_what_is_a_fact_of_published_lists_is_told_and_no_failure(folder: Path):
    """One clip in both lists has the same files twice, and the publishers know it."""
    media = read_own(folder / "media.yaml")
    again = replace(media.clips[0], sample_id="a#2", split="test", number=9)
    twice = replace(media, clips=(*media.clips, again))
    assert failed(twice) == ["the same files and times, and no other text: a and a#2"]
    known = Problem("a#2", "", "train.csv", "listed before, in train.csv", published=True)
    assert failed(replace(twice, problems=(known,))) == []
    assert list(check_media(replace(twice, problems=(known,))))[-1].reason == str(known)


SAME: dict[str, tuple[dict[str, Piece | str], dict[str, Piece | str], bool]] = {
    "whole file": ({"sound": Piece((FILE,))}, {"sound": Piece((FILE,))}, True),
    "beginning": ({"sound": Piece((FILE,), None, 2.0)}, {"sound": Piece((FILE,), 0.0, 2.0)}, True),
    "roundabout": (
        {"sound": Piece((FILE,))},
        {"sound": Piece((FILE.parent / ".." / FILE.parent.name / FILE.name,))},
        True,
    ),
    "same text": ({"sound": Piece((FILE,)), "text": "x"}, {"sound": Piece((FILE,)), "text": "x "}, True),
    "another stretch": ({"sound": Piece((FILE,), None, 2.0)}, {"sound": Piece((FILE,), 2.0)}, False),
    "another question": (
        {"sound": Piece((FILE,)), "text": "x"},
        {"sound": Piece((FILE,)), "text": "y"},
        False,
    ),
    "texts alone": ({"text": "x"}, {"text": "x"}, False),
}


@pytest.mark.parametrize("name", SAME)
def test_two_clips_of_one_stretch_are_found_without_names_of_recordings(folder: Path, name: str):
    one, other, same = SAME[name]
    media = read_own(folder / "media.yaml")
    a, b, *more = (replace(clip, video="", number=0) for clip in media.clips)
    found = failed(replace(media, clips=(replace(a, media=one), replace(b, media=other), *more)))
    assert found == ["the same files and times, and no other text: a and b"] * same


def test_training_on_one_class_is_told(folder: Path):
    (folder / "clips.csv").write_text(TABLE.replace("e,train,angry", "e,train,calm"))
    assert failed(read_own(folder / "media.yaml")) == ["all clips in train are of one class: calm"]


def first(**changes: Any) -> Callable[[MediaSet], MediaSet]:
    return lambda media: replace(media, clips=(replace(media.clips[0], **changes), *media.clips[1:]))


def other(name: str, piece: Piece | str) -> Callable[[MediaSet], MediaSet]:
    return lambda media: first(media={**media.clips[0].media, name: piece})(media)


WRONG: dict[str, tuple[Callable[[MediaSet], MediaSet], str]] = {
    "id": (first(sample_id="b"), "sample ids that repeat or are empty: 'b'"),
    "split": (first(split="dev"), "unknown splits: 'dev'"),
    "empty split": (
        lambda media: replace(media, clips=tuple(clip for clip in media.clips if clip.split != "test")),
        "no clip is in test",
    ),
    "class": (first(label=2), "a: label 2"),
    "no index": (first(label=0.5), "a: label 0.5"),
    "modality": (other("smell", "x"), "smell is no modality"),
    "empty text": (other("text", " "), "a: text is empty"),
    "text file": (other("text", Piece((FILE,))), "a: text is no text"),
    "one part": (other("flow", Piece((FILE,))), "a: flow has 1 files, not 2"),
    "backwards": (other("sound", Piece((FILE,), 3.0, 1.0)), "a: sound lasts from 3.0 to 1.0 s"),
    "before": (other("sound", Piece((FILE,), -1.0)), "a: sound lasts from -1.0"),
    "nobody has it": (
        lambda media: replace(media, modalities={**media.modalities, "depth": "frames"}),
        "no clip has depth",
    ),
    "gone": (other("sound", Piece((FILE / "none.wav",))), "none.wav is not there"),
    "same place": (first(number=1), "given to two clips: one number 1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_each_way_to_be_wrong_is_found_by_one_check(folder: Path, name: str):
    change, message = WRONG[name]
    reasons = failed(change(read_own(folder / "media.yaml")))
    assert len(reasons) == 1
    assert message in reasons[0]


@pytest.mark.parametrize("score", [math.nan, math.inf, 1.1])
def test_scores_are_finite_and_in_range(folder: Path, score: float):
    about = YAML.replace("classification, classes: [calm, angry]", "regression, range: [-1, 1]")
    (folder / "media.yaml").write_text(about)
    (folder / "clips.csv").write_text(TABLE.replace("calm", "-1").replace("angry", "0.5"))
    right = read_own(folder / "media.yaml")
    assert all(result.ok for result in check_media(right))
    assert failed(first(label=score)(right)) == [f"a: label {score!r}"]


def test_the_command_checks_media_by_name_and_by_folder(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def run(*words: str) -> int:
        monkeypatch.setattr("sys.argv", ["mmbench", "check", "media", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    assert run("mine", "--data-root", str(folder.parent)) == 0
    assert "media mine keeps its contract" in capfd.readouterr().out
    assert run(str(folder)) == 0
    (folder / "a_v.mp4").rename(folder / "b_v.mp4")
    assert run(str(folder)) == 1
    said = capfd.readouterr().out
    for name in "abcde":  # all, a line each
        assert f"\n         {name} flow: a_v.mp4: no such file\n" in said
    (folder / "b_v.mp4").rename(folder / "a_v.mp4")
    (folder / "clips.csv").write_text(TABLE.replace("two,0", "one,1"))
    assert run(str(folder)) == 1
    assert "given to two clips" in capfd.readouterr().out
    assert run("nothing", "--data-root", str(folder.parent)) == 2
    assert "nothing: nothing in" in capfd.readouterr().err
