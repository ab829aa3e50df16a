"""What a metric is: one class, and two ways to compute a value on samples and on resamples of them.

A ``Mean`` is ``finish(mean over samples of terms)``. A resample of the samples is a weighted mean of the same terms, so
that a thousand bootstrap resamples are one matrix product. A ``Rank`` is no mean over samples, such as an area under a
curve, and is computed anew on every resample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from .families import FAMILIES

Task = Literal["regression", "classification", "multi-label"]
Kind = Literal["mean", "rank", "derived"]
Direction = Literal["higher", "lower"]
Unit = Literal["fraction", "correlation", "label"]
#: How often each sample stands in each resample, int64 [draws, samples]; one array for each group of samples.
Counts = tuple[np.ndarray, ...]


class UndefinedError(ValueError):
    """A metric has no value for these samples. The message says why; the value is never 0 instead."""


@dataclass(frozen=True)
class Mean:
    """A value that is computed from the mean over samples of some terms.

    Attributes:
        task: what it is a metric of; fixes what ``target`` and ``prediction`` are (see ``checked``).
        terms: (target [N], prediction [N] or [N, C]), both as ``checked`` returns them -> float64 [N, K].
        finish: mean of the terms, [..., K] -> the metric, [...]; NaN, without a warning, where undefined.
    """

    task: Task
    terms: Callable[[np.ndarray, np.ndarray], np.ndarray]
    finish: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Rank:
    """A value that depends on the order of samples, or in another way on all of them together.

    Attributes:
        compute: (arrays, counts) -> [draws], the value on each resample, NaN where a resample has none; raises
            ``UndefinedError`` where the samples themselves have none.
        groups: number of groups of samples that are resampled each on its own: 2 where one group is told from
            another. The first ``groups`` arrays hold one group each; with one group, all arrays are of its samples.
    """

    compute: Callable[[tuple[np.ndarray, ...], Counts], np.ndarray]
    groups: int = 1


@dataclass(frozen=True)
class Metric:
    """A measure of predictions.

    Attributes:
        name: its name, which says its convention.
        convention: what is computed, in one sentence.
        direction: whether a higher or a lower value is better.
        range: lowest and highest possible value.
        unit: ``"fraction"`` (0 to 1, printed as percent), ``"correlation"`` (-1 to 1) or ``"label"`` (the
            unit of the labels).
        source: whose definition this is.
        measure: how it is computed from arrays; None where a table derives it from other metrics.
        undefined: when there is no value; empty where there always is one.
        families: of a metric from outside, the families that it joins, keys of ``registry.FAMILIES`` or
            ``registry.RANK_FAMILIES``; of a derived metric, the table that derives it.
        version: of a metric from outside, what changes when its code does; scores of another version are made anew.
    """

    name: str
    convention: str
    direction: Direction
    range: tuple[float, float]
    unit: Unit
    source: str
    measure: Mean | Rank | None = None
    undefined: str = ""
    families: tuple[str, ...] = ()
    version: str = ""

    @property
    def kind(self) -> Kind:
        """How it is computed: as a mean over samples, from all samples together, or by a table from other metrics."""
        if self.measure is None:
            return "derived"
        return "mean" if isinstance(self.measure, Mean) else "rank"

    @property
    def task(self) -> Task | None:
        """What a mean is a metric of; None for other kinds."""
        return self.measure.task if isinstance(self.measure, Mean) else None

    @property
    def mean(self) -> Mean:
        """The measure of a mean. Raises TypeError for a metric of another kind."""
        if not isinstance(self.measure, Mean):
            raise TypeError(f"{self.name} is no mean over samples")
        return self.measure

    @property
    def rank(self) -> Rank:
        """The measure of a rank metric. Raises TypeError for a metric of another kind."""
        if not isinstance(self.measure, Rank):
            raise TypeError(f"{self.name} is not computed from all samples together")
        return self.measure

    def __call__(self, *arrays: ArrayLike) -> float:
        """Computes the metric at full precision.

        Args:
            arrays: for a mean: the target [N], labels or class indices, and the prediction, [N] scores; for
                classification [N, C] logits, or [N] class indices of integer type. For a rank metric: what its family
                is called with (see ``registry.RANK_FAMILIES``).

        Returns:
            The value, in ``range``. Of a mean, NaN where ``undefined`` says so.

        Raises:
            ValueError: no sample, shapes that do not fit, a value that is not finite, a class out of range.
            UndefinedError: a rank metric has no value for these samples.
            TypeError: a table derives this metric; it is not computed from arrays.
        """
        if self.measure is None:
            raise TypeError(f"{self.name} is derived by a table and not computed from arrays")
        if isinstance(self.measure, Mean):
            target, prediction = checked(self.measure.task, *arrays)
            return float(self.measure.finish(self.measure.terms(target, prediction).mean(axis=0)))
        values = tuple(np.asarray(array) for array in arrays)
        return float(self.measure.compute(values, once(*values[: self.measure.groups]))[0])


def rank_metric(
    name: str,
    convention: str,
    direction: Direction,
    range: tuple[float, float],
    unit: Unit,
    source: str,
    compute: Callable[[tuple[np.ndarray, ...], Counts], np.ndarray],
    undefined: str = "",
    groups: int = 1,
) -> Metric:
    """A metric of kind rank.

    Args:
        name: as that of a ``Metric``, and so are ``convention``, ``direction``, ``range``, ``unit``, ``source`` and
            ``undefined``.
        convention: what is computed.
        direction: which values are better.
        range: lowest and highest possible value.
        unit: of the value.
        source: whose definition this is.
        compute: as that of a ``Rank``, and so is ``groups``.
        undefined: when there is no value.
        groups: number of groups of samples.
    """
    return Metric(name, convention, direction, range, unit, source, Rank(compute, groups), undefined)


def once(*arrays: np.ndarray) -> Counts:
    """The counts of one resample in which every sample of each array stands once."""
    return tuple(np.ones((1, len(array)), dtype=np.int64) for array in arrays)


def by_name(metrics: Iterable[Metric]) -> dict[str, Metric]:
    """Metrics by name, in order."""
    return {metric.name: metric for metric in metrics}


def task_of(metrics: Iterable[Metric]) -> Task:
    """The task of metrics that judge answers together: that of their means; rank metrics alone judge classes, or several
    labels."""
    metrics = list(metrics)
    tasks: list[Task] = [metric.mean.task for metric in metrics if metric.kind == "mean"]
    if tasks:
        return tasks[0]
    return "multi-label" if any(one.name in FAMILIES["multi-label"] for one in metrics) else "classification"


def checked(task: Task, target: ArrayLike, prediction: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Checks a target and a prediction and brings them to the types that ``Mean.terms`` expects.

    Regression keeps float32 and float64 as they are (a label is compared with a bin border in its own
    precision, so that a float32 0.1 lies on the border 0.1), float16 becomes float32, anything else float64.

    Args:
        task: ``"regression"``, ``"classification"`` or ``"multi-label"``.
        target: [N], labels; or class indices, which may be stored as whole floats; [N, C] of 0 and 1 for several labels.
        prediction: [N] scores; or [N, C] logits with C >= 2, or [N] class indices of integer type; [N, C] logits of
            several labels.

    Returns:
        target and prediction: floats (regression), or int64 class indices and logits or int64 class indices; int64 of 0
        and 1 and logits (multi-label).

    Raises:
        ValueError: no sample, shapes that do not fit, a value that is not finite, a class out of range.
    """
    target, prediction = np.asarray(target), np.asarray(prediction)
    if task == "multi-label":
        return _checked_label_sets(target, prediction)
    if target.ndim != 1:
        raise ValueError(f"target has shape {target.shape}, expected [samples]")
    if target.size == 0:
        raise ValueError("target is empty: a metric needs at least one sample")
    wanted = (1,) if task == "regression" else (1, 2)
    if prediction.ndim not in wanted or len(prediction) != len(target):
        shape = "[samples]" if task == "regression" else "[samples, classes] or [samples]"
        raise ValueError(
            f"prediction has shape {prediction.shape} for {len(target)} targets, expected {shape}"
        )
    for name, values in (("target", target), ("prediction", prediction)):
        if values.dtype.kind not in "fiub":
            raise ValueError(f"{name} has type {values.dtype}, expected numbers")
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            bad = int((~np.isfinite(values)).sum())
            raise ValueError(f"{name} has {bad} of {values.size} values that are not finite")
    if task == "regression":
        return _as_float(target), _as_float(prediction)
    return _checked_classes(target, prediction)


