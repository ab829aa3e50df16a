"""The table over targets, against loops over raw answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from mmbench.leaderboards.labels import OVER_TARGETS, TARGET, WORST_TARGET
from mmbench.leaderboards.tables.accuracy import accuracy
from mmbench.leaderboards.tables.results import Result
from mmbench.leaderboards.tables.targets import family_of, targets

from ..conftest import make_result

DOMAINS = ("p1", "p2", "p3")
COUNT = {"p1": 40, "p2": 60, "p3": 80}
SHARE = {"erm": {"p1": 0.9, "p2": 0.6, "p3": 0.75}, "other": {"p1": 0.85, "p2": 0.3, "p3": 0.7}}


def answers(method: str, domain: str, seed: int) -> np.ndarray:
    draw = np.random.default_rng([len(method), int(domain[1]), seed])
    return draw.random(COUNT[domain]) < SHARE[method][domain]


def result(method: str, domain: str, seed: int, **fields: Any) -> Result:
    right = answers(method, domain, seed)
    target = np.arange(len(right)) % 2
    answer = np.where(right, target, 1 - target)
    ids = [f"{domain}-{row:02d}" for row in range(len(right))]
    columns = {"split": "test", "condition": "clean", "sample_id": ids, "target": target}
    table = pd.DataFrame({**columns, "logit_0": 1.0 - answer, "logit_1": 1.0 * answer})
    sources = "+".join(f"set/{one}" for one in DOMAINS if one != domain)
    task = f"{sources}->set/{domain}"
    return make_result(method, seed, table, **{"task": task, "family": "classification", **fields})


def results(seeds: tuple[int, ...] = (0, 1, 2), methods: tuple[str, ...] = ("erm", "other")) -> list[Result]:
    return [result(method, domain, seed) for domain in DOMAINS for method in methods for seed in seeds]


def cell(frame: pd.DataFrame, method: str, condition: str) -> dict[str, Any]:
    (row,) = frame.loc[(frame["method"] == method) & (frame["condition"] == condition)].to_dict("records")
    return row


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return targets(results())


def test_means_over_targets_and_worst_targets_are_those_by_hand(frame: pd.DataFrame):
    assert set(frame["condition"]) == {*(f"{TARGET}set/{one}" for one in DOMAINS), OVER_TARGETS, WORST_TARGET}
    assert set(frame["task"]) == {"set: mean over 3 targets of 2 sources each"}
    for method in SHARE:
        by_seed = [[answers(method, one, seed).mean() for one in DOMAINS] for seed in range(3)]
        mean = cell(frame, method, OVER_TARGETS)
        assert mean["mean"] == pytest.approx(np.mean(by_seed))
        assert mean["sd"] == pytest.approx(np.std(np.mean(by_seed, axis=1), ddof=1))
        assert mean["n"] == mean["n_planned"] == 3
        assert mean["samples"] == sum(COUNT.values())
        assert len(mean["jobs"].split()) == 9
        assert cell(frame, method, WORST_TARGET)["mean"] == pytest.approx(np.min(by_seed, axis=1).mean())


def test_each_target_has_the_number_and_the_interval_of_the_table_of_accuracy(frame: pd.DataFrame):
    known = accuracy(results())
    known = known.loc[known["metric"] == frame["metric"].iloc[0]]
    for method in SHARE:
        for domain in DOMAINS:
            own = cell(frame, method, f"{TARGET}set/{domain}")
            (there,) = known.loc[
                (known["method"] == method) & known["task"].str.endswith(f"->set/{domain}")
            ].to_dict("records")
            for name in ("mean", "sd", "low", "high", "p_vs_best", "mark", "jobs"):
                assert own[name] == pytest.approx(there[name], nan_ok=True) or own[name] == there[name], name


def test_the_interval_of_the_mean_is_narrower_than_those_of_targets_and_the_better_is_told(
    frame: pd.DataFrame,
):
    mean = cell(frame, "erm", OVER_TARGETS)
    widths = [cell(frame, "erm", f"{TARGET}set/{one}") for one in DOMAINS]
    assert mean["low"] < mean["mean"] < mean["high"]
    assert mean["high"] - mean["low"] < min(row["high"] - row["low"] for row in widths)
    assert mean["mark"] == "best"
    assert cell(frame, "other", OVER_TARGETS)["significantly_worse"] is True


def test_without_a_target_there_is_no_mean_and_it_says_which_is_missing():
    some = [one for one in results() if not (one.method == "other" and one.task.endswith("p2"))]
    found = targets(some)
    hole = cell(found, "other", OVER_TARGETS)
    assert np.isnan(hole["mean"])
    assert hole["hole"] == f"{TARGET}set/p2: not run on this target"
    assert np.isfinite(cell(found, "erm", OVER_TARGETS)["mean"])


def test_targets_of_other_seeds_are_not_put_together():
    mixed = [result("erm", domain, seed + (domain == "p3")) for domain in DOMAINS for seed in range(2)]
    hole = cell(targets(mixed), "erm", OVER_TARGETS)
    assert "other seeds than on" in hole["hole"]


def test_families_are_the_shifts_that_differ_in_their_target_alone():
    assert family_of("set/p1+set/p2->set/p3") == ("set", 2)
    assert family_of("mosi+mosei->sims") == ("", 2)
    assert family_of("mosi") is None
    with pytest.raises(ValueError, match="no two shifts differ"):
        targets([result("erm", "p1", 0), result("erm", "p2", 0, task="set/p2")])


def test_two_shifts_with_one_target_are_named_by_their_sources():
    tasks = ["set/p2->set/p1", "set/p3->set/p1", "set/p1->set/p2"]
    found = targets([result("erm", task[-2:], 0, task=task) for task in tasks])
    names = {f"{TARGET}{task}" for task in tasks[:2]} | {f"{TARGET}set/p2", OVER_TARGETS, WORST_TARGET}
    assert set(found["condition"]) == names
