"""The summary of all tables: means over tasks, the worst pattern, ranks, marks, and what lacks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmbench.leaderboards.render import summary
from mmbench.leaderboards.render.summary_view import summary_view
from mmbench.leaderboards.render.views import Facts

Cell = tuple[str, str, str, str, float]


def frame(
    cells: Sequence[Cell], direction: str = "higher", unit: str = "fraction", **more: str
) -> pd.DataFrame:
    """A tidy frame of (task, method, condition, metric, mean)."""
    shared = {
        "modalities": "text+audio",
        "protocol": "fair",
        "data": "real",
        "draw": 0,
        "n": 2,
        "n_planned": 2,
    }
    shared |= {"direction": direction, "unit": unit, "seeds": "0 1", "hole": "", "mark": "", **more}
    names = ("task", "method", "condition", "metric", "mean")
    return pd.DataFrame([{**shared, **dict(zip(names, cell, strict=True))} for cell in cells])


def accuracies(values: dict[str, tuple[float, ...]]) -> pd.DataFrame:
    """Clean accuracies of methods on tasks a, b, ..., and a second metric that says the opposite."""
    cells = [
        (task, method, "clean", metric, 1 - value if metric == "f1" else value)
        for method, numbers in values.items()
        for task, value in zip("abc", numbers, strict=False)
        for metric in ("accuracy", "f1")
    ]
    return frame(cells)


def test_axes_are_means_over_tasks_and_the_worst_pattern() -> None:
    patterns = {"missing:text": (0.5, 0.3), "missing:audio": (0.4, 0.6), "average_missing": (0.45, 0.45)}
    missing = frame(
        [
            (task, "erm", condition, "accuracy", value)
            for condition, values in patterns.items()
            for task, value in zip("ab", values, strict=True)
        ]
    )
    detection = frame([("a", "erm", "own:gate", "aurc", 9.0), ("a", "erm", "max_softmax", "aurc", 0.1),
                       ("b", "erm", "max_softmax", "aurc", 0.3)], "lower", "score")  # fmt: skip
    frames = {"accuracy": accuracies({"erm": (0.7, 0.9)}), "missing": missing, "misd": detection}
    (panel,) = summary.panels(frames)
    assert panel.title == "mean over 2 tasks; text+audio; fair; real"
    found = {name: round(float(panel.values.loc["erm", name]), 9) for name in panel.values}
    assert found == {
        "accuracy, clean % ↑": 0.8,
        "missing, mean % ↑": 0.45,
        "missing, worst % ↑": 0.35,
        "misclassified: aurc ↓": 0.2,
    }


def test_methods_are_ranked_on_each_task_and_the_best_two_are_marked() -> None:
    (panel,) = summary.panels(
        {"accuracy": accuracies({"erm": (0.7, 0.9), "ebmc": (0.8, 0.7), "poor": (0.1, 0.1)})}
    )
    text = summary.rows_of(panel)
    assert text.to_dict("list") == {
        "method": ["erm", "ebmc", "poor"],
        "n": ["2", "2", "2"],
        "accuracy, clean % ↑": ["80.0¹", "75.0²", "10.0"],
        "rank": ["1.50¹", "1.50¹", "3.00²"],
    }


def test_what_lacks_on_a_task_is_a_hole_and_stands_last() -> None:
    values = accuracies({"erm": (math.nan, 0.9), "ebmc": (0.8, 0.7)})
    (panel,) = summary.panels({"accuracy": values})
    text = summary.rows_of(panel)
    assert text["method"].tolist() == ["ebmc", "erm"]
    assert text["accuracy, clean % ↑"].tolist() == ["75.0", "—"]


def test_what_is_not_comparable_stands_apart_and_upper_bounds_in_no_panel() -> None:
    text = accuracies({"erm": (0.7,)}).assign(modalities="text")
    bound = accuracies({"erm": (0.9,)}).assign(protocol="fair [upper bound: trained on the target]")
    scores = frame([("s", "erm", "clean", "mae", 0.5)], "lower", "score")
    accuracy = pd.concat([accuracies({"erm": (0.8,)}), text, bound, scores], ignore_index=True)
    found = summary.panels({"accuracy": accuracy})
    assert [panel.title.split(";")[:2] for panel in found] == [
        ["a", " text+audio"],
        ["a", " text"],
        ["s", " text+audio"],
    ]
    assert list(found[-1].values) == ["mae, clean ↓"]
    assert summary.panels({}) == []


@given(st.lists(st.floats(0, 1).map(lambda value: round(value, 9)), min_size=2, max_size=6), st.booleans())
def test_the_first_mark_is_of_the_best_value(numbers: list[float], lower: bool) -> None:
    cells = [("a", f"m{place}", "clean", "score", value) for place, value in enumerate(numbers)]
    (panel,) = summary.panels({"accuracy": frame(cells, "lower" if lower else "higher", "score")})
    shown = summary.rows_of(panel).iloc[:, 2]
    best = min(numbers) if lower else max(numbers)
    values = panel.values.iloc[:, 0].to_numpy()
    marked = np.array([text.endswith(summary.BEST) for text in shown])
    assert (values[marked] == best).all()
    assert marked.any() == (len(set(numbers)) > 1)


def test_values_that_only_the_rounding_of_sums_parts_share_their_mark_and_rank() -> None:
    assert 0.1 + 0.2 != 0.3
    (panel,) = summary.panels(
        {"accuracy": accuracies({"x": (0.1 + 0.2,) * 2, "y": (0.3,) * 2, "z": (0.2,) * 2})}
    )
    shown = summary.rows_of(panel).set_index("method")
    assert shown["accuracy, clean % ↑"].to_dict() == {"x": "30.0¹", "y": "30.0¹", "z": "20.0²"}
    assert shown["rank"].to_dict() == {"x": "1.50¹", "y": "1.50¹", "z": "3.00²"}


def test_what_was_only_stated_is_shown_and_not_compared() -> None:
    stated = accuracies({"theirs": (0.99, 0.99)}).assign(mark="unverified")
    own = accuracies({"erm": (0.7, 0.9), "ebmc": (0.8, 0.7)})
    (panel,) = summary.panels({"accuracy": pd.concat([own, stated], ignore_index=True)})
    text = summary.rows_of(panel).set_index("method")
    assert text["accuracy, clean % ↑"].to_dict() == {"theirs": "† 99.0", "erm": "80.0¹", "ebmc": "75.0²"}
    assert text["rank"].to_dict() == {"theirs": "† —", "erm": "1.50", "ebmc": "1.50"}


def test_a_page_shows_the_cells_of_the_terminal_and_sorts_them_as_numbers():
    one = accuracies({"erm": (0.81234, 0.5), "ebmc": (0.7, 0.6)})
    other = accuracies({"erm": (0.5,), "ebmc": (0.6,)}).assign(modalities="text")
    found = summary.panels({"accuracy": pd.concat([one, other], ignore_index=True)})
    facts = Facts()
    view = summary_view(found, facts)
    assert len(view.rows) == sum(len(panel.values) for panel in found)
    printed = [text for panel in found for text in summary.rows_of(panel).iloc[:, 2:].to_numpy().ravel()]
    assert [cell.text for row in view.rows for cell in row.cells if cell] == printed
    numbers = [number for panel in found for number in panel.values.to_numpy().ravel()]
    assert [cell.mean for row in view.rows for cell in row.cells if cell] == pytest.approx(numbers)
    assert {fact.task for fact in facts.all} == {""}
    assert "modalities" in view.names
