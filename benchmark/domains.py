"""The domains of one dataset as places of a task: which samples are whose. No torch.

Train is the train part of every source, validation the sources' valid part, test the target's test part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..datasets.dataset import SPLITS, DataError, Samples
from ..datasets.samples import drawn_for_validation
from .held_out import rows_of
from .job import Task, domain_of


def domain_counts(splits: Mapping[str, Samples]) -> dict[str, dict[str, int]]:
    """Domain -> split -> number of samples, domains in alphabetic order."""
    names = sorted(
        {name for samples in splits.values() for name in np.unique(samples.domain).tolist() if name}
    )
    return {
        name: {split: int((samples.domain == name).sum()) for split, samples in splits.items()}
        for name in names
    }


def check_domain(
    task: Task, place: str, counts: Mapping[str, int], target_splits: Sequence[str] = ("test",)
) -> None:
    """A source needs two training samples, the target a sample in each split that is read.

    Args:
        task: the task.
        place: a domain that it names.
        counts: split -> number of samples of the domain.
        target_splits: as ``Job.target_splits``.

    Raises:
        DataError: there are fewer.
    """
    train = counts.get("train", 0)
    if place in task.sources and train < 2:
        raise DataError(f"task {task.name}: {place} has {train} training samples; a source needs two or more")
    if place != task.target:
        return
    if "test" in target_splits and not counts.get("test"):
        raise DataError(f"task {task.name}: {place} has no test samples")
    if "valid" in target_splits and not counts.get("valid") and train < 2:
        raise DataError(f"task {task.name}: {place} has no validation samples, which the selection needs")


def in_place(
    splits: Mapping[str, Samples], place: str, task: Task, target_splits: Sequence[str] = ("test",)
) -> dict[str, Samples]:
    """The samples of a place of a task: of a domain, or of the whole dataset.

    A domain whose validation samples are needed and that has none gives a share of its training samples for that
    (:func:`mmbench.datasets.samples.drawn_for_validation`).

    Raises:
        DataError: the domain has no sample where the task needs some.
    """
    domain = domain_of(place)
    if not domain:
        return dict(splits)
    found = {
        split: rows_of(splits[split], np.flatnonzero(splits[split].domain == domain)) for split in SPLITS
    }
    check_domain(task, place, {split: len(samples) for split, samples in found.items()}, target_splits)
    if (place in task.sources or "valid" in target_splits) and not len(found["valid"]):
        drawn = drawn_for_validation(len(found["train"]))
        whole = found["train"]
        found |= {
            "train": rows_of(whole, np.flatnonzero(~drawn)),
            "valid": rows_of(whole, np.flatnonzero(drawn)),
        }
    return found
