"""The upper bound of a shift: ``erm`` trained on the target's own training samples and tested on the same test samples.

The bound is the in-domain job of the target under the same rules. Where that job was run for its own sake, it is used.
In tables its row is called ``oracle``, and its protocol says that it was trained on the target.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...datasets.dataset import Located
from ..core.as_published import BUDGETS
from ..core.errors import UsageError
from ..core.job import Job
from ..core.method_spec import describe
from ..core.registry import find
from ..core.task import Task, dataset_of, domain_of
from ..store.job_folder import Record
from ..store.store import Store
from .data_check import shape_of

METHOD = "erm"


@dataclass(frozen=True)
class Bound:
    """An upper bound in a store.

    Attributes:
        record: the in-domain job.
        shift: the task that it bounds.
        protocol: the protocol of the rows that it bounds.
    """

    record: Record
    shift: str
    protocol: str


def upper_bound(job: Job, erm: Job | None = None, family: str = "") -> Job | None:
    """The in-domain job that bounds a job of a shift.

    Args:
        job: the job.
        erm: a job of ERM whose version and parameters the bound takes; None for the present ones.
        family: of the task, a key of ``BUDGETS``, which decides the present parameters under ``as-published``.

    Returns:
        The bound; None for a job that is in-domain itself, and for a companion.
    """
    if not _is_shift(job):
        return None
    task = Task.parse(job.task)
    # In-domain, source validation is validation on the target, so rules that read more than it are replaced by it.
    selection = job.protocol["selection"]
    selection = selection if selection == "last" else "source-validation"
    own = (
        _erm(str(job.protocol["name"]), family)
        if erm is None
        else {name: getattr(erm, name) for name in _OF_METHOD}
    )
    return Job(
        task=task.target,
        modalities=job.modalities,
        data=tuple(item for item in job.data if item.name == dataset_of(task.target)),
        protocol={**job.protocol, "selection": selection},
        seed=job.seed,
        metrics=job.metrics,
        **own,
    )


def upper_bounds(jobs: Iterable[Job], families: Mapping[str, str]) -> list[Job]:
    """The upper bounds of jobs, each once.

    Args:
        jobs: the jobs.
        families: task -> its family, a key of ``BUDGETS``.
    """
    bounds = [upper_bound(job, family=families[job.task]) for job in jobs]
    return list({bound.id: bound for bound in bounds if bound is not None}.values())


def check_bound(task: Task, located: Mapping[str, Located]) -> None:
    """Checks that the target of a shift has enough training samples of its own for an upper bound.

    Args:
        task: the shift.
        located: dataset -> where it lies.

    Raises:
        UsageError: it has fewer than two.
    """
    name, domain = dataset_of(task.target), domain_of(task.target)
    if not domain or task.sources == (task.target,):
        return  # a whole dataset has all splits
    train = shape_of(located[name]).domains[domain].get("train", 0)
    if train < 2:
        raise UsageError(
            f"--oracle: {task.target} has {train} training samples of its own, so that no network can be trained "
            f"on it beside its test samples: leave out --oracle, or give it a training part in {name}'s split"
        )


def stored_bounds(store: Store, rows: Sequence[tuple[Job, str]]) -> list[Bound]:
    """The upper bounds of jobs that are in a store, one for each seed of a task, modality set and protocol.

    Args:
        store: the store.
        rows: jobs, each with the protocol of its row in the tables.
    """
    from ..store.reader import records  # reads tables, and planning needs none

    blocks: dict[tuple[str, str, str], list[Job]] = {}
    for job, protocol in rows:
        if _is_shift(job):
            blocks.setdefault((job.task, job.modality_set, protocol), []).append(job)
    bounds = []
    for (task, _, protocol), jobs in blocks.items():
        known = next((job for job in jobs if job.label == METHOD), None)
        # The version of the shift's own ERM comes first; without it, whichever family the task was found to have.
        for erm, family in [*([(known, "")] if known else []), *((None, name) for name in ("", *BUDGETS))]:
            made = {one.seed: one for job in jobs if (one := upper_bound(job, erm, family)) is not None}
            there = [one.id for one in made.values() if (store.job(one.id).path / "job.json").is_file()]
            if there:
                bounds += [Bound(record, task, protocol) for record in records(store, there)[0]]
                break
    return bounds


def _is_shift(job: Job) -> bool:
    task = Task.parse(job.task)
    return not job.role and task.sources != (task.target,)


#: The fields of a job that its method decides.
_OF_METHOD = ("method", "params", "version", "label", "train_missing", "needs_domains")


def _erm(protocol: str, family: str) -> dict[str, Any]:
    """The fields of a job for the present version of ERM, with its parameters in a family of tasks."""
    entry = find("method", METHOD)
    description = describe(entry)
    values = (
        METHOD,
        description.defaults(protocol, family),
        description.job_version(entry),
        METHOD,
        description.train_missing,
        description.needs_domains,
    )
    return dict(zip(_OF_METHOD, values, strict=True))
