"""How long a run will go on: from its own last jobs of the same kind, else from those that an earlier run left in the store."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, median

from ..core.atomic_files import read_json
from ..core.job import Job
from ..store.store import Store

#: How many of the last jobs of a kind count.
LAST = 3
#: Jobs that take about as long: of the same method, task, modality set and number of epochs.
Kind = tuple[str, str, str, int]


def kind_of(job: Job) -> Kind:
    """What a job has in common with those that take about as long."""
    return job.label or job.method, job.task, job.modality_set, int(job.protocol.get("epochs", 0))


def seconds_left(
    ended: Sequence[tuple[Kind, float]],
    waiting: Iterable[Kind],
    elapsed: float,
    earlier: Mapping[Kind, Sequence[float]],
) -> float:
    """The time until the last job of a run ends.

    A job is to take what the last ones of its kind took: the mean of those of this run; else the median of earlier ones, put right by how
    much this run differs from them so far; else the mean of all jobs of this run. How many jobs go on at a time follows from their seconds and the time
    that has passed; what is left of it is spent between jobs.

    Args:
        ended: kind and seconds of each job that ended in this run, at least one, in their order.
        waiting: the kinds of those that have not.
        elapsed: seconds since the run began.
        earlier: kind -> seconds of jobs of earlier runs, in their order.

    Returns:
        Seconds.
    """
    own: dict[Kind, list[float]] = defaultdict(list)
    for kind, seconds in ended:
        own[kind].append(seconds)
    known = {kind: median(values[-LAST:]) for kind, values in earlier.items() if values}
    waiting = list(waiting)
    ratio = _ratio(ended, known, [known[kind] for kind in waiting if kind in known])
    anything = mean(seconds for _, seconds in ended)
    work = 0.0
    for kind in waiting:
        if kind in own:
            work += mean(own[kind][-LAST:])
        else:
            work += known[kind] * ratio if kind in known else anything
    busy = sum(seconds for _, seconds in ended)
    between = max(elapsed - busy, 0.0) / len(ended)
    at_a_time = max(busy / elapsed, 1.0) if elapsed > 0 else 1.0
    return (work + between * len(waiting)) / at_a_time


def _ratio(
    ended: Sequence[tuple[Kind, float]], known: Mapping[Kind, float], typical: Sequence[float]
) -> float:
    """How much longer jobs of this run take than earlier ones of their kind; near 1 while few have ended.

    Args:
        ended: as of ``seconds_left``.
        known: kind -> seconds of earlier runs.
        typical: those of the jobs to come, whose mean weighs for a ratio of 1.
    """
    pairs = [(seconds, known[kind]) for kind, seconds in ended if kind in known]
    weight = mean(typical) if typical else 0.0
    before = sum(one for _, one in pairs) + weight
    return (sum(seconds for seconds, _ in pairs) + weight) / before if before else 1.0


def earlier_seconds(store: Store, jobs: Iterable[Job]) -> dict[Kind, list[float]]:
    """What the last finished jobs of the same kinds took, as the store says.

    Args:
        store: the store.
        jobs: whose kinds are wanted.

    Returns:
        Kind -> seconds of up to ``LAST`` jobs, in the order in which they ended.
    """
    kinds: dict[str, set[Kind]] = defaultdict(set)  # beginning of an id -> kinds
    for job in jobs:
        kinds[job.id.rpartition("-s")[0]].add(kind_of(job))
    found: dict[Kind, list[tuple[float, float]]] = defaultdict(list)
    try:
        names = os.listdir(store.jobs_folder)
    except OSError:
        return {}
    for name in names:
        wanted = kinds.get(name.rpartition("-s")[0])
        folder = store.jobs_folder / name
        if not wanted or not (folder / "done.json").is_file():
            continue
        took = _took(folder)
        if took and took[0] in wanted:
            found[took[0]].append(took[1:])
    return {kind: [seconds for _, seconds in sorted(values)[-LAST:]] for kind, values in found.items()}


def _took(folder: Path) -> tuple[Kind, float, float] | None:
    """The kind of a finished job, when it ended, and its seconds; None where its files do not say it."""
    values, environment = read_json(folder / "job.json"), read_json(folder / "environment.json")
    try:
        kind = kind_of(Job.from_dict({key: value for key, value in values.items() if key != "schema"}))
        return kind, float(environment.get("ended", 0.0)), float(sum(environment["seconds"].values()))
    except (LookupError, TypeError, ValueError, AttributeError):
        return None
