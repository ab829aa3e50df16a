"""What the rows of jobs are called, so that jobs which differ never share a row, and data that differ never a block."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from ..core.job import Job
from ..core.protocol import protocol_label
from ..search import trials


def row_labels(jobs: list[Job]) -> dict[str, tuple[str, str]]:
    """Job id -> method and protocol as its row says them.

    Two jobs that differ in anything but the seed and the fold, or in what a search chose for their folds, never share a row: where label and protocol leave them
    alike, the version of the method is added. Two jobs whose data differ never share a block, whatever their
    methods: the hash of the data is added to the protocol, by which blocks are told apart. So is the rule by which a
    dataset is divided into folds, and the division where one rule has given two.
    """
    parts: dict[str, list[str]] = {job.id: [job.label, _protocol(job)] for job in jobs}
    in_row: tuple[Callable[[Job], str], ...] = (
        lambda job: f"version {job.version}",
        _parameters,
    )
    for tell in in_row:
        _distinguish(jobs, parts, 0, lambda job: (job.task, job.modalities, *parts[job.id]), tell)
    for tell in (_content, lambda job: f"division {job.fold.division[:8]}" if job.fold else ""):
        _distinguish(jobs, parts, 1, lambda job: (job.task, job.modalities, parts[job.id][1]), tell)
    return {job_id: (method, protocol) for job_id, (method, protocol) in parts.items()}


def _parameters(job: Job) -> str:
    """The parameters of a job, without those that a search of its own chose for its fold."""
    chosen = job.search.searched if job.search and job.fold else ()
    return ", ".join(f"{key}={value}" for key, value in sorted(job.params.items()) if key not in chosen)


def _distinguish(
    jobs: list[Job],
    parts: dict[str, list[str]],
    column: int,
    place: Callable[[Job], tuple],
    tell: Callable[[Job], str],
) -> None:
    """Adds words to the labels of jobs that share a place of the tables and that these words tell apart.

    Args:
        jobs: all of them.
        parts: job id -> method and protocol; changed.
        column: which of the two the words are added to.
        place: what jobs share.
        tell: the words of a job.
    """
    words: dict[tuple, set[str]] = defaultdict(set)
    for job in jobs:
        words[place(job)].add(tell(job))
    ambiguous = [job for job in jobs if len(words[place(job)]) > 1]
    for job in ambiguous:
        parts[job.id][column] += f" [{tell(job)}]"


def _content(job: Job) -> str:
    """The content of a job's data: eight digits of the fingerprint of each dataset."""
    return "data " + "+".join(item.fingerprint[:8] for item in job.data)


def _protocol(job: Job) -> str:
    folds = f" [{job.fold.rule}]" if job.fold else ""
    return (job.rules or protocol_label(job.protocol)) + folds + trials.protocol_suffix(job.search)
