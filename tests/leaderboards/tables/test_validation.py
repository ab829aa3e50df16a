"""A validation score that is too good for its test score is a warning; chance, shifts and small sets are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from mmbench.leaderboards.catalog import TABLES
from mmbench.leaderboards.tables.groups import groups_of
from mmbench.leaderboards.tables.results import Result
from mmbench.leaderboards.tables.validation import validation_warning

from ..conftest import make_result


def classified(valid: float, test: float, seed: int, counts: tuple[int, int] = (300, 400)) -> pd.DataFrame:
    """Predictions of two classes, right with the stated probabilities."""
    draw, parts = np.random.default_rng(seed), []
    for split, share, count in zip(("valid", "test"), (valid, test), counts, strict=True):
        target = np.arange(count) % 2
        right = draw.random(count) < share
        logit = np.where(right, target, 1 - target) * 2.0 - 1
        ids = [f"{split}{row}" for row in range(count)]
        part = {"split": split, "condition": "clean", "sample_id": ids, "domain": "d", "target": target}
        parts.append(pd.DataFrame({**part, "logit_0": -logit, "logit_1": logit}))
    return pd.concat(parts, ignore_index=True)


def regressed(valid: float, test: float, seed: int) -> pd.DataFrame:
    """Predictions of scores with errors of the stated deviations."""
    draw, parts = np.random.default_rng(seed), []
    for split, error in (("valid", valid), ("test", test)):
        target = np.linspace(-3, 3, 300)
        ids = [f"{split}{row}" for row in range(300)]
        part = {"split": split, "condition": "clean", "sample_id": ids, "domain": "d", "target": target}
        parts.append(pd.DataFrame({**part, "score": target + error * draw.normal(size=300)}))
    return pd.concat(parts, ignore_index=True)


def row(frames: list[pd.DataFrame], family: str = "classification", **fields: Any) -> list[Result]:
    return [make_result(seed=seed, frame=frame, family=family, **fields) for seed, frame in enumerate(frames)]


def warning(results: list[Result]) -> str:
    (group,) = groups_of(results)
    return validation_warning(group)


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_validation_that_training_knows_is_named(seeds: int) -> None:
    said = warning(row([classified(0.95, 0.7, seed) for seed in range(seeds)]))
    assert "accuracy 0.9" in said
    for word in ("leak", "duplicates", "persons or videos in both parts", "mmbench data verify mosi"):
        assert word in said


def test_networks_that_answer_the_same_for_all_samples_know_none() -> None:
    frame = classified(0.9, 0.9, 0)
    rare = frame["target"] * np.where(frame["split"] == "valid", (frame.index % 10 == 1), 1)
    constant = frame.assign(
        target=rare, logit_0=1.0, logit_1=-1.0
    )  # right in 0.9 of validation, 0.5 of the test
    assert warning(row([constant, constant])) == ""
    one = constant.assign(logit_0=np.where(frame.index == 0, -2.0, 1.0))
    assert "accuracy" in warning(row([constant, one]))  # the second network answers two classes
    scores = regressed(0.1, 0.1, 0).assign(score=0.5)
    scores["target"] *= np.where(scores["split"] == "valid", 0.1, 1.0)
    assert warning(row([scores], "regression")) == ""


def test_errors_count_downwards() -> None:
    assert "mae" in warning(row([regressed(0.2, 1.0, seed) for seed in range(3)], "regression"))
    assert warning(row([regressed(1.0, 0.2, seed) for seed in range(3)], "regression")) == ""


@pytest.mark.parametrize("seeds", [1, 2])
def test_equal_parts_are_hardly_ever_warned_of(seeds: int) -> None:
    """40 draws of one distribution, and 40 in which the choice of an epoch has gained two standard errors."""
    chance = [warning(row([classified(0.75, 0.75, 100 * d + s) for s in range(seeds)])) for d in range(40)]
    gained = 0.75 + 2 * (0.75 * 0.25 / 300) ** 0.5
    chosen = [warning(row([classified(gained, 0.75, 100 * d + s) for s in range(seeds)])) for d in range(40)]
    assert chance == [""] * 40
    assert sum(map(bool, chosen)) <= 3


def test_the_rule_by_hand() -> None:
    """One network: twice sqrt(a^2 + b^2), halves of the intervals of two shares, is the border."""
    frame = classified(0.95, 0.7, 0)
    right = (frame["logit_1"] > 0) == (frame["target"] == 1)
    shares = {s: float(np.mean(right[frame["split"] == s])) for s in ("valid", "test")}
    halves = [1.96 * np.sqrt(shares[s] * (1 - shares[s]) / n) for s, n in (("valid", 300), ("test", 400))]
    said = warning(row([frame]))
    assert float(said.partition("allows (")[2][:4]) == pytest.approx(np.hypot(*halves), abs=0.011)
    few = classified(1.0, 0.7, 0, (8, 400))  # all of eight are right: 3 / 8 is what that says
    assert warning(row([few])) == ""


def test_between_domains_a_gap_is_no_leak_and_holes_are_no_warning() -> None:
    frames = [classified(0.95, 0.7, seed) for seed in range(2)]
    assert warning(row(frames, task="mosi->mosei")) == ""
    assert warning([*row(frames), make_result(seed=2, family="classification")]) == ""
    no_validation = [pd.DataFrame(frame[frame["split"] == "test"]) for frame in frames]
    assert warning(row(no_validation)) == ""


def test_the_audit_has_warnings_where_there_are_some() -> None:
    good = row([classified(0.75, 0.75, seed) for seed in range(2)])
    table = TABLES["audit"]
    frame = table.make(good)
    assert "warnings" not in frame
    assert table.notes_of(frame) == []
    doubtful = row([classified(0.95, 0.7, seed) for seed in range(2)], method="other")
    shared = row(
        [classified(0.75, 0.75, seed) for seed in range(2)],
        method="third",
        audit={"leaks": "mosi: 3 of 9 test samples have a near-duplicate in train"},
    )
    clean = row(
        [classified(0.7, 0.7, seed) for seed in range(2)], method="fourth", audit={"leaks": "none found"}
    )
    frame = table.make([*good, *doubtful, *shared, *clean]).set_index("method")
    assert frame.loc[["erm", "fourth"], "warnings"].tolist() == ["", ""]
    assert "accuracy" in frame.loc["other", "warnings"]
    assert frame.loc["third", "warnings"] == "mosi: 3 of 9 test samples have a near-duplicate in train"
    notes = table.notes_of(frame.reset_index())
    assert len(notes) == 2
    assert notes[1].startswith("warning: mosi: 3 of 9")
    assert notes[1].endswith("(mosi: third of text+audio)")


def test_what_is_said_of_a_dataset_is_said_once_for_all_of_its_shifts() -> None:
    rows = [("a->b", "erm"), ("a->b", "ebmc"), ("b->a", "erm"), ("b->a", "ebmc"), ("c", "erm")]
    frame = pd.DataFrame(rows, columns=["task", "method"]).assign(modalities="text", warnings="a: leaks")
    assert TABLES["audit"].notes_of(frame) == [
        "warning: a: leaks (a->b; b->a: erm of text, ebmc of text)",
        "warning: a: leaks (c: erm of text)",
    ]
