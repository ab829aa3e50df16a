"""From many draws of states to one labelling, and from the states of several factors to regimes."""

from __future__ import annotations

import numpy as np


def least_squares_draw(draws: np.ndarray) -> int:
    """The draw whose partition is nearest to the posterior similarity of all (Dahl 2006).

    Its distance is the sum over pairs of steps of (together in the draw - share of draws in which they are together)^2. The
    matrix of pairs is never made: all that is needed are the contingency tables of each two draws.

    Args:
        draws: [draws, total], int.

    Returns:
        Its place.
    """
    count = int(draws.max()) + 1
    best, least = 0, np.inf
    wide = draws.astype(np.int64)
    for place, one in enumerate(wide):
        cells = one * count + wide  # [draws, total]
        shared = sum(
            float((np.bincount(row, minlength=count * count).astype(float) ** 2).sum()) for row in cells
        )
        own = float((np.bincount(one, minlength=count).astype(float) ** 2).sum())
        distance = own - 2 * shared / len(wide)
        if distance < least:
            best, least = place, distance
    return best


def align(draws: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Posterior probabilities of states, after the labels of every draw are matched to those of a reference.

    Args:
        draws: [draws, total], int.
        reference: [total], int, without gaps.

    Returns:
        [total, states] float64; states that match none of the reference's follow behind these.
    """
    from scipy.optimize import linear_sum_assignment

    total = len(reference)
    count = max(int(draws.max()), int(reference.max())) + 1
    posterior = np.zeros((total, count))
    rows = np.arange(total)
    for one in draws.astype(np.int64):
        table = np.bincount(one * count + reference, minlength=count * count).reshape(count, count)
        before, after = linear_sum_assignment(-table)
        name = np.empty(count, np.int64)
        name[before] = after
        posterior[rows, name[one]] += 1
    return posterior / len(draws)


def consensus(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The state that each step most probably has, and how probable all are.

    Args:
        draws: [draws, total], int, of all chains; their labels may differ.

    Returns:
        [total] int64 without gaps, the more frequent states first; and [total, states] float64.
    """
    reference = draws[least_squares_draw(draws)].astype(np.int64)
    reference = np.unique(reference, return_inverse=True)[1]
    posterior = align(draws, reference)
    states = posterior.argmax(axis=1)
    sizes = np.bincount(states, minlength=posterior.shape[1])
    order = np.argsort(-sizes, kind="stable")
    used = int((sizes > 0).sum())
    rank = np.argsort(order)
    posterior = posterior[:, order]
    if (
        used < posterior.shape[1]
    ):  # states that nowhere are the most probable share what they have among those that are
        rest = posterior[:, used:].sum(axis=1, keepdims=True)
        posterior = posterior[:, :used] + rest / used
    return rank[states], posterior


def join_factors(states: np.ndarray, values: np.ndarray, least: int) -> np.ndarray:
    """Regimes: tuples of the states of all factors. Tuples of few steps are merged into the nearest of the others, by the
    number of factors that differ, then by the distance of centroids.

    Args:
        states: [total, factors], int.
        values: [total, columns], NaN where nothing was observed; for centroids.
        least: tuples of fewer steps are merged.

    Returns:
        [total], int64, without gaps, the more frequent first.
    """
    tuples, inverse, sizes = np.unique(states, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(-sizes, kind="stable")
    kept = [one for one in order.tolist() if sizes[one] >= least] or [int(order[0])]
    filled = np.where(np.isfinite(values), values, 0.0)
    centre = np.stack([filled[inverse == one].mean(axis=0) for one in range(len(tuples))])
    name = {one: place for place, one in enumerate(kept)}
    for one in set(range(len(tuples))) - set(kept):
        nearest = min(
            kept,
            key=lambda other: (
                int((tuples[one] != tuples[other]).sum()),
                float(((centre[one] - centre[other]) ** 2).sum()),
            ),
        )
        name[one] = name[nearest]
    return np.array([name[one] for one in range(len(tuples))])[inverse]
