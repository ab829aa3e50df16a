"""The page of leaderboards as text: what stands in it, what does not, and that it is the same every time."""

from __future__ import annotations

import base64
import gzip
import json
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbench.leaderboards.render.page import PageTable, Picture, page
from mmbench.leaderboards.render.text import wide
from mmbench.leaderboards.tables import accuracy as tables
from mmbench.leaderboards.tables.cost import audit
from mmbench.leaderboards.tables.results import Result

from ..conftest import make_result, make_table

PNG = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0:~\x9bU"
    b"\0\0\0\nIDATx\x9cc\xf8\x0f\0\x01\x01\x01\0\x1b\xb6\xeeV\0\0\0\0IEND\xaeB`\x82"
)


def results(errors: dict[str, float], seeds: int = 3, count: int = 60, **fields) -> list[Result]:
    """Methods whose scores miss the target by a normal error of a size, more where text is missing."""
    draw = np.random.default_rng(0)
    target = draw.normal(size=count)
    more = {"clean": 1.0, "missing:text": 2.0, "missing:audio": 1.5}
    found = []
    for method, error in errors.items():
        for seed in range(seeds):
            noise = draw.normal(size=count)
            conditions = {name: list(target + factor * error * noise) for name, factor in more.items()}
            found.append(make_result(method, seed, make_table(conditions, list(target)), **fields))
    return found


def tables_of(found: list[Result]) -> list[PageTable]:
    return [
        PageTable("accuracy", "Accuracy", "metric", tables.accuracy(found, draws=100)),
        PageTable("missing", "Missing modalities", "condition", tables.missing(found, draws=100)),
        PageTable("audit", "Audit", "metric", audit(found)),
    ]


