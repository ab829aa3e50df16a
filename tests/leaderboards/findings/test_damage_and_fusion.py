"""Questions 5 and 6: what damage takes, what trust costs, and whether fusion hurts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from mmbench.leaderboards.tables.accuracy import accuracy, missing
from mmbench.leaderboards.tables.robustness import robustness
from mmbench.leaderboards.tables.trust import calibration, misclassification

from ..conftest import make_result
from .test_findings import asked, row_of

NOISE = [f"gaussian-noise:text@{s}" for s in range(1, 6)]


@pytest.mark.parametrize(
    ("text", "spread", "answer"),
    [(0.8, 0.01, "yes"), (1.5, 0.01, "no"), (1.0, 0.001, "no"), (0.95, 0.3, "undecided")],
)
def test_6_a_modality_that_is_better_alone_is_named(text: float, spread: float, answer: str):
    errors = {"text": text, "audio": 2.0, "text+audio": 1.0}
    steps = {"text": (0, spread, -spread), "audio": (0, 0, 0.01), "text+audio": (0, -spread, 0)}
    rows = [
        row_of(method, "t", [error + step for step in steps[names]], modalities=names)
        for method in ("erm", "ebmc")
        for names, error in errors.items()
    ]
    found = asked("6", rows)
    assert found.answer == answer, found.statistic
    assert found.tasks == ("t, text+audio",)
    assert found.estimates[0].label == "text (trained alone) on t, text+audio"
    whole = np.mean([1.0 + step for step in steps["text+audio"]])
    assert found.estimates[0].mean == pytest.approx((whole - text) / whole, abs=0.01)
    count = 2 * (text < whole)
    assert f"Ahead in {count} of 4 cases" in found.statistic
    assert ("text (trained alone) of erm on t, text+audio" in found.statistic) == (count > 0)


@pytest.mark.parametrize(("added", "answer"), [(-0.3, "yes"), (0.3, "no")])
def test_6_a_network_that_is_better_without_a_modality_is_named(added: float, answer: str):
    damage = {"missing:text": 1.0, "missing:audio": added, "missing:vision": 0.0}
    damage |= {"missing:text+audio": 1.0, "missing:text+vision": 1.0, "missing:audio+vision": added}
    names = "text+audio+vision"
    rows = [row_of("erm", "t", [1.0, 1.01, 0.99], damage, modalities=names)]
    found = asked("6", rows, (accuracy, missing))
    assert found.answer == answer, found.statistic
    assert (
        found.estimates[0].label == f"text (the others missing) on t, {names}"
    )  # one modality left, not two
    assert len(found.estimates) == 3
    assert asked("6", rows).answer == "not enough data"
    assert asked("6", [row[:1] for row in rows], (accuracy, missing)).answer == "not enough data"


@pytest.mark.parametrize(
    ("lost", "spread", "answer"), [(0.5, 0.001, "yes"), (0.01, 0.001, "no"), (0.1, 0.01, "undecided")]
)
@pytest.mark.parametrize("kind", ["missing", "corrupted"])
def test_5a_what_is_lost_under_damage(kind: str, lost: float, spread: float, answer: str):
    names = ["missing:text", "missing:audio"] if kind == "missing" else NOISE
    rows = []
    for seed, wobble in enumerate((0.0, spread, -spread)):
        rows.append(
            [
                one
                for method in ("erm", "a")
                for one in row_of(method, "t", [1.0] * 3, dict.fromkeys(names, lost + wobble))[
                    seed : seed + 1
                ]
            ]
        )
    found = asked("5a", rows, (accuracy, missing if kind == "missing" else robustness))
    assert found.answer == answer, found.statistic
    assert found.estimates[0].mean == pytest.approx(lost)
    assert {one.label for one in found.estimates} == {f"erm, {kind}", f"a, {kind}"}
    assert asked("5a", rows).answer == "not enough data"  # without the tables of damage


def test_5a_one_method_that_holds_is_a_no():
    rows = [
        row_of(method, "t", [1.0, 1.01, 0.99], {"missing:text": lost, "missing:audio": lost})
        for method, lost in (("erm", 1.0), ("tough", 0.0))
    ]
    assert asked("5a", rows, (accuracy, missing)).answer == "no"


def classified(method: str, seed: int, sharpness: float, task: str = "c") -> list:
    """A network that is right as often as it says where its sharpness is 1, and too sure above."""
    draw = np.random.default_rng([seed, 7])
    confidence = draw.uniform(0.55, 0.95, size=800)
    right = draw.random(800) < confidence
    target = np.arange(800) % 2
    answer = np.where(right, target, 1 - target)
    logit = sharpness * np.log(confidence / (1 - confidence))
    logits = np.zeros((800, 2))
    logits[np.arange(800), answer] = logit
    ids = [f"s{i:04d}" for i in range(800)]
    columns = {"split": "test", "condition": "clean", "sample_id": ids, "domain": "d", "target": target}
    table = pd.DataFrame({**columns, "logit_0": logits[:, 0], "logit_1": logits[:, 1]})
    return [make_result(method, seed, table, task=task, family="classification")]


@pytest.mark.parametrize(("sharpness", "answer"), [(4.0, "yes"), (1.0, "no")])
def test_5b_too_sure_hurts(sharpness: float, answer: str):
    rows = [classified("erm", seed, 1.0) for seed in range(3)]
    rows += [classified("new", seed, sharpness) for seed in range(3)]
    found = asked("5b", rows, (accuracy, misclassification, calibration))
    assert found.answer == answer, found.statistic
    by_label = {one.label: one for one in found.estimates}
    assert set(by_label) == {"new, misd_auroc", "new, ece_equal_width_15"}
    assert by_label["new, misd_auroc"].mean == pytest.approx(0, abs=1e-9)  # sharpness changes no order
    assert (by_label["new, ece_equal_width_15"].low > 0) == (answer == "yes")
    assert asked("5b", rows).answer == "not enough data"


def test_5b_a_difference_within_its_spread_is_undecided():
    rows = [classified("erm", seed, 1.0) for seed in range(3)]
    rows += [classified("new", seed, sharpness) for seed, sharpness in enumerate((1.6, 1.0, 0.8))]
    found = asked("5b", rows, (accuracy, calibration))
    assert found.answer == "undecided", found.statistic


def test_what_predicts_the_same_for_all_does_not_answer_for_the_methods():
    damage = dict.fromkeys(["missing:text", "missing:audio"], 0.5)
    methods = [row_of(name, "t", [1.0, 1.001, 0.999], damage) for name in ("erm", "a")]
    constant = row_of("majority", "t", [3.0, 3.0, 3.0], dict.fromkeys(damage, 0.0))
    for number in ("1", "5a", "6"):
        alone, beside = (asked(number, rows, (accuracy, missing)) for rows in (methods, [*methods, constant]))
        assert alone == beside
        assert "majority" not in beside.statistic
    assert asked("5a", [*methods, constant], (accuracy, missing)).answer == "yes"
