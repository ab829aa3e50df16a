"""Does a network know when it is wrong, when an input is foreign, and how sure it may be?

Tables of misclassification detection, OOD detection and calibration, in the tidy form of ``tables``: one row
for each method, condition and metric. These measures are no means over samples, so each is computed anew on
every resample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd

from ..labels import CLEAN, CONFIDENCE, OWN
from ..metrics import confidence, ood_scores
from ..metrics.base import Metric, UndefinedError, checked
from ..metrics.registry import family_metrics
from ..stats.bootstrap import FEWER_DRAWS, Resampled, resample_counts
from . import ood_sets
from .accuracy import table_of
from .cells import Cell, Group, cells_of
from .groups import groups_of, rows_with, sheet_key
from .results import Outputs, Result, UnusableError, named_columns, read_outputs
from .score_sheet import Sheet, SheetEntry, sheet_from, stored_sheet

ENSEMBLE = "ensemble"
_NO_CONFIDENCE = "the method gives no such confidence"
#: The families of rank metrics that each table shows.
MISCLASSIFICATION, CALIBRATION, OOD = "misclassification", "calibration", "ood"


@dataclass(frozen=True)
class Sample:
    """What one network contributes to a rank metric: arrays that are resampled together, part by part.

    Attributes:
        parts: groups of arrays; the arrays of a part have the same samples. One part for most metrics, two
            (in-distribution and OOD) for detection.
        reason: why there is nothing to score; empty where there is.
    """

    parts: tuple[tuple[np.ndarray, ...], ...] = ()
    reason: str = ""


def misclassification(results: Iterable[Result], draws: int = FEWER_DRAWS, seed: int = 0) -> pd.DataFrame:
    """How well confidence tells right from wrong answers, on complete test data.

    The condition is the confidence: ``max_softmax``, ``margin``, ``negative_entropy`` (classification),
    ``variance`` (regression, where the method predicts one), ``own:NAME`` (the method's own, only of methods
    that give one) and ``ensemble`` (distance to the mean of the seeds). The loss is 0/1, or the absolute error.

    Args:
        results: one a job.
        draws: resamples behind the intervals.
        seed: of the resampling.

    Returns:
        A frame as ``tables.accuracy`` gives it.
    """
    frame = _table(results, MISCLASSIFICATION, _misclassification_cells, draws, seed)
    lacking = frame["condition"].str.startswith(OWN) & (frame["hole"] == _NO_CONFIDENCE)
    return frame.loc[~lacking].reset_index(drop=True)


def calibration(results: Iterable[Result], draws: int = FEWER_DRAWS, seed: int = 0) -> pd.DataFrame:
    """Whether predicted probabilities, or predicted variances, are true.

    Args:
        results: as of ``misclassification``.
        draws: as of ``misclassification``.
        seed: as of ``misclassification``.

    Returns:
        A frame as ``tables.accuracy`` gives it.
    """
    return _table(results, CALIBRATION, _calibration_cells, draws, seed)


def ood(results: Iterable[Result], draws: int = FEWER_DRAWS, seed: int = 0) -> pd.DataFrame:
    """How well scores tell test samples from foreign ones.

    The condition is ``SET/SCORE``, such as ``near:mosei/energy``. A set is ``near`` (it could be a domain of
    the task), ``far`` (another dataset, resized to fit) or ``semantic`` (held-out classes); where the results
    met several contents of one dataset, the content is part of its name. Scores on features are fitted on
    source training features only; ``own:NAME`` is the method's own confidence. Rows of which no seed has
    features are left out.

    Args:
        results: as of ``misclassification``.
        draws: as of ``misclassification``.
        seed: as of ``misclassification``.

    Returns:
        A frame as ``tables.accuracy`` gives it.

    Raises:
        ValueError: no result has features.
    """
    with_features = rows_with(results, lambda one: one.features is not None)
    if not with_features:
        raise ValueError("no result has OOD sets: run with --ood DATASET or --held-out-classes CLASS")
    frame = _table(with_features, OOD, _ood_cells, draws, seed)
    return frame.assign(condition=ood_sets.shortest(frame["condition"]))


Cells = Callable[[Group, int, int], dict[str, Cell]]


def _table(results: Iterable[Result], family: str, cells_of: Cells, draws: int, seed: int) -> pd.DataFrame:
    groups, cells = [], []
    known = [group for group in groups_of(results) if group.metrics[0].task != "multi-label"]
    if not known:
        raise ValueError(
            "it does not apply to several labels a sample (multi-label): no answer has one confidence"
        )
    for group in known:
        scored = cells_of(group, draws, seed)
        groups.append(replace(group, metrics=_metrics(family, group)))
        cells.append(scored)
    _mark_lacking(groups, cells)
    return table_of(groups, cells).drop(columns=["drop", "drop_low", "drop_high"])


def _mark_lacking(groups: Sequence[Group], cells: Sequence[dict[str, Cell]]) -> None:
    """Puts a cell with a reason where another method of a block gives a confidence that a method does not give."""
    names: dict[tuple, dict[str, None]] = {}
    for group, row in zip(groups, cells, strict=True):
        own = [name for name in row if name.rpartition("/")[2].startswith(OWN)]
        names.setdefault(group.block, {}).update(dict.fromkeys(own))
    for group, row in zip(groups, cells, strict=True):
        for name in names[group.block]:
            row.setdefault(name, Cell(_NO_CONFIDENCE, len(group.results)))


def _metrics(family: str, group: Group) -> tuple[Metric, ...]:
    """The rank metrics of a family, as they are for the task of a group."""
    own = family if family == OOD or _is_classification(group) else f"{family}_regression"
    return family_metrics(own)


def _is_classification(group: Group) -> bool:
    return group.metrics[0].task == "classification"


def _misclassification_cells(group: Group, draws: int, seed: int) -> dict[str, Cell]:
    metrics = _metrics(MISCLASSIFICATION, group)
    classification = _is_classification(group)
    own = list(confidence.LOGITS) if classification else ["variance"]
    key = sheet_key(metrics, draws, seed)

    def alone(result: Result) -> Sheet:
        def make() -> Sheet:
            outputs = _clean(group, result)
            loss = _loss(outputs)
            names = [*own, *(f"{OWN}{name}" for name in outputs.confidence)]
            entries = {
                name: scored_ranks(metrics, _confidence(name, outputs, loss), outputs.of, draws, seed)
                for name in names
            }
            return sheet_from(entries, _names(metrics), draws)

        return stored_sheet(result.cache, "misd", key, make)

    cells = cells_of(group, alone, own)
    ensemble = _ensemble_cells(group, metrics, draws, seed)
    return {**cells, **ensemble} if classification else {**ensemble, **cells}


def _ensemble_cells(group: Group, metrics: Sequence[Metric], draws: int, seed: int) -> dict[str, Cell]:
    """Confidence by what the seeds agree on: each sheet depends on the predictions of all of them."""
    done = [result for result in group.results if result.state == "done"]
    apart = group.folds > 0 and not group.one_test
    if len(done) < 2 or apart:
        reason = "an ensemble needs at least two seeds"
        if apart:
            reason = "an ensemble needs networks tested on the same samples, and every fold tests its own"
        return {ENSEMBLE: cells_of(group, lambda _: _empty(metrics, draws, reason), [ENSEMBLE])[ENSEMBLE]}

    @cache
    def answers() -> tuple[list[Outputs], np.ndarray]:
        outputs = [_clean(group, result) for result in done]
        if len({one.of for one in outputs}) > 1:
            raise UnusableError("the seeds were tested on different samples")
        return outputs, confidence.ensemble(np.stack([_answer(one) for one in outputs]))

    def together(result: Result) -> Sheet:
        def make() -> Sheet:
            outputs, agreed = answers()
            place = done.index(result)
            sample = Sample(((_loss(outputs[place]), agreed[place]),))
            entry = scored_ranks(metrics, sample, outputs[place].of, draws, seed)
            return sheet_from({ENSEMBLE: entry}, _names(metrics), draws)

        prints = [peer.cache.fingerprint() for peer in done if peer.cache is not None]
        return stored_sheet(result.cache, ENSEMBLE, sheet_key(metrics, draws, seed), make, prints)

    return cells_of(group, together, [ENSEMBLE])


def _names(metrics: Sequence[Metric]) -> list[str]:
    return [metric.name for metric in metrics]


def _empty(metrics: Sequence[Metric], draws: int, reason: str) -> Sheet:
    return sheet_from({ENSEMBLE: SheetEntry(None, undefined=reason)}, _names(metrics), draws)


def _clean(group: Group, result: Result) -> Outputs:
    """The clean outputs, checked. Raises ValueError where they cannot be used."""
    outputs = read_outputs(result).get(CLEAN)
    if outputs is None:
        raise UnusableError("no predictions under clean")
    checked(group.metrics[0].mean.task, outputs.target, outputs.prediction)
    for name, values in outputs.confidence.items():
        if not np.isfinite(values).all():
            raise UnusableError(f"confidence {name} has values that are not finite")
    return outputs


def _loss(outputs: Outputs) -> np.ndarray:
    """[N]: 0 or 1 for classes, the absolute error for scores."""
    if outputs.prediction.ndim == 2:
        return (outputs.prediction.argmax(axis=1) != outputs.target).astype(np.float64)
    return np.abs(outputs.prediction.astype(np.float64) - outputs.target)


def _confidence(name: str, outputs: Outputs, loss: np.ndarray) -> Sample:
    if name in confidence.LOGITS:
        return Sample(((loss, confidence.LOGITS[name](outputs.prediction)),))
    if name.startswith(OWN):
        return Sample(((loss, outputs.confidence[name.removeprefix(OWN)].astype(np.float64)),))
    if outputs.log_variance is None:
        return Sample(reason="the method predicts no variance")
    return Sample(((loss, -outputs.log_variance),))


def _answer(outputs: Outputs) -> np.ndarray:
    prediction = outputs.prediction.astype(np.float64)
    return prediction if prediction.ndim == 1 else confidence.softmax(prediction)


def _calibration_cells(group: Group, draws: int, seed: int) -> dict[str, Cell]:
    metrics = _metrics(CALIBRATION, group)
    key = sheet_key(metrics, draws, seed)

    def read(result: Result) -> Sheet:
        def make() -> Sheet:
            o = _clean(group, result)
            if o.prediction.ndim == 2:
                sample = Sample(((o.target.astype(np.int64), o.prediction.astype(np.float64)),))
            elif o.log_variance is None:
                sample = Sample(reason="the method predicts no variance")
            else:
                variance = np.exp(o.log_variance.astype(np.float64))
                sample = Sample(((o.target, o.prediction.astype(np.float64), variance),))
            return sheet_from(
                {CLEAN: scored_ranks(metrics, sample, o.of, draws, seed)}, _names(metrics), draws
            )

        return stored_sheet(result.cache, "calibration", key, make)

    return cells_of(group, read, [CLEAN])


def _ood_cells(group: Group, draws: int, seed: int) -> dict[str, Cell]:
    metrics = _metrics(OOD, group)
    key = [*sheet_key(metrics, draws, seed), list(ood_scores.SCORES)]

    def read(result: Result) -> Sheet:
        def make() -> Sheet:
            entries = {
                name: scored_ranks(metrics, sample, _of(name, sample), draws, seed)
                for name, sample in _ood_samples(result).items()
            }
            return sheet_from(entries, _names(metrics), draws)

        return stored_sheet(result.cache, "ood", key, make)

    return cells_of(group, read) or {
        "ood": Cell(f"0 of {len(group.results)} {group.unit} were tested on it", 0)
    }


def _of(name: str, sample: Sample) -> str:
    """Which samples a pair has: ids of OOD sets differ between seeds in nothing but their number."""
    subject = name.partition("/")[0].replace(":", " ")  # a colon would part ids from targets
    return " ".join([subject, *(str(len(part[0])) for part in sample.parts)])


def _ood_samples(result: Result) -> dict[str, Sample]:
    """``SET/SCORE`` -> the scores of test and OOD samples, by sample id, of one network."""
    if result.state != "done" or result.features is None:
        raise UnusableError(result.reason or f"{result.state}, no features")
    sets = {name: _features(name, rows.sort_values("sample_id")) for name, rows in result.features().items()}
    own, train = sets.pop("test"), sets.pop("train")
    samples = {}
    for score in ood_scores.SCORES.values():
        for name, foreign in sets.items():
            try:
                scorer = score.fit(train.fused, train.target, train.logits)
                pair = scorer(own.fused, own.logits), scorer(foreign.fused, foreign.logits)
                samples[f"{name}/{score.name}"] = Sample(((pair[0],), (pair[1],)))
            except UndefinedError as error:
                samples[f"{name}/{score.name}"] = Sample(reason=str(error))
    for confident, values in own.confidence.items():
        for name, foreign in sets.items():
            given = foreign.confidence.get(confident)
            pair = Sample(reason=_NO_CONFIDENCE) if given is None else Sample(((values,), (given,)))
            samples[f"{name}/{OWN}{confident}"] = pair
    return samples


@dataclass(frozen=True)
class _Features:
    fused: np.ndarray | None
    target: np.ndarray
    logits: np.ndarray | None
    confidence: dict[str, np.ndarray]


def _features(name: str, rows: pd.DataFrame) -> _Features:
    logits = [column for column in rows if str(column).startswith("logit_")]
    fused = np.stack(list(rows["fused"])).astype(np.float64) if "fused" in rows and len(rows) else None
    arrays = _Features(
        fused=fused,
        target=rows["target"].to_numpy(),
        logits=rows[logits].to_numpy(dtype=np.float64) if logits else None,
        confidence={
            key: values.astype(np.float64) for key, values in named_columns(rows, CONFIDENCE).items()
        },
    )
    for values in (arrays.fused, arrays.logits, *arrays.confidence.values()):
        if values is not None and not np.isfinite(values).all():
            raise UnusableError(f"features of {name} have values that are not finite")
    return arrays


def scored_ranks(metrics: Sequence[Metric], sample: Sample, of: str, draws: int, seed: int) -> SheetEntry:
    """Scores the samples of one network, and the same resamples of them, by all metrics.

    Args:
        metrics: of kind rank.
        sample: the arrays of one network, or why there are none.
        of: which samples these are, as ``Sheet.of``.
        draws: number of resamples.
        seed: of the resampling.
    """
    if sample.reason:
        return SheetEntry(None, of, undefined=sample.reason)
    sizes = [len(part[0]) for part in sample.parts]
    arrays = tuple(array for part in sample.parts for array in part)
    counts = tuple(resample_counts(size, draws, seed, kind) for kind, size in enumerate(sizes))
    values = np.full((1, len(metrics)), np.nan)
    sampled = np.full((draws, 1, len(metrics)), np.nan)
    why: dict[str, str] = {}
    for m, metric in enumerate(metrics):
        try:
            values[0, m] = metric(*arrays)
            sampled[:, 0, m] = metric.rank.compute(arrays, counts)
        except UndefinedError as error:
            why[metric.name] = str(error)
    return SheetEntry(Resampled(values, sampled, sum(sizes)), of, reasons=why)