class Reader(HTMLParser):
    """The texts and attributes of a page's tables, and the text of everything else."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[list[list[tuple[str, dict[str, str | None]]]]] = []
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.data = ""
        self._inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self._inside.append(tag if tag != "script" or ("id", "data") not in attrs else "json")
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append(("", dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        while self._inside and self._inside.pop() not in (tag, "json"):
            pass

    def handle_data(self, data: str) -> None:
        if self._inside[-1:] == ["json"]:
            self.data += data
        if self._inside[-1:] in (["td"], ["th"]):
            text, attributes = self.tables[-1][-1].pop()
            self.tables[-1][-1].append((text + data, attributes))


def test_without_a_script_the_tables_are_those_of_the_other_formats() -> None:
    found = [*results({"good": 0.1, "fair": 1.0, "poor": 3.0}), make_result("broken", 0, reason="no memory")]
    read = Reader(page(tables_of(found), (), "1"))
    for place, (frame, across) in enumerate(
        [(tables.accuracy(found, draws=100), "metric"), (tables.missing(found, draws=100), "condition")]
    ):
        expected = wide(frame, across, intervals=False, best="{}").drop(  # type: ignore[arg-type]
            columns=["task", "modalities", "protocol"]  # the same in all rows: said in the caption
        )
        expected = expected[["method", *(name for name in expected if name != "method")]]
        shown = [[text for text, _ in row] for row in read.tables[place]]
        assert shown == [list(expected.columns), *expected.to_numpy().tolist()]


def test_values_have_six_digits() -> None:
    found = results({"one": 1.0, "two": 2.0})
    frame = tables.accuracy(found, draws=100)
    read = Reader(page(tables_of(found), (), "1"))
    rows = {row[0][0]: [attributes["data-value"] for _, attributes in row[3:]] for row in read.tables[0][1:]}
    content = json.loads(gzip.decompress(base64.b64decode(read.data)))
    for method, values in rows.items():
        expected = frame.loc[frame["method"] == method]
        assert [float(str(value)) for value in values] == pytest.approx(expected["mean"].tolist(), rel=5e-6)
    view = content["tables"]["accuracy"][0]
    columns = len(view["columns"])
    for place, (_, names) in enumerate(view["rows"]):
        expected = frame.loc[frame["method"] == names[0]]
        for name, column in (("sd", "sd"), ("low", "low"), ("high", "high"), ("p", "p_vs_best"), ("n", "n")):
            cells = view["cells"][content["fields"].index(name)][place * columns : (place + 1) * columns]
            got = [np.nan if value is None else value for value in cells]
            np.testing.assert_allclose(got, expected[column].to_numpy(dtype=float), rtol=5e-6)


def marks(found: list[Result]) -> dict[str, str]:
    """Method -> how its first metric is marked."""
    read = Reader(page(tables_of(found), (), "1"))
    return {row[0][0]: str(row[3][1]["class"]).removeprefix("number").strip() for row in read.tables[0][1:]}


def test_the_best_is_bold_only_where_all_others_are_worse_and_the_second_underlined() -> None:
    assert marks(results({"good": 0.1, "fair": 1.0, "poor": 3.0})) == {
        "good": "best",
        "fair": "second",
        "poor": "",
    }
    close = results({"one": 1.0, "two": 1.01, "three": 1.02})
    assert sorted(marks(close).values()) == ["", "", "second"]
    assert "≈" not in "".join(
        cell for row in Reader(page(tables_of(close), (), "1")).tables[0][1:] for cell, _ in row
    )
    assert marks(results({"good": 0.1, "poor": 3.0})) == {
        "good": "best",
        "poor": "",
    }  # of two, none is second


def test_tables_without_cells_are_rounded_and_count_for_no_task_of_their_own() -> None:
    found = results({"good": 0.1, "poor": 3.0})
    ranks = pd.DataFrame({"method": ["good", "poor"], "data": "real", "average_rank": [4 / 3, float("nan")]})
    text = page([*tables_of(found), PageTable("ranks", "Ranks", "metric", ranks)], (), "1")
    assert "2 methods · 1 task · 1 set of modalities · 3 seeds each" in text
    cells = [[cell for cell, _ in row] for row in Reader(text).tables[-1]]
    assert cells[1:] == [["good", "real", "1.333"], ["poor", "real", "—"]]


def test_title_caption_and_rows_name_the_data() -> None:
    found = results({"erm": 1.0}, synthetic=True)
    text = page(tables_of(found), (), "1", heading="Ours")
    assert "<title>Ours (synthetic stand-in)</title>" in text
    assert "Accuracy (synthetic stand-in), n = 3 seeds, 95 % interval over seeds+samples" in text
    assert all(row[1][0] == "synthetic stand-in" for row in Reader(text).tables[0][1:])
    real = page(tables_of(results({"erm": 1.0})), (), "1")
    assert "<title>mmbench leaderboard (real data)</title>" in real
    assert "stand-in" not in real


def test_a_hole_says_why() -> None:
    found = [*results({"erm": 1.0}), make_result("broken", 0, reason="out of <memory>")]
    text = page(tables_of(found), (), "1")
    assert "out of &lt;memory&gt;" in text
    (row,) = [row for row in Reader(text).tables[0] if row[0][0] == "broken"]
    assert {cell for cell, _ in row[3:]} == {"—"}
    assert all("hole" in str(attributes["class"]) for _, attributes in row[3:])


def test_version_and_date_are_said_and_no_clock_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    found = results({"erm": 1.0})
    first = page(tables_of(found), [Picture("curves", PNG)], "9.8.7")
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert page(tables_of(found), [Picture("curves", PNG)], "9.8.7") == first
    assert "mmbench 9.8.7 from" in first
    assert "mmbench 9.8.7, May 2031 from" in page(tables_of(found), (), "9.8.7", date="May 2031")


def test_nothing_in_it_leads_elsewhere() -> None:
    text = page(tables_of(results({"erm": 1.0})), [Picture("curves", PNG)], "1")
    for word in ("http:", "https:", "//", "@import", "url("):
        assert word not in text.split("<main>")[1].split('<script type="application/gzip"')[0]
    assert "default-src 'none'" in text
    assert "unsafe" not in text
    assert 'src="data:image/png;base64,' in text


NAMES = st.text(alphabet=st.sampled_from("<>&\"'/!-=$\\{}` aé中\u2028"), min_size=1, max_size=12).filter(
    str.strip
)
TAGS = Reader(page(tables_of(results({"erm": 1.0}, 1, 8)), (), "1"))


@settings(max_examples=40, deadline=None)
@given(NAMES, NAMES, NAMES)
def test_no_name_is_read_as_markup(method: str, task: str, detail: str) -> None:
    found = results({method: 1.0}, 1, 8, task=task, protocol=detail, audit={"selection": detail})
    read = Reader(page(tables_of(found), (), "1"))
    assert read.tags == TAGS.tags
    assert read.attributes == TAGS.attributes
    assert read.tables[0][1][0][0] == method
    fact = json.loads(gzip.decompress(base64.b64decode(read.data)))["facts"][0]
    assert [fact["method"], fact["task"], fact["protocol"]] == [method, task, detail]


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a table"):
        page((), (), "1")
    with pytest.raises(ValueError, match="no PNG"):
        page(tables_of(results({"erm": 1.0})), [Picture("x", b"GIF89a")], "1")
    with pytest.raises(ValueError, match="no rows"):
        page([PageTable("audit", "Audit", "metric", pd.DataFrame({"data": [], "method": []}))], (), "1")
