"""The conformance tests of metrics: mmbench's own pass, and each fault is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from mmbench.benchmark.check.conformance import check_metric
from mmbench.benchmark.core.errors import UsageError
from mmbench.leaderboards.metrics.base import Mean, Metric, Rank
from mmbench.leaderboards.metrics.registry import METRICS

ACCURACY, AREA = METRICS["accuracy"], METRICS["misd_auroc"]


def failures(metric: Metric) -> list[str]:
    return [result.what + result.reason for result in check_metric(metric) if not result.ok]


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.kind != "derived"])
def test_metrics_of_mmbench_keep_the_contract(name: str) -> None:
    assert not failures(METRICS[name])


def first_matters(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    weights = 1 / np.arange(1, len(target) + 1)
    return (ACCURACY.mean.terms(target, prediction)[:, 0] * weights)[:, None]


def without_resampling(arrays: tuple[np.ndarray, ...], counts: tuple[np.ndarray, ...]) -> np.ndarray:
    return np.repeat(AREA(*arrays), len(counts[0]))


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        (replace(ACCURACY, source=""), "source is empty"),
        (replace(ACCURACY, name="new"), "names no family"),
        (replace(ACCURACY, direction="lower"), "is lower better?"),
        (replace(ACCURACY, range=(0.0, 0.1)), "outside 0.0 to 0.1"),
        (
            replace(ACCURACY, measure=Mean("classification", first_matters, ACCURACY.mean.finish)),
            "after samples changed places",
        ),
        (replace(AREA, measure=Rank(without_resampling)), "on its repeated samples"),
        (
            replace(ACCURACY, measure=replace(ACCURACY.mean, finish=lambda mean: 1 / (1 - mean[..., 0]))),
            "divide by zero",
        ),
    ],
)
def test_a_fault_is_found(metric: Metric, reason: str) -> None:
    assert any(reason in failure for failure in failures(metric)), failures(metric)


def test_a_derived_metric_is_checked_with_its_table() -> None:
    with pytest.raises(UsageError, match="mmbench check table relative"):
        list(check_metric(METRICS["mce"]))
