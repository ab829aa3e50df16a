"""Texts that show numbers of their cell are on a page as patterns, from which the script builds the same texts."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbench.leaderboards.labels import rounded
from mmbench.leaderboards.render.page import PageTable, page
from mmbench.leaderboards.render.page_data import PageData
from mmbench.leaderboards.render.views import Column, Fact, PrintedCell, PrintedRow, TableView
from mmbench.leaderboards.tables import accuracy as tables

from .test_page import Reader, results

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

UNITS = ("fraction", "count", "score")
#: Half-way between two numbers that are shown, zeros of both signs, and numbers that scripts write otherwise.
NASTY = (
    0.0625,
    -0.0625,
    0.5,
    2.5,
    -0.0004,
    -0.0,
    0.0,
    1e-9,
    1e15,
    1e22,
    0.1234565,
    0.28450000001,
    99.9999999,
)


def cell(text: str, mean: float | None = None, sd: float | None = None) -> PrintedCell:
    return PrintedCell(text, "", "", "", "", "", "", 3, 3, 10, mean, sd, None, None, None)


def content_of(cells: Sequence[PrintedCell]) -> dict[str, Any]:
    fact = Fact("m", "t", "a", "p", "real", "0", {})
    view = TableView("all", ["method"], [Column("c", "mae", "clean", "lower")], [PrintedRow(0, ["m"], [one]) for one in cells])  # fmt: skip
    return json.loads(gzip.decompress(base64.b64decode(PageData([fact]).packed({"accuracy": [view]}))))


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.floats(0.001, 0.999), st.floats(0.001, 0.5)), min_size=1, max_size=20),
    st.sampled_from(UNITS),
)
def test_a_number_is_on_the_page_once(values: list[tuple[float, float]], unit: str) -> None:
    values = [(round(mean, 5), round(sd, 5)) for mean, sd in values]
    content = content_of([cell(f"{rounded(m, unit)} ± {rounded(s, unit)}", m, s) for m, s in values])
    texts = content["tables"]["accuracy"][0]["cells"][content["fields"].index("text")]
    verbatim = [text for text in texts if isinstance(text, str)]
    # Half-way between two texts the script may round otherwise.
    scale = {"fraction": 1000, "count": 1, "score": 1000}[unit]
    halves = [1 for pair in values if any(scale * value % 1 == 0.5 for value in pair)]
    assert len(verbatim) <= len(halves)
    assert len(content["patterns"]) <= 2  # of percent, and of "0" where it is 0 % too


def test_a_text_that_says_more_than_its_numbers_stays_as_it_is() -> None:
    shown = ["0.5 of 3", "0.123", "—", "p < 0.001", "12.3 ± 4.5"]
    means = [0.5, 0.124, None, 0.0, 0.123]
    content = content_of([cell(text, mean, 0.046) for text, mean in zip(shown, means, strict=True)])
    texts = content["tables"]["accuracy"][0]["cells"][content["fields"].index("text")]
    assert [text if isinstance(text, str) else "" for text in texts] == ["0.5 of 3", "0.123", "", "p < 0.001", "12.3 ± 4.5"]  # fmt: skip


@pytest.mark.needs("chromium")
def test_the_script_rounds_as_the_plain_page_does(tmp_path: Path, look: Callable[..., Chrome]) -> None:
    """Also what is nearly half-way, has no sign or is large; and percent, which a script multiplies out."""
    found = tables.accuracy(results({"m": 1.0}, 3, 20), draws=10).iloc[:1]
    draw = np.random.default_rng(0)
    values = [*NASTY, *draw.random(60).round(4), *draw.normal(size=40)]
    rows = pd.concat([found] * len(values) * len(UNITS), ignore_index=True)
    rows["method"] = [f"m{place}" for place in range(len(rows))]
    rows["mean"] = [value for value in values for _ in UNITS]
    rows["sd"] = rows["mean"].abs()
    rows["unit"] = list(UNITS) * len(values)
    file = tmp_path / "page.html"
    file.write_text(page([PageTable("accuracy", "Accuracy", "metric", rows)], (), "1"), encoding="utf-8")
    reader = Reader(file.read_text(encoding="utf-8"))
    content = json.loads(gzip.decompress(base64.b64decode(reader.data)))
    texts = content["tables"]["accuracy"][0]["cells"][content["fields"].index("text")]
    assert sum(isinstance(text, int) for text in texts) > len(texts) * 0.8
    plain = [[text for text, _ in row] for row in reader.tables[0]]
    script = "return [...document.querySelectorAll('#accuracy tr')].map((row) => [...row.cells].map((cell) => cell.textContent))"
    assert look(file).execute_script(script) == plain
