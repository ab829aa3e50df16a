"""The course of a training, from planted epochs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmbench.leaderboards.catalog import TABLES
from mmbench.leaderboards.plots.course import course_by_epoch
from mmbench.leaderboards.plots.figure import PictureForm, write_drawings
from mmbench.leaderboards.plots.mechanism import pictures_of_each
from mmbench.leaderboards.tables.course import course

from ..conftest import make_result, make_table


def epochs(seed: int, count: int) -> list[dict[str, Any]]:
    return [
        {
            "epoch": epoch,
            "train": {"task": 1 / (1 + epoch), "sl": 0.5 + seed},
            "loss": 2.0 - 0.1 * epoch,
            "diagnostics": {"path/text": float(epoch), "path/audio": 2.0 * epoch + seed},
        }
        for epoch in range(count)
    ]


def trained(method: str, seed: int, noted: list[dict[str, Any]] | None):
    frame = make_table({"clean": [0.0, 1.0]}, [0.0, 1.0])
    return make_result(method, seed, frame, epochs=None if noted is None else (lambda: noted))


@pytest.fixture(scope="module")
def frame():
    old = [{"epoch": 0, "train": {"task": 1.0}, "loss": 1.0}]  # of a version that noted no diagnostics
    return course(
        [trained("slowed", 0, epochs(0, 5)), trained("slowed", 1, epochs(1, 4)), trained("old", 0, old)]
    )


def test_numbers_are_means_over_the_epochs_that_all_seeds_reached(frame):
    audio = frame[(frame.method == "slowed") & (frame.quantity == "path/audio")].set_index("condition")
    assert audio.loc["epoch 4", "mean"] == pytest.approx(6.5)
    assert audio.loc["epoch 4", "sd"] == pytest.approx(np.std([6, 7], ddof=1))
    assert "epoch 5" not in audio.index
    assert audio.loc["last epoch", "epoch"] == 4
    assert audio.loc["middle", "mean"] == audio.loc["epoch 2", "mean"]
    quantities = {"loss/task", "loss/sl", "validation loss", "path/text", "path/audio"}
    assert set(frame[frame.method == "slowed"].quantity) == quantities
    old = frame[frame.method == "old"]
    assert set(old.quantity) == {"loss/task", "validation loss"}
    assert all(map(math.isnan, old.sd))
    shown = TABLES["course"].shown_rows(frame)
    assert set(shown.condition) == {"first epoch", "middle", "last epoch"}


def test_without_records_it_says_so():
    with pytest.raises(ValueError, match="no training of these jobs is known epoch by epoch"):
        course([trained("erm", 0, None), trained("erm", 1, []), make_result("erm", 2)])


def test_the_picture_has_a_line_for_each_encoder(frame, tmp_path: Path):
    figure = course_by_epoch(frame[frame.method == "slowed"])
    (panel,) = (one for one in figure.axes if one.get_title() == "path")
    assert {line.get_label() for line in panel.lines} == {"text", "audio"}
    assert np.asarray(panel.lines[1].get_ydata()).tolist() == pytest.approx([0.5, 2.5, 4.5, 6.5])
    files, reasons = write_drawings(
        pictures_of_each(frame, course_by_epoch, "course"), tmp_path, PictureForm((".png",), 40)
    )
    assert [file.name for file in files] == ["course-slowed.png"]
    assert reasons == ["course of old: there are fewer than two epochs"]
