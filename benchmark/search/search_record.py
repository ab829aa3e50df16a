"""The record of a search in a store: a JSON file for people, which nothing reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..core.atomic_files import read_json, write_json
from ..core.errors import UsageError
from ..store.job_folder import Record
from ..store.names import inside
from ..store.store import Store
from .trials import FOLDER, SearchProgress, describe_search


def is_outdated(store: Store, search: SearchProgress) -> bool:
    """Whether the record of a search in the store differs from what is the case now.

    Args:
        store: where the record lies.
        search: how far the search is.
    """
    return read_json(_file(store, search)) != search_record(search)


def write_record(store: Store, search: SearchProgress) -> None:
    """Writes the record of a search for people: each trial, its score, and which was chosen.

    Args:
        store: where to.
        search: how far the search is.

    Raises:
        UsageError: the store cannot be written.
    """
    file = _file(store, search)
    try:
        inside(file.parent).mkdir(exist_ok=True)
        write_json(file, search_record(search))
    except OSError as error:
        raise UsageError(f"{file.parent}: cannot be written ({error.strerror})") from None


def _file(store: Store, search: SearchProgress) -> Path:
    return store.path / FOLDER / f"{search.name}.json"


def search_record(search: SearchProgress) -> dict[str, Any]:
    """The record of a search as plain values."""

    def trial_values(index: int, record: Record) -> dict[str, Any]:
        score = search.scores.get(index)
        params = {name: record.job.value(name) for name in search.trial.searched}
        values = {"index": index, "job": record.job.id, "state": record.state, "seed": record.job.seed}
        scored = {"metric": score.metric, "loss": score.loss} if score else {}
        return {**values, "drawn": params, **scored, **({"reason": record.reason} if record.reason else {})}

    job = next(iter((*search.trials.values(), *search.repeats.values()))).job
    return {
        "method": job.label,
        "task": job.task,
        "modalities": job.modality_set,
        "search": describe_search(search),
        "sampler": search.trial.sampler,
        "pruner": search.trial.pruner,
        "metric": search.metric,
        "trials": [trial_values(index, record) for index, record in search.trials.items()],
        "chosen": search.chosen,
        "why_none": search.why,
        "repeats": [record.job.id for record in search.repeats.values()],
    }
