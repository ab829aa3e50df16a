"""Tables of one metric by another one than the main, computed from the same predictions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from mmbench.leaderboards.labels import UPPER_BOUND
from mmbench.leaderboards.tables.accuracy import accuracy, missing
from mmbench.leaderboards.tables.contribution import contribution
from mmbench.leaderboards.tables.gap import gap
from mmbench.leaderboards.tables.relative import relative
from mmbench.leaderboards.tables.results import Result
from mmbench.leaderboards.tables.robustness import robustness
from mmbench.leaderboards.tables.targets import targets
from mmbench.leaderboards.tables.trust import misclassification
from sklearn.metrics import average_precision_score, mean_squared_error, roc_auc_score

from ..conftest import make_result, make_table

COUNT = 120
TARGET = np.arange(COUNT) % 3
DAMAGED = [f"gaussian-noise:text@{severity}" for severity in range(1, 6)]
CONDITIONS = ["clean", "missing:text", "missing:audio", *DAMAGED]


def logits(seed: int, condition: str) -> np.ndarray:
    noise = 1.5 + 0.5 * CONDITIONS.index(condition)
    draw = np.random.default_rng([seed, CONDITIONS.index(condition)])
    return 2.0 * np.eye(3)[TARGET] + noise * draw.normal(size=(COUNT, 3))


def result(seed: int, lead: str, **fields: object) -> Result:
    parts = []
    for condition in CONDITIONS:
        ids = [f"s{row:03d}" for row in range(COUNT)]
        columns = {"split": "test", "condition": condition, "sample_id": ids, "domain": "d", "target": TARGET}
        values = dict(zip(("logit_0", "logit_1", "logit_2"), logits(seed, condition).T, strict=True))
        parts.append(pd.DataFrame({**columns, **values}))
    frame = pd.concat(parts, ignore_index=True)
    return make_result("erm", seed, frame, **{"family": "classification", "lead": lead, **fields})


def mean_of(frame: pd.DataFrame, condition: str, metric: str) -> float:
    (row,) = frame.loc[(frame["condition"] == condition) & (frame["metric"] == metric)].to_dict("records")
    assert row["low"] < row["mean"] < row["high"]
    return row["mean"]


def by_library(metric: str, condition: str) -> float:
    """As scikit-learn has it, of probabilities and as the mean over classes and seeds."""
    values = []
    for seed in range(2):
        odds = np.exp(logits(seed, condition))
        shares = odds / odds.sum(1, keepdims=True)
        if metric == "auroc_ovr":
            values.append(roc_auc_score(TARGET, shares, multi_class="ovr", average="macro"))
        else:
            values.append(average_precision_score(np.eye(3)[TARGET], shares, average="macro"))
    return float(np.mean(values))


@pytest.mark.parametrize("lead", ["auroc_ovr", "auprc_ovr"])
def test_areas_under_every_condition_are_those_of_the_library(lead: str) -> None:
    results = [result(seed, lead) for seed in range(2)]
    frame = robustness(results, draws=30)
    assert set(frame["metric"]) == {lead}
    for condition in ("clean", *DAMAGED):
        assert mean_of(frame, condition, lead) == pytest.approx(by_library(lead, condition))
    damaged = np.mean([by_library(lead, condition) for condition in DAMAGED])
    assert mean_of(frame, "mean_corruption", lead) == pytest.approx(damaged)
    without = missing(results, draws=30)
    for condition in ("missing:text", "missing:audio"):
        assert mean_of(without, condition, lead) == pytest.approx(by_library(lead, condition))
    clean = by_library(lead, "clean")
    lost = relative(results, draws=30).set_index("metric").loc["relative_drop", "mean"]
    assert lost == pytest.approx((clean - damaged) / clean, abs=0.01)  # mean over seeds of shares
    alone = contribution(results, draws=30).set_index("quantity")
    assert set(alone["metric"]) == {lead}
    assert alone.loc["joint", "mean"] == pytest.approx(clean)


def test_targets_and_the_gap_are_of_the_leading_metric() -> None:
    def shift(target: str, lead: str) -> Result:
        return result(0, lead, task=f"s/{'b' if target == 'a' else 'a'}->s/{target}", job=f"erm-{target}")

    over = targets([shift(target, "auroc_ovr") for target in "ab"], draws=30)
    assert set(over["metric"]) == {"auroc_ovr"}
    own, bound = (roc_auc_score(TARGET, _shares(seed), multi_class="ovr") for seed in (0, 1))
    assert over.set_index("condition").loc["average_over_targets", "mean"] == pytest.approx(own)
    upper = {"protocol": f"fair{UPPER_BOUND}", "bound": True, "job": "bound", "method": "oracle"}
    oracle = replace(result(1, "auroc_ovr", task="s/b->s/a"), seed=0, **upper)  # pyright: ignore[reportArgumentType]
    found = gap([shift("a", "auroc_ovr"), oracle], draws=30).set_index("metric")
    assert found.loc["gap_left", "mean"] == pytest.approx((bound - own) / own)


def _shares(seed: int) -> np.ndarray:
    odds = np.exp(logits(seed, "clean"))
    return odds / odds.sum(1, keepdims=True)


def test_what_does_not_lead_changes_nothing() -> None:
    plain, other = ([result(seed, lead) for seed in range(2)] for lead in ("", "aurc"))
    for table in (accuracy, robustness, misclassification):
        pd.testing.assert_frame_equal(table(plain, draws=30), table(other, draws=30))
    led = misclassification([result(seed, "auroc_ovr") for seed in range(2)], draws=30)
    pd.testing.assert_frame_equal(misclassification(plain, draws=30), led)


def test_a_metric_of_another_family_leads_where_it_can_judge() -> None:
    target = [0.0, 1.0, 2.0, 3.0]
    scores = {name: [y + 0.1 * place for place, y in enumerate(target)] for name in ("clean", *DAMAGED)}
    found = [make_result("erm", 0, make_table(scores, target), family="mosi", lead="rmse")]
    frame = robustness(found, draws=20)
    assert set(frame["metric"]) == {"rmse"}
    expected = mean_squared_error(target, scores["clean"]) ** 0.5
    assert frame.set_index("condition").loc["mean_corruption", "mean"] == pytest.approx(expected)
    assert list(accuracy(found, draws=20)["metric"])[-1] == "rmse"
    accurate = [replace(one, lead="accuracy") for one in found]  # of classes, which these are not
    assert set(robustness(accurate, draws=20)["metric"]) == {"acc2_has0"}
