"""From a store to what tables and pictures of regimes are made of."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...leaderboards.labels import REAL, SYNTHETIC
from ...leaderboards.tables.regimes import RegimeResult
from ...regimes.observe import RIDGE
from ..core.errors import UsageError, nearest
from ..core.job import canonical_json
from ..core.strings import counted
from ..store.locks import holder
from ..store.move_aside import move_aside
from ..store.names import StoreError
from .job import RegimeJob
from .regression import Regression
from .store import RegimeFolder, folders


@dataclass(frozen=True)
class RegimeRecord:
    """A job in a store: ``done``, ``failed``, or ``planned``, which also is one under way."""

    job: RegimeJob
    folder: RegimeFolder
    state: str
    reason: str = ""


def records(
    store: Path,
    datasets: Collection[str] = (),
    segmenters: Collection[str] = (),
    seeds: Collection[int] = (),
    observe: str | None = None,
) -> list[RegimeRecord]:
    """The jobs of a store.

    Args:
        store: the folder of results.
        datasets: only these; none: all.
        segmenters: only these, by name or with parameters; none: all.
        seeds: only these; none: all.
        observe: only those of modalities that were observed so, ``text=vader+audio=energy``; None: all.

    Raises:
        StoreError: a job cannot be read.
    """
    found = []
    for folder in folders(store):
        job = folder.job()
        if (datasets and job.dataset not in datasets) or (seeds and job.seed not in seeds):
            continue
        if observe is not None and job.observe != observe.replace(",", "+"):
            continue
        if segmenters and job.segmenter not in segmenters and job.label not in segmenters:
            continue
        if folder.is_done():
            found.append(RegimeRecord(job, folder, "done"))
        elif reason := folder.failure():
            found.append(RegimeRecord(job, folder, "failed", reason))
        else:
            found.append(RegimeRecord(job, folder, "planned"))
    return found


def forget(store: Path, names: Collection[str] = ()) -> list[RegimeRecord]:
    """Moves the folders of jobs without results out of the store, to ``set-aside``.

    Args:
        store: the folder of results.
        names: ids, or how they begin; none: all jobs that are planned.

    Returns:
        The jobs that were moved.

    Raises:
        UsageError: no id begins with a name; a job that was named is done or runs; or none was named, and one runs.
        StoreError: a job cannot be read.
    """
    known = records(store)
    ids = [one.job.id for one in known]
    for name in names:
        if not any(one.startswith(name) for one in ids):
            raise UsageError(f"no job {name!r} of a segmenter in {store}: {nearest(name, ids)}")
    running = {one.job.id for one in known if one.state != "done" and holder(one.folder.path) is not None}
    if not names and running:
        raise UsageError(
            f"{counted(len(running), 'job')} of {store} {'runs' if len(running) == 1 else 'run'}, and planned ones may be "
            "next: wait until the run ends, or name the jobs that are to be forgotten"
        )
    chosen = [
        one for one in known if (one.job.id.startswith(tuple(names)) if names else one.state == "planned")
    ]
    for one in chosen:
        if one.state == "done":
            raise UsageError(f"{one.job.id} is done: results are not forgotten; remove its folder yourself")
        if one.job.id in running:
            raise UsageError(f"{one.job.id} is running: wait until it ends")
    for one in chosen:
        move_aside(store, one.folder.path)
    return chosen


def fit_of(store: Path, dataset: str, label: str, seed: int, observe: str | None = None) -> RegimeRecord:
    """A finished job of a segmenter. Jobs that differ in folds alone have the same fit to all conversations: any of them is it.

    Args:
        store: the folder of results.
        dataset: its name.
        label: the segmenter, with the parameters that were set.
        seed: of the job.
        observe: how modalities were observed; None: as all jobs of it say.

    Raises:
        UsageError: there is none, or there are several that differ in more than folds.
        StoreError: a job cannot be read.
    """
    done = [one for one in records(store, [dataset], [label], [seed], observe) if one.state == "done"]
    where = f"store {store}: {label} on {dataset} with seed {seed}"
    if not done:
        raise UsageError(f"{where}: no such job is finished: mmbench regimes run makes it")
    ways = list(dict.fromkeys(one.job.observe for one in done))
    if len(ways) > 1:
        raise UsageError(f"{where}: observed as {' and as '.join(ways)}: say which one with --observe")
    if len({replace(one.job, folds=0).id for one in done}) > 1:
        ids = ", ".join(one.job.id for one in done)
        raise UsageError(
            f"{where}: the data, the version or the parameters have changed between {ids}: use another store"
        )
    return done[0]


def states_of(folder: RegimeFolder) -> pd.DataFrame:
    """The table of steps of a finished job; see ``store.py``."""
    return pd.read_parquet(io.BytesIO(folder.read("states.parquet")))


def row_names(found: Collection[RegimeRecord]) -> dict[str, str]:
    """What tables call the rows of jobs: the segmenter with the parameters that were set.

    Jobs of one row are repetitions of each other: all but their seeds is the same. Where jobs of one segmenter differ in more, such as
    the folds or the observations of data that have changed, each has a row that says in what.

    Args:
        found: the jobs that a table shows.

    Returns:
        Job id -> name.
    """
    alike: dict[tuple[str, ...], list[RegimeJob]] = {}
    for one in found:
        alike.setdefault(_row_of(one.job), []).append(one.job)
    names = {}
    for jobs in alike.values():
        aspects = {
            "folds": [f"{job.folds} folds" if job.folds else "no folds" for job in jobs],
            "version": [f"version {job.version}" for job in jobs],
            "parameters": [f"parameters {_digest(canonical_json(dict(job.params)))}" for job in jobs],
            "origin": [f"of {job.origin}" for job in jobs],
            "data": [f"observations {job.fingerprint[:6]}" for job in jobs],
        }
        told = [words for words in aspects.values() if len(set(words)) > 1]
        for place, job in enumerate(jobs):
            names[job.id] = ", ".join([job.label, *(words[place] for words in told)])
    return names


def _row_of(job: RegimeJob) -> tuple[str, ...]:
    return job.dataset, job.observe, SYNTHETIC if job.synthetic else REAL, job.label


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def result_of(record: RegimeRecord, row: str = "") -> RegimeResult:
    """What a finished job found.

    Args:
        record: the job.
        row: what tables call its row; empty: the segmenter with the parameters that were set.

    Raises:
        StoreError: its files are not what was written.
    """
    job, folder = record.job, record.folder
    states = states_of(folder)
    held_out = pd.read_parquet(io.BytesIO(folder.read("held_out.parquet")))
    fit = folder.read_object("fit.json")
    columns = [name for name in states if "." in name]
    labels = None if bool(states["label"].isna().to_numpy().any()) else states["label"].to_numpy(str)
    points = states[columns].to_numpy(float)
    points = points[:, np.isfinite(points).any(axis=0)]
    return RegimeResult(
        dataset=job.dataset,
        data=SYNTHETIC if job.synthetic else REAL,
        observe=job.observe,
        segmenter=row or job.label,
        seed=job.seed,
        conversation=states["conversation"].to_numpy(str),
        regime=states["regime"].to_numpy(),
        label=labels,
        points=points,
        held_out=held_out["log_likelihood"].to_numpy(),
        observed_steps=held_out["observed_steps"].to_numpy(),
        no_held_out=str(fit["no_held_out"]),
        shifted=held_out["shifted_ari"].to_numpy(),
        self_transition=_number(fit["self_transition"]),
        rhat=_number(fit["rhat"]),
        seconds=_number(fit["processor_seconds"]),
    )


def regressions_of(found: Collection[RegimeRecord]) -> list[str]:
    """A line for each regression that the valence of finished jobs is from; none of a job whose files cannot be read."""
    said = []
    for record in found:
        if record.state == "done" and f"{RIDGE}:" in record.job.observe:
            try:
                stated = record.folder.read_object("fit.json")["regressions"]
                said += [
                    f"{record.job.dataset}, {modality}: {Regression(**one)}"
                    for modality, one in stated.items()
                ]
            except (StoreError, KeyError, TypeError, ValueError):  # told by results_and_holes
                continue
    return list(dict.fromkeys(said))


def results_and_holes(
    found: list[RegimeRecord],
) -> tuple[list[RegimeResult], dict[tuple[str, ...], str], list[str]]:
    """What finished jobs found; groups of seeds of which a job is missing or cannot be used; and a line for each such job."""
    results, holes, faults = [], {}, []
    names = row_names(found)
    for record in found:
        job = record.job
        key = (*_row_of(job)[:-1], names[job.id])
        reason = record.reason or ("not done" if record.state == "planned" else "")
        if not reason:
            try:
                results.append(result_of(record, names[job.id]))
                continue
            except (StoreError, KeyError, ValueError, OSError) as error:
                reason = str(error)
        holes[key] = f"seed {job.seed}: {reason}"
        faults.append(f"{job.dataset}, {names[job.id]}, seed {job.seed}: {reason}")
    return results, holes, faults


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
