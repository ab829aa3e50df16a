"""k-means over steps, and how many clusters."""

from __future__ import annotations

import warnings

import numpy as np

#: Starts of k-means, of which the best is taken.
STARTS = 10


def filled(array: np.ndarray) -> np.ndarray:
    """Observations [total, columns] with the mean of a column where it was not observed; without columns that never were."""
    seen = np.isfinite(array)
    array, seen = array[:, seen.any(axis=0)], seen[:, seen.any(axis=0)]
    mean = np.where(seen, array, 0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    return np.where(seen, array, mean)


def kmeans(points: np.ndarray, count: int, rng: np.random.Generator, starts: int = STARTS) -> np.ndarray:
    """Labels [points] of the best of several starts by k-means++ (Arthur and Vassilvitskii 2007).

    Args:
        points: [points, columns].
        count: of clusters; fewer are found where fewer points differ.
        rng: the source of all draws.
        starts: how many.
    """
    from scipy.cluster.vq import kmeans2

    best, least = np.zeros(len(points), np.int64), np.inf
    if count < 2 or len(np.unique(points, axis=0)) < count:
        return np.unique(points, axis=0, return_inverse=True)[1] if count > 1 else best
    for _ in range(starts):
        with warnings.catch_warnings():  # an empty cluster is a bad start, and another is taken
            warnings.simplefilter("ignore", UserWarning)
            centre, label = kmeans2(points, count, iter=50, minit="++", rng=rng)
        spread = float(((points - centre[label]) ** 2).sum())
        if spread < least and len(np.unique(label)) == count:
            best, least = label.astype(np.int64), spread
    return best


def best_kmeans(points: np.ndarray, counts: range, rng: np.random.Generator) -> np.ndarray:
    """Labels [points] for the number of clusters with the highest index of Calinski and Harabasz (1974).

    Args:
        points: [points, columns].
        counts: the numbers that are tried, 2 at least; those that are not below the number of points are left out.
        rng: the source of all draws.
    """
    best, most = np.zeros(len(points), np.int64), -np.inf
    for count in counts:
        if count >= len(points):
            break
        label = kmeans(points, count, rng)
        index = _calinski_harabasz(points, label)
        if index > most:
            best, most = label, index
    return best


def _calinski_harabasz(points: np.ndarray, label: np.ndarray) -> float:
    """The index; minus infinity for one cluster, infinity where clusters are points."""
    sizes = np.bincount(label)
    count, total = len(sizes), len(points)
    if count < 2 or total <= count:
        return -np.inf
    centre = np.stack([points[label == one].mean(axis=0) for one in range(count)])
    between = float((sizes * ((centre - points.mean(axis=0)) ** 2).sum(axis=1)).sum())
    within = float(((points - centre[label]) ** 2).sum())
    return np.inf if within == 0 else between / within * (total - count) / (count - 1)
