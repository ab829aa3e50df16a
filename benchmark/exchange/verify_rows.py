"""Whether the rows of a leaderboard from elsewhere could be mmbench's, and whether predictions give them again."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Literal

import pandas as pd

from ...leaderboards.catalog import Table
from ...leaderboards.labels import FOLDS, REAL, SYNTHETIC
from ...leaderboards.metrics.derived import TO_REFERENCE
from ...leaderboards.metrics.registry import METRICS
from ...leaderboards.stats.bootstrap import summary
from ...leaderboards.tables.relative import REFERENCE
from ...leaderboards.tables.results import Result
from ..core.strings import counted
from ..report import external_rows as external
from ..report.chosen_tables import known_tables
from ..report.external_rows import Row
from ..store.names import safe_name

#: Numbers are the same where they differ by no more than this share.
_EXACT = 1e-9

Verdict = Literal["verified", "unverified", "differs"]


def check_row(row: Row) -> None:
    """Whether a row could be one of mmbench's. Raises ValueError, and says why, where it could not."""
    if not all(str(text).isprintable() for text in (*row, *row.values())):
        raise ValueError("holds characters that cannot be printed")
    metric = METRICS.get(row["metric"])
    if metric is None or not _tables_with(row):
        raise ValueError("no metric of mmbench")
    if (row["direction"], row["unit"]) != (metric.direction, metric.unit):
        raise ValueError("has another direction or unit than this metric")
    if row["data"] not in (REAL, SYNTHETIC):
        raise ValueError(f"data are {row['data']!r}, neither {REAL!r} nor {SYNTHETIC!r}")
    jobs = [safe_name(job) for job in row["jobs"].split()]
    seeds = [int(seed) for seed in row["seeds"].split()]
    values, folds = _values(row), row.get(FOLDS, "").split()
    networks = set(zip(seeds, folds, strict=True)) if folds else set(seeds)
    if not len(set(jobs)) == len(networks) == len(values) == row["n"] == row["n_planned"] > 0:
        raise ValueError("jobs, seeds and values are not as many as n")
    low, high = metric.range
    if not all(math.isfinite(value) and low <= value <= high for value in values):
        raise ValueError(f"has values outside of {low} to {high}")
    over_seeds = summary(_by_fold(values, len(set(folds))))
    same_sd = len(values) < 2 or _alike(over_seeds.sd, row["sd"])
    if not _alike(over_seeds.mean, row["mean"]) or not same_sd:
        raise ValueError("mean and standard deviation are not those of its values")


def same(one: Row, two: Row) -> bool:
    """Whether two rows give the same numbers, mean and seed by seed.

    Args:
        one: a row of an accuracy table.
        two: the row that it is compared with.

    Returns:
        False, too, where one has other seeds than the other.
    """
    values, others = [one["mean"], *_values(one)], [two["mean"], *_values(two)]
    return len(values) == len(others) and all(map(_alike, values, others))


