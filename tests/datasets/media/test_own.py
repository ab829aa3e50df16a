"""A folder of one's own clips. The media are placeholders of a few bytes: nothing is decoded here."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmbench.datasets.dataset import SPLITS, DataError
from mmbench.datasets.media.clip import Clip, Piece, Turn
from mmbench.datasets.media.own import read_own

CLASSES = ["calm", "angry"]
HEADER = ("sample_id", "split", "domain", "label", "video", "audio", "audio.start", "audio.stop", "text")
ROWS = [
    ("a", "train", "home", "calm", "v/a.mp4", "all.wav", "", "2.5", "so, it is over"),
    ("b", "valid", "home", "1", "v/b.mp4", "all.wav", "2.5", "00:01:05.50", "é"),
    ("c", "test", "street", "angry", "", "all.wav", "01:06", "", "x"),
]


ABOUT: dict[str, Any] = {
    "table": "clips.csv",
    "modalities": {"video": "frames", "audio": "waveform", "text": "text"},
    "task": {"kind": "classification", "classes": CLASSES},
}


def write(
    folder: Path,
    about: Mapping[str, Any] | None = None,
    rows: Sequence[Sequence[str]] = ROWS,
    header: Sequence[str] = HEADER,
    files: Sequence[str] = ("v/a.mp4", "v/b.mp4", "all.wav"),
) -> Path:
    """A folder with a table, a description and placeholders; the description's path."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "clips.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"media")
    file = folder / "media.yaml"
    file.write_text(yaml.safe_dump(ABOUT | dict(about or {})), encoding="utf-8")
    return file


def changed(row: int, column: str, value: str) -> list[tuple[str, ...]]:
    """The rows with another cell."""
    place = HEADER.index(column)
    return [
        (*cells[:place], value, *cells[place + 1 :]) if number == row else cells
        for number, cells in enumerate(ROWS)
    ]


def test_every_cell_has_its_place_in_a_clip(tmp_path: Path):
    found = read_own(write(tmp_path, {"title": "Mine", "synthetic": True}))
    assert found.problems == ()
    assert dict(found.modalities) == {"video": "frames", "audio": "waveform", "text": "text"}
    assert (found.name, found.title, found.synthetic) == (tmp_path.name, "Mine", True)
    sound = (tmp_path / "all.wav",)
    assert found.clips == (
        Clip("a", "train", "home", 0, {"video": Piece((tmp_path / "v/a.mp4",)), "audio": Piece(sound, None, 2.5),
                                       "text": "so, it is over"}),
        Clip("b", "valid", "home", 1, {"video": Piece((tmp_path / "v/b.mp4",)), "audio": Piece(sound, 2.5, 65.5),
                                       "text": "é"}),
        Clip("c", "test", "street", 1, {"audio": Piece(sound, 66.0, None), "text": "x"}),
    )  # fmt: skip


TALK = {"conversation": {"id": "dialogue", "order": "turn", "speaker": "who"}}


def talk(*turns: tuple[str, str, str]) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    """The rows, each with its place in a conversation, and their header."""
    return [(*row, *turn) for row, turn in zip(ROWS, turns, strict=True)], (
        *HEADER,
        "dialogue",
        "turn",
        "who",
    )


def test_clips_stand_in_conversations_and_these_keep_together(tmp_path: Path):
    rows, header = talk(("d1", "2", "anna"), ("d1", "1.5", "ben"), ("d2", "1", "anna"))
    found = read_own(write(tmp_path, TALK, rows, header))
    assert [clip.turn for clip in found.clips] == [
        Turn("d1", 2.0, "anna"), Turn("d1", 1.5, "ben"), Turn("d2", 1.0, "anna"),
    ]  # fmt: skip
    header = (*HEADER, "dialogue", "turn", "who")
    rows = [(f"{n}", *ROWS[0][1:], f"d{n // 4}", str(n), "anna") for n in range(40)]
    shares = {"train": 0.6, "valid": 0.2, "test": 0.2}
    drawn = read_own(
        write(tmp_path / "drawn", {**TALK, "split": {"shares": shares, "seed": 1}}, rows, header)
    )
    parts = {(clip.turn.conversation, clip.split) for clip in drawn.clips if clip.turn}
    assert len(parts) == 10
    assert {split for _, split in parts} == set(SPLITS)


