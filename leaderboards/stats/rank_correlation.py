"""Spearman's rank correlation, on samples and on resamples of them."""

from __future__ import annotations

import numpy as np

#: The most numbers of one array while resamples are ranked.
_AT_ONCE = 4_000_000


def ranks(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The mid-rank of each sample among the samples of each resample; equal values share the mean of their ranks.

    Args:
        values: [N].
        counts: [draws, N], how often each sample stands in each resample.

    Returns:
        [draws, N], float64, from 1; of a sample that does not stand in a resample, the rank that it would share.
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.append(0, np.flatnonzero(ordered[1:] != ordered[:-1]) + 1)
    group = np.empty(len(values), dtype=np.int64)
    group[order] = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(values))))
    size = np.add.reduceat(counts[:, order], starts, axis=1).astype(np.float64)
    middle = np.cumsum(size, axis=1) - (size - 1) / 2
    return middle[:, group]


def spearman(first: np.ndarray, second: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The correlation of ranks on each resample (Spearman 1904, with mid-ranks).

    Args:
        first: [N].
        second: [N].
        counts: [draws, N], how often each sample stands in each resample.

    Returns:
        [draws], in [-1, 1]; NaN where all values of either are equal.

    Raises:
        ValueError: shapes differ, or there is no sample.
    """
    if first.ndim != 1 or first.shape != second.shape or counts.shape[1:] != first.shape or not first.size:
        raise ValueError(f"values {first.shape} and {second.shape} for counts {counts.shape}")
    step = max(1, _AT_ONCE // len(first))
    parts = [
        _correlation(ranks(first, part), ranks(second, part), part)
        for part in (counts[start : start + step] for start in range(0, len(counts), step))
    ]
    return np.concatenate(parts)


def _correlation(one: np.ndarray, two: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """[draws]: Pearson's correlation of two arrays [draws, N], each sample as often as it is counted."""
    middle = (counts.sum(axis=1, keepdims=True) + 1) / 2  # the mean of the ranks, with ties or without
    one, two = one - middle, two - middle
    both = np.einsum("dn,dn,dn->d", counts, one, two)
    spread = np.einsum("dn,dn,dn->d", counts, one, one) * np.einsum("dn,dn,dn->d", counts, two, two)
    out = np.full(len(counts), np.nan)
    return np.clip(np.divide(both, np.sqrt(spread), out=out, where=spread > 1e-9), -1, 1)