class Scorer:
    """Says of rows whether the predictions of their jobs give the same numbers.

    Args:
        results: job -> its result, for every finished job.
    """

    def __init__(self, results: Mapping[str, Result]) -> None:
        self._results = results
        self._frames: dict[tuple[str, str, str], pd.DataFrame | str] = {}

    def __call__(self, row: Row) -> tuple[Verdict, str]:
        """The verdict on a row that ``check_row`` let pass, and its reason."""
        jobs = row["jobs"].split()
        own = [self._results[job] for job in jobs if job in self._results]
        if len(own) < len(jobs):
            count = f"{len(jobs) - len(own)} of its {counted(len(jobs), 'job')}"
            return "unverified", f"the predictions of {count} are not here"
        folds = row.get(FOLDS, "").split() or ["0"] * len(own)
        for result, seed, fold in zip(own, row["seeds"].split(), folds, strict=True):
            says = {
                **row,
                "seed": seed,
                "fold": fold,
                "protocol": _base(row["protocol"]),
                "method": _base(row["method"]),
            }
            for name, value in _facts(result).items():
                if says[name] != value:
                    return "differs", f"says {name} {says[name]}, its job {result.job} has {value}"
        tables = _tables_with(row)
        alone = _compared(row, [self._frame(table, row["jobs"], own) for table in tables])
        if row["metric"] not in TO_REFERENCE or alone[0] == "verified":
            return alone
        return self._against_references(tables[0], row, own)

    def _against_references(self, table: Table, row: Row, own: list[Result]) -> tuple[Verdict, str]:
        """The verdict on a row that is divided by a value of a reference run.

        The row does not say which run that is, so that it cannot differ from all that are here: it may be another,
        or have had other seeds.

        Args:
            table: that holds the row.
            row: the row.
            own: the results of its jobs.

        Returns:
            The verdict and its reason.
        """
        tried = 0
        for label, others in self._references(own):
            tried += 1
            frame = self._frame(table, row["jobs"], [*own, *others], label)
            if _compared(row, [frame])[0] == "verified":
                return "verified", ""
        return "unverified", f"relative to none of the {tried} runs here do its predictions give that"

    def _references(self, own: list[Result]) -> list[tuple[str, list[Result]]]:
        """What may be the reference of some jobs: each label, that of a run of ``erm`` first, and its other jobs."""
        mine, first = {result.job for result in own}, own[0]
        runs: dict[str, list[Result]] = {}
        for one in self._results.values():
            if _block(one) == _block(first):
                runs.setdefault(one.method, []).extend([] if one.job in mine else [one])
        return sorted(runs.items(), key=lambda item: re.split(r"\W", item[0])[0] != REFERENCE)

    def _frame(
        self, table: Table, jobs: str, results: list[Result], reference: str = ""
    ) -> pd.DataFrame | str:
        """The rows of some jobs in a table.

        Args:
            table: which.
            jobs: of the rows.
            results: that the table is made of.
            reference: the row that it divides by; empty for the default.

        Returns:
            The rows, or why there is no such table.
        """
        key = (table.name, jobs, reference)
        if key not in self._frames:
            try:
                frame = table.make(results, reference)
                self._frames[key] = frame.loc[
                    [set(cell.split()) == set(jobs.split()) for cell in frame["jobs"]]
                ]
            except ValueError as error:
                self._frames[key] = str(error)
        return self._frames[key]


def _compared(row: Row, frames: list[pd.DataFrame | str]) -> tuple[Verdict, str]:
    """The verdict on a row, by the first frame that has it; a text says why there is no frame."""
    reason = "its predictions give no such number"
    for frame in frames:
        if isinstance(frame, str):
            reason = frame
            continue
        of_row = (frame["condition"] == row["condition"]) & (frame["metric"] == row["metric"])
        for again in external.frame_to_rows(frame.loc[of_row]):
            if again["hole"]:
                return "unverified", again["hole"]
            if same(row, again):
                return "verified", ""
            return "differs", f"stated {row['values']}, its predictions give {again['values']}"
    return "unverified", reason


def _block(result: Result) -> tuple[object, ...]:
    """What rows must have in common to be compared."""
    return result.task, result.modalities, result.protocol, result.synthetic


def _facts(result: Result) -> dict[str, object]:
    """What a row must say of a job."""
    return {
        "task": result.task,
        "modalities": result.modalities,
        "protocol": _base(result.protocol),
        "data": SYNTHETIC if result.synthetic else REAL,
        "method": _base(result.method),
        "draw": result.draw,
        "seed": str(result.seed),
        "fold": str(result.fold),
    }


def _base(label: str) -> str:
    """A label without what tells it from others of its table: ``erm [version 2]`` -> ``erm``."""
    return label.partition(" [")[0]


def _tables_with(row: Row) -> list[Table]:
    """The tables that may hold a row and can be made again from its jobs."""
    metric = METRICS[row["metric"]]
    return [table for table in known_tables().values() if table.holds(metric, row["condition"])]


def _values(row: Row) -> list[float]:
    return [float(value) for value in row["values"].split()]


def _by_fold(values: list[float], folds: int) -> list[float]:
    """The mean over seeds of each fold; without folds the values themselves. Raises ValueError for half a division.

    Args:
        values: of each seed, those of its folds side by side.
        folds: how many there are; 0 for none.
    """
    if not folds:
        return values
    if len(values) % folds:
        raise ValueError("not every seed has all folds")
    return [sum(values[fold::folds]) / (len(values) // folds) for fold in range(folds)]


def _alike(one: float, two: float) -> bool:
    return math.isclose(one, two, rel_tol=_EXACT, abs_tol=1e-12)
