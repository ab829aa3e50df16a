"""Classes that a network is not to know: gone from training, validation and its outputs, foreign in the test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...datasets.dataset import Samples, Target
from ..core.errors import UsageError, nearest


def without_classes(target: Target, held_out: Sequence[str], task: str) -> Target:
    """The target with the classes that are left, in their order.

    Args:
        target: of the whole dataset.
        held_out: the names of the classes that go.
        task: its name, for the message.

    Raises:
        UsageError: it has no classes, none of such a name, or fewer than two are left.
    """
    if target.kind != "classification":
        raise UsageError(f"task {task}: a {target.kind} has no classes to hold out")
    for name in held_out:
        if name not in target.classes:
            raise UsageError(
                f"task {task} has no class {name!r}: {nearest(name, target.classes)}; "
                f"it has {', '.join(target.classes)}"
            )
    left = tuple(name for name in target.classes if name not in held_out)
    if len(left) < 2:
        raise UsageError(
            f"task {task}: {len(left)} of {len(target.classes)} classes would be left; a network needs two"
        )
    return replace(target, classes=left)


def split_by_class(samples: Samples, target: Target, kept: Target) -> tuple[Samples, Samples]:
    """The samples of the kept classes, numbered anew, and the others, whose target is -1.

    A previous utterance of the other part is none.
    """
    number = np.array([kept.classes.index(name) if name in kept.classes else -1 for name in target.classes])
    renumbered = replace(samples, target=number[samples.target])
    known = renumbered.target >= 0
    return take_rows(renumbered, np.flatnonzero(known)), take_rows(renumbered, np.flatnonzero(~known))


def take_rows(samples: Samples, rows: np.ndarray) -> Samples:
    """The samples at ``rows``, int64 [n]."""
    place = np.full(len(samples) + 1, -1, dtype=np.int64)  # the last place is that of "none", row -1
    place[rows] = np.arange(len(rows))
    return Samples(
        features={name: array[rows] for name, array in samples.features.items()},
        mask={name: array[rows] for name, array in samples.mask.items()},
        present={name: array[rows] for name, array in samples.present.items()},
        target=samples.target[rows],
        sample_id=samples.sample_id[rows],
        domain=samples.domain[rows],
        previous=place[samples.previous[rows]],
    )
