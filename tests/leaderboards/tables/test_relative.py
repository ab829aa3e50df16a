"""Relative drop and mCE, against plain loops over the raw predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from mmbench.leaderboards.tables.relative import relative

from ..conftest import make_result

COUNT = 60
KINDS = ("gaussian-noise:text", "drift:text", "drift:audio")
CONDITIONS = ["clean", *(f"{kind}@{s}" for kind in KINDS for s in range(1, 6))]


def right(method: int, seed: int, condition: str) -> np.ndarray:
    """Whether each sample is answered rightly: less often as the severity grows."""
    draw = np.random.default_rng([method, seed, CONDITIONS.index(condition)])
    severity = 0 if condition == "clean" else int(condition[-1])
    return draw.random(COUNT) < 0.95 - 0.03 * method - 0.08 * severity


def classifier(name: str, method: int, seed: int, conditions: list[str] = CONDITIONS, **fields):
    target = np.arange(COUNT) % 2
    parts = []
    for condition in conditions:
        answer = np.where(right(method, seed, condition), target, 1 - target)
        ids = [f"s{row:02d}" for row in range(COUNT)]
        parts.append(
            pd.DataFrame(
                {
                    "split": "test",
                    "condition": condition,
                    "sample_id": ids,
                    "target": target,
                    "logit_0": 1.0 - answer,
                    "logit_1": 1.0 * answer,
                }
            )
        )
    return make_result(name, seed, pd.concat(parts), family="classification", **fields)


def error(method: int, seed: int, condition: str) -> float:
    return float(1 - right(method, seed, condition).mean())


def row_of(frame: pd.DataFrame, method: str, metric: str) -> dict[str, Any]:
    rows = [
        {str(name): value for name, value in row.items()}
        for row in frame.to_dict("records")
        if (row["method"], row["metric"]) == (method, metric)
    ]
    assert [row["condition"] for row in rows] == ["mean_corruption"]
    return rows[0]


def values(frame: pd.DataFrame, method: str, metric: str) -> list[float]:
    return [float(value) for value in row_of(frame, method, metric)["values"].split()]


def hole(frame: pd.DataFrame, method: str, metric: str) -> str:
    return row_of(frame, method, metric)["hole"]


def by_hand(method: int, seed: int, reference: int, seeds: range, clean: bool) -> float:
    shares = []
    for kind in KINDS:

        def total(m: int, s: int, kind: str = kind) -> float:
            lost = error(m, s, "clean") if clean else 0.0
            return sum(error(m, s, f"{kind}@{severity}") - lost for severity in range(1, 6))

        shares.append(total(method, seed) / np.mean([total(reference, s) for s in seeds]))
    return float(np.mean(shares))


def test_all_measures_of_classifiers_are_what_loops_find() -> None:
    seeds = range(3)
    found = [classifier(name, m, s) for m, name in enumerate(("erm", "other")) for s in seeds]
    frame = relative(found, draws=20)
    for m, name in enumerate(("erm", "other")):
        for metric, clean in (("mce", False), ("relative_mce", True)):
            expected = [by_hand(m, s, 0, seeds, clean) for s in seeds]
            assert values(frame, name, metric) == pytest.approx(expected, abs=1e-9)
        drops = []
        for s in seeds:
            kept = np.mean([1 - error(m, s, name) for name in CONDITIONS[1:]])
            drops.append(1 - kept / (1 - error(m, s, "clean")))
        assert values(frame, name, "relative_drop") == pytest.approx(drops, abs=1e-9)
    assert np.mean(values(frame, "erm", "mce")) == pytest.approx(1)  # the reference against itself
    row = row_of(frame, "other", "mce")
    assert row["low"] < row["mean"] < row["high"]
    assert set(frame["direction"]) == {"lower"}

    other = relative(found, draws=20, reference="other")
    expected = [by_hand(0, s, 1, seeds, False) for s in seeds]
    assert values(other, "erm", "mce") == pytest.approx(expected, abs=1e-9)
    assert values(other, "erm", "relative_drop") == values(frame, "erm", "relative_drop")


def test_errors_of_scores_are_taken_as_they_are() -> None:
    target = np.arange(8.0)

    def regressor(name: str, seed: int, factor: float):
        parts = [
            pd.DataFrame(
                {
                    "split": "test",
                    "condition": condition,
                    "sample_id": [f"s{row}" for row in range(8)],
                    "target": target,
                    "score": target + factor * (1 + (CONDITIONS.index(condition)) + seed),
                }
            )
            for condition in CONDITIONS
        ]
        return make_result(name, seed, pd.concat(parts))

    frame = relative(
        [regressor("erm(layers=1)", s, 1.0) for s in range(2)] + [regressor("b", s, 2.0) for s in range(2)],
        draws=20,
    )
    mae = {(f, s): [f * (1 + i + s) for i in range(16)] for f in (1.0, 2.0) for s in range(2)}
    for name, factor in (("erm(layers=1)", 1.0), ("b", 2.0)):
        drops = [np.mean(mae[factor, s][1:]) / mae[factor, s][0] - 1 for s in range(2)]
        assert values(frame, name, "relative_drop") == pytest.approx(drops, abs=1e-9)
        sums = {
            (f, s): [sum(mae[f, s][1 + 5 * k : 6 + 5 * k]) for k in range(3)]
            for f in (1.0, 2.0)
            for s in range(2)
        }
        mces = [
            np.mean([sums[factor, s][k] / np.mean([sums[1.0, r][k] for r in range(2)]) for k in range(3)])
            for s in range(2)
        ]
        assert values(frame, name, "mce") == pytest.approx(mces, abs=1e-9)


def test_no_reference_is_a_hole_and_the_drop_stays() -> None:
    frame = relative([classifier("other", 1, s) for s in range(2)], draws=20)
    assert "no run of erm" in hole(frame, "other", "mce")
    assert "--reference" in hole(frame, "other", "relative_mce")
    assert len(values(frame, "other", "relative_drop")) == 2
    with pytest.raises(ValueError, match=r"no row is called 'mine'.*other"):
        relative([classifier("other", 1, 0)], draws=20, reference="mine")


def test_a_reference_that_was_tested_on_less_is_a_hole_that_says_where() -> None:
    fewer = classifier("erm", 0, 0, CONDITIONS[:-5])
    frame = relative([fewer, classifier("other", 1, 0)], draws=20)
    assert "drift:audio@1" in hole(frame, "other", "mce")
    assert not hole(frame, "erm", "mce")


def test_a_row_without_corruptions_is_a_hole() -> None:
    bare = classifier("bare", 1, 0, ["clean"])
    frame = relative([classifier("erm", 0, 0), bare], draws=20)
    assert "--corruptions" in hole(frame, "bare", "relative_drop")
    with pytest.raises(ValueError, match="--corruptions"):
        relative([bare], draws=20)


def test_a_reference_that_never_errs_leaves_no_number() -> None:
    perfect = classifier("erm", 0, 0)
    assert perfect.predictions is not None
    table = perfect.predictions()
    table = table.assign(logit_0=1.0 - table["target"], logit_1=1.0 * table["target"])
    flawless = make_result("erm", 0, table, family="classification")
    frame = relative([flawless, classifier("other", 1, 0)], draws=20)
    assert "no error" in hole(frame, "other", "mce")
    assert "does not get worse" in hole(frame, "other", "relative_mce")
    assert values(frame, "erm", "relative_drop") == pytest.approx([0.0], abs=1e-9)
