"""From a store to what tables and pictures of regimes are made of."""

from __future__ import annotations

import io
import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...leaderboards.labels import REAL, SYNTHETIC
from ...leaderboards.tables.regimes import RegimeResult
from ..store.names import StoreError
from .job import RegimeJob
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
) -> list[RegimeRecord]:
    """The jobs of a store.

    Args:
        store: the folder of results.
        datasets: only these; none: all.
        segmenters: only these, by name or with parameters; none: all.
        seeds: only these; none: all.

    Raises:
        StoreError: a job cannot be read.
    """
    found = []
    for folder in folders(store):
        job = folder.job()
        if (datasets and job.dataset not in datasets) or (seeds and job.seed not in seeds):
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


def states_of(folder: RegimeFolder) -> pd.DataFrame:
    """The table of steps of a finished job; see ``store.py``."""
    return pd.read_parquet(io.BytesIO(folder.read("states.parquet")))


def result_of(record: RegimeRecord) -> RegimeResult:
    """What a finished job found. Raises StoreError where its files are not what was written."""
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
        segmenter=job.label,
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


def results_and_holes(
    found: list[RegimeRecord],
) -> tuple[list[RegimeResult], dict[tuple[str, ...], str], list[str]]:
    """What finished jobs found; groups of seeds of which a job is missing or cannot be used; and a line for each such job."""
    results, holes, faults = [], {}, []
    for record in found:
        job = record.job
        key = (job.dataset, job.observe, SYNTHETIC if job.synthetic else REAL, job.label)
        reason = record.reason or ("not done" if record.state == "planned" else "")
        if not reason:
            try:
                results.append(result_of(record))
                continue
            except (StoreError, KeyError, ValueError, OSError) as error:
                reason = str(error)
        holes[key] = f"seed {job.seed}: {reason}"
        faults.append(f"{job.dataset}, {job.label}, seed {job.seed}: {reason}")
    return results, holes, faults


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
