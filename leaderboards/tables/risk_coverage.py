"""Risk against coverage, seed by seed: how large is the loss among the answers that a network is surest of?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..labels import CLEAN, REAL, SYNTHETIC
from ..metrics.confidence import ensemble, max_softmax
from ..metrics.selective import risk_coverage_curve
from .results import Outputs, Result, UnusableError, read_outputs


@dataclass(frozen=True)
class Curve:
    """One method on one task.

    Attributes:
        block: task, modalities, protocol, data.
        method: its label; with the draw where there are several.
        confidence: what orders the answers: ``"max_softmax"`` (classification), ``"variance"`` or, where the
            method predicts none, ``"ensemble"`` (regression; distance to the mean of the seeds).
        loss: ``"error"`` (0 or 1) or ``"absolute error"``.
        coverage: [N], 1/N to 1.
        risk: [seeds, N], mean loss of the surest share, in the unit of the loss.
    """

    block: tuple[str, str, str, str]
    method: str
    confidence: str
    loss: str
    coverage: np.ndarray
    risk: np.ndarray

    @property
    def aurc(self) -> float:
        """The area under the curve, mean over seeds, as the metric ``aurc``."""
        return float(self.risk.mean())


def curves(results: Iterable[Result]) -> tuple[list[Curve], list[str]]:
    """The curve of each method on clean test data, and why others have none.

    Args:
        results: one a job. Where a planned seed is not done, the method has no curve on that task.

    Returns:
        Curves, and one line for each that lacks.
    """
    rows: dict[tuple[tuple[str, str, str, str], str, int], list[Result]] = defaultdict(list)
    for one in results:
        block = (one.task, one.modalities, one.protocol, SYNTHETIC if one.synthetic else REAL)
        rows[block, one.method, one.draw].append(one)
    draws: dict[tuple, int] = defaultdict(int)
    for block, method, _ in rows:
        draws[block, method] += 1
    drawn: list[Curve] = []
    reasons: list[str] = []
    for (block, method, draw), members in rows.items():
        label = f"{method} (draw {draw})" if draws[block, method] > 1 else method
        try:
            drawn.append(_curve(block, label, sorted(members, key=lambda one: one.seed)))
        except ValueError as error:
            reasons.append(f"risk-coverage curve of {label} on {', '.join(block[:2])}: {error}")
    return drawn, reasons


def risks(loss: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coverage [N] and the risk of each seed [seeds, N], of losses and confidences [seeds, N].

    Equal confidences have no order: their risk is the expectation over all orders.

    Raises:
        ValueError: shapes differ, or there is no seed or sample.
    """
    loss, confidence = np.asarray(loss, dtype=np.float64), np.asarray(confidence, dtype=np.float64)
    if loss.ndim != 2 or loss.shape != confidence.shape or not loss.size:
        raise ValueError(f"losses {loss.shape} and confidences {confidence.shape}, expected [seeds, samples]")
    pairs = [risk_coverage_curve(*pair) for pair in zip(loss, confidence, strict=True)]
    return pairs[0][0], np.stack([risk for _, risk in pairs])


def _curve(block: tuple[str, str, str, str], method: str, members: Sequence[Result]) -> Curve:
    undone = [str(one.seed) for one in members if one.state != "done"]
    if undone:
        raise UnusableError(f"seed {', '.join(undone)} of {len(members)} is not done")
    if any(one.folds for one in members):
        raise UnusableError("every fold tests samples of its own, so that folds have no curve together")
    outputs: list[Outputs] = []
    for one in members:
        read = read_outputs(one).get(CLEAN)
        if read is None:
            raise UnusableError(f"seed {one.seed} has no predictions on clean data")
        outputs.append(read)
    if len({one.of for one in outputs}) > 1:
        raise UnusableError("the seeds were tested on different samples or targets")
    target = np.stack([one.target for one in outputs])
    prediction = np.stack([one.prediction for one in outputs]).astype(np.float64)
    if not np.isfinite(prediction).all():
        raise UnusableError("a prediction is not finite")
    if prediction.ndim == 3:
        loss = (prediction.argmax(axis=2) != target).astype(np.float64)
        name, confidence = "max_softmax", np.stack([max_softmax(one) for one in prediction])
    else:
        loss = np.abs(prediction - target)
        spreads = [one.log_variance for one in outputs if one.log_variance is not None]
        if len(spreads) == len(outputs):
            name, confidence = "variance", -np.stack(spreads)
        elif len(outputs) > 1:
            name, confidence = "ensemble", ensemble(prediction)
        else:
            raise UnusableError("no variance is predicted, and an ensemble needs at least two seeds")
    coverage, risk = risks(loss, confidence)
    return Curve(block, method, name, "error" if prediction.ndim == 3 else "absolute error", coverage, risk)
