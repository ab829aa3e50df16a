"""Missing modalities of 50 methods: every method can be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from mmbench.leaderboards.plots.figure import PictureForm, write_drawings
from mmbench.leaderboards.plots.forest import forest_pictures, missing_by_method
from mmbench.leaderboards.tables import accuracy as tables
from mmbench.methods import METHODS

from ..render.test_page import results

NAMES = list(METHODS)[:50]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """What two methods scored, under 50 names, each a bit worse than the one before; the last has a hole."""
    made = tables.missing(results({"erm": 0.3}, 2, 30), ["mae"], draws=100)
    parts = [
        made.assign(method=name, **{end: made[end] + place / 50 for end in ("mean", "low", "high")})
        for place, name in enumerate(NAMES)
    ]
    frame = pd.concat(parts, ignore_index=True)
    gone = (frame["method"] == NAMES[-1]) & (frame["condition"] == "missing:text")
    frame.loc[gone, ["mean", "low", "high"]] = np.nan
    frame.loc[gone, "hole"] = "not finite"
    return frame.sample(frac=1, random_state=0).sort_values("condition", kind="stable")


@pytest.fixture(scope="module")
def figure(frame: pd.DataFrame) -> Figure:
    figure = missing_by_method(frame)
    FigureCanvasAgg(figure).draw()
    return figure


def test_methods_are_rows_from_the_best_down_at_their_means(frame: pd.DataFrame, figure: Figure) -> None:
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == NAMES
    low, high = figure.axes[0].get_ylim()
    assert low > high  # the first is at the top
    for axis, condition in zip(figure.axes, dict.fromkeys(frame["condition"]), strict=True):
        rows = frame.loc[frame["condition"] == condition].set_index("method").loc[NAMES]
        dots = next(line for line in axis.lines if line.get_marker() == "o")
        np.testing.assert_allclose(np.asarray(dots.get_xdata(), float), rows["mean"])
        (spans,) = [one for one in axis.collections if isinstance(one, LineCollection)]
        ends = np.array([np.asarray(path.vertices)[:, 0] for path in spans.get_paths()])
        np.testing.assert_allclose(ends, rows[["low", "high"]].dropna())
        crosses = next(line for line in axis.lines if line.get_marker() == "x")
        assert len(np.asarray(crosses.get_xdata())) == (condition == "missing:text")


def test_no_text_lies_over_another_or_outside(figure: Figure) -> None:
    texts = [*figure.axes[0].get_yticklabels(), *(axis.title for axis in figure.axes), *figure.texts]
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
    names = [box for text, box in boxes if text in NAMES]
    assert len(names) == 50
    assert not [(a, b) for place, a in enumerate(names) for b in names[:place] if a.overlaps(b)]
    outside = [t for t, box in boxes if box.x0 < figure.bbox.x0 or box.x1 > figure.bbox.x1]
    assert outside == []


def test_a_task_is_a_picture_with_a_name_of_its_own(frame: pd.DataFrame, tmp_path: Path) -> None:
    few = frame.loc[frame["method"].isin(NAMES[:2])]
    form = PictureForm((".png",), 50)
    assert [file.name for file in write_drawings(forest_pictures(few), tmp_path, form)[0]] == ["missing.png"]
    both = pd.concat([few, few.assign(task="mosei")])
    assert [file.name for file in write_drawings(forest_pictures(both), tmp_path, form)[0]] == [
        f"missing-{few['task'].iloc[0]}.png",
        "missing-mosei.png",
    ]
    with pytest.raises(ValueError, match="no rows"):
        missing_by_method(frame.iloc[:0])
