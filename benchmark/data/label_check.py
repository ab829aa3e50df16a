"""Checks that the training samples of a task differ in their labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from ...datasets.dataset import DataError, Samples, Target
from ...datasets.label_values import label_values, label_words
from ...datasets.samples import take_rows
from ..core.task import Task, dataset_of, domain_of
from .domains import ROLES


def labels_by_domain(splits: Mapping[str, Samples], target: Target) -> dict[str, dict[str, list[float]]]:
    """The labels of a dataset and of each of its domains.

    Args:
        splits: split -> samples.
        target: what their labels are.

    Returns:
        Domain, "" for all samples -> split -> labels, as ``label_values`` gives them.
    """
    domains = sorted({name for samples in splits.values() for name in np.unique(samples.domain).tolist()})
    whole = {split: label_values(samples, target) for split, samples in splits.items()}
    return {"": whole} | {
        domain: {
            split: label_values(take_rows(samples, np.flatnonzero(samples.domain == domain)), target)
            for split, samples in splits.items()
        }
        for domain in domains
        if domain
    }


def check_training_labels(
    task: Task,
    labels: Mapping[str, Mapping[str, Mapping[str, list[float]]]],
    target: Target,
    roles: str = "splits",
    held_out: Collection[str] = (),
) -> None:
    """Checks that not all training samples of a task have the same class, or the same score.

    Args:
        task: the task.
        labels: dataset -> its labels, as ``labels_by_domain`` gives them.
        target: of the task's target.
        roles: one of ``ROLES``.
        held_out: the names of classes that are not trained.

    Raises:
        DataError: they have, so that there is nothing to learn.
    """
    parts = ROLES["splits" if task.target in task.sources else roles]["train"]
    there: set[float] = set()
    for place in task.sources:
        own = labels[dataset_of(place)].get(domain_of(place), {})
        there |= {value for split in parts for value in own.get(split, ())}
    there -= {target.classes.index(name) for name in held_out if name in target.classes}
    if len(there) == 1:
        raise DataError(
            f"task {task.name}: all training samples are of {label_words(there.pop(), target)}, so there is nothing to "
            "learn: add samples with other labels, or leave the task out"
        )
