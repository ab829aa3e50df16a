"""How long a run will go on: from its own last jobs of the same kind, else from those that an earlier run left in the store."""

from __future__ import annotations

import os
import platform
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from pathlib import Path
from statistics import mean, median
from typing import Any

from ..core.atomic_files import read_json
from ..core.job import Job
from ..store.store import Store

#: How many of the last jobs of a kind count.
LAST = 3
#: For how many jobs what earlier runs say of the load of the machine and of the cost of a job weighs beside what this run has shown:
#: after few jobs, one that other work lengthened must not speak for all that are to come.
PRIOR = 6
#: Jobs that take about as long: of the same method, task, modality set and number of epochs.
Kind = tuple[str, str, str, int]


def kind_of(job: Job) -> Kind:
    """What a job has in common with those that take about as long."""
    return job.label or job.method, job.task, job.modality_set, int(job.protocol.get("epochs", 0))


@dataclass(frozen=True)
class Spent:
    """What a job took.

    Attributes:
        seconds: that passed.
        processor: seconds of processor time, which other work on the machine does not lengthen; 0 where they do not say how
            long it takes here: on a GPU, with several threads, on another machine, or where they were not measured.
    """

    seconds: float
    processor: float = 0.0

    @classmethod
    def of(cls, environment: Any) -> Spent:
        """As the environment of a finished job says it.

        Raises:
            LookupError, TypeError, ValueError, AttributeError: it does not.
        """
        here = environment.get("host") == platform.node()
        alone = here and environment.get("device") == "cpu" and environment.get("threads") == 1
        processor = float(environment.get("processor_seconds", 0.0)) if alone else 0.0
        return cls(float(sum(environment["seconds"].values())), processor)


def seconds_left(
    ended: Sequence[tuple[Kind, Spent]],
    waiting: Iterable[Kind],
    elapsed: float,
    earlier: Mapping[Kind, Sequence[Spent]],
) -> float:
    """The time until the last job of a run ends.

    A job is to take what the last ones of its kind took: the mean of those of this run; else the median of earlier ones; else the
    mean of all jobs of this run. Earlier costs are put right by how much this run differs from them so far. Where all jobs say their
    processor time, that is the cost, and is lengthened by as much as other work on the machine lengthens the jobs of this run; else
    their seconds are. How many jobs go on at a time follows from their seconds and the time that has passed; what is left of it is
    spent between jobs.

    Args:
        ended: kind of each job that ended in this run, at least one, and what it took, in their order.
        waiting: the kinds of those that have not.
        elapsed: seconds since the first job began: what comes before it, such as the start of the workers, comes once.
        earlier: kind -> what jobs of earlier runs took, in their order.

    Returns:
        Seconds.
    """
    waiting = list(waiting)
    everything = [
        *(one for _, one in ended),
        *(one for kind in set(waiting) for one in earlier.get(kind, ())),
    ]
    busy = sum(one.seconds for _, one in ended)
    measured = all(one.processor for one in everything)
    cost = attrgetter("processor" if measured else "seconds")
    costs = [(kind, cost(one)) for kind, one in ended]
    known = {kind: median(map(cost, values[-LAST:])) for kind, values in earlier.items() if values}
    factor = _load(ended, waiting, earlier) if measured else 1.0
    ratio = _ratio(costs, known, [known[kind] for kind in waiting if kind in known])
    work = factor * _cost_of(waiting, costs, {kind: ratio * one for kind, one in known.items()})
    between = max(elapsed - busy, 0.0) / len(ended)
    at_a_time = max(busy / elapsed, 1.0) if elapsed > 0 else 1.0
    return (work + between * len(waiting)) / at_a_time


def _load(
    ended: Sequence[tuple[Kind, Spent]], waiting: Sequence[Kind], earlier: Mapping[Kind, Sequence[Spent]]
) -> float:
    """How many seconds pass for one of processor time; near what it was in earlier runs while few jobs have ended.

    Args:
        ended, waiting, earlier: as of ``seconds_left``.
    """
    before = [one for kind in dict.fromkeys(waiting) for one in earlier.get(kind, ())]
    weight = PRIOR * mean(one.processor for one in before) if before else 0.0
    then = sum(one.seconds for one in before) / sum(one.processor for one in before) if before else 1.0
    now = sum(one.seconds for _, one in ended) + weight * then
    return now / (sum(one.processor for _, one in ended) + weight)


def _cost_of(
    waiting: Sequence[Kind], ended: Sequence[tuple[Kind, float]], known: Mapping[Kind, float]
) -> float:
    """What the jobs to come cost, in the unit in which the others are given: seconds, or seconds of processor time.

    Args:
        waiting, ended: as of ``seconds_left``.
        known: kind -> what a job of it is to cost by earlier runs.
    """
    own: dict[Kind, list[float]] = defaultdict(list)
    for kind, cost in ended:
        own[kind].append(cost)
    anything = mean(cost for _, cost in ended)
    return sum(mean(own[kind][-LAST:]) if kind in own else known.get(kind, anything) for kind in waiting)


def _ratio(
    ended: Sequence[tuple[Kind, float]], known: Mapping[Kind, float], typical: Sequence[float]
) -> float:
    """How much more jobs of this run cost than earlier ones of their kind; near 1 while few have ended.

    Args:
        ended: as of ``seconds_left``.
        known: kind -> cost in earlier runs.
        typical: those of the jobs to come, whose mean, ``PRIOR`` times, weighs for a ratio of 1.
    """
    pairs = [(cost, known[kind]) for kind, cost in ended if kind in known]
    weight = PRIOR * mean(typical) if typical else 0.0
    before = sum(one for _, one in pairs) + weight
    return (sum(cost for cost, _ in pairs) + weight) / before if before else 1.0


def earlier_seconds(store: Store, jobs: Iterable[Job]) -> dict[Kind, list[Spent]]:
    """What the last finished jobs of the same kinds took, as the store says.

    Args:
        store: the store.
        jobs: whose kinds are wanted.

    Returns:
        Kind -> what up to ``LAST`` jobs took, in the order in which they ended.
    """
    kinds: dict[str, set[Kind]] = defaultdict(set)  # beginning of an id -> kinds
    for job in jobs:
        kinds[job.id.rpartition("-s")[0]].add(kind_of(job))
    found: dict[Kind, list[tuple[float, Spent]]] = defaultdict(list)
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
    ordered = {kind: sorted(values, key=itemgetter(0))[-LAST:] for kind, values in found.items()}
    return {kind: [spent for _, spent in values] for kind, values in ordered.items()}


def _took(folder: Path) -> tuple[Kind, float, Spent] | None:
    """The kind of a finished job, when it ended, and what it took; None where its files do not say it."""
    values, environment = read_json(folder / "job.json"), read_json(folder / "environment.json")
    try:
        kind = kind_of(Job.from_dict({key: value for key, value in values.items() if key != "schema"}))
        return kind, float(environment.get("ended", 0.0)), Spent.of(environment)
    except (LookupError, TypeError, ValueError, AttributeError):
        return None
