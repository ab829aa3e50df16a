"""What a metric must do to take part."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ...leaderboards.metrics.base import Metric, UndefinedError, checked
from ...leaderboards.metrics.registry import FAMILIES, METRICS, RANK_FAMILIES

_CLOSE = 1e-9


class Case(NamedTuple):
    """Arrays that a metric is called with: ordinary ones, the best possible where there are, and odd ones."""

    ordinary: tuple[np.ndarray, ...]
    best: tuple[np.ndarray, ...] | None
    odd: tuple[tuple[np.ndarray, ...], ...]


def it_is_described(metric: Metric) -> None:
    """Its convention and source are stated, its range is not empty, and it names a family."""
    assert metric.convention.strip(), "convention is empty: say in one sentence what is computed"
    assert metric.source.strip(), "source is empty: say whose definition this is"
    low, high = metric.range
    assert low < high, f"range is {metric.range}, expected (lowest, highest)"
    known = METRICS.get(metric.name) is metric
    assert metric.families or known, "it names no family: no table would show it"


def it_is_a_pure_function(metric: Metric) -> None:
    """Called twice it gives the same value, and it leaves its arrays as they are."""
    for case in _cases(metric):
        before = [array.copy() for array in case.ordinary]
        first, second = _value(metric, case.ordinary), _value(metric, case.ordinary)
        assert _same(first, second), f"gives {first}, and called again {second}"
        for index, (now, then) in enumerate(zip(case.ordinary, before, strict=True)):
            assert np.array_equal(now, then), f"changes its array {index}"


def the_order_of_samples_does_not_matter(metric: Metric) -> None:
    """Samples in another order have the same value."""
    draw = np.random.default_rng(1)
    for case in _cases(metric):
        expected = _value(metric, case.ordinary)
        value = _value(metric, _take_rows(metric, case.ordinary, _orders(metric, case.ordinary, draw)))
        assert _same(value, expected), f"is {expected}, and {value} after samples changed places"


def perfect_answers_are_best(metric: Metric) -> None:
    """Perfect answers are at least as good as others, in the direction that it states; values lie in its range."""
    for case in _cases(metric):
        value = _value(metric, case.ordinary)
        low, high = metric.range
        assert math.isnan(value) or low - _CLOSE <= value <= high + _CLOSE, (
            f"is {value}, outside {low} to {high}"
        )
        if case.best is not None:
            best = _value(metric, case.best)
            sign = 1 if metric.direction == "higher" else -1
            assert sign * (best - value) >= -_CLOSE, (
                f"is {best} for perfect answers and {value} for others: is {metric.direction} better?"
            )


def odd_samples_give_a_value_or_none(metric: Metric) -> None:
    """One sample, one class or answers that are all alike give a finite value, NaN or an UndefinedError, and no
    warning."""
    for case in _cases(metric):
        for arrays in case.odd:
            sizes = [len(array) for array in arrays]
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                value = _value(metric, arrays)
            assert math.isnan(value) or math.isfinite(value), f"is {value} for {sizes} samples that are alike"


def a_resample_is_its_repeated_samples(metric: Metric) -> None:
    """On a resample it is what it is on the repeated samples, so that intervals are right."""
    draw = np.random.default_rng(2)
    for case in _cases(metric):
        arrays = case.ordinary
        for _ in range(8):
            picks = [draw.integers(0, size, size) for size in _sizes(metric, arrays)]
            expected = _value(metric, _take_rows(metric, arrays, picks))
            value = _value_of_resample(metric, arrays, picks)
            assert _same(value, expected), f"is {value} on a resample and {expected} on its repeated samples"


METRIC_CHECKS = (
    it_is_described,
    it_is_a_pure_function,
    the_order_of_samples_does_not_matter,
    perfect_answers_are_best,
    odd_samples_give_a_value_or_none,
    a_resample_is_its_repeated_samples,
)


def _families(metric: Metric) -> list[str]:
    known = {**FAMILIES, **RANK_FAMILIES}
    own = [family for family, names in known.items() if metric.name in names]
    return list(dict.fromkeys([*metric.families, *own]))


def _cases(metric: Metric) -> Iterator[Case]:
    """What the families of a metric are called with."""
    if metric.kind == "mean":
        yield {"classification": _classes, "multi-label": _label_sets}.get(str(metric.task), _labels)()
        return
    cases = {
        "classification": _classes,
        "multi-label": _label_sets,
        "misclassification": _losses,
        "misclassification_regression": _errors,
        "ood": _pairs,
        "calibration": _classes,
        "calibration_regression": _spreads,
    }
    for family in _families(metric):
        yield cases[family]()


def _classes() -> Case:
    draw = np.random.default_rng(0)
    target = draw.integers(0, 3, 40)
    logits = draw.normal(size=(40, 3)) + np.eye(3)[target]
    alike = np.zeros((5, 3))
    odd = (
        (np.zeros(5, np.int64), alike),
        (np.array([1]), np.array([[0.0, 1.0, 0.5]])),
        (np.zeros(5, np.int64), np.tile([3.0, 0.0, 0.0], (5, 1))),
    )
    return Case((target, logits), (target, 50.0 * np.eye(3)[target]), odd)


def _label_sets() -> Case:
    draw = np.random.default_rng(0)
    target = (draw.random((40, 3)) < 0.4).astype(np.int64)
    logits = draw.normal(size=(40, 3)) + 2 * target - 1
    odd = (
        (np.zeros((5, 3), np.int64), -np.ones((5, 3))),
        (np.ones((5, 3), np.int64), np.ones((5, 3))),
        (np.array([[0, 1, 0]]), np.array([[-1.0, 1.0, 0.5]])),
    )
    return Case((target, logits), (target, 9.0 * target - 4.5), odd)


def _labels() -> Case:
    draw = np.random.default_rng(0)
    target = np.round(draw.uniform(-1, 1, 40), 1)
    prediction = np.clip(target + draw.normal(size=40) / 2, -1, 1)
    odd = ((np.zeros(5), np.zeros(5)), (np.array([0.5]), np.array([0.25])), (target[:5], np.ones(5)))
    return Case((target, prediction), (target, target.copy()), odd)


def _losses() -> Case:
    draw = np.random.default_rng(0)
    loss, confidence = (draw.random(40) < 0.4).astype(float), draw.integers(0, 9, 40) / 8
    odd = ((np.zeros(5), np.ones(5)), (np.ones(5), np.ones(5)), (np.ones(1), np.ones(1)))
    return Case((loss, confidence), (loss, -loss), odd)


def _errors() -> Case:
    loss = np.random.default_rng(0).random(40)
    case = _losses()
    return Case((loss, case.ordinary[1]), (loss, -loss), case.odd)


def _pairs() -> Case:
    draw = np.random.default_rng(0)
    own, foreign = draw.normal(1, 1, 40), draw.normal(0, 1, 30)
    odd = ((np.zeros(5), np.zeros(4)), (np.ones(1), np.zeros(1)), (np.ones(3), np.empty(0)))
    return Case((own, foreign), (own - own.min() + 1, foreign - foreign.max() - 1), odd)


def _spreads() -> Case:
    draw = np.random.default_rng(0)
    mean, variance = draw.normal(size=40), draw.uniform(0.2, 2, 40)
    target = mean + np.sqrt(variance) * draw.normal(size=40)
    odd = ((np.zeros(5), np.zeros(5), np.ones(5)), (np.ones(1), np.zeros(1), np.ones(1)))
    # A perfect mean with any variance is not well calibrated: there is no best answer to compare with.
    return Case((target, mean, variance), None, odd)


def _groups(metric: Metric) -> int:
    return metric.rank.groups if metric.kind == "rank" else 1


def _sizes(metric: Metric, arrays: tuple[np.ndarray, ...]) -> list[int]:
    return [len(array) for array in arrays[: _groups(metric)]]


def _orders(metric: Metric, arrays: tuple[np.ndarray, ...], draw: np.random.Generator) -> list[np.ndarray]:
    return [draw.permutation(size) for size in _sizes(metric, arrays)]


def _take_rows(
    metric: Metric, arrays: tuple[np.ndarray, ...], picks: list[np.ndarray]
) -> tuple[np.ndarray, ...]:
    """The samples of each group at some places."""
    if _groups(metric) == 1:
        return tuple(array[picks[0]] for array in arrays)
    return tuple(array[places] for array, places in zip(arrays, picks, strict=True))


def _value_of_resample(metric: Metric, arrays: tuple[np.ndarray, ...], picks: list[np.ndarray]) -> float:
    """The value on a resample, computed as tables do."""
    sizes = _sizes(metric, arrays)
    counts = tuple(np.bincount(p, minlength=n)[None] for p, n in zip(picks, sizes, strict=True))
    if metric.kind == "rank":
        try:
            return float(metric.rank.compute(arrays, counts)[0])
        except UndefinedError:
            return math.nan
    terms = metric.mean.terms(*checked(metric.mean.task, *arrays))
    return float(metric.mean.finish(counts[0] / sizes[0] @ terms)[0])


def _value(metric: Metric, arrays: tuple[np.ndarray, ...]) -> float:
    """The value; NaN where it is undefined."""
    try:
        return metric(*arrays)
    except UndefinedError:
        return math.nan


def _same(one: float, other: float) -> bool:
    return (math.isnan(one) and math.isnan(other)) or math.isclose(one, other, rel_tol=_CLOSE, abs_tol=_CLOSE)
