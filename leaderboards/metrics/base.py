"""What a metric is: a mean of per-sample terms, and a function that finishes it.

Every metric here is ``finish(mean over samples of terms)``. A resample of the samples is a weighted mean of
the same terms, so that a thousand bootstrap resamples are one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

Task = Literal["regression", "classification"]


@dataclass(frozen=True)
class Metric:
    """A measure of predictions, called as ``metric(target, prediction) -> float``.

    Attributes:
        name: its name, which says its convention.
        task: what it judges; fixes what ``target`` and ``prediction`` are (see ``checked``).
        convention: what is computed, in one sentence.
        direction: whether a higher or a lower value is better.
        range: lowest and highest possible value.
        unit: ``"fraction"`` (0 to 1, printed as percent), ``"correlation"`` (-1 to 1) or ``"label"`` (the
            unit of the labels).
        undefined: when the value is NaN; empty where it never is.
        source: whose definition this is.
        terms: (target [N], prediction [N] or [N, C]), both as ``checked`` returns them -> float64 [N, K].
        finish: mean of the terms, [..., K] -> the metric, [...]; NaN, without a warning, where undefined.
    """

    name: str
    task: Task
    convention: str
    direction: Literal["higher", "lower"]
    range: tuple[float, float]
    unit: Literal["fraction", "correlation", "label"]
    undefined: str
    source: str
    terms: Callable[[np.ndarray, np.ndarray], np.ndarray]
    finish: Callable[[np.ndarray], np.ndarray]

    def __call__(self, target: ArrayLike, prediction: ArrayLike) -> float:
        """Computes the metric at full precision.

        Args:
            target: [N], labels or class indices.
            prediction: [N] scores; for classification [N, C] logits, or [N] class indices of integer type.

        Returns:
            The value, in ``range``; NaN where ``undefined`` says so.

        Raises:
            ValueError: no sample, shapes that do not fit, a value that is not finite, a class out of range.
        """
        target, prediction = checked(self.task, target, prediction)
        return float(self.finish(self.terms(target, prediction).mean(axis=0)))


def checked(task: Task, target: ArrayLike, prediction: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Checks a target and a prediction and brings them to the types that ``Metric.terms`` expects.

    Regression keeps float32 and float64 as they are (a label is compared with a bin border in its own
    precision, so that a float32 0.1 lies on the border 0.1), float16 becomes float32, anything else float64.

    Args:
        task: ``"regression"`` or ``"classification"``.
        target: [N], labels; or class indices, which may be stored as whole floats.
        prediction: [N] scores; or [N, C] logits with C >= 2, or [N] class indices of integer type.

    Returns:
        target and prediction: floats (regression), or int64 class indices and logits or int64 class indices.

    Raises:
        ValueError: no sample, shapes that do not fit, a value that is not finite, a class out of range.
    """
    target, prediction = np.asarray(target), np.asarray(prediction)
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
    """``numerator / denominator`` where the denominator is positive, ``otherwise`` elsewhere; no warning."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    out = np.full(denominator.shape, otherwise, dtype=np.float64)
    return np.divide(numerator, denominator, out=out, where=denominator > 0)
