"""A page stays small: what shows first is on it whole, and what is left out is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmbench.leaderboards.render import page as pages
from mmbench.leaderboards.render.page import PageTable, Picture, page
from mmbench.leaderboards.render.page_budget import PLAIN_ROWS, fitting_pictures, fitting_views
from mmbench.leaderboards.render.views import TableView
from mmbench.leaderboards.tables import accuracy as tables
from mmbench.leaderboards.tables.accuracy import condition_label

from .test_page import PNG, Reader, results

if TYPE_CHECKING:
    from selenium.webdriver import Chrome


@given(
    boards=st.dictionaries(st.text("abc", min_size=1, max_size=3), st.lists(st.integers(0, 400), min_size=1, max_size=5)),
    most=st.integers(0, 2000),
)  # fmt: skip
def test_first_views_stay_and_all_that_are_kept_fit(boards: dict[str, list[int]], most: int) -> None:
    draw = np.random.default_rng(0)
    texts = {f"{name}-{place}": draw.bytes(size).hex() for name, board in boards.items() for place, size in enumerate(board)}  # fmt: skip
    views = {
        name: [TableView(f"{name}-{place}", [], [], []) for place in range(len(board))]
        for name, board in boards.items()
    }
    kept, gone = fitting_views(views, lambda view: texts[view.label], most)
    for name, board in views.items():
        assert kept[name][0] is board[0]
        assert sorted([view.label for view in kept[name]] + gone[name]) == [view.label for view in board]
    further = [view.label for board in kept.values() for view in board[1:]]
    first = [board[0].label for board in views.values()]
    # Random bytes as digits take as many bytes as they are, and a third more in base64.
    assert not further or sum(len(texts[label]) / 2 for label in [*first, *further]) <= most


def test_pictures_are_taken_in_order_as_long_as_they_fit() -> None:
    assert fitting_pictures([5, 9, 4, 1], 10) == [0, 2, 3]
    assert fitting_pictures([5], 4) == []
    assert fitting_pictures([5], -1) == []


@pytest.fixture(scope="module")
def large() -> list[PageTable]:
    """A table of 30 methods with two views, and more rows than plain HTML has on a large page."""
    found = tables.accuracy(results({"m": 1.0}, 2, 20), draws=100)
    frame = found.loc[found.index.repeat(30)].reset_index(drop=True)
    frame["method"] = [f"m{row % 30}" for row in range(len(frame))]
    frame["mean"] = np.random.default_rng(0).normal(size=len(frame))
    other = frame.assign(condition="missing:audio")
    both = pd.concat([frame, other], ignore_index=True)
    return [PageTable("accuracy", "Accuracy", "metric", both)]


def small_budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MARKUP", 1000)
    monkeypatch.setattr(pages, "DATA", 100)
    monkeypatch.setattr(pages, "ALL", 1000)


def test_a_small_page_leaves_nothing_out(large: list[PageTable]) -> None:
    text = page(large, [Picture("curves", PNG)], "1")
    assert "left out" not in text
    assert "<noscript>" not in text
    assert len(Reader(text).tables[0]) == 31


def test_a_large_page_names_what_it_leaves_out(
    large: list[PageTable], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = page(large, [Picture("curves", PNG)], "1")
    small_budgets(monkeypatch)
    text = page(large, [Picture("curves", PNG)], "1")
    assert len(Reader(text).tables[0]) == PLAIN_ROWS + 1
    assert Reader(text).tables[0] == Reader(whole).tables[0][: PLAIN_ROWS + 1]
    assert f"The first {PLAIN_ROWS} of 30 rows" in text
    assert "1 view left out for the size of the page: <code>mmbench leaderboard --what accuracy" in text
    assert f"<p>{condition_label('missing:audio')}</p>" in text
    assert "1 picture left out for the size of the page: <code>mmbench plot</code>" in text
    assert "<p>curves</p>" in text
    assert "data:image/png" not in text


@pytest.mark.needs("chromium")
def test_the_script_shows_every_row_of_a_large_page(
    large: list[PageTable], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, look: Callable[..., Chrome]
) -> None:
    small_budgets(monkeypatch)
    file = tmp_path / "page.html"
    file.write_text(page(large, (), "1"), encoding="utf-8")
    driver = look(file)
    assert len(driver.find_elements("css selector", "#accuracy tbody tr")) == 30
    assert not driver.find_elements("css selector", "#accuracy select")  # one view is left
