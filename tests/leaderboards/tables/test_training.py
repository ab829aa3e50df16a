"""The record of trainings as a frame and as a picture, from planted epochs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmbench.leaderboards.catalog import TABLES
from mmbench.leaderboards.plots.figure import PictureForm, write_drawings
from mmbench.leaderboards.plots.training import learning_curves, training_pictures
from mmbench.leaderboards.tables.training import training

from ..conftest import make_result, make_table


def epochs(seed: int, count: int, tested: int) -> list[dict[str, Any]]:
    return [
        {
            "epoch": epoch,
            "train": {"task": 1 / (1 + epoch), "sl": 0.5},
            "loss": 2.0 - 0.1 * epoch,
            "metric": 1.0 - 0.1 * epoch + seed,
            "metric_name": "mae",
            "tested": epoch == tested,
            "diagnostics": {"path/text": float(epoch)},
        }
        for epoch in range(count)
    ]


def trained(method: str, seed: int, noted: list[dict[str, Any]], **more: Any):
    return make_result(
        method, seed, make_table({"clean": [0.0, 1.0]}, [0.0, 1.0]), epochs=lambda: noted, **more
    )


@pytest.fixture(scope="module")
def frame():
    old = [{"epoch": 0, "train": {}, "loss": 1.0, "metric": 0.5}]  # of a store from before names were noted
    return training(
        [
            trained("a", 1, epochs(1, 4, tested=3)),
            trained("a", 0, epochs(0, 5, tested=2)),
            trained("old", 0, old),
            make_result("failed"),
        ]
    )


def test_every_network_quantity_and_epoch_has_a_row(frame):
    assert len(frame) == 9 * 6 + 2
    row = frame[(frame.job == "a-0") & (frame.epoch == 3)].set_index("quantity")
    assert row.value["train/loss"] == pytest.approx(1 / 3 + 0.5)
    assert row.value["train/task"] == pytest.approx(1 / 3)
    assert row.value["valid/loss"] == pytest.approx(1.8)
    assert row.value["valid/mae"] == pytest.approx(0.8)
    assert row.value["diagnostics/path/text"] == 2
    assert set(frame[frame.method == "old"].quantity) == {"valid/loss", "valid/metric"}
    assert set(frame.data) == {"real"}
    assert "failed" not in set(frame.method)


def test_the_tested_epoch_of_each_network_is_what_is_printed(frame):
    shown = TABLES["training"].shown_rows(frame)
    assert set(zip(shown.job, shown.epoch, strict=True)) == {("a-0", 3), ("a-1", 4)}
    assert "every epoch" in TABLES["training"].notes_of(frame)[0]


def test_curves_are_means_over_the_epochs_of_all_seeds_with_their_tested_epochs_marked(frame):
    figure = learning_curves(frame[frame.method == "a"])
    (axis,) = figure.axes
    mean, tested = axis.get_lines()
    assert np.asarray(mean.get_xdata()).tolist() == [1, 2, 3, 4]
    assert np.asarray(mean.get_ydata()).tolist() == pytest.approx([1.5, 1.4, 1.3, 1.2])
    marks = dict(
        zip(np.asarray(tested.get_xdata()).tolist(), np.asarray(tested.get_ydata()).tolist(), strict=True)
    )
    assert marks == pytest.approx({3: 0.8, 4: 1.7})
    with pytest.raises(ValueError, match="more than one epoch"):
        learning_curves(frame[frame.method == "old"])


def test_a_file_for_each_block_and_a_reason_where_there_is_none(tmp_path: Path):
    results = [trained("a", 0, epochs(0, 3, 1), task=task, synthetic=True) for task in ("mosi", "sims")]
    results.append(trained("a", 0, epochs(0, 1, 0), task="mosei"))
    files, reasons = write_drawings(
        training_pictures(training(results)), tmp_path, PictureForm(kinds=(".png",))
    )
    assert sorted(file.name for file in files) == [
        "learning-curves-mosi-text+audio-fair-synthetic-stand-in.png",
        "learning-curves-sims-text+audio-fair-synthetic-stand-in.png",
    ]
    assert reasons == ["learning curves of mosei: no network was trained for more than one epoch"]
