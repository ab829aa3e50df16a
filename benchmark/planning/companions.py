"""The companions of a job under the selection rule ``leave-one-source-out``.

A job has one companion for each of its sources: the same method, seed and protocol, trained on the other sources and
validated on that source after every epoch. A companion does not depend on the job's target, so jobs with the same
sources share their companions.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from ..core.atomic_files import read_json
from ..core.errors import UsageError
from ..core.job import COMPANION, Job
from ..core.selection import Epoch
from ..core.task import Task
from ..store.store import Store

RULE = "leave-one-source-out"


def companions(job: Job) -> list[Job]:
    """The companions that a job needs; empty under another rule, and for a companion."""
    if job.role == COMPANION or job.protocol.get("selection") != RULE:
        return []
    sources = Task.parse(job.task).sources
    return [_without(job, source) for source in sources]


def check_sources(task: Task, selection: str) -> None:
    """Checks that a task has enough sources for a rule of selection.

    Args:
        task: the task.
        selection: the rule.

    Raises:
        UsageError: the rule leaves sources out, and there are fewer than two.
    """
    if selection == RULE and len(task.sources) < 2:
        raise UsageError(
            f"task {task.name}: {RULE} needs two sources or more, to leave one out; "
            "use --selection source-validation"
        )


def companion_fits(job: Job, store: Store) -> list[Sequence[Epoch]]:
    """The records of the epochs of a job's companions.

    Args:
        job: the job.
        store: where its companions were run.

    Returns:
        For each companion its epochs, in their order.

    Raises:
        UsageError: a companion is not done.
        StoreError: the file of a companion is not what was written.
    """
    return [_companion_fit(companion, store) for companion in companions(job)]


def _without(job: Job, source: str) -> Job:
    task = Task(tuple(one for one in Task.parse(job.task).sources if one != source), source)
    data = {item.name: item for item in job.data}
    return Job(
        task=task.name,
        method=job.method,
        params=job.params,
        version=job.version,
        modalities=job.modalities,
        data=tuple(data[name] for name in task.datasets),
        protocol={**job.protocol, "selection": "oracle"},
        seed=job.seed,
        label=job.label,
        metrics=job.metrics,
        train_missing=job.train_missing,
        needs_domains=job.needs_domains,
        role=COMPANION,
    )


def _companion_fit(companion: Job, store: Store) -> list[Epoch]:
    if not store.job(companion.id).is_done():
        failure = read_json(store.job(companion.id).path / "failed.json")
        why = f": {failure.get('reason')}" if isinstance(failure, dict) else ""
        raise UsageError(f"its companion {companion.id} is not done{why}")
    values = json.loads(store.job(companion.id).read("fit.json"))
    return [Epoch(**epoch) for epoch in values["epochs"]]
