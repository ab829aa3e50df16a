"""What the sources' training labels say of a task: counts of classes, moments of scores, and weights of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ...datasets.class_labels import balanced_weights


def label_statistics(target: torch.Tensor, classes: int) -> dict[str, Any]:
    """The fields of a Spec that the sources' training labels decide.

    Args:
        target: of the training samples, as ``Batch.target``.
        classes: their number; 0 where there are scores.
    """
    if target.ndim == 2:
        return {"class_counts": tuple(target.sum(dim=0).long().tolist())}
    if classes:
        return {"class_counts": tuple(torch.bincount(target, minlength=classes).tolist())}
    labels = target.double()
    return {"label_moments": (float(labels.mean()), float(labels.std(correction=0)))}


def balanced_label_weights(counts: Sequence[int], size: int) -> tuple[float, ...]:
    """As ``balanced_weights``, of every label apart: its presence counts as much as its absence.

    Args:
        counts: of each label, the samples that have it.
        size: all samples.

    Returns:
        The weights of the presence of each label, then those of its absence.
    """
    pairs = [balanced_weights((count, size - count)) for count in counts]
    return tuple(there for there, _ in pairs) + tuple(absent for _, absent in pairs)


def given_weights(weights: Mapping[str, float], classes: Sequence[str], *, labels: bool) -> tuple[float, ...]:
    """The weights that a protocol states, of all classes; 1 where it states none.

    Args:
        weights: class -> weight.
        classes: the names of the classes, or of the labels.
        labels: whether a sample has any number of them: a weight is then that of the label's presence, and its absence
            has 1.

    Returns:
        The weights of the classes; of labels those of their presence, then those of their absence.
    """
    stated = tuple(weights.get(name, 1.0) for name in classes)
    return stated + (1.0,) * len(stated) if labels else stated
