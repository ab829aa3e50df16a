"""Tables of clips: what is read of each kind, and how a fault is named."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmbench.datasets.dataset import DataError
from mmbench.datasets.media.table import read_table, seconds


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'id,text\n1,"a\nb"\n2,"c\n3,d\n', "row 3: a quote opens and is not closed; expected quotes around"),
        (b'id,text\n1,"a\n2,"b"\n', "row 2: ',' expected after '\"' (is a quote before it not closed?)"),
        (b"id,text\n1,a\n2,gr\xfcn\n", "line 3: not text in UTF-8; expected a table saved as UTF-8"),
        (
            b"id;text\n1;a, b\n",
            "row 1: one column, with semicolons in its name; expected columns separated by commas",
        ),
        (b"id\ttext\n1\ta\n", "row 1: one column, with tabs in its name"),
    ],
)
def test_a_table_that_is_none_is_told_by_its_row_and_its_fault(tmp_path: Path, content: bytes, message: str):
    (tmp_path / "clips.csv").write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_table(tmp_path / "clips.csv")
    assert message in str(caught.value)
    assert message.startswith("line") == ("UTF-8" in str(caught.value))


def test_tabs_are_expected_where_the_name_says_so(tmp_path: Path):
    (tmp_path / "clips.tsv").write_text("id,text\n1,a\n")
    with pytest.raises(DataError, match=r"with commas in its name; expected columns separated by tabs"):
        read_table(tmp_path / "clips.tsv")


@given(st.integers(0, 9), st.integers(0, 59), st.integers(0, 5999))
def test_clock_times_are_seconds(hours: int, minutes: int, hundredths: int):
    text = f"{hours:02d}:{minutes:02d}:{hundredths // 100:02d}.{hundredths % 100:02d}"
    assert seconds(text) == pytest.approx(3600 * hours + 60 * minutes + hundredths / 100)
    assert seconds(f"{hundredths / 100:.2f}") == pytest.approx(hundredths / 100)
    assert seconds(text.replace(":", ";")) is None


@pytest.mark.parametrize(
    "text",
    ["", "1:2:3:4", "nan", "inf", "1e3", "00:61:00", "-1", "1,5", "00:00:01:12", "1 day, 0:00:01", "١"],
)
def test_what_is_no_time_is_none(text: str):
    assert seconds(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("00:16:16,059", 976.059),
        ("00:00:00.500", 0.5),
        ("1:02.5", 62.5),
        ("1:02,5", 62.5),
        ("100:00:01", 360001),
    ],
)
def test_times_of_subtitles_are_seconds(text: str, expected: float):
    assert seconds(text) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "content",
    [
        b"id,text\r\r\n1,a\r\r\n2,b;c\r\r\n",
        b"\n\nid,text\n\n1,a\n \n2,b;c\n,\n\n",
        b"sep=,\r\nid,text\r\n1,a\r\n2,b;c\r\n",
        b'\xef\xbb\xbfsep=;\r\nid;text\r\n1;a\r\n2;"b;c"\r\n',
        b'"sep=\t"\nid\ttext\n1\ta\n2\tb;c\n',
    ],
)
def test_empty_lines_and_the_line_of_a_spreadsheet_are_no_rows(tmp_path: Path, content: bytes):
    (tmp_path / "clips.csv").write_bytes(content)
    table = read_table(tmp_path / "clips.csv")
    assert dict(table.columns) == {"id": ("1", "2"), "text": ("a", "b;c")}


def test_a_row_below_empty_lines_keeps_its_number(tmp_path: Path):
    (tmp_path / "clips.csv").write_text("id,text\n\n1,a\n\n2,b,c\n")
    with pytest.raises(DataError, match="row 5: 3 cells"):
        read_table(tmp_path / "clips.csv")


def test_a_text_may_be_of_any_length_and_the_limit_of_others_stays(tmp_path: Path):
    limit = csv.field_size_limit()
    (tmp_path / "clips.csv").write_text("id,text\n1," + "x" * 200_000 + "\n")
    assert len(read_table(tmp_path / "clips.csv").column("text")[0]) == 200_000
    assert csv.field_size_limit() == limit


def test_cells_of_parquet_are_text_or_refused(tmp_path: Path):
    columns = {
        "bytes": pa.array([b" caf\xc3\xa9", None], pa.binary()),
        "floats": pa.array([3.0, float("nan")]),
        "small": pa.array([1e-5, 0.5]),
        "halves": pa.array([1.5, 2.0], pa.float16()),
        "decimal": pa.array([1, 2], pa.decimal128(5, 2)),
        "spans": pa.array([1500, 90000], pa.duration("ms")),
        "day": pa.array([0, 1], pa.date32()),
        "truth": pa.array([True, False]),
        "broken": pa.array([b"a", b"\xff"]),
        "words": pa.array([["what", "number"], None]),
        "fields": pa.array([{"a": 1}, None]),
    }
    pq.write_table(pa.table(columns), tmp_path / "clips.parquet")
    table = read_table(tmp_path / "clips.parquet")
    assert {name: table.column(name) for name in list(columns)[:8]} == {
        "bytes": ("café", ""),
        "floats": ("3", ""),
        "small": ("0.00001", "0.5"),
        "halves": ("1.5", "2"),
        "decimal": ("1", "2"),
        "spans": ("1.5", "90"),
        "day": ("1970-01-01", "1970-01-02"),
        "truth": ("True", "False"),
    }
    for name, message in (
        ("broken", "row 2, column broken: bytes that are not text in UTF-8"),
        ("words", "row 1, column words: a list, which is no text"),
        ("fields", "row 1, column fields: a dict, which is no text"),
    ):
        with pytest.raises(DataError, match=message):
            table.column(name)
