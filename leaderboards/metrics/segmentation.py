"""Metrics of conversations cut into regimes: against labels, in the space of observations, and over time. Pure functions.

A metric that has no value for a segmentation raises ``UndefinedError``, whose message is the reason; it is never 0 instead.
Labels of regimes are names: no metric changes when they are permuted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from .base import UndefinedError

#: Steps by which a boundary may be off.
TOLERANCE = 1
#: The most steps of which a silhouette is computed in full; of more, every k-th is taken.
SILHOUETTE_STEPS = 4000


def contingency(first: ArrayLike, second: ArrayLike) -> np.ndarray:
    """How often each pair of labels occurs: [labels of the first, labels of the second], float64."""
    one = np.unique(np.asarray(first), return_inverse=True)[1]
    other = np.unique(np.asarray(second), return_inverse=True)[1]
    if len(one) != len(other) or not len(one):
        raise ValueError(f"expected as many labels of both, at least one; got {len(one)} and {len(other)}")
    shape = (int(one.max()) + 1, int(other.max()) + 1)
    return np.bincount(one * shape[1] + other, minlength=shape[0] * shape[1]).reshape(shape).astype(float)


def adjusted_rand_index(first: ArrayLike, second: ArrayLike) -> float:
    """Agreement of two labellings beyond chance (Hubert and Arabie 1985), from -0.5 to 1.

    Args:
        first: [steps], labels.
        second: [steps], others.
    """
    return float(ari_of(contingency(first, second)))


def ari_of(tables: np.ndarray) -> np.ndarray:
    """[...]: the adjusted Rand index of contingency tables [..., first, second]; 1 where both have one label alone."""

    def pairs(counts: np.ndarray) -> np.ndarray:
        return counts * (counts - 1) / 2

    together = pairs(tables).sum(axis=(-2, -1))
    rows, columns = pairs(tables.sum(axis=-1)).sum(axis=-1), pairs(tables.sum(axis=-2)).sum(axis=-1)
    every = np.maximum(pairs(tables.sum(axis=(-2, -1))), 1e-300)
    chance = rows * columns / every
    most = (rows + columns) / 2
    room = most - chance
    flat = np.abs(room) < 1e-12 * np.maximum(most, 1)
    return np.where(flat, 1.0, (together - chance) / np.where(flat, 1, room))


def v_measure(truth: ArrayLike, found: ArrayLike) -> float:
    """The harmonic mean of homogeneity and completeness (Rosenberg and Hirschberg 2007), from 0 to 1.

    Args:
        truth: [steps], labels.
        found: [steps], regimes.

    Raises:
        UndefinedError: there is one label alone, so that every segmentation is homogeneous.
    """
    table = contingency(truth, found)
    if table.shape[0] == 1:
        raise UndefinedError("there is one label alone")
    return float(v_measure_of(table))


def v_measure_of(tables: np.ndarray) -> np.ndarray:
    """[...]: the V-measure of contingency tables [..., truth, found]."""

    def entropy(counts: np.ndarray) -> np.ndarray:
        share = counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1e-300)
        return -(share * np.log(np.where(share > 0, share, 1))).sum(axis=-1)

    truth, found = entropy(tables.sum(axis=-1)), entropy(tables.sum(axis=-2))
    joint = entropy(tables.reshape(*tables.shape[:-2], -1))
    mutual = truth + found - joint
    homogeneous = np.where(truth > 0, mutual / np.where(truth > 0, truth, 1), 1.0)
    complete = np.where(found > 0, mutual / np.where(found > 0, found, 1), 1.0)
    total = homogeneous + complete
    return np.where(total > 1e-12, 2 * homogeneous * complete / np.where(total > 1e-12, total, 1), 0.0).clip(
        0, 1
    )


def boundaries(labels: ArrayLike) -> np.ndarray:
    """The steps of one conversation whose label is not that of the step before, int64."""
    array = np.asarray(labels)
    return np.flatnonzero(array[1:] != array[:-1]) + 1


def boundary_matches(truth: ArrayLike, found: ArrayLike, tolerance: int = TOLERANCE) -> np.ndarray:
    """Boundaries of one conversation that match, that are there, and that were found: [3], float64.

    Each boundary matches one at the most, nearest pairs of a step from left to right, which matches as many as can be.

    Args:
        truth: [steps], labels.
        found: [steps], regimes.
        tolerance: steps by which a boundary may be off.
    """
    true, said = boundaries(truth), boundaries(found)
    matches = place = 0
    for one in true:
        while place < len(said) and said[place] < one - tolerance:
            place += 1
        if place < len(said) and said[place] <= one + tolerance:
            matches += 1
            place += 1
    return np.array([matches, len(true), len(said)], float)


def boundary_f1(truth: Sequence[ArrayLike], found: Sequence[ArrayLike], tolerance: int = TOLERANCE) -> float:
    """F1 of boundaries over all conversations, from 0 to 1.

    Args:
        truth: one [steps] of labels a conversation.
        found: one [steps] of regimes a conversation.
        tolerance: steps by which a boundary may be off.

    Raises:
        UndefinedError: there is no boundary, neither true nor found.
    """
    total = np.sum([boundary_matches(*pair, tolerance) for pair in zip(truth, found, strict=True)], axis=0)
    if total[1] + total[2] == 0:
        raise UndefinedError("there is no boundary, neither in the labels nor in the regimes")
    return float(2 * total[0] / (total[1] + total[2]))


def dwells(labels: ArrayLike) -> np.ndarray:
    """The lengths of the segments of one conversation, int64."""
    array = np.asarray(labels)
    return np.diff(np.concatenate([[0], boundaries(array), [len(array)]]))


def silhouette(points: np.ndarray, labels: ArrayLike) -> float:
    """The mean silhouette (Rousseeuw 1987), from -1 to 1; of more than ``SILHOUETTE_STEPS`` steps that of every k-th.

    Args:
        points: [steps, columns], without NaN.
        labels: [steps], regimes.

    Raises:
        UndefinedError: there is one regime alone, or each step has its own.
    """
    label = _regimes(points, labels)
    every = -(-len(points) // SILHOUETTE_STEPS)
    points, label = points[::every], label[::every]
    label = _regimes(points, label)
    sizes = np.bincount(label)
    member = np.eye(len(sizes))[label]
    total = 0.0
    square = (points**2).sum(axis=1)
    for begin in range(0, len(points), 512):
        rows = slice(begin, begin + 512)
        distance = np.sqrt(np.maximum(square[rows, None] + square - 2 * points[rows] @ points.T, 0))
        sums = distance @ member
        own = label[rows]
        place = np.arange(len(own))
        inside = sums[place, own] / np.maximum(sizes[own] - 1, 1)
        means = sums / sizes
        means[place, own] = np.inf
        outside = means.min(axis=1)
        widest = np.maximum(inside, outside)
        value = np.where(widest > 0, (outside - inside) / np.where(widest > 0, widest, 1), 0)
        total += float(np.where(sizes[own] > 1, value, 0).sum())
    return total / len(points)


def davies_bouldin(points: np.ndarray, labels: ArrayLike) -> float:
    """The mean, over regimes, of the worst ratio of two spreads to a distance of centres (Davies and Bouldin 1979); 0 is best.

    Args:
        points: as of ``silhouette``.
        labels: as of ``silhouette``.

    Raises:
        UndefinedError: as ``silhouette``, or two regimes have one centre.
    """
    label = _regimes(points, labels)
    centre, spread = _centres(points, label)
    distance = _distances(centre)
    if (distance <= 0).any():
        raise UndefinedError("two regimes have the same centre")
    ratio = (spread[:, None] + spread) / distance
    np.fill_diagonal(ratio, -np.inf)
    return float(ratio.max(axis=1).mean())


def calinski_harabasz(points: np.ndarray, labels: ArrayLike) -> float:
    """The ratio of the variance between regimes to that within (Calinski and Harabasz 1974); more is better.

    Args:
        points: as of ``silhouette``.
        labels: as of ``silhouette``.

    Raises:
        UndefinedError: as ``silhouette``, or nothing varies within regimes.
    """
    label = _regimes(points, labels)
    centre, _ = _centres(points, label)
    sizes = np.bincount(label)
    within = float(((points - centre[label]) ** 2).sum())
    if within == 0:
        raise UndefinedError("nothing varies within regimes")
    between = float((sizes * ((centre - points.mean(axis=0)) ** 2).sum(axis=1)).sum())
    return between / within * (len(points) - len(sizes)) / (len(sizes) - 1)


def separation(points: np.ndarray, labels: ArrayLike) -> float:
    """The least distance of two centres over the mean spread within regimes; more is better.

    Args:
        points: as of ``silhouette``.
        labels: as of ``silhouette``.

    Raises:
        UndefinedError: as ``silhouette``, or nothing varies within regimes.
    """
    label = _regimes(points, labels)
    centre, spread = _centres(points, label)
    mean = float(spread.mean())
    if mean == 0:
        raise UndefinedError("nothing varies within regimes")
    return float(_distances(centre).min()) / mean


def _regimes(points: np.ndarray, labels: ArrayLike) -> np.ndarray:
    """Labels from 0 on without gaps."""
    label = np.unique(np.asarray(labels), return_inverse=True)[1]
    if len(points) != len(label):
        raise ValueError(f"{len(points)} points, but {len(label)} labels")
    count = int(label.max()) + 1
    if count == 1:
        raise UndefinedError("one regime alone")
    if count >= len(points):
        raise UndefinedError("a regime for each step")
    return label


def _centres(points: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[regimes, columns] and [regimes]: the centre of each regime, and the mean distance from it."""
    sizes = np.bincount(label)
    centre = np.stack([points[label == one].mean(axis=0) for one in range(len(sizes))])
    distance = np.sqrt(((points - centre[label]) ** 2).sum(axis=1))
    return centre, np.bincount(label, distance) / sizes


def _distances(centre: np.ndarray) -> np.ndarray:
    """[regimes, regimes], infinity on the diagonal."""
    distance = np.sqrt(((centre[:, None] - centre) ** 2).sum(axis=2))
    np.fill_diagonal(distance, np.inf)
    return distance
