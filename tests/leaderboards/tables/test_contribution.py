"""What each modality contributes, against values worked out by hand and by the definition of Shapley."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmbench.leaderboards.catalog import TABLES
from mmbench.leaderboards.tables.contribution import (
    NOTHING,
    contribution,
    notes_of_contribution,
    shapley_weights,
)
from scipy.special import softmax
from sklearn.metrics import accuracy_score

NAMES = ("text", "audio", "vision")
TARGET = np.random.default_rng(0).integers(0, 3, 24)


def there(condition: str, names=NAMES) -> frozenset[str]:
    """The modalities that are there under a condition."""
    if condition == NOTHING:
        return frozenset()
    gone = condition.removeprefix("missing:").split("+") if condition != "clean" else []
    return frozenset(names) - set(gone)


def by_orders(value: dict[frozenset[str], float], names) -> dict[str, float]:
    """The Shapley value by its definition: the mean gain over all orders."""
    gains = dict.fromkeys(names, 0.0)
    orders = list(itertools.permutations(names))
    for order in orders:
        for place, name in enumerate(order):
            before = frozenset(order[:place])
            gains[name] += (value[before | {name}] - value[before]) / len(orders)
    return gains


def _by_modality(means: Any, quantity: str) -> dict[str, float]:
    """Modality -> the mean of a quantity, of a series by quantity and modality."""
    return {name: float(value) for (what, name), value in means.items() if what == quantity}


@given(count=st.integers(2, 5), seed=st.integers(0, 1000))
def test_weights_are_the_mean_over_all_orders(count: int, seed: int):
    names = tuple("abcde"[:count])
    subsets = [frozenset(one) for size in range(count + 1) for one in itertools.combinations(names, size)]
    draw = np.random.default_rng(seed)
    value = {one: float(draw.normal()) for one in subsets}
    expected = by_orders(value, names)
    for name, weights in shapley_weights(names).items():
        got = sum(weight * value[there(condition, names)] for condition, weight in weights.items())
        assert got == pytest.approx(expected[name], abs=1e-12)
    assert sum(expected.values()) == pytest.approx(value[frozenset(names)] - value[frozenset()])


def logits(seed: int, skill: float) -> np.ndarray:
    return skill * np.eye(3)[TARGET] + np.random.default_rng(seed).normal(size=(len(TARGET), 3))


def rows(conditions: dict[str, np.ndarray]) -> pd.DataFrame:
    parts = []
    for name, values in conditions.items():
        ids = [f"s{i:02d}" for i in range(len(TARGET))]
        own = {"split": "test", "condition": name, "sample_id": ids, "target": TARGET}
        parts.append(pd.DataFrame({**own, **{f"logit_{c}": values[:, c] for c in range(3)}}))
    return pd.concat(parts, ignore_index=True)


SKILLS = {"text": 2.0, "audio": 1.0, "vision": 0.0}


def skill_of(condition: str) -> float:
    return sum(SKILLS[name] for name in there(condition))


def conditions() -> list[str]:
    names = [one for size in (1, 2) for one in itertools.combinations(NAMES, size)]
    return ["clean", *("missing:" + "+".join(one) for one in names)]


@pytest.fixture
def joint(result):
    def make(method="ebmc", seeds=(0, 1), **fields):
        return [
            result(
                method,
                seed,
                rows({c: logits(10 * seed + i, skill_of(c)) for i, c in enumerate(conditions())}),
                modalities="+".join(NAMES),
                family="classification",
                **fields,
            )
            for seed in seeds
        ]

    return make


@pytest.fixture
def single(result):
    def make(name, method="erm", seeds=(0, 1), **fields):
        values = {seed: rows({"clean": logits(100 + seed, SKILLS[name])}) for seed in seeds}
        more = {"modalities": name, "family": "classification", **fields}
        return [
            result(method, seed, frame, job=f"{method}-{name}-{seed}", **more)
            for seed, frame in values.items()
        ]

    return make


def accuracy(values: np.ndarray) -> float:
    return float(accuracy_score(TARGET, values.argmax(axis=1)))


def test_every_quantity_is_that_of_the_definition(joint, single):
    singles = [one for name in NAMES for one in single(name)]
    frame = contribution([*joint(), *singles]).set_index(["quantity", "modality"])
    assert set(frame["method"]) == {"ebmc"}
    assert set(frame["note"]) == {""}
    cells = {
        c: [accuracy(logits(10 * s + i, skill_of(c))) for s in (0, 1)] for i, c in enumerate(conditions())
    }
    assert frame.loc[("joint", ""), "mean"] == pytest.approx(np.mean(cells["clean"]))
    assert frame.loc[("joint", ""), "sd"] == pytest.approx(np.std(cells["clean"], ddof=1))
    for name in NAMES:
        gone = "missing:" + "+".join(other for other in NAMES if other != name)
        assert frame.loc[("alone_in_joint", name), "mean"] == pytest.approx(np.mean(cells[gone]))
        own = np.mean([accuracy(logits(100 + seed, SKILLS[name])) for seed in (0, 1)])
        assert frame.loc[("trained_alone", name), "mean"] == pytest.approx(own)
    best = frame.xs("best_trained_alone").iloc[0]
    assert best["mean"] == frame.xs("trained_alone")["mean"].max()
    averaged = [
        np.mean([softmax(logits(100 + seed, SKILLS[name]), axis=1) for name in NAMES], axis=0)
        for seed in (0, 1)
    ]
    assert frame.loc[("ensemble_of_trained_alone", ""), "mean"] == pytest.approx(
        np.mean([accuracy(one) for one in averaged])
    )
    nothing = np.bincount(TARGET).max() / len(TARGET)
    means = {there(c): float(np.mean(values)) for c, values in cells.items()} | {frozenset(): nothing}
    expected = by_orders(means, NAMES)
    got = _by_modality(frame["mean"], "shapley")
    assert got == pytest.approx(expected)
    assert sum(got.values()) == pytest.approx(_by_modality(frame["mean"], "joint")[""] - nothing)
    assert got["text"] > got["audio"] > got["vision"]


def test_the_methods_own_networks_come_before_those_of_erm(joint, single):
    singles = [one for name in NAMES for one in single(name)]
    frame = contribution([*joint(), *singles, *single("audio", "ebmc")])
    networks = frame.loc[frame["quantity"] == "trained_alone"].set_index("modality")["network"]
    assert networks.to_dict() == {"text": "erm", "audio": "ebmc", "vision": "erm"}
    assert (frame.loc[frame["quantity"] == "ensemble_of_trained_alone", "network"] == "erm / ebmc").all()


def test_what_cannot_be_said_has_its_reason(joint, single):
    given = [*joint(), *single("text"), *single("audio", seeds=(0,))]
    frame = contribution(given).set_index(["quantity", "modality"])
    assert (
        frame.loc[("trained_alone", "vision"), "note"]
        == "no network of vision alone: run with --modalities vision"
    )
    assert "vision" in frame.loc[("ensemble_of_trained_alone", ""), "note"]
    assert "vision" in frame.xs("best_trained_alone").iloc[0]["note"]
    assert math.isfinite(frame.loc[("shapley", "text"), "mean"])
    assert any("run with --modalities vision" in note for note in notes_of_contribution(frame.reset_index()))
    other = contribution([*given, *single("vision")]).set_index(["quantity", "modality"])
    assert "other seeds" in other.loc[("ensemble_of_trained_alone", ""), "note"]


def test_networks_under_another_protocol_or_on_other_data_are_not_these(joint, single):
    singles = [one for name in NAMES for one in single(name, synthetic=True)]
    frame = contribution([*joint(), *singles, *single("text", protocol="as-published")])
    alone = frame.loc[frame["quantity"] == "trained_alone"]
    assert alone["mean"].isna().all()


def test_a_failed_seed_and_a_pattern_that_lacks_are_holes(joint, result):
    failed = result(
        "ebmc", 2, modalities="+".join(NAMES), family="classification", job="ebmc-2", reason="no memory"
    )
    frame = contribution([*joint(), failed])
    own = frame.loc[frame["quantity"].isin(["joint", "shapley", "alone_in_joint"])]
    assert own["mean"].isna().all()
    assert own["note"].str.contains("no memory").all()


def test_scores_are_averaged_and_the_constant_answer_is_the_median(table, result):
    target = [0.0, 1.0, 2.0, 4.0, 8.0]
    shifts = {"clean": 0.5, "missing:text": 3.0, "missing:audio": 1.0}
    made = result("erm", 0, table({c: [y + s for y in target] for c, s in shifts.items()}, target))
    alone = [
        result("erm", 0, table({"clean": [y + s for y in target]}, target), modalities=name, job=name)
        for name, s in (("text", 2.0), ("audio", -1.0))
    ]
    frame = contribution([made, *alone]).set_index(["quantity", "modality"])["mean"]
    assert _by_modality(frame, "ensemble_of_trained_alone") == pytest.approx({"": 0.5})
    assert _by_modality(frame, "best_trained_alone") == pytest.approx({"audio": 1.0})
    nothing = np.mean(np.abs(np.array(target) - 2.0))
    assert _by_modality(frame, "shapley") == pytest.approx(
        {"text": (0.5 - 3.0 + 1.0 - nothing) / 2, "audio": (0.5 - 1.0 + 3.0 - nothing) / 2}
    )


def probed(seed: int, skills=SKILLS) -> pd.DataFrame:
    return rows({f"probe:{name}": logits(50 + seed, skill) for name, skill in skills.items()})


def noted(norms: dict[str, list[float]], tested: int) -> list[dict[str, Any]]:
    """A training whose encoders had these gradient norms in each epoch."""
    epochs = zip(*norms.values(), strict=True)
    return [
        {
            "tested": place == tested,
            "diagnostics": {f"encoder_gradient/{name}": v for name, v in zip(norms, values, strict=True)},
        }
        for place, values in enumerate(epochs)
    ]


def told(results: list[Any], **fields: Any) -> list[Any]:
    return [replace(one, **{name: make(one.seed) for name, make in fields.items()}) for one in results]


def test_probes_and_gradient_norms_stand_beside_the_rest_where_they_were_kept(joint, single):
    norms = {"text": [4.0, 8.0, 99.0], "audio": [1.0, 2.0, 99.0], "vision": [3.0, 0.0, 99.0]}
    given = told(
        joint(), probes=lambda seed: lambda: probed(seed), epochs=lambda seed: lambda: noted(norms, 1)
    )
    plain = contribution(joint())
    frame = contribution(given)
    old = frame.loc[~frame["quantity"].isin(["linear_probe", "gradient_ratio"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(old, plain)
    assert len(notes_of_contribution(frame)) == len(notes_of_contribution(plain)) + 2
    by = frame.set_index(["quantity", "modality"])
    for name, skill in SKILLS.items():
        own = [accuracy(logits(50 + seed, skill)) for seed in (0, 1)]
        assert by.loc[("linear_probe", name), "mean"] == pytest.approx(np.mean(own))
        assert by.loc[("linear_probe", name), "mean_low"] < by.loc[("linear_probe", name), "mean_high"]
    means = {"text": 6.0, "audio": 1.5, "vision": 1.5}  # of the epochs up to the tested one
    for name, mean in means.items():
        others = [value for other, value in means.items() if other != name]
        assert by.loc[("gradient_ratio", name), "mean"] == pytest.approx(mean / np.mean(others))
    assert set(by.loc["gradient_ratio", "metric"]) == {"ratio"}
    assert by.loc["gradient_ratio", "mean_low"].isna().all()
    assert TABLES["contribution"].needs(given)


def test_probes_and_gradient_norms_that_some_networks_lack_are_holes(joint):
    first = told(
        joint(seeds=(0,)),
        probes=lambda seed: lambda: probed(seed, {"text": 1.0, "audio": 1.0}),
        epochs=lambda seed: lambda: noted({"text": [1.0], "audio": [0.0]}, 0),
    )
    by = {(row["quantity"], row["modality"]): row["note"] for row in contribution(first).to_dict("records")}
    assert "no predictions under probe:vision" in by["linear_probe", "vision"]
    assert by["linear_probe", "text"] == by["gradient_ratio", "audio"] == ""
    assert by["gradient_ratio", "text"] == "no encoder but that of text had a gradient"
    assert by["gradient_ratio", "vision"] == "vision has no encoder of its own with parameters"
    both = contribution([*first, *joint(seeds=(1,))]).set_index(["quantity", "modality"])
    assert both.loc[["linear_probe", "gradient_ratio"], "mean"].isna().all()
    assert (
        "seed 1: no linear probes: run again with --contribution"
        in both.loc[("linear_probe", "text"), "note"]
    )
    assert "trained with --contribution" in both.loc[("gradient_ratio", "text"), "note"]
    assert math.isfinite(both.loc[("joint", ""), "mean"])


def test_it_is_made_by_itself_only_beside_single_modalities(joint, single):
    needs = TABLES["contribution"].needs
    assert not needs(joint())
    assert needs([*joint(), *single("text")])
    with pytest.raises(ValueError, match="nothing can contribute"):
        contribution(single("text"))
