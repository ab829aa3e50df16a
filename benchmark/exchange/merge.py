"""Merges results from elsewhere into a store: jobs of another store, and rows of published leaderboards.

Everything is checked. A job is copied if its files are whole and are what mmbench writes. A row counts as verified if the
predictions of its jobs are in the store and give the same numbers. Everything else is reported with its reason.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from ...leaderboards.catalog import TABLES
from ...leaderboards.labels import UPPER_BOUND, WITHIN_MARGIN
from ...leaderboards.metrics.derived import GAP
from ...leaderboards.render import csv_files
from ...leaderboards.tables.accuracy import COLUMNS, unscored
from ...leaderboards.tables.cost import QUANTITIES
from ...leaderboards.tables.results import Result
from ..core.errors import UsageError
from ..core.job import COMPANION
from ..core.locate import root_from
from ..core.strings import single_line
from ..report import external_rows as external
from ..report.external_rows import VERIFIED, Row, key_of
from ..report.results import readable
from ..store.job_schema import RefusedError
from ..store.names import StoreError
from ..store.store import Store
from ..train.context import Context
from .foreign_files import read_file
from .job_reader import Incoming, UnfinishedError, read_job
from .manifest import METHOD, holds_masks
from .merge_report import BAD
from .merge_report import Report as Report  # a public name of this module
from .pruned_reader import PrunedTrial, read_pruned
from .verify_rows import Scorer, check_row, same

#: Columns by which a table of scores is told from mmbench's other tables (seeds, ranks, audit ...).
_OF_SCORES = {"metric", "mean", "values"}
#: The most bytes of a CSV that is read, of its first line, and of the columns of a table of scores.
_MOST_CSV, _MOST_HEADER, _MOST_COLUMNS = 2**27, 2**20, 1000


def merge(
    folder: Path,
    path: Path,
    name: str | None = None,
    dry_run: bool = False,
    data_root: Path | None = None,
    plugins: tuple[Path, ...] = (),
) -> Report:
    """Merges the content of a folder into a store.

    Args:
        folder: another store, or leaderboard CSVs with or without the folders of their jobs; or exported masks with
            predictions that were made under them.
        path: the store; it is created where it does not exist.
        name: the origin that rows which are not verified are stored under; the name of the folder if None.
        dry_run: writes nothing into the store; the report is the same.
        data_root: folder of the datasets, by which exported masks are checked; else ``$MMBENCH_DATA``, or ``data``.
        plugins: files that bring the datasets or corruptions of exported masks.

    Returns:
        What was taken, verified, refused, and why.

    Raises:
        UsageError: the folder holds neither jobs nor tables, or is the store itself.
    """
    store = Store(path.expanduser())
    jobs, tables = list(_job_folders(folder)), list(_tables(folder))
    masks = holds_masks(folder)
    if not jobs and not tables and not masks:
        raise UsageError(
            f"{folder}: holds neither jobs nor a leaderboard's CSV; name a store or such a folder"
        )
    if store.path.exists() and folder.samefile(store.path):
        raise UsageError(f"{folder}: is the store itself")
    origin = external.origin_name(name or external.default_origin(folder))
    report = Report()
    with tempfile.TemporaryDirectory() as scratch:
        target = Store(Path(scratch)) if dry_run else store
        for job in jobs:
            _take(job.name, partial(_read, job), store, target, report)
        if masks:
            context = Context(store.path, root_from(data_root), {}, plugins)
            _take_answers(folder, context, store, target, report)
        found = {result.job: result for place in (target, store) for result in _finished_results(place)}
        stated = [row for table in tables for row in _read_rows(table, report)]
        kept = _verify(origin, stated, external.read_external_rows(store), found, report)
    if not dry_run:
        for source, rows in kept.items():
            external.write_external_rows(store, source, rows)
    return report


def _job_folders(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise UsageError(f"{folder}: is no folder")
    inner = folder / "jobs"
    if inner.is_symlink():
        yield inner  # is refused
    elif inner.is_dir():
        yield from sorted(entry for entry in inner.iterdir() if entry.is_symlink() or entry.is_dir())
    yield from sorted(entry for entry in folder.iterdir() if os.path.lexists(entry / "job.json"))


def _tables(folder: Path) -> Iterator[Path]:
    for place in (folder, folder / "leaderboards"):
        if place.is_dir() and (place == folder or not place.is_symlink()):
            yield from sorted(entry for entry in place.iterdir() if entry.suffix == ".csv")


def _read(folder: Path) -> Incoming | PrunedTrial:
    """The job in a folder of another store."""
    return read_pruned(folder) or read_job(folder)


def _take_answers(folder: Path, context: Context, store: Store, target: Store, report: Report) -> None:
    """Takes the predictions that were made under exported masks.

    Args:
        folder: of the masks.
        context: where the data lie.
        store, target, report: as of ``_take``.
    """
    from .outside import answer_folders, read_answers, verify_masks  # brings torch

    try:
        verified = verify_masks(folder, context)
    except RefusedError as error:
        report.add("refused", folder.name, str(error))
        return
    places = answer_folders(folder)
    if not places:
        report.add("ignored", folder.name, f"masks without predictions: no folder in it holds a {METHOD}")
    for place in places:
        _take(place.name, partial(read_answers, place, verified), store, target, report)


def _take(
    name: str, read: Callable[[], Incoming | PrunedTrial], store: Store, target: Store, report: Report
) -> None:
    """Takes one job, unless it is in the store.

    Args:
        name: what the report calls it.
        read: reads and checks it.
        store: the store that is merged into.
        target: where the job is written: the store, or a temporary one in a dry run.
        report: gets a line for the job and for each of its evaluations that is refused.
    """
    try:
        found = read()
        if isinstance(found, PrunedTrial):
            ended = _write_pruned(found, store, target)
            report.add("taken" if ended else "already there", name, "a trial that was ended early")
            return
        for evaluation, reason in found.refused.items():
            report.add("refused", f"{name}/{evaluation}", reason)
        for other in found.ignored:
            report.add("ignored", f"{name}/{other}", "not a file of a job")
        if store.job(found.job.id).is_held():
            raise RefusedError("is being run in this store at the moment; merge again when it is done")
        _check_scores(found)
        taken = _write(found, store, target, report)
        report.add("taken" if taken else "already there", name, ", ".join(taken))
    except UnfinishedError as error:
        report.add("unfinished", name, str(error))
    except (RefusedError, StoreError, UsageError) as error:
        report.add("refused", name, str(error))
    except _ConflictError as error:
        report.add("conflict", name, str(error))


def _check_scores(found: Incoming) -> None:
    """Scores a job as its tables will, aside. Raises RefusedError where that gives no number.

    A companion is in no table. A trial or a fold is scored as if it stood alone: whether its search chooses it, and whether all
    folds are there, depends on others.
    """
    if found.job.role == COMPANION:
        return
    job = replace(found.job, search=None)
    with tempfile.TemporaryDirectory() as folder:
        aside = Store(Path(folder))
        aside.add([job])
        aside.job(job.id).finish(found.files, found.environment)
        for name, content in found.evaluations.items():
            aside.job(job.id).add_evaluation(name, content)
        try:
            for result in readable(aside.path)[0]:
                for read in (result.predictions, result.further, result.features):
                    if read is not None:
                        read()
                alone = replace(result, fold=0, folds=0)
                # What is out of all bounds has no error that is a number: that is its fault, and no warning.
                with np.errstate(over="ignore", invalid="ignore"):
                    table = TABLES["accuracy"].make([alone])
                for hole in table.loc[unscored(table), "hole"]:
                    raise RefusedError(f"cannot be scored: {single_line(hole)}")
        except RefusedError:
            raise
        except (ValueError, TypeError, KeyError, OSError, pa.ArrowException) as error:
            raise RefusedError(f"cannot be scored: {single_line(str(error))}") from None


class _ConflictError(Exception):
    """The same job has other results here."""


def _write(found: Incoming, store: Store, target: Store, report: Report) -> list[str]:
    """Writes the parts of a job that the store lacks, and returns their names."""
    job = found.job
    taken = []
    if store.job(job.id).is_done():
        own, other = store.job(job.id).read("predictions.parquet"), found.files["predictions.parquet"]
        if own != other:
            raise _ConflictError(
                f"other predictions than here: {_digest(other)} there, {_digest(own)} here, kept"
            )
    else:
        target.add([job])
        with target.job(job.id).hold():
            target.job(job.id).finish(found.files, found.environment)
        taken.append("results")
    for name, content in found.evaluations.items():
        if name in store.job(job.id).evaluations():
            if store.job(job.id).read_evaluation(name) != content:
                report.add(
                    "conflict", f"{job.id}/evaluations/{name}", "other outputs than here; ours are kept"
                )
        else:
            target.add([job])
            with target.job(job.id).hold():
                target.job(job.id).add_evaluation(name, content)
            taken.append(name)
    return taken


def _write_pruned(found: PrunedTrial, store: Store, target: Store) -> bool:
    """Writes that a trial was ended early, unless the store has it, and returns whether it was written."""
    name = found.job.id
    if store.job(name).is_held():
        raise RefusedError("is being run in this store at the moment; merge again when it is done")
    if store.job(name).is_done():
        raise _ConflictError("trained to the end here, which is kept, and ended early there")
    own = store.job(name).pruning_record()
    if own is None:
        target.add([found.job])
        with target.job(name).hold():
            target.job(name).prune(found.values)
    elif [epoch["metric"] for epoch in own["epochs"]] != [one["metric"] for one in found.values["epochs"]]:
        raise _ConflictError("ended early in another way than here; ours is kept")
    return own is None


def _digest(content: bytes) -> str:
    return f"sha256 {hashlib.sha256(content).hexdigest()[:12]}"


def _finished_results(store: Store) -> list[Result]:
    """The finished jobs of a store; nothing where it is new or empty."""
    try:
        return [one for one in readable(store.path)[0] if one.state == "done" and not one.bound]
    except (UsageError, StoreError):
        return []


def _read_rows(file: Path, report: Report) -> Iterator[Row]:
    """The rows of a CSV that state a number and could be written by mmbench. Holes are left out."""
    try:
        content = read_file(file, _MOST_CSV)
        if content[:_MOST_HEADER].partition(b"\n")[0].count(b",") >= _MOST_COLUMNS:
            raise RefusedError(f"has more than {_MOST_COLUMNS} columns")
        if not set(pd.read_csv(io.BytesIO(content), nrows=0)) >= _OF_SCORES:
            report.add("ignored", file.name, "not a table of scores, left")
            return
        frame = csv_files.read_csv(io.BytesIO(content))
    except (RefusedError, ValueError, KeyError, OverflowError) as error:
        report.add("refused", file.name, f"not a leaderboard's CSV: {error}")
        return
    lacking = [name for name in COLUMNS if name not in frame and not name.startswith(("drop", WITHIN_MARGIN))]
    if set(frame["metric"]) <= {*(quantity.name for quantity in QUANTITIES), *GAP}:
        report.add("ignored", file.name, "states nothing that predictions give")
        return
    if lacking:
        report.add("refused", file.name, f"lacks the columns {', '.join(lacking)}")
        return
    for row in external.frame_to_rows(frame):
        # The row of an upper bound is made of in-domain jobs, and made anew wherever they are.
        if not row["hole"] and not row["protocol"].endswith(UPPER_BOUND):
            row[VERIFIED] = ""
            try:
                check_row(row)
            except ValueError as error:
                report.add("refused", _row_name(file.name, row), f"{row['metric']}: {error}")
            else:
                yield {**row, "file": file.name}


def _row_name(place: str, row: Row) -> str:
    return f"{place}: {row['method']} on {row['task']}"


def _verify(
    origin: str,
    stated: list[Row],
    stored: Mapping[str, list[Row]],
    found: Mapping[str, Result],
    report: Report,
) -> dict[str, list[Row]]:
    """Verifies rows against the predictions in the store; rows that were stored before are verified again.

    Args:
        origin: where the new rows come from.
        stated: the new rows.
        stored: origin -> rows that were stored before.
        found: id of a job -> its result.
        report: gets a line for each row.

    Returns:
        Origin -> the rows that predictions do not verify.
    """
    scorer = Scorer(found)
    rows: dict[str, dict[tuple, Row]] = {
        name: {key_of(row): row for row in old} for name, old in stored.items()
    }
    rows.setdefault(origin, {})
    for row in stated:
        where, key = _row_name(row.pop("file"), row), key_of(row)
        verdict, reason = scorer(row)
        before = rows[origin].get(key)
        if verdict == "verified":
            rows[origin].pop(key, None)
        elif before is None or same(before, row):
            rows[origin][key] = row
        else:
            said = f"{origin} stated {before['values']} before, which is kept, and now {row['values']}"
            verdict, reason = "conflict", f"{said} (--name keeps both)"
        report.add(verdict, where, f"{row['metric']}: {reason}" if verdict in BAD else reason)
    kept: dict[str, list[Row]] = {}
    for name, known in rows.items():
        kept[name] = []
        for row in known.values():
            verdict, _ = scorer(row)
            if verdict == "verified":
                report.add("verified", _row_name(name, row), "was unverified before")
            else:
                kept[name].append({**row, VERIFIED: f"{verdict}, from {name}"})
    return kept
