"""Files that clips name and that a disk holds: those that cannot be had are told, each by itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
from mmbench.datasets.media.clip import Piece
from mmbench.datasets.media.own import read_own

from .test_own import ROWS, changed, write


def test_one_bad_entry_of_a_folder_spoils_no_other(tmp_path: Path):
    file = write(tmp_path, rows=[*ROWS, ("d", "test", "street", "calm", "v/d.mp4", "", "", "", "")])
    for name, target in {"loop.mp4": "loop.mp4", "d.mp4": "d.mp4", "gone.mp4": "nowhere.mp4"}.items():
        (tmp_path / "v" / name).symlink_to(target)
    (tmp_path / "v/b.mp4").unlink()
    (tmp_path / "v/b.mp4").mkdir()
    found = read_own(file)
    assert sorted(found.clips[0].media) == ["audio", "text", "video"]
    assert [str(problem) for problem in found.problems] == [
        "b video: v/b.mp4: is a folder, not a file",
        "d video: v/d.mp4: cannot be opened: Too many levels of symbolic links",
        "d: clips.csv: no media",
    ]


@pytest.mark.parametrize("stored", ["NFC", "NFD"])
@pytest.mark.parametrize("named", ["NFC", "NFD"])
def test_files_are_found_in_either_form_of_unicode(tmp_path: Path, stored: Any, named: Any):
    """A zip from a Mac holds names whose accents are apart from their letters."""
    names = ("été/réveil.mp4", "été/Zoë.mp4", "all.wav")
    disk = [normalize(stored, name) for name in names]
    rows = changed(0, "video", normalize(named, names[0]))
    rows[1] = changed(1, "video", normalize(named, names[1]))[1]
    found = read_own(write(tmp_path, rows=rows, files=disk))
    assert found.problems == ()
    pieces = [clip.media["video"] for clip in found.clips[:2]]
    assert pieces == [Piece((tmp_path / name,)) for name in disk[:2]]
    (tmp_path / disk[1]).unlink()
    problems = [f"b video: {normalize(named, names[1])}: no such file"]
    assert [str(problem) for problem in read_own(tmp_path / "media.yaml").problems] == problems


def test_where_both_forms_are_there_each_name_has_its_own_file(tmp_path: Path):
    names = [normalize(form, "é.mp4") for form in ("NFC", "NFD")]
    rows = changed(0, "video", names[0])
    rows[1] = changed(1, "video", names[1])[1]
    found = read_own(write(tmp_path, rows=rows, files=[*names, "all.wav"]))
    assert found.problems == ()
    assert [clip.media["video"] for clip in found.clips[:2]] == [Piece((tmp_path / name,)) for name in names]


def folder_told(file: Path, reason: str) -> None:
    """That the folder v is told, and each clip in it."""
    assert [str(problem) for problem in read_own(file).problems] == [
        *(f"{name} video: v/{name}.mp4: its folder cannot be listed: {reason}" for name in "ab"),
        f"no clip: v: this folder cannot be listed: {reason}",
    ]


def test_a_folder_that_cannot_be_listed_is_told_with_its_reason(tmp_path: Path):
    folder_told(write(tmp_path, files=("all.wav", "v")), "Not a directory")


def test_a_folder_that_may_not_be_listed_is_told_with_its_reason(tmp_path: Path):
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody who may not read")
    file = write(tmp_path)
    (tmp_path / "v").chmod(0o700)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and "pytest" in str(folder):
            folder.chmod(0o755)
    os.seteuid(65534)
    try:
        folder_told(file, "Permission denied")
    finally:
        os.seteuid(0)
