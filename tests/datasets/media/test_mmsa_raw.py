"""The sentiment sets as videos. The table and the media are made here: no real transcripts are at hand in this
layout; the media are placeholders of no bytes."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from mmbench.datasets.dataset import DataError
from mmbench.datasets.media.clip import Clip, Piece
from mmbench.datasets.mosei import Mosei
from mmbench.datasets.mosi import Mosi
from mmbench.datasets.shared.sentiment import Sentiment
from mmbench.datasets.sims import Sims

HEADER = ("video_id", "clip_id", "text", "label", "label_T", "label_A", "label_V", "annotation", "mode")
ROWS = [
    ("03bSnISJMiM", "11", "A LOT OF SAD PARTS", "-2.4", "", "", "", "Negative", "train"),
    ("03bSnISJMiM", "2", "UH, WELL", "0.0", "", "", "", "Neutral", "train"),
    ("-HeZS2-Prhc", "0", "这部电影很好", "1", "", "", "", "Positive", "valid"),
    ("Af8D0E4ZXaw", "7", "  ", "3.0", "", "", "", "Positive", "test"),
]


def write(folder: Path, rows: list[tuple[str, ...]] = ROWS, digits: int = 0, encoding: str = "utf-8") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "label.csv").open("w", encoding=encoding, newline="") as stream:
        csv.writer(stream).writerows([HEADER, *rows])
    for video, clip, *_ in rows:
        (folder / "Raw" / video).mkdir(parents=True, exist_ok=True)
        (folder / "Raw" / video / f"{clip.zfill(digits)}.mp4").touch()
    return folder


def unpublished(dataset: Sentiment, folder: Path) -> list[str]:
    """The problems but the number of clips, which is not the published one in these small tables."""
    first, *rest = (str(problem) for problem in dataset.raw(folder).problems)
    assert "are published" in first
    return rest


@pytest.mark.parametrize("digits", [0, 4])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_clip_has_its_text_and_one_file_for_sound_and_frames(tmp_path: Path, digits: int, encoding: str):
    folder = write(tmp_path, digits=digits, encoding=encoding)
    found = Mosi().raw(folder)
    assert dict(found.modalities) == {"text": "text", "audio": "waveform", "vision": "frames"}
    assert (found.name, found.target) == ("mosi", Mosi.target)
    wanted = []
    for video, clip, text, label, *_, mode in ROWS:
        piece = Piece((folder / "Raw" / video / f"{clip.zfill(digits)}.mp4",))
        media = {"text": text, "audio": piece, "vision": piece}
        if not text.strip():
            del media["text"]
        wanted.append(Clip(f"{video}$_${clip}", mode, "", float(label), media, video, int(clip)))
    assert found.clips == tuple(wanted)
    assert unpublished(Mosi(), folder) == ["Af8D0E4ZXaw$_$7 text: label.csv: empty text"]


@pytest.mark.parametrize("dataset", [Mosi, Mosei, Sims])
def test_each_set_knows_how_many_clips_are_published(tmp_path: Path, dataset: type[Sentiment]):
    rows = [(*row[:3], "0.5", *row[4:]) for row in ROWS]
    found = dataset().raw(write(tmp_path, rows))
    count = {"mosi": 2199, "mosei": 22_856, "sims": 2281}[dataset.name]
    assert str(found.problems[0]) == f"no clip: label.csv: lists 4 clips where {count} are published"


def test_a_label_without_a_file_and_a_file_without_a_label_are_said(tmp_path: Path):
    folder = write(tmp_path)
    (folder / "Raw/03bSnISJMiM/2.mp4").unlink()
    (folder / "Raw/unknown").mkdir()
    (folder / "Raw/unknown/1.mp4").touch()
    (folder / "Raw/03bSnISJMiM/12.mp4").touch()
    assert unpublished(Mosi(), folder) == [
        "03bSnISJMiM$_$2 audio: Raw/03bSnISJMiM/2.mp4: no such file",
        "03bSnISJMiM$_$2 vision: Raw/03bSnISJMiM/2.mp4: no such file",
        "Af8D0E4ZXaw$_$7 text: label.csv: empty text",
        "no clip: Raw/03bSnISJMiM/12.mp4: no clip names this file",
        "no clip: Raw/unknown/1.mp4: no clip names this file",
    ]


WRONG = {
    "label": ("4", r"row 3, column label: '4'; expected -3 to 3"),
    "mode": ("dev", r"row 3, column mode: 'dev'; expected train, valid, test"),
    "clip_id": ("x", r"row 3, column clip_id: 'x'; expected a whole number"),
    "video_id": ("../x", r"row 3, column video_id: '../x'; expected the name of a folder"),
}


@pytest.mark.parametrize("column", WRONG)
def test_a_wrong_row_is_named(tmp_path: Path, column: str):
    value, message = WRONG[column]
    write(tmp_path)
    place = HEADER.index(column)
    rows = [(*row[:place], value, *row[place + 1 :]) if row is ROWS[1] else row for row in ROWS]
    with (tmp_path / "label.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([HEADER, *rows])
    with pytest.raises(DataError, match=message):
        Mosi().raw(tmp_path)


def test_a_missing_table_and_missing_media_are_one_line(tmp_path: Path):
    with pytest.raises(DataError, match=r"label.csv: is not there"):
        Sims().raw(tmp_path)
    (tmp_path / "label.csv").write_text(
        ",".join(HEADER) + "\n" + ",".join(ROWS[1]).replace("UH,", "UH") + "\n"
    )
    with pytest.raises(DataError, match=r"Raw: is not there; expected a folder with VIDEO/CLIP.mp4"):
        Sims().raw(tmp_path)
    (tmp_path / "Raw").mkdir()
    (tmp_path / "label.csv").write_text("video_id,clip_id,txt,label,mode\na,1,x,0,train\n")
    with pytest.raises(DataError, match=r"no column 'text' \(do you mean 'txt'\?\)"):
        Sims().raw(tmp_path)
