"""Estimated time and disk space of jobs, from finished jobs. It knows nothing of the machine that they will run on."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from ..core.atomic_files import read_json
from ..core.job import Job
from ..core.strings import duration
from ..store.store import Store

#: Which finished jobs a job may be estimated from, the most similar first.
LEVELS = ("method and task", "method", "all")
#: How many finished jobs of one method, task and modality set are read.
ENOUGH = 3


@dataclass(frozen=True)
class Took:
    """The cost of a finished job: seconds from loading to predicting, and bytes on disk."""

    seconds: float
    size: int


@dataclass(frozen=True)
class Estimate:
    """The estimated cost of jobs.

    Attributes:
        seconds: of all of them, one after the other.
        size: bytes on disk.
        levels: level of similarity -> how many jobs were estimated at it.
        known: how many finished jobs this is from; 0 where there is nothing to estimate from.
    """

    seconds: float
    size: float
    levels: Mapping[str, int]
    known: int


def estimate(sizes: Iterable[tuple[Job, int]], took: Iterable[tuple[str, str, Took]]) -> Estimate:
    """Estimates jobs by medians of finished jobs: of the same method and task, else of the same method, else of all.

    Args:
        sizes: a job, and how many like it there are.
        took: method, task, and what a finished job took.

    Returns:
        The sums over all jobs.
    """
    known: dict[tuple[str, ...], list[Took]] = defaultdict(list)
    for method, task, one in took:
        for key in ((method, task), (method,), ()):
            known[key].append(one)
    medians = {
        key: (median(one.seconds for one in all_), median(one.size for one in all_))
        for key, all_ in known.items()
    }
    seconds = size = 0.0
    levels: Counter[str] = Counter()
    for job, number in sizes:
        for level, key in zip(LEVELS, ((job.method, job.task), (job.method,), ()), strict=True):
            if key in medians:
                levels[level] += number
                seconds += number * medians[key][0]
                size += number * medians[key][1]
                break
    return Estimate(seconds, size, levels, len(known[()]))


def finished_jobs(store: Store) -> Iterator[tuple[str, str, Took]]:
    """What finished jobs of a store took: of those with the same beginning of their id (task, method, modalities) the first
    few.

    Yields:
        The method, the task, and what the job took.
    """
    seen: Counter[str] = Counter()
    for folder in _folders(store):
        beginning = os.path.basename(folder).rpartition("-s")[0]
        if seen[beginning] >= ENOUGH or not os.path.exists(os.path.join(folder, "done.json")):
            continue
        job, environment = (read_json(Path(folder, name)) for name in ("job.json", "environment.json"))
        try:
            seconds = float(sum(environment["seconds"].values()))
            took = str(job["method"]), str(job["task"]), Took(seconds, _size(folder))
        except (LookupError, TypeError, AttributeError, OSError):
            continue
        seen[beginning] += 1
        yield took


def _folders(store: Store) -> Sequence[str]:
    try:
        with os.scandir(store.jobs_folder) as entries:
            return sorted(entry.path for entry in entries)
    except OSError:
        return []


def _size(folder: str) -> int:
    """Bytes of a job's files, without folders: what is in them can be made anew."""
    with os.scandir(folder) as entries:
        return sum(entry.stat().st_size for entry in entries if entry.is_file())


def estimate_words(estimated: Estimate) -> str:
    """An estimate in one line."""
    number = sum(estimated.levels.values())
    if not number:
        return "time and disk: nothing to estimate from, as no job of the store is finished"
    levels = ", ".join(f"{count} by {level}" for level, count in estimated.levels.items())
    time = duration(estimated.seconds)
    if estimated.seconds > 2 * 86_400:
        time = f"{estimated.seconds / 86_400:.1f} days"
    return (
        f"about {time} of one worker and {_bytes(estimated.size)} on disk for the {number} to do, "
        f"from medians of {estimated.known} finished jobs ({levels})"
    )


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
