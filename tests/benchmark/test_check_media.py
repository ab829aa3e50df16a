"""The check of raw media: what is right passes, and each way to be wrong is found by its own check."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mmbench.benchmark.check import check_media
from mmbench.benchmark.cli import main
from mmbench.datasets.media.clip import MediaSet, Piece
from mmbench.datasets.media.own import read_own

YAML = """
table: clips.csv
modalities: {text: text, sound: waveform, flow: flow}
task: {kind: classification, classes: [calm, angry]}
"""
TABLE = """sample_id,split,label,text,sound,sound.stop,flow_u,flow_v,video_id,clip_id
a,train,calm,x,a.wav,2,a_u.mp4,a_v.mp4,one,0
b,valid,angry,y,a.wav,,a_u.mp4,a_v.mp4,one,1
c,test,calm,z,a.wav,,a_u.mp4,none.mp4,two,0
"""


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


def test_what_is_right_passes_and_problems_are_told(folder: Path):
    results = list(check_media(read_own(folder / "media.yaml")))
    assert all(result.ok for result in results)
    assert results[-1].what == "3 clips are listed; problems: 1."
    assert results[-1].reason == "c flow: none.mp4: no such file"


def first(**changes: Any) -> Callable[[MediaSet], MediaSet]:
    return lambda media: replace(media, clips=(replace(media.clips[0], **changes), *media.clips[1:]))


def other(name: str, piece: Piece | str) -> Callable[[MediaSet], MediaSet]:
    return lambda media: first(media={**media.clips[0].media, name: piece})(media)


FILE = Path(__file__)
WRONG: dict[str, tuple[Callable[[MediaSet], MediaSet], str]] = {
    "id": (first(sample_id="b"), "sample ids that repeat or are empty: 'b'"),
    "split": (first(split="dev"), "unknown splits: 'dev'"),
    "empty split": (first(split="test"), "no clip is in train"),
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
    failed = [
        result.reason for result in check_media(change(read_own(folder / "media.yaml"))) if not result.ok
    ]
    assert len(failed) == 1
    assert message in failed[0]


@pytest.mark.parametrize("score", [math.nan, math.inf, 1.1])
def test_scores_are_finite_and_in_range(folder: Path, score: float):
    about = YAML.replace("classification, classes: [calm, angry]", "regression, range: [-1, 1]")
    (folder / "media.yaml").write_text(about)
    (folder / "clips.csv").write_text(TABLE.replace("calm", "-1").replace("angry", "0.5"))
    right = read_own(folder / "media.yaml")
    assert all(result.ok for result in check_media(right))
    failed = [result.reason for result in check_media(first(label=score)(right)) if not result.ok]
    assert failed == [f"AssertionError: a: label {score!r}"]


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
    (folder / "clips.csv").write_text(TABLE.replace("two,0", "one,1"))
    assert run(str(folder)) == 1
    assert "given to two clips" in capfd.readouterr().out
    assert run("nothing", "--data-root", str(folder.parent)) == 2
    assert "nothing: nothing in" in capfd.readouterr().err
