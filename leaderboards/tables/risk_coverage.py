"""Risk against coverage, seed by seed: how large is the loss among the answers that a network is surest of?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..labels import CLEAN, OWN, REAL, SYNTHETIC
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
            method predicts none, ``"ensemble"`` (regression; distance to the mean of the seeds); ``"own:NAME"`` for a
            confidence of the method's own, which has a curve beside.
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
    """The curves of each method on clean test data, and why others have none.

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
            outputs = _clean_outputs(sorted(members, key=lambda one: one.seed))
        except ValueError as error:
            reasons.append(f"risk-coverage curve of {label} on {', '.join(block[:2])}: {error}")
            continue
        try:
            drawn.append(_curve(block, label, outputs))
        except ValueError as error:
            reasons.append(f"risk-coverage curve of {label} on {', '.join(block[:2])}: {error}")
        drawn += _own_curves(block, label, outputs)
    return drawn, reasons


def risks(loss: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The risk of each seed at every coverage.

    Equal confidences have no order: their risk is the expectation over all orders.

    Args:
        loss: [seeds, N], 0 or 1, or absolute errors.
        confidence: [seeds, N], higher is surer.

    Returns:
        Coverage [N], 1/N to 1, and risk [seeds, N], in the unit of the loss.

    Raises:
        ValueError: shapes differ, or there is no seed or sample.
    """
    loss, confidence = np.asarray(loss, dtype=np.float64), np.asarray(confidence, dtype=np.float64)
    if loss.ndim != 2 or loss.shape != confidence.shape or not loss.size:
        raise ValueError(f"losses {loss.shape} and confidences {confidence.shape}, expected [seeds, samples]")
    pairs = [risk_coverage_curve(*pair) for pair in zip(loss, confidence, strict=True)]
    return pairs[0][0], np.stack([risk for _, risk in pairs])


def _clean_outputs(members: Sequence[Result]) -> list[Outputs]:
    """The clean outputs of all seeds. Raises UnusableError where they are not all there, or of other samples."""
    undone = [str(one.seed) for one in members if one.state != "done"]
    if undone:
        raise UnusableError(f"seed {', '.join(undone)} of {len(members)} is not done")
    if any(one.folds and not one.held_out_test for one in members):
        raise UnusableError("every fold tests samples of its own, so that folds have no curve together")
    outputs: list[Outputs] = []
    for one in members:
        read = read_outputs(one, condition=CLEAN).get(CLEAN)
        if read is None:
            raise UnusableError(f"seed {one.seed} has no predictions on clean data")
        outputs.append(read)
    if len({one.of for one in outputs}) > 1:
        raise UnusableError("the seeds were tested on different samples or targets")
    if not all(np.isfinite(one.prediction).all() for one in outputs):
        raise UnusableError("a prediction is not finite")
    return outputs


def _losses(outputs: Sequence[Outputs]) -> tuple[np.ndarray, str]:
    """The loss of every seed and sample [seeds, N], and what it is."""
    target = np.stack([one.target for one in outputs])
    if target.ndim == 3:
        raise UnusableError("several labels a sample (multi-label) have no one confidence")
    prediction = np.stack([one.prediction for one in outputs]).astype(np.float64)
    if prediction.ndim == 3:
        return (prediction.argmax(axis=2) != target).astype(np.float64), "error"
    return np.abs(prediction - target), "absolute error"


def _own_curves(block: tuple[str, str, str, str], method: str, outputs: Sequence[Outputs]) -> list[Curve]:
    """A curve for each confidence that the method itself gives, with every seed."""
    loss, unit = _losses(outputs)
    found: list[Curve] = []
    for name in outputs[0].confidence:
        given = [one.confidence[name] for one in outputs if name in one.confidence]
        if len(given) == len(outputs) and all(np.isfinite(values).all() for values in given):
            coverage, risk = risks(loss, np.stack(given))
            found.append(Curve(block, f"{method}, {OWN}{name}", f"{OWN}{name}", unit, coverage, risk))
    return found


def _curve(block: tuple[str, str, str, str], method: str, outputs: Sequence[Outputs]) -> Curve:
    loss, unit = _losses(outputs)
    prediction = np.stack([one.prediction for one in outputs]).astype(np.float64)
    if prediction.ndim == 3:
        name, confidence = "max_softmax", np.stack([max_softmax(one) for one in prediction])
    else:
        spreads = [one.log_variance for one in outputs if one.log_variance is not None]
        if len(spreads) == len(outputs):
            name, confidence = "variance", -np.stack(spreads)
        elif len(outputs) > 1:
            name, confidence = "ensemble", ensemble(prediction)
        else:
            raise UnusableError("no variance is predicted, and an ensemble needs at least two seeds")
    coverage, risk = risks(loss, confidence)
    return Curve(block, method, name, unit, coverage, risk)
