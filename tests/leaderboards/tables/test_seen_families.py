"""Corruptions of families that were in training, and of those that were not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from mmbench.leaderboards.tables.robustness import is_summary, robustness
from mmbench.leaderboards.tables.seen_families import by_training, marks

from ..conftest import make_result, make_table

TARGET = [0.0, 1.0, 2.0, 3.0]
FAMILIES = {"gaussian-noise": "noise", "frame-dropout": "dropout", "drift": "drift"}
ERRORS = {
    "clean": 0.5,
    **{f"gaussian-noise:text@{s}": 1.0 * s for s in range(1, 6)},
    **{f"frame-dropout:audio@{s}": 2.0 * s for s in range(1, 6)},
    **{f"drift:text@{s}": 10.0 * s for s in range(1, 6)},
    "random-frames@0.1": 0.6,
}


def under(trained: set[str], families: dict[str, str] | None = None) -> pd.DataFrame:
    table = make_table({name: [y + e for y in TARGET] for name, e in ERRORS.items()}, TARGET)
    return robustness(
        [
            make_result(
                "erm",
                0,
                table,
                families=FAMILIES if families is None else families,
                trained=frozenset(trained),
            )
        ],
        draws=20,
    )


def mean(frame: pd.DataFrame, condition: str) -> float:
    return dict(zip(frame["condition"], frame["mean"], strict=True))[condition]


def test_the_mean_is_parted_by_what_was_trained_on() -> None:
    frame = under({"noise", "missing"})
    assert mean(frame, "mean_corruption_seen") == pytest.approx(3)
    assert mean(frame, "mean_corruption_held_out") == pytest.approx((6 + 30) / 2)
    marked = dict(zip(frame["condition"], frame["held_out"], strict=True))
    assert marked["gaussian-noise:text@3"] == marked["mean:gaussian-noise:text"] == "no"
    assert marked["drift:text@1"] == marked["mean:frame-dropout:audio"] == "yes"
    assert marked["clean"] == marked["mean_corruption"] == marked["random-frames@0.1"] == ""
    assert is_summary("mean_corruption_seen")
    assert is_summary("mean_corruption_held_out")


def test_nothing_trained_and_nothing_known_is_not_parted() -> None:
    for frame in (under(set()), under({"noise"}, {"drift": "drift"})):
        assert not set(frame["condition"]) & {"mean_corruption_seen", "mean_corruption_held_out"}
    only = under({"missing"})  # no corruption is of that family: all is held out
    assert "mean_corruption_seen" not in only["condition"].tolist()
    assert mean(only, "mean_corruption_held_out") == pytest.approx(mean(only, "mean_corruption"))
    assert "held_out" not in under(set())


def test_weights_are_those_of_a_mean() -> None:
    names = [name for name in ERRORS if "@" in name and ":" in name]
    found = by_training(names, FAMILIES, {"noise", "drift"})
    assert {len(weights) for weights in found.values()} == {10, 5}
    assert all(np.isclose(sum(weights.values()), 1) for weights in found.values())
    assert marks(["unknown:text@1"], FAMILIES, {"noise"}) == [""]
