"""Validation samples that are drawn from the training part, where a dataset states none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .dataset import VALIDATION_SEED, VALIDATION_SHARE
from .divide import divide


def draw_validation(
    count: int,
    share: float = VALIDATION_SHARE,
    *,
    classes: np.ndarray | None = None,
    groups: Sequence[str] | None = None,
) -> np.ndarray:
    """Which training samples validate. The same arguments give the same draw.

    Args:
        count: the number of training samples, two or more.
        share: of them that validates, above 0 and below 1.
        classes: [count], the class of each sample; every class gives its share, as far as it has samples.
        groups: [count], what must not lie on both sides, such as the video of each sample; ``classes`` is not looked
            at then.

    Returns:
        [count], bool, true for at least one sample and not for all.

    Raises:
        ValueError: there are fewer than two groups.
    """
    if groups is not None:
        parts = divide(groups, {"train": 1 - share, "valid": share}, "validation part")
        return np.array([part == "valid" for part in parts])
    order = np.random.default_rng(VALIDATION_SEED).permutation(count)
    wanted = min(max(1, round(share * count)), count - 1)
    places = np.arange(wanted)
    if classes is not None:
        # Evenly spaced along the classes, which lie one after the other: each gives its share to within one sample.
        order = order[np.argsort(classes[order], kind="stable")]
        places = np.flatnonzero(np.arange(count) * wanted % count < wanted)
    drawn = np.zeros(count, dtype=bool)
    drawn[order[places]] = True
    return drawn
