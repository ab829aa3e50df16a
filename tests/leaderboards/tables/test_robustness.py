"""Summaries over corruptions and rates, against figures worked out from the raw predictions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from mmbench.leaderboards.tables import robustness as module
from mmbench.leaderboards.tables.accuracy import accuracy, missing
from mmbench.leaderboards.tables.robustness import is_summary, reliability_point, robustness, summaries

from ..conftest import make_result, make_table

TARGET = [0.0, 1.0, 2.0, 3.0]


def planted(errors: dict[str, float], seeds: int = 2):
    """Results whose MAE under each condition is what is asked, plus the seed's number."""
    return [
        make_result(
            "erm", seed, make_table({n: [y + e + seed for y in TARGET] for n, e in errors.items()}, TARGET)
        )
        for seed in range(seeds)
    ]


def mean(frame: pd.DataFrame, condition: str) -> float:
    rows = frame[(frame["condition"] == condition) & (frame["metric"] == "mae")]
    assert len(rows) == 1, condition
    return float(next(iter(rows["mean"])))


def test_means_weigh_kinds_and_severities_alike() -> None:
    noise = {f"gaussian-noise:text@{s}": 1.0 * s for s in range(1, 6)}
    drop = {f"frame-dropout:audio@{s}": 10.0 * s for s in range(1, 6)}
    frame = robustness(planted({"clean": 0.5, **noise, **drop}), draws=20)
    assert mean(frame, "mean:gaussian-noise:text") == pytest.approx(3.5)  # 3, and half a seed
    assert mean(frame, "mean_corruption") == pytest.approx((3 + 30) / 2 + 0.5)
    assert mean(frame, "mean_severity@2") == pytest.approx((2 + 20) / 2 + 0.5)
    assert mean(frame, "gaussian-noise:text@4") == pytest.approx(4.5)
    row = frame[frame["condition"] == "mean_corruption"].iloc[0]
    assert row["drop"] == pytest.approx(16.5 - 0.5)  # against clean, positive where worse
    assert row["n"] == 2


def test_a_condition_that_was_not_tested_makes_a_hole() -> None:
    noise = {f"gaussian-noise:text@{s}": 1.0 for s in (1, 2, 3, 5)}
    frame = robustness(planted({"clean": 0.5, **noise}), draws=20)
    for condition in ("mean_corruption", "mean_severity@4", "mean:gaussian-noise:text"):
        row = frame[frame["condition"] == condition].iloc[0]
        assert np.isnan(row["mean"])
        assert "gaussian-noise:text@4" in row["hole"]
    assert mean(frame, "mean_severity@5") == pytest.approx(1.5)


def test_nothing_tested_is_a_hole_that_says_what_to_do() -> None:
    frame = robustness(planted({"clean": 0.5}), draws=20)
    assert "--corruptions" in frame[frame["condition"] == "mean_corruption"].iloc[0]["hole"]
    assert mean(frame, "clean") == pytest.approx(1.0)


def test_curves_over_rates() -> None:
    modality = {f"random-modality@{k / 10:.1f}": k / 10 for k in range(1, 8)}
    frames = {f"random-frames@{k / 10:.1f}": k / 10 for k in range(1, 11)}
    frame = robustness(planted({"clean": 0.0, **modality, **frames}, seeds=1), draws=20)
    xs = np.arange(11) / 10
    assert mean(frame, "auc:random-modality") == pytest.approx(np.trapezoid(xs[:8], xs[:8]) / 0.7)
    assert mean(frame, "mean:random-frames") == pytest.approx(xs[:10].mean())
    assert mean(frame, "auilc:random-frames") == pytest.approx(
        sum((xs[i] + xs[i + 1]) / 2 * 0.1 for i in range(10))
    )


def test_the_volume_is_the_trapezoid_over_the_grid() -> None:
    points = [(i / 10, j / 10) for i in range(10) for j in range(10)]
    height = {reliability_point(*point): point[0] * point[1] + point[1] for point in points}
    frame = robustness(planted({**height}, seeds=1), draws=20)
    grid = np.array(list(height.values())).reshape(10, 10)
    axis = np.arange(10) / 10
    expected = np.trapezoid(np.trapezoid(grid, axis, axis=1), axis) / 0.81
    assert mean(frame, "reliability_volume") == pytest.approx(expected)


def test_every_summary_is_an_average_and_only_summaries_are_printed() -> None:
    names = [
        "clean",
        "drift:text@1",
        "random-modality@0.1",
        "random-frames@0.1",
        "reliability:noise=0.1+missing=0.0",
    ]
    found = summaries(names)
    for summary in found:
        assert sum(summary.weights.values()) == pytest.approx(1.0), summary.name
    assert all(is_summary(s.name) for s in found if not s.name.startswith("mean:drift"))
    assert not any(is_summary(name) for name in names[1:])
    assert module.MEAN in {summary.name for summary in found}


@pytest.mark.parametrize("seeds", [(1, 2), (2, 2, 3), (1, 1)])
def test_the_same_cell_has_the_same_interval_in_every_table(seeds: tuple[int, ...]) -> None:
    draw = np.random.default_rng(0)
    target = draw.normal(size=40)
    names = ["clean", "missing:text", "missing:audio", *(f"gaussian-noise:text@{s}" for s in range(1, 6))]
    results = []
    for method, count in enumerate(seeds):
        for seed in range(count):
            scores = {name: target + (1 + 0.1 * method) * draw.normal(size=40) for name in names}
            results.append(make_result(f"m{method}", seed, make_table(scores, target)))
    cells = ["method", "n", "low", "high", "interval", "p_vs_best", "mark"]
    tables = [make(results) for make in (accuracy, missing, robustness)]
    clean = [frame[(frame["condition"] == "clean") & (frame["metric"] == "mae")] for frame in tables]
    first, *others = (pd.DataFrame(frame[cells]).reset_index(drop=True) for frame in clean)
    for frame in others:
        pd.testing.assert_frame_equal(frame, first)
    one = "others' seeds+samples" if max(seeds) > 1 else "samples"
    assert list(clean[0]["interval"]) == ["seeds+samples" if n > 1 else one for n in seeds]
