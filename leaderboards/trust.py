"""Does a network know when it is wrong, when an input is foreign, and how sure it may be?

Tables of misclassification detection, OOD detection and calibration, in the tidy form of ``tables``: one row
for each method, condition and metric. These measures are no means over samples, so each is computed anew on
every resample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pandas as pd

from . import calibration as calibrating
from . import confidence, detection, ood_scores, ood_sets, selective
from .judge import Judge, UndefinedError
from .metric import Metric
from .results import CLEAN, Outputs, Result, UnusableError, one_line
from .scoring import Cell, Group, aligned, groups_of, read_group
from .statistics import Resampled
from .tables import table_of

#: Resamples behind intervals and comparisons: fewer than for means, as each costs a sort of the samples.
DRAWS = 200


@dataclass(frozen=True)
class Sample:
    """What one network contributes to a judge: arrays that are resampled together, part by part.

    Attributes:
        parts: groups of arrays; the arrays of a part have the same samples. One part for most judges, two
            (in-distribution and OOD) for detection.
        reason: why there is nothing to judge; empty where there is.
    """

    parts: tuple[tuple[np.ndarray, ...], ...] = ()
    reason: str = ""


def misclassification(results: Iterable[Result], draws: int = DRAWS, seed: int = 0) -> pd.DataFrame:
    """How well confidence tells right from wrong answers, on complete test data.

    The condition is the confidence: ``max_softmax``, ``margin``, ``negative_entropy`` (classification),
    ``variance`` (regression, where the method predicts one) and ``ensemble`` (distance to the mean of the
    seeds). The loss is 0/1, or the absolute error.

    Args:
        results: one a job.
        draws: resamples behind the intervals.
        seed: of the resampling.

    Returns:
        A frame as ``tables.accuracy`` gives it.
    """
    return _table(results, _misclassification_cells, draws, seed)


def calibration(results: Iterable[Result], draws: int = DRAWS, seed: int = 0) -> pd.DataFrame:
    """Whether predicted probabilities, or predicted variances, are true; as ``misclassification``."""
    return _table(results, _calibration_cells, draws, seed)


def ood(results: Iterable[Result], draws: int = DRAWS, seed: int = 0) -> pd.DataFrame:
    """How well scores tell test samples from foreign ones; as ``misclassification``.

    The condition is ``SET/SCORE``, such as ``near:mosei/energy``. A set is ``near`` (it could be a domain of
    the task), ``far`` (another dataset, resized to fit) or ``semantic`` (held-out classes); where the results
    met several contents of one dataset, the content is part of its name. Scores on features are fitted on source
    training features only. Results without features are left out.

    Raises:
        ValueError: no result has features.
    """
    kept = [result for result in results if result.features is not None]
    if not kept:
        raise ValueError("no result has OOD sets: run with --ood DATASET or --held-out-classes CLASS")
    frame = _table(kept, _ood_cells, draws, seed)
    return frame.assign(condition=ood_sets.shortest(frame["condition"]))


Cells = Callable[[Group, int, int], dict[str, Cell]]


def _table(results: Iterable[Result], cells_of: Cells, draws: int, seed: int) -> pd.DataFrame:
    groups, cells = [], []
    for group in groups_of(results):
        found = cells_of(group, draws, seed)
        judges = _judges(cells_of, group)
        groups.append(replace(group, metrics=cast(tuple[Metric, ...], judges)))
        cells.append(found)
    return table_of(groups, cells).drop(columns=["drop", "drop_low", "drop_high"])


def _judges(cells_of: Cells, group: Group) -> tuple[Judge, ...]:
    if cells_of is _ood_cells:
        return tuple(detection.JUDGES.values())
    classification = group.metrics[0].task == "classification"
    if cells_of is _calibration_cells:
        chosen = calibrating.CLASSIFICATION if classification else calibrating.REGRESSION
    else:
        chosen = selective.CLASSIFICATION if classification else selective.REGRESSION
    return tuple(chosen.values())


def _misclassification_cells(group: Group, draws: int, seed: int) -> dict[str, Cell]:
    found = aligned(group, CLEAN, *read_group(group))
    classification = group.metrics[0].task == "classification"
    names = [*confidence.LOGITS, "ensemble"] if classification else ["ensemble", "variance"]
    if found.hole:
        return {name: Cell(found.hole, found.done) for name in names}
    if classification:
        losses = [(o.prediction.argmax(axis=1) != o.target).astype(np.float64) for o in found.outputs]
    else:
        losses = [np.abs(o.prediction.astype(np.float64) - o.target) for o in found.outputs]
    judges = _judges(_misclassification_cells, group)
    cells = {}
    for name in names:
        trusts = _confidences(name, found.outputs)
        samples = [
            trust if isinstance(trust, Sample) else Sample(((loss, trust),))
            for loss, trust in zip(losses, trusts, strict=True)
        ]
        cells[name] = _cell(judges, samples, found.outputs[0], draws, seed)
    return cells


def _confidences(name: str, outputs: Sequence[Outputs]) -> list[np.ndarray | Sample]:
    """Of every seed, [N] each; or why there is none."""
    if name in confidence.LOGITS:
        return [confidence.LOGITS[name](o.prediction) for o in outputs]
    if name == "variance":
        nothing = Sample(reason="the method predicts no variance")
        return [nothing if o.log_variance is None else -o.log_variance for o in outputs]
    if len(outputs) < 2:
        return [Sample(reason="an ensemble needs at least two seeds")] * len(outputs)
    return list(confidence.ensemble(np.stack([_answer(o) for o in outputs])))


def _answer(outputs: Outputs) -> np.ndarray:
    prediction = outputs.prediction.astype(np.float64)
    return prediction if prediction.ndim == 1 else confidence.softmax(prediction)


def _calibration_cells(group: Group, draws: int, seed: int) -> dict[str, Cell]:
    found = aligned(group, CLEAN, *read_group(group))
    if found.hole:
        return {CLEAN: Cell(found.hole, found.done)}
    samples = []
    for o in found.outputs:
        if o.prediction.ndim == 2:
            samples.append(Sample(((o.target.astype(np.int64), o.prediction.astype(np.float64)),)))
        elif o.log_variance is None:
            samples.append(Sample(reason="the method predicts no variance"))
        else:
            variance = np.exp(o.log_variance.astype(np.float64))
            samples.append(Sample(((o.target, o.prediction.astype(np.float64), variance),)))
    judges = _judges(_calibration_cells, group)
    return {CLEAN: _cell(judges, samples, found.outputs[0], draws, seed)}


def _ood_cells(group: Group, draws: int, seed: int) -> dict[str, Cell]:
    judges = _judges(_ood_cells, group)
    scored: list[Mapping[str, Sample]] = []
    troubles = []
    for result in group.results:
        try:
            scored.append(_ood_samples(result))
        except (UnusableError, ValueError, OSError) as error:
            troubles.append(f"seed {result.seed}: {one_line(str(error))}")
    conditions = list(dict.fromkeys(name for samples in scored for name in samples))
    cells = {}
    for condition in conditions or ["ood"]:
        have = [samples[condition] for samples in scored if condition in samples]
        if troubles or len(have) < len(group.results):
            reason = "; ".join(troubles) or f"{len(have)} of {len(group.results)} seeds were tested on it"
            cells[condition] = Cell(reason, len(have))
            continue
        size = len(have[0].parts[0][0]) if have[0].parts else 0
        order = Outputs(np.arange(size).astype(str).astype(object), np.zeros(size), np.zeros(size))
        cells[condition] = _cell(judges, have, order, draws, seed)
    return cells


def _ood_samples(result: Result) -> dict[str, Sample]:
    """``SET/SCORE`` -> the scores of test and OOD samples, by sample id, of one network."""
    if result.state != "done" or result.features is None:
        raise UnusableError(result.reason or f"{result.state}, no features")
    sets = {name: _features(rows.sort_values("sample_id")) for name, rows in result.features().items()}
    own, train = sets.pop("test"), sets.pop("train")
    found = {}
    for score in ood_scores.SCORES.values():
        for name, foreign in sets.items():
            try:
                scorer = score.fit(train.fused, train.target, train.logits)
                pair = scorer(own.fused, own.logits), scorer(foreign.fused, foreign.logits)
                found[f"{name}/{score.name}"] = Sample(((pair[0],), (pair[1],)))
            except UndefinedError as error:
                found[f"{name}/{score.name}"] = Sample(reason=str(error))
    return found


@dataclass(frozen=True)
class _Features:
    fused: np.ndarray | None
    target: np.ndarray
    logits: np.ndarray | None


def _features(rows: pd.DataFrame) -> _Features:
    logits = [name for name in rows if str(name).startswith("logit_")]
    fused = np.stack(list(rows["fused"])).astype(np.float64) if "fused" in rows and len(rows) else None
    return _Features(
        fused=fused,
        target=rows["target"].to_numpy(),
        logits=rows[logits].to_numpy(dtype=np.float64) if logits else None,
    )


def _cell(judges: Sequence[Judge], samples: Sequence[Sample], order: Outputs, draws: int, seed: int) -> Cell:
    """All judges on the samples of every seed and on the same resamples of them."""
    reasons = dict.fromkeys(sample.reason for sample in samples if sample.reason)
    if reasons:
        return Cell("; ".join(reasons), len(samples))
    sizes = [len(part[0]) for part in samples[0].parts]
    generator = np.random.default_rng(np.random.SeedSequence([seed, *sizes]))
    out = np.full((draws + 1, len(samples), len(judges)), np.nan)
    why: dict[str, str] = {}
    for draw in range(draws + 1):
        rows = [generator.integers(size, size=size) if draw else slice(None) for size in sizes]
        for s, sample in enumerate(samples):
            arrays = [
                array[picked] for part, picked in zip(sample.parts, rows, strict=True) for array in part
            ]
            for m, judge in enumerate(judges):
                try:
                    out[draw, s, m] = judge(*arrays)
                except UndefinedError as error:
                    if draw == 0:
                        why[judge.name] = str(error)
    scores = Resampled(values=out[0], draws=out[1:], samples=sum(sizes))
    return Cell("", len(samples), scores, order.sample_id, order.target, why)