BAD_TALK = {
    "order": (("d1", "late", "a"), ("d1", "2", "b"), "row 2, column turn: 'late'; expected a number"),
    "infinite": (("d1", "inf", "a"), ("d1", "2", "b"), "row 2, column turn: 'inf'"),
    "no speaker": (("d1", "1", ""), ("d1", "2", "b"), "row 2, column who: empty; expected a name"),
    "no name": (("", "1", "a"), ("d1", "2", "b"), "row 2, column dialogue: empty"),
    "twice": (("d1", "2", "a"), ("d1", "2.0", "b"), "2.0 again in conversation d1, first in row 2; expected each place"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_TALK)
def test_a_wrong_place_in_a_conversation_names_row_and_column(tmp_path: Path, name: str):
    first, second, words = BAD_TALK[name]
    rows, header = talk(first, second, ("d2", "1", "c"))
    with pytest.raises(DataError) as caught:
        read_own(write(tmp_path, TALK, rows, header))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_conversation_is_told_whole(tmp_path: Path):
    rows, header = talk(("d1", "1", "a"), ("d1", "2", "b"), ("d2", "1", "c"))
    with pytest.raises(DataError, match="conversation/speaker: missing"):
        read_own(write(tmp_path, {"conversation": {"id": "dialogue", "order": "turn"}}, rows, header))
    other = {"conversation": {**TALK["conversation"], "speaker": "whom"}}
    with pytest.raises(DataError, match="no column 'whom' \\(do you mean 'who'"):
        read_own(write(tmp_path, other, rows, header))


@pytest.mark.parametrize("name", ["mine", "réveil-2.1_b", "3"])
def test_a_set_may_have_a_name_of_its_own(tmp_path: Path, name: str):
    assert read_own(write(tmp_path, {"name": name})).name == name


def test_parquet_says_the_same_as_csv(tmp_path: Path):
    file = write(tmp_path)
    columns = {name: [row[place] for row in ROWS] for place, name in enumerate(HEADER)}
    table: dict[str, list[Any]] = dict(columns)
    table["audio.start"], table["audio.stop"] = [None, 2.5, 66.0], [2.5, 65.5, None]
    pq.write_table(pa.table(table), tmp_path / "clips.parquet")
    plain = read_own(file)
    file.write_text(yaml.safe_dump(ABOUT | {"table": "clips.parquet"}), encoding="utf-8")
    assert read_own(file).clips == plain.clips


def test_flow_has_two_files_by_columns_or_by_a_pattern(tmp_path: Path):
    header, rows = ("sample_id", "split", "label", "flow_u", "flow_v"), []
    for name, split in zip("abc", SPLITS, strict=True):
        rows.append((name, split, "0", f"f/{name}_u.mp4", f"f/{name}_v.mp4"))
    files = [cell for row in rows for cell in row[3:]]
    patterns = ["f/{sample_id}_u.mp4", "f/{sample_id}_v.mp4"]
    found = []
    for number, flow in enumerate(["flow", {"medium": "flow", "file": patterns}]):
        folder = tmp_path / str(number)
        media = read_own(write(folder, {"modalities": {"flow": flow}}, rows, header, files))
        assert media.problems == ()
        pieces = [clip.media["flow"] for clip in media.clips]
        found.append([[file.relative_to(folder) for file in p.files] for p in pieces if isinstance(p, Piece)])
    assert found[0] == found[1] == [[Path(u), Path(v)] for *_, u, v in rows]


def test_columns_may_have_other_names_and_splits_other_words(tmp_path: Path):
    header = ("id", "fold", "who", "mood", "said", "film", "number")
    rows = [("a", "0", "x", "-0.5", "one", "f", "2"), ("b", "dev", "x", "3", "two", "f", "10"),
            ("c", "held", "y", "-3", "three", "g", "0")]  # fmt: skip
    about = {
        "modalities": {"text": {"medium": "text", "column": "said"}},
        "task": {"kind": "regression", "range": [-3, 3]},
        "sample_id": "id",
        "split": {"column": "fold", "values": {0: "train", "dev": "valid", "held": "test"}},
        "domain": "who",
        "label": "mood",
        "video": "film",
        "clip": "number",
    }
    assert read_own(write(tmp_path, about, rows, header, ())).clips == (
        Clip("a", "train", "x", -0.5, {"text": "one"}, "f", 2, group="f"),
        Clip("b", "valid", "x", 3.0, {"text": "two"}, "f", 10, group="f"),
        Clip("c", "test", "y", -3.0, {"text": "three"}, "g", 0, group="g"),
    )


def test_a_part_of_a_table_is_a_set_and_names_its_groups(tmp_path: Path):
    file = write(tmp_path, {"rows": {"domain": "home"}, "group": "domain", "split": "none"})
    assert [(clip.sample_id, clip.split, clip.group) for clip in read_own(file).clips] == [
        ("a", "train", "home"), ("b", "train", "home"),
    ]  # fmt: skip
    file = write(tmp_path, {"rows": {"split": ["train", "test"], "domain": ["home", "street"]}})
    assert [(clip.sample_id, clip.split) for clip in read_own(file).clips] == [("a", "train"), ("c", "test")]


def test_where_nobody_says_who_speaks_all_are_one(tmp_path: Path):
    rows, header = talk(("d1", "1", "a"), ("d1", "2", ""), ("d2", "1", "c"))
    about = {"conversation": {**TALK["conversation"], "speaker": "none"}}
    found = read_own(write(tmp_path, about, rows, header))
    assert len({clip.turn.speaker for clip in found.clips if clip.turn}) == 1


@pytest.mark.parametrize("path", ["\0/a.mp4", "v/\0.mp4", "é\0/a.mp4", "v/é\0.mp4"])
def test_a_path_with_a_null_character_is_no_file(tmp_path: Path, path: str):
    found = read_own(write(tmp_path, rows=changed(0, "video", path), files=("v/b.mp4", "all.wav")))
    assert [str(problem) for problem in found.problems] == [f"a video: {path}: no such file"]


def test_what_is_missing_or_left_over_is_a_problem_and_no_clip_is_dropped(tmp_path: Path):
    rows = changed(2, "text", "")
    rows = [*rows, ("d", "test", "street", "calm", "v/none.mp4", "", "", "", "")]
    files = ("v/a.mp4", "all.wav", "v/more.mp4", "v/notes.txt")
    found = read_own(write(tmp_path, rows=rows, files=files))
    assert [clip.sample_id for clip in found.clips] == ["a", "b", "c", "d"]
    media = [["audio", "text", "video"], ["audio", "text"], ["audio"], []]
    assert [sorted(clip.media) for clip in found.clips] == media
    assert [str(problem) for problem in found.problems] == [
        "b video: v/b.mp4: no such file",
        "d video: v/none.mp4: no such file",
        "d: clips.csv: no media",
        "no clip: v/more.mp4: no clip names this file",
    ]


WRONG_TABLES: dict[str, tuple[list[Any], str]] = {
    "class": (changed(1, "label", "angri"), "row 3, column label: unknown class 'angri' (do you mean 'angry'?)"),
    "class index": (changed(1, "label", "2"), "row 3, column label: unknown class '2'"),
    "no label": (changed(0, "label", ""), "row 2, column label: no label"),
    "split": (changed(2, "split", "tst"), "row 4, column split: unknown split 'tst' (do you mean 'test'?)"),
    "no split": (changed(2, "split", ""), "row 4, column split: no split"),
    "lost split": (changed(2, "split", "valid"), "no clip of clips.csv is in test"),
    "id twice": (changed(2, "sample_id", "a"), "row 4, column sample_id: 'a' again, first in row 2"),
    "no id": (changed(2, "sample_id", " "), "row 4, column sample_id: empty"),
    "time": (changed(0, "audio.start", "soon"), "row 2, column audio.start: 'soon'; expected seconds"),
    "negative time": (changed(0, "audio.start", "-1"), "row 2, column audio.start: '-1'"),
    "just before": (
        [(*cells[:6], "2.4999999", "2.4999998", *cells[8:]) for cells in ROWS],
        "row 2, column audio.stop: 2.4999998; expected later than the start, 2.4999999",
    ),
    "stop first": (changed(1, "audio.stop", "2"), "row 3, column audio.stop: 2; expected later than the start"),
    "short row": ([ROWS[0][:-1], *ROWS[1:]], "row 2: 8 cells"),
    "comma": ([(*ROWS[0], "more"), *ROWS[1:]], "row 2: 10 cells (a comma in a text needs quotes"),
    "no rows": ([], "no clips; expected at least one row"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_TABLES)
def test_a_wrong_cell_is_named_by_file_row_and_column(tmp_path: Path, name: str):
    rows, message = WRONG_TABLES[name]
    with pytest.raises(DataError) as caught:
        read_own(write(tmp_path, rows=rows))
    assert message in str(caught.value)
    assert "clips.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


REGRESSION = {"kind": "regression", "range": [-1, 1]}
SHARES = {"train": 0.4, "valid": 0.3, "test": 0.3}
WRONG_YAML: dict[str, tuple[dict[str, Any], str]] = {
    "entry": ({"modalitys": {}}, "unknown entry 'modalitys' (do you mean 'modalities'?)"),
    "medium": ({"modalities": {"video": "frame"}}, "modalities/video/medium: 'frame' (do you mean 'frames'?)"),
    "column": ({"modalities": {"vido": "frames"}}, "no column 'vido' (do you mean 'video'?)"),
    "place": ({"modalities": {"v": {"medium": "frames", "file": "{sampleid}.mp4"}}}, "no column 'sampleid'"),
    "both": ({"modalities": {"v": {"medium": "frames", "file": "x", "column": "video"}}}, "column and file"),
    "one flow": ({"modalities": {"f": {"medium": "flow", "column": "video"}}}, "expected two names"),
    "text file": ({"modalities": {"t": {"medium": "text", "file": "{sample_id}.txt"}}}, "given for a text"),
    "modality name": ({"modalities": {"a+b": "text"}}, "a modality named 'a+b'"),
    "score": ({"task": REGRESSION}, "row 2, column label: 'calm'; expected -1 to 1"),
    "task": ({"task": {"kind": "classify", "classes": 3}}, "task/kind: 'classify' (do you mean 'classification'?)"),
    "named column": ({"domain": "speaker"}, "no column 'speaker'"),
    "clip without video": ({"clip": "text"}, "video: missing"),
    "table": ({"table": "clip.csv"}, "clip.csv: is not there"),
    "table kind": ({"table": "clips.xlsx"}, "expected .csv, .tsv, .parquet"),
    "split word": ({"split": {"column": "split", "values": {"train": "trian"}}}, "(do you mean 'train'?)"),
    "two ways": ({"split": {"column": "split", "seed": 1}}, "split/seed: given beside a column"),
    "no seed": ({"split": {"group": "domain", "shares": SHARES}}, "split/seed: missing"),
    "no group": ({"split": {"shares": SHARES, "seed": 1}}, "split/group: missing"),
    "few groups": ({"split": {"group": "domain", "shares": SHARES, "seed": 1}}, "has 2 groups for 3 splits"),
    "sum": ({"split": {"shares": SHARES | {"test": 0.4}, "seed": 1}}, "split/shares: their sum is 1.1"),
    "path": ({"name": "../evil"}, "name: '../evil'; expected letters, digits, - _ . with a letter or digit first"),
    "two folders": ({"name": "a/b"}, "name: 'a/b'"),
    "two names": ({"name": "a,b"}, "name: 'a,b'"),
    "line": ({"name": "a\n"}, r"name: 'a\n'"),
    "hidden": ({"name": ".a"}, "name: '.a'"),
    "no name": ({"name": ""}, "name: ''"),
    "nearly one": ({"split": {"shares": SHARES | {"test": 0.300002}, "seed": 1}}, "their sum is 1.000002; expected 1"),
    "rows column": ({"rows": {"domian": "home"}}, "rows: unknown entry 'domian' (do you mean 'domain'?)"),
    "rows value": ({"rows": {"domain": "hom"}}, "rows/domain: no row of clips.csv has 'hom' (do you mean 'home'?)"),
    "group column": ({"group": "who"}, "no column 'who'"),
    "no share": ({"split": {"shares": {"train": 1}, "seed": 1}}, "split/shares/valid: missing"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_YAML)
def test_a_wrong_entry_is_named_with_what_is_meant(tmp_path: Path, name: str):
    about, message = WRONG_YAML[name]
    with pytest.raises(DataError) as caught:
        read_own(write(tmp_path, about))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_a_split_it_is_said_how_to_give_one_and_the_advice_works(tmp_path: Path):
    header = [name for name in HEADER if name != "split"]
    rows = [[cell for name, cell in zip(HEADER, row, strict=True) if name != "split"] for row in ROWS]
    with pytest.raises(
        DataError, match=r"nothing says which clip is in which split.*column 'split'"
    ) as caught:
        read_own(write(tmp_path, None, rows, header))
    advice = str(caught.value).partition("groups: split: ")[2].replace("COLUMN", "sample_id")
    found = read_own(write(tmp_path, {"split": yaml.safe_load(advice)}, rows, header))
    assert {clip.split for clip in found.clips} == set(SPLITS)


def test_a_misspelt_time_is_not_passed_over(tmp_path: Path):
    header = ["audio.strat" if name == "audio.start" else name for name in HEADER]
    with pytest.raises(DataError, match=r"column 'audio.strat' \(do you mean 'audio.start'\?\)"):
        read_own(write(tmp_path, header=header))


WORD = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12)
SENTENCE = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=20).map(str.strip)
TIME = st.one_of(st.none(), st.floats(0, 1e5, allow_nan=False).map(lambda value: round(value, 3)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(data=st.data())
def test_any_table_comes_back_as_it_was_written(tmp_path: Path, data: st.DataObject):
    ids = data.draw(st.lists(WORD, min_size=3, max_size=8, unique=True))
    splits = [
        *SPLITS,
        *data.draw(st.lists(st.sampled_from(SPLITS), min_size=len(ids) - 3, max_size=len(ids) - 3)),
    ]
    rows, wanted = [], []
    for sample_id, split in zip(ids, splits, strict=True):
        label, text, start = data.draw(st.integers(0, 1)), data.draw(SENTENCE), data.draw(TIME)
        stop = None if start is None else start + 1
        domain = data.draw(WORD)
        named = data.draw(st.booleans())
        cells = [CLASSES[label] if named else str(label), "all.wav"]
        cells += ["" if value is None else repr(value) for value in (start, stop)]
        rows.append((sample_id, split, domain, *cells, text))
        media: dict[str, Any] = {"audio": Piece((tmp_path / "all.wav",), start, stop)}
        wanted.append(Clip(sample_id, split, domain, label, media | ({"text": text} if text else {})))
    header = ("sample_id", "split", "domain", "label", "audio", "audio.start", "audio.stop", "text")
    about = {"modalities": {"audio": "waveform", "text": "text"}}
    found = read_own(write(tmp_path, about, rows, header, ["all.wav"]))
    assert found.clips == tuple(wanted)
    assert found.problems == ()


@pytest.mark.parametrize(
    ("classes", "cells", "expected"),
    [
        (["calm", "angry"], ["1.0", "0.0", "1"], [1, 0, 1]),
        (["calm", "angry"], ["True", "False", "calm"], [1, 0, 0]),
        ([-1, 1], ["-1", "1", "1.0"], [0, 1, 1]),
        ([1, 2, 3], ["1", "3", "2"], [0, 2, 1]),
        ([1, 2, 3], ["0", "1", "2"], [0, 1, 2]),
    ],
)
def test_labels_are_names_or_indices_as_in_the_open_layout(
    tmp_path: Path, classes: list[Any], cells: list[str], expected: list[int]
):
    rows = [(*row[:3], cell, *row[4:]) for row, cell in zip(ROWS, cells, strict=True)]
    found = read_own(write(tmp_path, {"task": {"kind": "classification", "classes": classes}}, rows))
    assert [clip.label for clip in found.clips] == expected


def test_a_table_elsewhere_is_named_by_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    about = write(tmp_path / "here", {"table": "$CLIPS_OF_A_TEST/clips.csv"})
    with pytest.raises(DataError, match=r"table: .* names a variable that is not set"):
        read_own(about)
    monkeypatch.setenv("CLIPS_OF_A_TEST", str(tmp_path / "there"))
    (tmp_path / "there").mkdir()
    (tmp_path / "here" / "clips.csv").rename(tmp_path / "there" / "clips.csv")
    assert [clip.sample_id for clip in read_own(about).clips] == ["a", "b", "c"]


def test_labels_that_mean_two_things_are_refused(tmp_path: Path):
    rows = [(*row[:3], cell, *row[4:]) for row, cell in zip(ROWS, ("0", "1", "3"), strict=True)]
    about = write(tmp_path, {"task": {"kind": "classification", "classes": [1, 2, 3]}}, rows)
    with pytest.raises(DataError, match="column label: class 0 is an index alone, others are names alone"):
        read_own(about)
