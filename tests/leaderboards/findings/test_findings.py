"""The questions, asked of planted results whose answers are known."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mmbench.leaderboards.findings.effect_sizes import estimate_effect, estimate_effects, paired_p
from mmbench.leaderboards.findings.findings import (
    Finding,
    answers_as_json,
    answers_as_markdown,
    basis_words,
    findings,
)
from mmbench.leaderboards.labels import UPPER_BOUND
from mmbench.leaderboards.tables.accuracy import accuracy, missing
from mmbench.leaderboards.tables.gap import gap
from mmbench.leaderboards.tables.robustness import robustness
from mmbench.leaderboards.tables.trust import calibration, misclassification
from scipy import stats

from ..conftest import make_result, make_table

TARGET = [0.0, 1.0, 2.0, 3.0]
TASKS = [f"t{i}" for i in range(8)]
RNG = np.random.default_rng(0)


def row_of(
    method: str,
    task: str,
    errors: Sequence[float],
    damage: dict[str, float] | None = None,
    target: list[float] = TARGET,
    **more,
) -> list:
    """One method on one task: seed by seed its MAE, and what damage adds to it."""
    added = {"clean": 0.0, **(damage or {})}
    return [
        make_result(
            method,
            seed,
            make_table({name: [y + error + extra for y in target] for name, extra in added.items()}, target),
            task=task,
            **more,
        )
        for seed, error in enumerate(errors)
    ]


def noisy(mean: float, spread: float, seeds: int = 3) -> list[float]:
    return (mean + spread * RNG.normal(size=seeds)).tolist()


def asked(
    number: str, rows: list[list], boards: Sequence[Callable[..., pd.DataFrame]] = (accuracy,), **more
) -> Finding:
    results = [result for row in rows for result in row]
    names = {accuracy: "accuracy", gap: "gap", missing: "missing", robustness: "robustness"}
    names |= {misclassification: "misd", calibration: "calibration"}
    frames = {names[make]: make(results, draws=20) for make in boards}
    (found,) = [one for one in findings(frames, **more) if one.number == number]
    return found


@pytest.mark.parametrize(
    ("gain", "spread", "answer"),
    [(0.0, 0.002, "yes"), (-0.3, 0.002, "yes"), (0.2, 0.002, "no"), (0.02, 0.05, "undecided")],
)
def test_1_gain_over_erm(gain: float, spread: float, answer: str):
    rows = [row_of("erm", task, noisy(1.0, spread)) for task in TASKS]
    rows += [row_of("new(a=1)", task, noisy(1.0 - gain, spread)) for task in TASKS]
    found = asked("1", rows)
    assert found.answer == answer, found.statistic
    assert len(found.tasks) == 8
    assert "over 8 tasks" in found.statistic


def test_1_over_seeds_where_tasks_are_few_and_not_enough_where_seeds_are_too():
    rows = [row_of("erm", "t", [1.0, 1.1, 1.0]), row_of("new", "t", [0.5, 0.6, 0.5])]
    found = asked("1", rows)
    assert (found.answer, found.tasks) == ("no", ("t, text+audio",))
    assert "over 3 seeds on 1 task" in found.statistic
    single = asked("1", [row[:1] for row in rows])
    assert single.answer == "not enough data"
    assert "Run erm and another method" in single.statistic
    assert asked("1", rows[1:]).answer == "not enough data"


def test_1_the_interval_is_that_of_student_with_bonferroni():
    erm, a = [1.0, 1.1, 1.05], [0.9, 1.0, 0.8]
    rows = [row_of("erm", "t", erm), row_of("a", "t", a), row_of("b", "t", [1.0, 1.0, 1.0])]
    (found,) = [one for one in asked("1", rows).estimates if one.label == "a"]
    gains, others = (np.subtract(erm, errors) / np.mean(erm) for errors in (a, 1.0))
    # Two degrees of freedom of each: the variance is the mean of both.
    spread = math.sqrt((gains.var(ddof=1) + others.var(ddof=1)) / 2 / 3)
    low, high = stats.t.interval(1 - 0.05 / 2, 4, gains.mean(), spread)
    assert (found.mean, found.low, found.high) == pytest.approx((gains.mean(), low, high), abs=1e-9)
    wider = asked("1", rows, margin=0.5)
    assert wider.statistic != asked("1", rows).statistic


@pytest.mark.parametrize(("methods", "seeds"), [(2, 3), (6, 2)])
def test_1_intervals_of_gains_over_one_erm_hold_together(methods, seeds):
    draw, runs = np.random.default_rng(6), 300
    held = 0
    for _ in range(runs):
        gains = draw.normal(size=(methods, seeds)) - draw.normal(size=seeds)
        found = estimate_effects({f"m{m}": {"t": dict(enumerate(one))} for m, one in enumerate(gains)})
        held += all(one.low <= 0 <= one.high for one in found)
        assert len(found) == methods
    assert held / runs >= 0.93 - 0.02


def test_1_one_clear_winner_among_equals_is_no_marginal_gain():
    rows = [row_of("erm", task, noisy(1.0, 0.002)) for task in TASKS]
    rows += [row_of(f"m{i}", task, noisy(1.0 - 0.3 * (i == 2), 0.002)) for i in range(4) for task in TASKS]
    assert asked("1", rows).answer == "no"


def test_1_a_method_without_common_seeds_is_named():
    odd = [make_result("odd", 9, make_table({"clean": TARGET}, TARGET), task="t")]
    rows = [row_of("erm", "t", [1.0, 1.1, 1.0]), row_of("new", "t", [0.5, 0.6, 0.5]), odd]
    assert "; not enough data of odd." in asked("1", rows).statistic


def test_1_equal_methods_are_rarely_called_better():
    draw, runs = np.random.default_rng(5), 1000
    wrong = 0
    for _ in range(runs):
        gains = 0.02 + 0.05 * draw.normal(size=(3, 8))  # true gains on the border itself, three methods
        found = [estimate_effect("m", {str(t): {0: g} for t, g in enumerate(method)}, 3) for method in gains]
        wrong += any(one is not None and one.low > 0.02 for one in found)
    assert wrong / runs <= 0.025 + 3 * math.sqrt(0.025 * 0.975 / runs)


def test_2_each_method_loses_somewhere():
    a = [[e + 0.5 * (i % 2) for e in (0.1, 0.11, 0.1)] for i in range(8)]
    b = [[e - 0.5 * (i % 2) for e in (0.6, 0.62, 0.61)] for i in range(8)]
    rows = [
        row_of(name, task, errors, target=TARGET * 3)  # no test tells four samples apart
        for name, method in (("a", a), ("b", b))
        for task, errors in zip(TASKS, method, strict=True)
    ]
    found = asked("2", rows)
    assert found.answer == "yes", found.statistic
    assert "a on 4, b on 4" in found.statistic


def test_2_one_method_wins_everywhere():
    few = [
        row_of(name, task, [e, 1.01 * e], target=TARGET * 3)
        for task in TASKS[:3]
        for name, e in (("a", 0.1), ("b", 0.9))
    ]
    found = asked("2", few)
    assert found.answer == "no", found.statistic  # on three tasks by the tests on each
    assert "3 in common, 6 needed" in found.statistic
    many = [row_of("a", task, noisy(0.99, 0.05)) for task in TASKS]
    many += [row_of("b", task, [1.1, 1.3, 0.9 + 0.05 * i]) for i, task in enumerate(TASKS)]
    found = asked("2", many)  # never by the test on one task, always by rank
    assert found.answer == "no", found.statistic
    assert "Wilcoxon with Holm p = 0.008" in found.statistic  # 2 / 2^8


def test_2_an_oracle_beats_nobody():
    oracle = [row_of("oracle", task, [0.01, 0.01, 0.01]) for task in TASKS[:3]]
    rows = [row_of(name, t, [e, e + 0.2 * e, e]) for t in TASKS[:3] for name, e in (("a", 0.05), ("b", 0.9))]
    assert asked("2", [*rows, *oracle]).answer == "no"
    assert "oracle" not in asked("2", [*rows, *oracle]).statistic
    crossed = [row_of("a", t, [0.1 + 0.5 * (t == "t1"), 0.1, 0.1]) for t in TASKS[:3]]
    assert asked("2", [*crossed, *[row_of("b", t, [0.2, 0.2, 0.3]) for t in TASKS[:3]], *oracle]).answer == (
        "undecided"  # though all are far worse than the oracle
    )


def test_2_one_seed_speaks_of_tasks_and_not_of_methods_on_one():
    rows = [row_of(name, t, [e]) for t in TASKS for name, e in (("a", 0.1), ("b", 0.9))]
    assert asked("2", rows).answer == "no"
    assert (
        "worse than the best (paired, Holm and Bonferroni, 5 %): a on 0, b on 0" in asked("2", rows).statistic
    )
    assert asked("2", rows[:10]).answer == "not enough data"  # five tasks, 6 needed


def test_2_the_test_over_seeds_is_that_of_student():
    a, b = [0.3, 0.2, 0.4, 0.1], [0.35, 0.28, 0.44, 0.3]
    d = dict(enumerate(np.subtract(a, b)))
    assert paired_p(d) == pytest.approx(stats.ttest_rel(a, b)[1], abs=1e-9)
    assert math.isnan(paired_p({0: 0.1}))
    assert math.isnan(paired_p({0: 0.3 - 0.2, 1: 0.1, 2: 0.4 - 0.3}))  # rounding is no spread


def test_2_equal_methods_are_undecided_and_one_task_is_not_enough():
    rows = [row_of(name, task, noisy(1.0, 0.1)) for name in ("a", "b") for task in TASKS[:3]]
    assert asked("2", rows).answer == "undecided"
    assert asked("2", [row for row in rows if row[0].task == "t0"]).answer == "not enough data"
    assert asked("2", [row for row in rows if row[0].method == "a"]).answer == "not enough data"


@pytest.mark.parametrize(
    ("oracle", "spread", "answer"), [(0.5, 0.01, "yes"), (0.98, 0.001, "no"), (0.9, 0.2, "undecided")]
)
def test_3_gap_to_the_oracle(oracle: float, spread: float, answer: str):
    tasks = ["a->b", "b->a"]
    rows = [row_of("erm", task, [1.0 - spread, 1.0, 1.0 + spread]) for task in tasks]
    rows += [row_of("bad", task, [3.0, 3.0, 3.0]) for task in tasks]
    rows += [upper_bound(task, [oracle, oracle - spread, oracle + spread]) for task in tasks]
    found = asked("3", rows, (accuracy, gap))
    assert found.answer == answer, found.statistic
    assert set(found.tasks) == {f"{task}, text+audio" for task in tasks}
    assert found.estimates[0].mean == pytest.approx(
        1.0 - oracle
    )  # relative to the best method, whose MAE is 1
    told = answer != "undecided"  # ERM is the best, and closes nothing of a gap that is there
    assert ("told apart from 0: 2 of 2" in found.statistic) != told
    assert [one.mean for one in found.estimates[1:]] == [pytest.approx(0.0, abs=1e-12)] * told


def upper_bound(task: str, errors: list[float]) -> list:
    more = {"selected_by": "target validation (upper bound)"}
    return row_of("oracle", task, errors, protocol="fair" + UPPER_BOUND, audit=more, bound=True)


def test_3_the_share_that_the_best_method_closes():
    rows = [row_of("erm", "a->b", [1.0, 1.01, 0.99]), row_of("new", "a->b", [0.8, 0.81, 0.79])]
    rows.append(upper_bound("a->b", [0.5, 0.51, 0.49]))
    found = asked("3", rows, (accuracy, gap))
    assert found.answer == "yes"
    assert [one.mean for one in found.estimates] == pytest.approx([0.3 / 0.8, 0.2 / 0.5])
    assert "the share closed +40.0 %" in found.statistic
    results = [result for row in rows for result in row]
    scopes = findings({"accuracy": accuracy(results, draws=20), "gap": gap(results, draws=20)})
    assert {one.protocol for one in scopes} == {"fair"}  # the bound is asked nothing itself
    for lacking in (asked("3", rows[:2]), asked("3", rows[:2], (accuracy, gap))):
        assert lacking.answer == "not enough data"
        assert "--oracle" in lacking.statistic


def test_selection_on_the_target_is_asked_nothing_itself():
    rows = [row_of("erm", "t", [1.0, 1.0, 1.01], audit={"selected_by": "source validation split"})]
    more = {"audit": {"selected_by": "target validation (oracle)"}, "protocol": "fair (selection=oracle)"}
    rows.append(row_of("erm", "t", [0.5, 0.5, 0.51], **more))
    results = [result for row in rows for result in row]
    found = findings({"accuracy": accuracy(results, draws=20)})
    assert {one.protocol for one in found} == {"fair"}
    alone = findings({"accuracy": accuracy(rows[1], draws=20)})
    assert {one.protocol for one in alone} == {"fair (selection=oracle)"}


@pytest.mark.parametrize(
    ("gain", "spread", "answer"),
    [(0.3, 0.01, "no"), (-0.1, 0.01, "yes"), (0.0, 0.001, "yes"), (0.05, 0.2, "undecided")],
)
def test_4_three_modalities_and_the_best_pair(gain: float, spread: float, answer: str):
    errors = {
        "text+audio": 1.0,
        "text+vision": 1.5,
        "audio+vision": 2.0,
        "text+audio+vision": 1.0 - gain,
        "text": 0.1,  # a single modality is no pair
    }
    rows = [
        row_of(method, "t", [e, e + spread, e - spread] if "+vision" in names else [e] * 3, modalities=names)
        for method in ("erm", "ebmc")
        for names, e in errors.items()
    ]
    found = asked("4", rows)
    assert found.answer == answer, found.statistic
    assert found.estimates[0].mean == pytest.approx(gain)
    assert f"ahead in {2 * (gain > 0)} of 2 cases" in found.statistic
    without_a_pair = [row for row in rows if row[0].modalities != "audio+vision"]
    assert asked("4", without_a_pair).answer == "not enough data"
    on_other_data = [
        [
            dataclasses.replace(
                one, audit={"fingerprints": f"t: {'old' if one.modalities == 'audio+vision' else 'new'}"}
            )
            for one in row
        ]
        for row in rows
    ]
    assert asked("4", on_other_data).answer == "not enough data"


def test_holes_are_not_averaged_over():
    rows = [row_of("erm", t, [1.0, 1.0, 1.0]) for t in ("a", "b")] + [row_of("new", "a", [0.5, 0.5, 0.51])]
    rows.append([*row_of("new", "b", [0.5, 0.5]), make_result("new", 2, task="b", reason="died")])
    assert asked("1", rows).tasks == ("a, text+audio",)


def test_protocols_and_stand_ins_are_asked_apart():
    rows = []
    more: dict[str, Any]
    for more, gain in (({}, 0.5), ({"synthetic": True}, 0.0), ({"protocol": "as-published"}, 0.0)):
        rows += [row_of("erm", "t", [1.0, 1.001, 1.0], **more), row_of("new", "t", [1.0 - gain] * 3, **more)]
    found = findings({"accuracy": accuracy([r for row in rows for r in row], draws=20)})
    assert {(one.protocol, one.data): one.answer for one in found if one.number == "1"} == {
        ("fair", "real"): "no",
        ("fair", "synthetic stand-in"): "yes",
        ("as-published", "real"): "yes",
    }
    assert [one.number for one in found[:7]] == ["1", "2", "3", "4", "5a", "5b", "6"]
    text = answers_as_markdown(found)
    assert text.count("## Findings") == 3
    assert "synthetic stand-in" in text
    again = json.loads(answers_as_json(found))
    assert again[0]["estimates"][0]["mean"] == found[0].estimates[0].mean
    assert again[0]["answer"] == "no"


def test_long_lists_are_cut_for_the_screen_and_whole_in_the_file():
    rows = [row_of(name, task, [1.0, 1.01, 1.0]) for task in TASKS for name in ("erm", "new")]
    found = asked("1", rows)
    assert basis_words(found).endswith("t3, text+audio and 4 more.")
    assert "t7" in answers_as_markdown([found])


def test_borders_and_frames_are_checked():
    frame = accuracy([one for row in [row_of("erm", "t", [1.0])] for one in row], draws=20)
    for more in ({"margin": 0.0}, {"large": -1.0}, {"margin": math.nan}):
        with pytest.raises(ValueError, match="above 0"):
            findings({"accuracy": frame}, **more)
    with pytest.raises(ValueError, match="no frame 'accuracy'"):
        findings({})
