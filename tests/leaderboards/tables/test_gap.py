"""The share of the gap to the oracle, against loops over raw predictions, and its interval against simulation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmbench.leaderboards.labels import UPPER_BOUND
from mmbench.leaderboards.metrics.registry import METRICS
from mmbench.leaderboards.stats.bootstrap import Resampled, resample_counts
from mmbench.leaderboards.stats.intervals import interval
from mmbench.leaderboards.tables.accuracy import accuracy
from mmbench.leaderboards.tables.cells import Cell
from mmbench.leaderboards.tables.gap import CLOSED, LEFT, gap, gap_cell
from mmbench.leaderboards.tables.results import Result
from scipy import stats

from ..conftest import make_result, make_table

COUNT, DRAWS = 80, 40
TASK = "a+b->c"


def right(name: str, seed: int, share: float) -> np.ndarray:
    """Whether each sample is answered rightly."""
    return np.random.default_rng([len(name), seed]).random(COUNT) < share


def classifier(name: str, seed: int, answers: np.ndarray, **fields: Any) -> Result:
    target = np.arange(COUNT) % 2
    answer = np.where(answers, target, 1 - target)
    ids = [f"s{row:02d}" for row in range(COUNT)]
    columns = {"split": "test", "condition": "clean", "sample_id": ids, "target": target}
    table = pd.DataFrame({**columns, "logit_0": 1.0 - answer, "logit_1": 1.0 * answer})
    return make_result(name, seed, table, task=TASK, family="classification", **fields)


def bound(name: str, seed: int, answers: np.ndarray, **fields: Any) -> Result:
    more = {"protocol": f"fair{UPPER_BOUND}", "bound": True, **fields}
    return classifier(name, seed, answers, **more)


def rows_of(frame: pd.DataFrame) -> dict[tuple[str, str], dict[str, Any]]:
    records: list[dict[str, Any]] = frame.to_dict("records")  # pyright: ignore[reportAssignmentType]
    return {(row["method"], row["metric"]): row for row in records}


Drawn = tuple[list[float], list[list[float]]]


def shared_variance(values: list[float], draws: list[list[float]]) -> tuple[list[float], list[float], float]:
    """Of values of seeds and their draws: the means of what is away from them, the variance of each seed over resamples,
    and the part of it that seeds and samples do together."""
    seeds = len(values)
    away = [[one - value for one, value in zip(draw, values, strict=True)] for draw in draws]
    means = [sum(row) / seeds for row in away]
    each = [float(np.var([row[s] for row in away], ddof=1)) for s in range(seeds)]
    return means, each, max(sum(each) - seeds * float(np.var(means, ddof=1)), 0.0) / (seeds - 1)


def slow_interval(own: Drawn, other: Drawn | None) -> tuple[float, float]:
    """As ``stats.intervals`` says it in words: the samples' part, less what it shares with the seeds, and Student's t with
    a variance over seeds that the other method of the block, if it varies, has a say in."""
    (values, draws), seeds = own, len(own[0])
    means, each, shared = shared_variance(values, draws)
    known = 0 if other is None else len(other[0]) - 1
    theirs = 0.0 if other is None else known * float(np.var(other[0], ddof=1))
    weak = 0.05**2 * COUNT * sum(each) / seeds + shared
    prior, counts = (weak + theirs) / (1 + known), min(3, 1 + known)
    degrees = counts + seeds - 1
    moderated = (counts * prior + (seeds - 1) * float(np.var(values, ddof=1))) / degrees
    half = float(stats.t.ppf(0.975, degrees)) * math.sqrt(max(moderated, shared) / seeds)
    whole = math.sqrt(min(max(1 - shared / seeds / float(np.var(means, ddof=1)), 0.0), 1.0))
    centres = [sum(values) / seeds + whole * mean for mean in means]
    low, high = np.quantile(centres, [0.025, 0.975], method="hazen").tolist()
    middle = sum(centres) / len(centres)
    return middle - math.hypot(middle - low, half), middle + math.hypot(high - middle, half)


def test_share_and_interval_are_what_loops_over_samples_find():
    shares = {"erm": 0.5, "other": 0.65, "oracle": 0.9}
    answers = {name: [right(name, s, share) for s in range(3)] for name, share in shares.items()}
    results = [classifier(name, s, answers[name][s]) for name in ("erm", "other") for s in range(3)]
    results += [bound("oracle", s, answers["oracle"][s]) for s in range(3)]
    frame = gap(results, draws=DRAWS)
    assert set(frame["method"]) == {"erm", "other"}
    counts = resample_counts(COUNT, DRAWS, 0)

    def scores(name: str, weights: np.ndarray) -> list[float]:
        return [
            sum(w for w, ok in zip(weights, answers[name][s], strict=True) if ok) / sum(weights)
            for s in range(3)
        ]

    def closed(weights: np.ndarray) -> list[float]:
        erm, own, oracle = (scores(name, weights) for name in ("erm", "other", "oracle"))
        whole = sum(oracle) / 3 - sum(erm) / 3
        share = (sum(own) / 3 - sum(erm) / 3) / whole
        parts = zip(erm, own, oracle, strict=True)
        return [share + (mine - low - share * (up - low)) / whole for low, mine, up in parts]

    def left(weights: np.ndarray, name: str = "other") -> list[float]:
        own, oracle = scores(name, weights), scores("oracle", weights)
        return [(up - mine) / (sum(own) / 3) for mine, up in zip(own, oracle, strict=True)]

    def left_of_erm(weights: np.ndarray) -> list[float]:
        return left(weights, "erm")

    for metric, by_hand, of_erm in (
        (CLOSED, closed, None),
        (LEFT, left, left_of_erm),
    ):  # erm closes 0 of the gap
        row = rows_of(frame)["other", metric]
        own, other = (
            None if one is None else (one(np.ones(COUNT, dtype=int)), [one(weights) for weights in counts])
            for one in (by_hand, of_erm)
        )
        assert own is not None
        assert [float(value) for value in row["values"].split()] == pytest.approx(own[0], abs=1e-9)
        low, high = slow_interval(own, other)
        # What is kept of the resamples has half precision.
        assert (row["low"], row["high"]) == pytest.approx((low, high), abs=2e-3)
        assert row["interval"] == "seeds+samples"
    plain = rows_of(accuracy(results, draws=DRAWS))
    erm, own, top = (plain[name, "accuracy"]["mean"] for name in ("erm", "other", "oracle"))
    assert rows_of(frame)["other", CLOSED]["mean"] == pytest.approx((own - erm) / (top - erm), abs=1e-9)
    for end in ("mean", "low", "high"):  # ERM closes nothing, and that is no estimate
        assert rows_of(frame)["erm", CLOSED][end] == pytest.approx(0.0, abs=1e-9)
    # The bound is in a block of its own: nothing is compared with it.
    assert plain["oracle", "accuracy"]["mark"] == ""
    assert {plain["erm", "accuracy"]["best"], plain["other", "accuracy"]["best"]} == {True, False}


def cell(values: np.ndarray, draws: np.ndarray) -> Cell:
    return Cell("", len(values), Resampled(values[:, None], draws[:, :, None], 50), "same")


NOT = {"erm": "", "the oracle": ""}


@given(
    st.floats(-2, 2),
    st.floats(0.5, 3),
    st.floats(-5, 5),
    st.floats(0.1, 10),
    st.sampled_from(["mae", "accuracy"]),
)
def test_the_share_is_the_same_in_any_unit_and_either_direction(
    share: float, size: float, start: float, unit: float, name: str
):
    """ERM at ``start``, the oracle ``size`` better, the method at the share between; any scale and origin."""
    draw = np.random.default_rng(3)
    metric = METRICS[name]
    sign = 1 if metric.direction == "higher" else -1
    cells = []
    for place in (share * size, 0.0, size):
        values = start + sign * unit * (place + np.zeros(3))
        cells.append(cell(values, values + 0.01 * unit * draw.normal(size=(30, 1))))
    found = gap_cell(metric, cells[0], cells[1], cells[2], NOT)
    assert found.scores is not None
    assert found.scores.values[:, 0] == pytest.approx([share] * 3, abs=1e-6)


def test_the_interval_holds_the_true_share_as_often_as_it_says():
    """Networks whose seeds and samples vary; the truth is 0.5 of a gap of 0.2."""
    draw = np.random.default_rng(11)
    metric, runs, samples, seeds = METRICS["accuracy"], 300, 300, 5
    counts = resample_counts(samples, 200, 0) / samples
    held = told = 0
    for _ in range(runs):
        hard = draw.uniform(-0.1, 0.1, size=samples)  # the same samples are hard for all
        cells = []
        for level in (0.7, 0.6, 0.8):
            skill = level + 0.04 * draw.normal(size=(seeds, 1)) + hard
            ok = (draw.random((seeds, samples)) < skill).astype(float)
            cells.append(cell(ok.mean(axis=1), counts @ ok.T))
        found = gap_cell(metric, cells[0], cells[1], cells[2], NOT)
        if found.reasons:  # this gap was not told apart from 0
            continue
        assert found.scores is not None
        told += 1
        low, high = interval(found.scores, None)
        held += bool(low[0] <= 0.5 <= high[0])
    assert told > 0.95 * runs
    assert 0.92 <= held / told <= 0.99


def regressor(name: str, errors: list[float], **fields: Any) -> list[Result]:
    target = np.arange(40.0) / 10
    wobble = 1 + 0.1 * np.cos(np.arange(40))
    tables = [make_table({"clean": target + error * wobble}, target) for error in errors]
    return [make_result(name, s, table, **{"task": "a->b", **fields}) for s, table in enumerate(tables)]


def oracle(errors: list[float], **fields: Any) -> list[Result]:
    return regressor("oracle", errors, **{"protocol": f"fair{UPPER_BOUND}", "bound": True, **fields})


def hole(results: list[Result], metric: str = CLOSED, method: str = "new") -> str:
    row = rows_of(gap(results, draws=DRAWS))[method, metric]
    assert (row["hole"] == "") == bool(np.isfinite(row["mean"]))
    return row["hole"]


def test_there_is_no_share_of_what_is_no_gap():
    new, erm = regressor("new", [0.9, 0.92, 0.91]), regressor("erm", [1.0, 1.02, 0.99])
    assert hole([*new, *erm, *oracle([0.5, 0.51, 0.49])]) == ""
    assert "gap from erm to the oracle is not above 0: -0.499" in hole(
        [*new, *erm, *oracle([1.5, 1.51, 1.49])]
    )
    unsure = [*new, *erm, *oracle([0.2, 1.5, 0.7])]
    assert "is not above 0" in hole(unsure)
    assert hole(unsure, LEFT) == ""  # what is left is known all the same


def test_what_lacks_is_said():
    new, erm, top = regressor("new", [0.9, 0.92]), regressor("erm", [1.0, 1.02]), oracle([0.5, 0.51])
    assert "no oracle: run again with --oracle" in hole([*new, *erm])
    assert "no run of erm" in hole([*new, *top])
    assert hole([*new, *top], LEFT) == ""
    assert "the oracle has other seeds: 0" in hole([*new, *erm, *top[:1]])
    other = oracle([0.5, 0.51], protocol=f"as-published{UPPER_BOUND}")
    assert "no oracle" in hole([*new, *erm, *other])  # of another protocol
    more = {"task": "a->b", "protocol": f"fair{UPPER_BOUND}", "bound": True}
    fewer = make_table({"clean": [0.1, 0.2]}, [0.0, 0.0])
    elsewhere = [make_result("oracle", s, fewer, **more) for s in (0, 1)]
    assert "the oracle was tested on other samples" in hole([*new, *erm, *elsewhere])
    failed = [make_result("oracle", 1, reason="died", **more)]
    assert "the oracle: 1 of 2 seeds failed (seed 1: died)" in hole([*new, *erm, top[0], *failed])
    with pytest.raises(ValueError, match="no shift"):
        gap(regressor("erm", [1.0], task="b"))
    frame = gap([*new, *erm, *top, *regressor("erm", [1.0, 1.0], task="b")], draws=DRAWS)
    assert set(frame["task"]) == {"a->b"}  # in-domain there is no gap


def test_one_seed_speaks_of_samples_alone():
    results = [classifier("erm", 0, right("erm", 0, 0.4)), classifier("other", 0, right("other", 0, 0.6))]
    row = rows_of(gap([*results, bound("oracle", 0, right("oracle", 0, 0.95))], draws=DRAWS))["other", CLOSED]
    assert row["interval"] == "samples"
    assert row["low"] < row["mean"] < row["high"]
