"""How tables fit into a terminal."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from mmbench.benchmark.report.console import SafeConsole, print_table
from mmbench.benchmark.report.table_layout import layout_of

LONG = "mplmm(generation=false,signals=false,types=false)"
NAMES = ("task", "method", "n")


def table(**columns: list[str]) -> pd.DataFrame:
    rows = len(next(iter(columns.values())))
    methods = ["erm", LONG, *(f"method{number}" for number in range(2, rows))]
    return pd.DataFrame({"task": ["mosi"] * rows, "method": methods, "n": ["3"] * rows, **columns})


def test_headings_and_names_are_broken_before_a_table_is_parted() -> None:
    frame = table(**{f"a long heading, number {place} % ↑": ["80.1", "79.2"] for place in range(3)})
    layout = layout_of(frame, NAMES, 80)
    assert layout.parts == [[f"a long heading, number {place} % ↑" for place in range(3)]]
    assert layout.headings["a long heading, number 0 % ↑"] == "a long\nheading,\nnumber 0 % ↑"
    assert layout.rows["method"].tolist() == ["erm", "mplmm(generation=false,\nsignals=false,types=false)"]
    assert (layout.heading_lines, layout.row_lines) == (3, 1.5)
    assert layout_of(frame, NAMES, 200).headings["method"] == "method"
    assert layout_of(frame, NAMES, 200).rows["method"].tolist() == ["erm", LONG]


@pytest.mark.parametrize("width", [80, 120, 200])
def test_no_line_is_wider_than_the_terminal_and_no_value_is_lost(width: int) -> None:
    cells = {
        f"metric_number_{place} % ↑": [f"{place}.{row} ± 1.0" for row in range(4)] for place in range(12)
    }
    printed = SafeConsole(file=io.StringIO(), width=width)
    print_table(printed, "Title", table(**cells), NAMES)
    assert isinstance(printed.file, io.StringIO)
    text = printed.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert all(cell in text for column in cells.values() for cell in column)


def test_what_says_nothing_is_said_once() -> None:
    frame = table(
        score=["0.1", "0.2", "0.3", "—", "—", "—"],
        memory=["0 ± 0", "0 ± 0", "0 ± 0", "—", "—", "—"],
        energy=["—"] * 6,
    )
    layout = layout_of(frame, NAMES, 80)
    assert layout.facts == [("task", "mosi"), ("memory", "0 ± 0")]
    assert layout.parts == [["score"]]
    assert (layout.without, layout.empty) == (["energy"], ["method3", "method4", "method5"])
    assert layout.rows["method"].tolist() == ["erm", LONG, "method2"]


def test_a_hole_stays_and_so_does_the_first_column() -> None:
    failed = table(score=["0.1", "—", "—", "—", "—"]).assign(n=["3", "2 of 3", "2 of 3", "2 of 3", "2 of 3"])
    assert len(layout_of(failed, NAMES, 80).rows) == 5
    assert layout_of(table(score=["—"] * 4), NAMES, 80).parts == [["score"]]
    same = layout_of(table(score=["0.5"] * 4), NAMES, 80)
    assert (same.parts, same.facts) == ([["score"]], [("task", "mosi")])
    assert layout_of(table(score=["0.5"] * 2, other=["1"] * 2), NAMES, 80).parts == [["score", "other"]]