def _checked_label_sets(target: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if target.ndim != 2 or prediction.shape != target.shape:
        raise ValueError(
            f"target has shape {target.shape} and prediction {prediction.shape}, expected [samples, classes] of both"
        )
    if target.size == 0:
        raise ValueError("target is empty: a metric needs at least one sample")
    if prediction.dtype.kind != "f" or not np.isfinite(prediction).all():
        raise ValueError("prediction has values that are no finite logits")
    if not ((target == 0) | (target == 1)).all():
        raise ValueError("target has values other than 0 and 1")
    return target.astype(np.int64), prediction


def _as_float(values: np.ndarray) -> np.ndarray:
    if values.dtype in (np.float32, np.float64):
        return values
    return values.astype(np.float32 if values.dtype == np.float16 else np.float64)


def _checked_classes(target: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    classes = target.astype(np.int64)
    if (classes != target).any() or (classes < 0).any():
        raise ValueError("target is no class index: expected whole numbers from 0")
    if prediction.ndim == 1:
        if prediction.dtype.kind not in "iub":
            raise ValueError("prediction is [samples] of floats, expected logits [samples, classes]")
        prediction = prediction.astype(np.int64)
        if (prediction < 0).any():
            raise ValueError("prediction is no class index: expected whole numbers from 0")
    elif prediction.shape[1] < 2:
        raise ValueError(f"prediction has {prediction.shape[1]} logits a sample, expected at least 2")
    elif classes.max() >= prediction.shape[1]:
        raise ValueError(
            f"target names class {classes.max()}, but there are {prediction.shape[1]} logits (from 0)"
        )
    return classes, prediction


def ratio(numerator: np.ndarray, denominator: np.ndarray, otherwise: float = np.nan) -> np.ndarray:
    """``numerator / denominator`` where the denominator is positive, ``otherwise`` elsewhere; no warning.

    Args:
        numerator: of any shape that broadcasts with the other.
        denominator: likewise.
        otherwise: the value where the denominator is 0, negative or NaN.

    Returns:
        float64, in the common shape.
    """
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    out = np.full(denominator.shape, otherwise, dtype=np.float64)
    return np.divide(numerator, denominator, out=out, where=denominator > 0)
