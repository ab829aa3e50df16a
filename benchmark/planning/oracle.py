"""The upper bound of a shift: ``erm`` trained on the target's own training part, tested on the samples that the
shift is tested on. No torch.

It is the in-domain job of the target under the same rules, and no job of its own: where that was run before, it
is the bound. Its row is called ``oracle``, and its protocol says that it sees the target.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...datasets.dataset import Located
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
    """A bound that is in a store: its record, the shift that it bounds, and the protocol of that shift's row."""

    record: Record
    shift: str
    protocol: str


def upper_bound(job: Job, erm: Job | None = None) -> Job | None:
    """The in-domain job that bounds a job; None for one that is in-domain itself, and for a companion.

    Args:
        job: of a shift.
        erm: a job whose version and parameters of ERM it has; None for those that there are now.
    """
    if not _is_shift(job):
        return None
    task = Task.parse(job.task)
    # In-domain, the sources' validation split is the target's: the rules that need others mean this one.
    selection = job.protocol["selection"]
    selection = selection if selection == "last" else "source-validation"
    own = (
        _erm(str(job.protocol["name"])) if erm is None else {name: getattr(erm, name) for name in _OF_METHOD}
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


def upper_bounds(jobs: Iterable[Job]) -> list[Job]:
    """The bounds of all jobs, each once."""
    found = [upper_bound(job) for job in jobs]
    return list({job.id: job for job in found if job is not None}.values())


def check_bound(task: Task, located: Mapping[str, Located]) -> None:
    """Raises UsageError where the target of a shift has no training part of its own."""
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
    """The bounds that a store has for some jobs, one for each seed of a task, modality set and protocol.

    Args:
        store: the store.
        rows: jobs, and the protocol of the row in which each stands.
    """
    from ..store.reader import records  # reads tables, and planning needs none

    blocks: dict[tuple[str, str, str], list[Job]] = {}
    for job, protocol in rows:
        if _is_shift(job):
            blocks.setdefault((job.task, job.modality_set, protocol), []).append(job)
    found = []
    for (task, _, protocol), jobs in blocks.items():
        known = next((job for job in jobs if job.label == METHOD), None)
        for erm in (known, None) if known else (None,):  # the version of the shift's own ERM comes first
            made = {one.seed: one for job in jobs if (one := upper_bound(job, erm)) is not None}
            there = [one.id for one in made.values() if (store.job(one.id).path / "job.json").is_file()]
            if there:
                found += [Bound(record, task, protocol) for record in records(store, there)[0]]
                break
    return found


def _is_shift(job: Job) -> bool:
    task = Task.parse(job.task)
    return not job.role and task.sources != (task.target,)


#: The fields of a job that its method decides.
_OF_METHOD = ("method", "params", "version", "label", "train_missing", "needs_domains")


def _erm(protocol: str) -> dict[str, Any]:
    """These fields of ERM as it is now."""
    description = describe(find("method", METHOD))
    values = (
        METHOD,
        description.defaults(protocol),
        str(description.version),
        METHOD,
        description.train_missing,
        description.needs_domains,
    )
    return dict(zip(_OF_METHOD, values, strict=True))
