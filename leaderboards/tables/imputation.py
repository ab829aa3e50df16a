"""How far off is what fills series? Errors on observed entries of the test data that were hidden, by rate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pandas as pd

from ..labels import DIAGNOSTIC, KEYS, REAL, SYNTHETIC
from ..stats.bootstrap import FEWER_DRAWS, Resampled, resample_weights
from ..stats.intervals import interval
from .cells import Group
from .groups import groups_of, rows_with
from .results import Result, one_line
from .typed_frame import typed_frame

#: Column of the table -> the sums that it is made of, divided by the number of hidden entries.
_SUMS = {"rmse": "squared_error", "mae": "absolute_error", "crps_fair": "crps"}
_NUMBERS = tuple(f"{name}{end}" for name in _SUMS for end in ("", "_low", "_high"))
_COLUMNS = {
    **dict.fromkeys((*KEYS, "method", "n", "modality"), "str"),
    **dict.fromkeys(("rate", *_NUMBERS), "float64"),
    "hole": "str",
}
#: Modality and rate -> the sums of each sample, [samples, 2]: of the error, and of the hidden entries.
Sums = Mapping[tuple[str, float], Mapping[str, np.ndarray]]


def imputation(results: Iterable[Result], draws: int = FEWER_DRAWS, seed: int = 0) -> pd.DataFrame:
    """The error of each imputer, for each modality and rate.

    Args:
        results: one a job. Those of which no such errors were asked for are left out, as are jobs that fill nothing.
        draws: number of resamples.
        seed: of the resampling.

    Returns:
        A frame with the columns task, modalities, protocol, data, method, ``n``, ``modality``, ``rate`` (1: the whole modality),
        ``rmse``, ``mae`` and ``crps_fair``, each with ``_low`` and ``_high``, 95 % over seeds and samples, in the units that
        networks are given; ``hole``, why there is nothing. CRPS is NaN where the imputer gives no draws.

    Raises:
        ValueError: no result has such errors.
    """
    asked = rows_with(results, lambda one: one.imputations is not None)
    if not asked:
        raise ValueError(
            "no errors of imputation were kept: run again with --imputation; nothing is trained anew"
        )
    rows = [row for group in groups_of(asked) for row in _rows(group, draws, seed)]
    if not rows:
        raise ValueError(
            "nothing of these jobs fills what was not observed: --impute does, and so do trace and csdi"
        )
    return typed_frame(rows, _COLUMNS)


def notes_of_imputation(frame: pd.DataFrame) -> list[str]:
    """What a reader must know beside the table."""
    notes = [
        "Errors on observed entries of one modality that were hidden at a rate (1: the whole modality), of the median where there "
        "are several draws, in the units that networks are given: deviations of the source training data where features are "
        "standardised. Brackets: 95 % over seeds and samples."
    ]
    if np.isfinite(frame["crps_fair"].to_numpy()).any():
        notes.append(
            "crps_fair: mean |x_i - y| less half the mean |x_i - x_j| over pairs of different draws (Ferro 2014); where there is "
            "one draw, it would be the absolute error."
        )
    return notes


def _rows(group: Group, draws: int, seed: int) -> Iterator[dict[str, object]]:
    done = [result for result in group.results if result.state == "done"]
    shared: dict[str, object] = {
        "task": group.block.task,
        "modalities": group.block.modalities,
        "protocol": group.block.protocol,
        "data": SYNTHETIC if group.block.synthetic else REAL,
        "method": f"{group.method} (draw {group.draw})" if group.draw else group.method,
        "n": str(len(done)) if len(done) == len(group.results) else f"{len(done)} of {len(group.results)}",
    }
    reasons = [f"{one.place}: {one.state}" for one in group.results if one.state != "done"]
    reasons += [f"{place} is not in the store" for place in group.absent]
    found: list[Sums] = []
    for result in done:
        try:
            found.append(_sums(result))
        except (OSError, ValueError, KeyError) as error:
            reasons.append(f"{result.place}: {one_line(str(error))}")
    if found and not any(found):
        return  # nothing fills
    if reasons or not found or any(one.keys() != found[0].keys() for one in found):
        yield {**shared, "hole": reasons[0] if reasons else "the seeds were tested at different rates"}
        return
    for modality, rate in found[0]:
        row = {**shared, "modality": modality, "rate": rate}
        for name, kind in _SUMS.items():
            parts = [one[modality, rate] for one in found]
            if all(kind in part for part in parts):
                row |= _estimate(name, kind, parts, group.folds, draws, seed)
        yield row


def _sums(result: Result) -> Sums:
    """The sums of one job, by modality and rate, samples in the order of their ids."""
    if result.imputations is None:
        raise ValueError("no errors of imputation were kept")
    table = result.imputations()
    found: dict[tuple[str, float], dict[str, np.ndarray]] = {}
    for condition, rows in table.groupby("condition", observed=True, sort=False):
        ordered = rows.sort_values("sample_id")
        modality = str(condition).partition(":")[2].partition("@")[0]
        rate = round(float(ordered[f"{DIAGNOSTIC}rate"].iloc[0]), 6)
        names = [name for name in ("hidden", *_SUMS.values()) if f"{DIAGNOSTIC}{name}" in ordered]
        sums = {name: ordered[f"{DIAGNOSTIC}{name}"].to_numpy(np.float64) for name in names}
        if sums["hidden"].sum() > 0:
            found[modality, rate] = sums
    return found


def _estimate(
    name: str, kind: str, parts: list[Mapping[str, np.ndarray]], folds: int, draws: int, seed: int
) -> dict[str, object]:
    """The mean of an error over networks, with its interval.

    Args:
        name: of the column.
        kind: of the sums.
        parts: of each network, the sums of its samples.
        folds: the number of folds; 0 where all networks were tested on the same samples.
        draws: number of resamples.
        seed: of the resampling.
    """
    found = []
    for part in parts:
        terms = np.stack([part[kind], part["hidden"]], axis=1)
        weights = resample_weights(len(terms), draws, seed)
        sums = np.concatenate([terms.mean(axis=0)[None], weights @ terms])
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = sums[:, 0] / sums[:, 1]
        found.append(np.sqrt(mean) if name == "rmse" else mean)
    values = np.stack(found, axis=1)[..., None]
    samples = sum(len(part["hidden"]) for part in parts) if folds else len(parts[0]["hidden"])
    low, high = interval(Resampled(values[0], values[1:], samples, folds=folds), None)
    return {
        name: float(values[0].mean()),
        f"{name}_low": max(float(low[0]), 0.0) if name != "crps_fair" else float(low[0]),
        f"{name}_high": float(high[0]),
    }
