"""Divisions of samples into folds for cross-validation: by class, and by whole groups such as videos or persons.

What a division depends on is a fixed seed, the names of samples or groups, and their classes: not the order of the
samples, not the seed of a training, and not the machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import numpy as np

from .counting import counted

#: Names the draw: another text gives other folds.
SEED = "folds"


def draw_folds(
    count: int,
    names: Sequence[str],
    *,
    classes: np.ndarray | None = None,
    groups: Sequence[str] | None = None,
) -> np.ndarray:
    """Divides samples into folds of about the same size.

    Without groups every class is dealt out evenly: its numbers in two folds differ by one at the most, and so do the
    sizes of the folds. With groups the largest come first, and each goes to the fold that has least of its classes and
    of all samples so far, which is as even as the groups allow.

    Args:
        count: number of folds, two or more.
        names: [samples], the name of each, unique.
        classes: [samples], the class of each, int64; None for scores, whose values are not looked at.
        groups: [samples], what must lie in one fold as a whole; None for single samples.

    Returns:
        [samples], int64, the fold of each sample, from 0; none is empty.

    Raises:
        ValueError: there are fewer groups, or samples, than folds.
    """
    wholes = names if groups is None else groups
    there = len(set(wholes))
    if there < count:
        what = "sample" if groups is None else "group"
        raise ValueError(f"there {'is' if there == 1 else 'are'} {counted(there, what)} for {count} folds")
    kinds = np.zeros(len(names), np.int64) if classes is None else np.asarray(classes)
    if groups is not None:
        return _by_group(count, groups, kinds)
    order = sorted(range(len(names)), key=lambda row: (kinds[row], _draw(names[row])))
    folds = np.empty(len(names), np.int64)
    folds[order] = np.arange(len(names)) % count
    return folds


def folds_of_groups(groups: Sequence[str]) -> np.ndarray:
    """A fold for each group, in the order of their names.

    Args:
        groups: [samples], the group of each.

    Returns:
        [samples], int64, from 0.

    Raises:
        ValueError: there are fewer than two groups.
    """
    names, folds = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"there is {len(names)} group: nothing can be left out")
    return folds.astype(np.int64)


def _by_group(count: int, groups: Sequence[str], kinds: np.ndarray) -> np.ndarray:
    """[samples]: each group goes where its classes are rarest."""
    names, group = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    classes, kind = np.unique(kinds, return_inverse=True)
    numbers = np.zeros((len(names), len(classes)))
    np.add.at(numbers, (group, kind), 1)
    # Shares of each class, and of all samples: a class counts as much as any other, however rare it is.
    share = np.column_stack([numbers / numbers.sum(axis=0), numbers.sum(axis=1) / len(kinds)])
    sizes = numbers.sum(axis=1)
    order = sorted(range(len(names)), key=lambda place: (-sizes[place], _draw(str(names[place]))))
    held = np.zeros((count, share.shape[1]))
    chosen = np.empty(len(names), np.int64)
    for place in order:
        # The sum of squared shares grows least there; an empty fold has 0, and any other has more.
        fold = int(np.argmin(held @ share[place]))
        chosen[place] = fold
        held[fold] += share[place]
    return chosen[group]


def _draw(name: str) -> bytes:
    """A random number that belongs to a name."""
    return sha256(f"{SEED}\0{name}".encode()).digest()
