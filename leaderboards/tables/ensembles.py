"""What an ensemble gains: its vote and its stacking beside its mean member and the member that validation would choose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ..labels import CLEAN, KEYS, REAL, SYNTHETIC
from ..metrics.base import Metric, UndefinedError
from ..stats.bootstrap import DRAWS, Resampled, resample
from ..stats.intervals import holm, moderated_interval, moderated_p
from ..stats.seed_variance import seed_prior, variation_of
from ..stats.voting import error_correlation
from .block import ALPHA
from .cells import Group
from .ensemble_votes import STACKING, held_tables
from .groups import groups_of
from .results import Outputs, Result, UnusableError, one_line, read_outputs
from .typed_frame import typed_frame

_OF_ENSEMBLES = (
    "vote: mean of probabilities, of scores their mean, with equal weights; stacking: the weights are fitted on validation "
    "samples. mean_member: mean of the members' values; best_single: the value of the member that is best on its validation "
    "samples. gain: vote against mean_member, positive where the vote is better, with its 95 % interval over what interval "
    "names, paired by sample; p_holm is corrected for the ensembles of a task. error_correlation: mean over pairs of members of "
    "phi of wrong answers, or of Pearson's r of errors of scores. Metrics that are no mean over samples stand in the other "
    "tables, in which an ensemble is a row."
)
_COLUMNS = {
    **dict.fromkeys((*KEYS, "ensemble", "metric"), "str"),
    **dict.fromkeys(("members", "samples"), "int64"),
    **dict.fromkeys(("mean_member", "best_single", "vote", "stacking"), "float64"),
    **dict.fromkeys(("gain", "gain_low", "gain_high", "p_holm"), "float64"),
    "interval": "str",
    "error_correlation": "float64",
    "verdict": "str",
    "note": "str",
}


def ensembles(results: Iterable[Result], draws: int = DRAWS, seed: int = 0) -> pd.DataFrame:
    """What each ensemble gains on complete test data, by each metric that is a mean over samples.

    Args:
        results: one a job, with ensembles among them.
        draws: number of resamples of the samples.
        seed: of the resampling.

    Returns:
        One row an ensemble and metric, in the metric's unit; ``gain`` positive where the vote is better. What lacks is NaN,
        and ``note`` says why.

    Raises:
        ValueError: there is no ensemble.
    """
    results = list(results)
    groups = groups_of(one for one in results if one.ensemble is not None) if _any(results) else []
    if not groups:
        raise ValueError("there is no ensemble: name one by --ensemble seeds, methods or folds")
    votes = [group for group in groups if _how(group) != STACKING]
    stacked = {(group.block, _of(group)): group for group in groups if _how(group) == STACKING}
    rows: list[dict[str, Any]] = []
    by_block: dict[tuple, list[int]] = {}
    for group in votes:
        for row in _rows(group, stacked.get((group.block, _of(group))), draws, seed):
            by_block.setdefault((group.block, row["metric"]), []).append(len(rows))
            rows.append(row)
    for places in by_block.values():
        p = holm([rows[place]["p_holm"] for place in places])
        for place, value in zip(places, p, strict=True):
            rows[place] |= {"p_holm": float(value), "verdict": _verdict(rows[place], float(value))}
    return typed_frame(rows, _COLUMNS)


def _any(results: Sequence[Result]) -> bool:
    return any(one.ensemble is not None for one in results)


def notes_of_ensembles(frame: pd.DataFrame) -> list[str]:
    """What a reader must know beside the table: what its columns are, and why a number is missing."""
    noted = frame.loc[frame["note"] != ""].drop_duplicates(["task", "modalities", "ensemble", "note"])
    lines = [f"— {row['ensemble']} on {row['task']}: {row['note']}" for row in noted.to_dict("records")]
    return [_OF_ENSEMBLES, *lines]


def _how(group: Group) -> str:
    ensemble = group.results[0].ensemble
    return "" if ensemble is None else ensemble.how


def _of(group: Group) -> str:
    ensemble = group.results[0].ensemble
    return "" if ensemble is None else f"{ensemble.of} {ensemble.kind}"


def _verdict(row: dict[str, Any], p: float) -> str:
    if np.isnan(p):
        return ""
    if p >= ALPHA:
        return "not told apart"
    return "better" if row["gain"] > 0 else "worse"


@dataclass(frozen=True)
class _Judged:
    """One ensemble of networks, judged.

    Attributes:
        scores: of the mean member, the vote and the stacking (NaN without one), as if they were seeds.
        best: [metrics], of the member that validation chooses; NaN where there is none.
        correlation: mean over pairs of members.
        note: why something lacks.
    """

    scores: Resampled
    best: np.ndarray
    correlation: float
    note: str


def _rows(group: Group, stacked: Group | None, draws: int, seed: int) -> Iterator[dict[str, Any]]:
    """The rows of an ensemble, one a metric."""
    metrics = [metric for metric in group.metrics if metric.kind == "mean"]
    first = group.results[0].ensemble
    assert first is not None  # it was chosen by that
    others = {(one.seed, one.fold): one for one in stacked.results} if stacked else {}
    count = len(first.members)
    unit = first.kind if first.kind != "methods" else "networks"
    shared = {
        "task": group.block.task,
        "modalities": group.block.modalities,
        "protocol": group.block.protocol,
        "data": SYNTHETIC if group.block.synthetic else REAL,
        "ensemble": f"{first.how} of {count} methods"
        if first.kind == "methods"
        else f"{first.how} of {count} {unit} of {first.of}",
        "members": count,
    }
    judged: list[_Judged] = []
    trouble = ""
    for result in group.results:
        try:
            judged.append(_judged(result, others.get((result.seed, result.fold)), metrics, draws, seed))
        except (UnusableError, OSError, ValueError, KeyError) as error:
            trouble = one_line(str(error))
            break
    if trouble or (len({one.scores.samples for one in judged}) > 1 and not group.folds):
        reason = trouble or "its networks were tested on different numbers of samples"
        for metric in metrics:
            yield {**_empty(), **shared, "metric": metric.name, "note": reason}
        return
    values = np.stack([one.scores.values for one in judged])  # [networks, 3, metrics]
    sampled = np.stack([one.scores.draws for one in judged], axis=1)  # [draws, networks, 3, metrics]
    sign = np.array([1.0 if metric.direction == "higher" else -1.0 for metric in metrics])
    samples = sum(one.scores.samples for one in judged[: group.folds or 1])
    gain = Resampled(
        sign * (values[:, 1] - values[:, 0]),
        sign * (sampled[:, :, 1] - sampled[:, :, 0]),
        samples,
        folds=group.folds,
    )
    own = variation_of(gain)
    prior = seed_prior(own)
    low, high = moderated_interval(own, prior)
    p = moderated_p(own, prior)
    for place, metric in enumerate(metrics):
        yield {
            **shared,
            "samples": samples,
            "metric": metric.name,
            "mean_member": values[:, 0, place].mean(),
            "vote": values[:, 1, place].mean(),
            "stacking": values[:, 2, place].mean(),
            "best_single": np.mean([one.best[place] for one in judged]),
            "gain": gain.values[:, place].mean(),
            "gain_low": low[place],
            "gain_high": high[place],
            "p_holm": p[place],
            "interval": gain.kind,
            "error_correlation": np.mean([one.correlation for one in judged]),
            "verdict": "",
            "note": "; ".join(dict.fromkeys(one.note for one in judged if one.note)),
        }


def _empty() -> dict[str, Any]:
    return {name: {"str": "", "int64": 0, "float64": np.nan}[kind] for name, kind in _COLUMNS.items()}


def _judged(
    result: Result, stacked: Result | None, metrics: Sequence[Metric], draws: int, seed: int
) -> _Judged:
    """Judges an ensemble. Raises ValueError in one line where it cannot be."""
    if result.state != "done" or result.ensemble is None:
        raise UnusableError(result.reason or result.state)
    tables = held_tables(result.ensemble.members)
    read = [
        replace(one, predictions=partial(_same, table))
        for one, table in zip(result.ensemble.members, tables, strict=True)
    ]
    members = [_clean(one) for one in read]
    outputs = _clean(result)
    answers = [*(one.prediction for one in members), outputs.prediction]
    notes: list[str] = []
    if stacked is not None and stacked.state == "done":
        try:
            answers.append(_clean(stacked).prediction)
        except UnusableError as error:
            notes.append(f"no stacking: {error}")
    count = len(members)
    scored = resample(metrics, outputs.target, answers, draws, seed)
    lacking = len(answers) < count + 2
    together = [
        np.concatenate(
            [part.mean(axis=-2, keepdims=True), rest, *([np.full_like(rest, np.nan)] if lacking else [])],
            axis=-2,
        )
        for part, rest in (
            (scored.values[:count], scored.values[count:]),
            (scored.draws[:, :count], scored.draws[:, count:]),
        )
    ]
    chosen, why = _best_by_validation(read, metrics[0])
    best = np.full(len(metrics), np.nan) if chosen is None else scored.values[chosen]
    errors = np.stack([_errors(one) for one in members])
    pairs = error_correlation(errors)
    known = pairs[np.isfinite(pairs)]
    return _Judged(
        Resampled(together[0], together[1], scored.samples),
        best,
        float(known.mean()) if known.size else np.nan,
        "; ".join([*notes, *([why] if why else [])]),
    )


def _same(table: pd.DataFrame) -> pd.DataFrame:
    return table


def _clean(result: Result, split: str = "test") -> Outputs:
    outputs = read_outputs(result, split, condition=CLEAN).get(CLEAN)
    if outputs is None:
        raise UnusableError(f"no {split} predictions under {CLEAN}")
    return outputs


def _best_by_validation(members: Sequence[Result], metric: Metric) -> tuple[int | None, str]:
    """The member with the best main metric on its own validation samples; or none, and why."""
    values = []
    for one in members:
        try:
            outputs = _clean(one, "valid")
            values.append(metric(outputs.target, outputs.prediction))
        except (UnusableError, UndefinedError, ValueError):
            return None, f"no best single: {one.method}, {one.place}, has no validation score"
    best = np.argmax(values) if metric.direction == "higher" else np.argmin(values)
    return int(best), ""


def _errors(outputs: Outputs) -> np.ndarray:
    """[N]: whether an answer is wrong; of scores the signed error."""
    if outputs.prediction.ndim == 1:
        return outputs.prediction.astype(np.float64) - outputs.target
    if outputs.target.ndim == 2:
        return np.any((outputs.prediction > 0) != (outputs.target == 1), axis=1).astype(np.float64)
    return (outputs.prediction.argmax(axis=1) != outputs.target).astype(np.float64)
