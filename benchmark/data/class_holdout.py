"""Class holdout: some classes are removed from training, from validation and from the outputs of the network, and
their test samples serve as out-of-distribution data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...datasets.dataset import Samples, Target
from ...datasets.samples import take_rows
from ..core.errors import UsageError, nearest


def without_classes(target: Target, holdout: Sequence[str], task: str) -> Target:
    """The target without the held-out classes; the others keep their order.

    Args:
        target: of the whole dataset.
        holdout: the names of the classes that are removed.
        task: the name of the task, for the message.

    Raises:
        UsageError: the target has no classes or none of such a name, or fewer than two would be left.
    """
    if target.kind != "classification":
        raise UsageError(f"task {task}: a {target.kind} has no classes to hold out")
    for name in holdout:
        if name not in target.classes:
            raise UsageError(
                f"task {task} has no class {name!r}: {nearest(name, target.classes)}; "
                f"it has {', '.join(target.classes)}"
            )
    left = tuple(name for name in target.classes if name not in holdout)
    if len(left) < 2:
        raise UsageError(
            f"task {task}: {len(left)} of {len(target.classes)} classes would be left; a network needs two"
        )
    return replace(target, classes=left)


def split_by_class(samples: Samples, target: Target, kept: Target) -> tuple[Samples, Samples]:
    """Splits samples by whether their class is kept.

    Args:
        samples: samples of all classes.
        target: what their targets are numbered by.
        kept: the same target with fewer classes.

    Returns:
        The samples of the kept classes, their targets numbered by ``kept``, and all others, with target -1. A previous
        utterance that is in the other part is dropped, and so are labels of single modalities, whose classes may be held
        out where the sample's is not.
    """
    number = np.array([kept.classes.index(name) if name in kept.classes else -1 for name in target.classes])
    renumbered = replace(samples, target=number[samples.target], unimodal_target={})
    known = renumbered.target >= 0
    return take_rows(renumbered, np.flatnonzero(known)), take_rows(renumbered, np.flatnonzero(~known))
