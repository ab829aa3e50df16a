"""Standardisation of features: subtract the mean, divide by the standard deviation, clip outliers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ...datasets.dataset import Samples
from .compatibility import Blocks

#: Standardised features are clipped at this number of standard deviations, as acoustic features reach hundreds.
FEATURE_LIMIT = 5.0
#: modality -> first column of a block -> mean and inverse standard deviation of its columns, each float32 [width]
Statistics = dict[str, dict[int, tuple[np.ndarray, np.ndarray]]]


def standardize(values: np.ndarray, mean: np.ndarray, inverse: np.ndarray) -> None:
    """Standardises features in place.

    Args:
        values: float32 [..., width].
        mean: float32 [width].
        inverse: the inverse standard deviation, float32 [width].
    """
    values -= mean
    values *= inverse
    np.clip(values, -FEATURE_LIMIT, FEATURE_LIMIT, out=values)


def feature_statistics(parts: Sequence[tuple[str, Samples]], blocks: Mapping[str, Blocks]) -> Statistics:
    """Mean and inverse standard deviation of every feature over the observed entries of the valid steps of some samples.

    Args:
        parts: dataset, or domain of one, and its samples: those of the sources' training split.
        blocks: modality -> which columns each of them fills.

    Returns:
        The statistics of each block of columns. The inverse of a feature that is constant, or never observed, is 0.
    """
    statistics: Statistics = {modality: {} for modality in blocks}
    for modality, places in blocks.items():
        for start in {places[name][0] for name, _ in parts}:
            members = [part for name, part in parts if places[name][0] == start]
            count = np.maximum(_entries(members, modality), 1)
            zero = np.zeros(members[0].features[modality].shape[2])
            mean = sum((steps.sum(0) for steps, _ in _valid_steps(members, modality)), zero) / count
            deviations = ((steps - mean, seen) for steps, seen in _valid_steps(members, modality))
            squares = ((away**2 if seen is None else away**2 * seen).sum(0) for away, seen in deviations)
            variance = sum(squares, zero)
            deviation = np.sqrt(variance / count)
            # A constant feature becomes 0: dividing by its rounding error would make noise of it.
            constant = deviation <= 1e-6 * np.maximum(np.abs(mean), 1e-30)
            inverse = np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, deviation))
            statistics[modality][start] = mean.astype(np.float32), inverse.astype(np.float32)
    return statistics


def _entries(members: Sequence[Samples], modality: str) -> int | np.ndarray:
    """The number of valid steps; of a partly observed modality that of observed entries, int64 [width]."""
    if not any(modality in part.observed for part in members):
        return sum(int(part.mask[modality].sum()) for part in members)
    return np.sum([part.observed_entries(modality).sum((0, 1)) for part in members], axis=0)


def _valid_steps(members: Sequence[Samples], modality: str) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """The valid steps [steps, width] as float64, a few samples at a time: whole datasets would not fit twice; and, bool
    of that shape, which entries were observed, None where all were. Entries that were not are read as 0."""
    for part in members:
        for first in range(0, len(part), 256):
            rows = slice(first, first + 256)
            valid = part.mask[modality][rows]
            steps = part.features[modality][rows][valid].astype(np.float64)
            entries = part.observed[modality][rows][valid] if modality in part.observed else None
            yield steps if entries is None else np.where(entries, steps, 0), entries
