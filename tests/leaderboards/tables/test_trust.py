"""Tables of misclassification detection, calibration and OOD detection, from planted networks."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mmbench.leaderboards.metrics import selective
from mmbench.leaderboards.metrics.confidence import max_softmax
from mmbench.leaderboards.render.text import wide
from mmbench.leaderboards.tables.risk_coverage import curves
from mmbench.leaderboards.tables.trust import calibration, misclassification, ood

from ..conftest import make_result

COUNT = 120


def outputs(seed: int, knows: float, classes: int = 3) -> pd.DataFrame:
    """Logits whose size follows, more or less, whether the answer is right."""
    draw = np.random.default_rng([seed, 5])
    target = np.random.default_rng(9).integers(0, classes, COUNT)
    right = draw.random(COUNT) < 0.7
    answer = np.where(right, target, (target + 1) % classes)
    size = 1 + knows * right + draw.random(COUNT)
    logits = np.eye(classes)[answer] * size[:, None]
    columns = {f"logit_{c}": logits[:, c] for c in range(classes)}
    ids = [f"s{row:03d}" for row in range(COUNT)]
    return pd.DataFrame(
        {"split": "test", "condition": "clean", "sample_id": ids, "target": target, **columns}
    )


def network(method: str, seed: int, knows: float, **fields: Any):
    return make_result(method, seed, outputs(seed, knows), family="classification", **fields)


def cell(frame: pd.DataFrame, method: str, condition: str, metric: str) -> dict[Any, Any]:
    rows = frame[(frame.method == method) & (frame.condition == condition) & (frame.metric == metric)]
    assert len(rows) == 1
    return pd.DataFrame(rows).to_dict("records")[0]


def test_a_network_that_knows_when_it_is_wrong_is_found_better() -> None:
    frame = misclassification(
        [network(m, s, k) for m, k in (("knows", 3.0), ("blind", 0.0)) for s in range(3)]
    )
    for metric in ("aurc", "misd_auroc", "misd_fpr95_correct_positive"):
        knows, blind = (cell(frame, method, "max_softmax", metric) for method in ("knows", "blind"))
        better = (
            knows["mean"] < blind["mean"] if knows["direction"] == "lower" else knows["mean"] > blind["mean"]
        )
        assert better, metric
        assert knows["mark"] == "best", metric
        assert knows["low"] <= knows["mean"] <= knows["high"]

    by_hand = [
        selective.aurc(
            (t.filter(like="logit_").to_numpy().argmax(1) != t["target"]).to_numpy(),
            max_softmax(t.filter(like="logit_").to_numpy()),
        )
        for t in (outputs(seed, 3.0) for seed in range(3))
    ]
    assert cell(frame, "knows", "max_softmax", "aurc")["mean"] == pytest.approx(np.mean(by_hand))


def test_an_ensemble_of_one_has_a_reason_and_no_number() -> None:
    frame = misclassification([network("erm", 0, 1.0)])
    row = cell(frame, "erm", "ensemble", "aurc")
    assert np.isnan(row["mean"])
    assert "two seeds" in row["hole"]


def test_all_right_has_no_auroc_but_a_reason() -> None:
    table = outputs(0, 1.0)
    table["target"] = table.filter(like="logit_").to_numpy().argmax(1)
    frame = misclassification([make_result("erm", 0, table, family="classification")])
    row = cell(frame, "erm", "max_softmax", "misd_auroc")
    assert np.isnan(row["mean"])
    assert "every answer is right" in row["hole"]
    assert cell(frame, "erm", "max_softmax", "aurc")["mean"] == 0


def test_regression_is_judged_where_it_predicts_a_variance() -> None:
    draw = np.random.default_rng(0)
    variance = draw.uniform(0.1, 4, COUNT)
    target = draw.normal(size=COUNT)
    table = pd.DataFrame(
        {
            "split": "test",
            "condition": "clean",
            "sample_id": [f"s{row:03d}" for row in range(COUNT)],
            "target": target,
            "score": target + np.sqrt(variance) * draw.normal(size=COUNT),
            "log_variance": np.log(variance),
        }
    )
    knows, silent = (
        make_result("knows", 0, table),
        make_result("silent", 0, table.drop(columns="log_variance")),
    )
    frame = calibration([knows, silent])
    assert cell(frame, "knows", "clean", "interval_calibration_error")["mean"] < 0.1
    assert "no variance" in cell(frame, "silent", "clean", "crps_gaussian")["hole"]
    trust = misclassification([knows, silent])
    best = cell(trust, "knows", "variance", "mae_at_50")["mean"]
    assert best < cell(trust, "knows", "variance", "mae_at_100")["mean"]


def test_a_method_s_own_confidence_is_judged_beside_what_follows_from_its_logits() -> None:
    table = outputs(0, 0.0)
    right = table.filter(like="logit_").to_numpy().argmax(1) == table["target"]
    table["confidence_evidence"] = np.where(right, 2.0, 1.0)  # it knows, and its logits do not
    frame = misclassification(
        [make_result("sure", 0, table, family="classification"), network("erm", 0, 3.0)], draws=20
    )
    assert cell(frame, "sure", "own:evidence", "misd_auroc")["mean"] == 1
    assert cell(frame, "sure", "max_softmax", "misd_auroc")["mean"] < 0.7
    assert not cell(frame, "sure", "own:evidence", "aurc")["hole"]
    assert set(frame.loc[frame["condition"].str.startswith("own:"), "method"]) == {"sure"}
    printed = wide(frame)
    assert list(printed["method"]).count("sure, own:evidence") == 1
    assert len(printed) == 3  # the main confidence of both, and the own one
    table["confidence_evidence"] = np.nan
    frame = misclassification([make_result("sure", 0, table, family="classification")], draws=20)
    assert (
        "confidence evidence has values that are not finite"
        in cell(frame, "sure", "max_softmax", "aurc")["hole"]
    )


def test_a_score_has_its_own_confidence_too_and_a_curve_of_it() -> None:
    draw = np.random.default_rng(0)
    target, size = draw.normal(size=COUNT), draw.uniform(0.1, 3, COUNT)
    ids = [f"s{row:03d}" for row in range(COUNT)]
    table = pd.DataFrame({"split": "test", "condition": "clean", "sample_id": ids, "target": target})
    table = table.assign(score=target + size * draw.choice([-1, 1], COUNT), confidence_reach=-size)
    found = [make_result("knows", 0, table)]
    frame = misclassification(found, draws=20)
    by_hand = selective.aurc(size, -size)
    assert cell(frame, "knows", "own:reach", "aurc")["mean"] == pytest.approx(by_hand, rel=1e-6)
    lines, reasons = curves(found)
    (line,) = lines
    assert (line.method, line.confidence, len(reasons)) == ("knows, own:reach", "own:reach", 1)
    assert line.aurc == pytest.approx(by_hand, rel=1e-6)


def features(own: int, foreign: float) -> dict[str, pd.DataFrame]:
    draw = np.random.default_rng(own)

    def rows(count: int, shift: float) -> pd.DataFrame:
        fused = draw.normal(size=(count, 6)) * [2, 2, 1, 0.1, 0.1, 0.1]
        fused[:, 4] += shift
        frame = pd.DataFrame(
            {"sample_id": [f"{k:03d}" for k in range(count)], "target": draw.integers(0, 2, count)}
        )
        frame["fused"] = list(fused)
        return frame.assign(logit_0=-fused[:, 0], logit_1=fused[:, 0])

    return {"train": rows(200, 0), "test": rows(80, 0), "far:a": rows(90, foreign), "near:b": rows(90, 0)}


def test_scores_on_features_find_a_foreign_set_and_none_in_the_same() -> None:
    made = [network("erm", seed, 1.0, features=partial(features, seed, 2.0)) for seed in range(2)]
    frame = ood([*made, network("without", 0, 1.0)])
    assert set(frame["method"]) == {"erm"}
    for score in ("mahalanobis", "residual", "vim"):
        assert cell(frame, "erm", f"far:a/{score}", "ood_auroc")["mean"] > 0.95, score
        row = cell(frame, "erm", f"near:b/{score}", "ood_auroc")
        assert row["low"] < 0.5 < row["high"], score
    assert abs(cell(frame, "erm", "far:a/msp", "ood_auroc")["mean"] - 0.5) < 0.15  # invisible to the logits
    assert cell(frame, "erm", "far:a/msp", "ood_auroc")["samples"] == 170


def test_the_own_confidence_tells_foreign_sets_where_a_method_gives_one() -> None:
    def told() -> dict[str, pd.DataFrame]:
        return {
            name: rows.assign(confidence_near=-(np.stack(list(rows["fused"]))[:, 4] ** 2))
            for name, rows in features(0, 2.0).items()
        }

    made = [
        network("sure", 0, 1.0, features=told),
        network("erm", 0, 1.0, features=partial(features, 0, 2.0)),
    ]
    frame = ood(made, draws=20)
    assert cell(frame, "sure", "far:a/own:near", "ood_auroc")["mean"] > 0.95
    hole = cell(frame, "erm", "far:a/own:near", "ood_auroc")
    assert (hole["hole"], hole["n"]) == ("the method gives no such confidence", 1)


def test_a_set_that_another_method_was_not_tested_on_is_a_hole() -> None:
    def fewer() -> dict[str, pd.DataFrame]:
        return {name: rows for name, rows in features(0, 2.0).items() if name != "far:a"}

    frame = ood(
        [network("erm", 0, 1.0, features=partial(features, 0, 2.0)), network("late", 0, 1.0, features=fewer)],
        draws=5,
    )
    assert "not tested under it" in cell(frame, "late", "far:a/knn", "ood_auroc")["hole"]
    for method in ("erm", "late"):
        assert not cell(frame, method, "near:b/knn", "ood_auroc")["hole"]


def test_no_ood_set_is_said() -> None:
    with pytest.raises(ValueError, match="--ood"):
        ood([network("erm", 0, 1.0)])


def test_a_failed_seed_is_a_hole_in_every_table() -> None:
    broken = make_result("erm", 1, reason="out of memory", family="classification")
    for make in (misclassification, calibration):
        frame = make([network("erm", 0, 1.0), broken])
        assert np.isnan(frame["mean"].to_numpy()).all()
        assert all("out of memory" in hole for hole in frame["hole"])
