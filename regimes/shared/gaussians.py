"""Gaussian emissions of observations with holes, and their conjugate prior.

What was not observed is left out of a density, whose other columns keep their marginal: a modality that is missing at a
step is a factor of one. All arrays begin with an axis of chains, as in ``messages.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

#: Added to the variance of every column, so that constant observations have a density.
FLOOR = 1e-3
_LOG_TWO_PI = float(np.log(2 * np.pi))


@dataclass(frozen=True)
class Values:
    """Observations, and which of them there are.

    Attributes:
        array: [chains or 1, total, columns], float64, 0 where nothing was observed.
        known: [total, columns], bool.
    """

    array: np.ndarray
    known: np.ndarray

    @classmethod
    def of(cls, array: np.ndarray) -> Values:
        """Those of [total, columns] with NaN where nothing was observed."""
        known = np.isfinite(array)
        return cls(np.where(known, array, 0.0)[None], known)

    @cached_property
    def patterns(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """For every set of columns that occurs together: the columns and the rows, int64 both; no set is empty."""
        if self.known.all():
            return ((np.arange(self.known.shape[1]), np.arange(len(self.known))),)
        sets, inverse = np.unique(self.known, axis=0, return_inverse=True)
        found = ((np.flatnonzero(one), np.flatnonzero(inverse == place)) for place, one in enumerate(sets))
        return tuple((columns, rows) for columns, rows in found if len(columns))

    @cached_property
    def any_known(self) -> np.ndarray:
        """[total], bool: where anything was observed."""
        return np.asarray(self.known.any(axis=1))

    @cached_property
    def complete(self) -> bool:
        """Whether every step has all columns or none."""
        return bool((self.known.all(axis=1) | ~self.any_known).all())

    def incomplete(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """The patterns that have some columns and lack others: known columns, missing columns, rows."""
        width = self.known.shape[1]
        for columns, rows in self.patterns:
            if len(columns) < width:
                yield columns, np.setdiff1d(np.arange(width), columns), rows


def log_density(values: Values, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """[chains, total, states]: log density of what was observed at each step under each state; 0 where that is nothing.

    Args:
        values: the observations.
        mean: [chains, states, columns].
        covariance: [chains, states, columns, columns].
    """
    chains, states, width = mean.shape
    whole = len(values.patterns) == 1 and len(values.patterns[0][1]) == len(values.known)
    density = np.zeros((chains, len(values.known), states))
    for columns, rows in values.patterns:
        d = len(columns)
        array = values.array if whole and d == width else values.array[:, rows][:, :, columns]
        centre = mean[..., columns]
        root = np.linalg.cholesky(covariance[..., columns[:, None], columns])
        white = np.linalg.inv(root)  # of a triangle of a few columns
        constant = np.log(np.diagonal(root, axis1=2, axis2=3)).sum(axis=2) + d / 2 * _LOG_TWO_PI
        across = white.transpose(0, 3, 1, 2).reshape(chains, d, states * d)
        off = (white @ centre[..., None]).reshape(chains, 1, states * d)
        distance = array @ across
        distance -= off
        distance *= distance
        squares = distance.reshape(chains, len(rows), states, d).sum(axis=3) if d > 1 else distance
        squares *= -0.5
        squares -= constant[:, None]
        if whole:
            return squares
        density[:, rows] = squares
    return density


def draw_missing(
    values: Values, states: np.ndarray, mean: np.ndarray, covariance: np.ndarray, rng: np.random.Generator
) -> Values:
    """Fills the columns that a step lacks by draws given those it has, and its state. Steps without any stay as they are.

    Args:
        values: the observations.
        states: [chains, total].
        mean, covariance: as in ``log_density``.
        rng: the source of the draws.
    """
    if values.complete:
        return values
    chain = np.arange(len(mean))[:, None]
    array = np.broadcast_to(values.array, (len(mean), *values.array.shape[1:])).copy()
    for known, gone, rows in values.incomplete():
        slope, rest = conditional(covariance, known, gone)
        z = states[:, rows]
        off = array[:, rows][:, :, known] - mean[chain, z][..., known]
        drawn = mean[chain, z][..., gone] + (slope[chain, z] @ off[..., None])[..., 0]
        noise = rng.standard_normal((*z.shape, len(gone)))
        drawn += (np.linalg.cholesky(rest)[chain, z] @ noise[..., None])[..., 0]
        array[:, rows[:, None], gone] = drawn
    return replace(values, array=array)


def conditional(covariance: np.ndarray, known: np.ndarray, gone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distribution of some columns given others.

    Args:
        covariance: [..., columns, columns].
        known: the columns that are given.
        gone: the others.

    Returns:
        The regression [..., gone, known] and the covariance of what is left, [..., gone, gone].
    """
    among = covariance[..., known[:, None], known]
    cross = covariance[..., known[:, None], gone]
    solved = np.linalg.solve(among, cross)
    rest = covariance[..., gone[:, None], gone] - cross.swapaxes(-1, -2) @ solved
    return solved.swapaxes(-1, -2), (rest + rest.swapaxes(-1, -2)) / 2


@dataclass(frozen=True)
class NormalInverseWishart:
    """The conjugate prior of a Gaussian (Murphy 2007, Conjugate Bayesian analysis of the Gaussian distribution).

    Attributes:
        mean: [columns].
        strength: the number of observations that the mean counts as.
        degrees: of freedom, more than columns - 1.
        scale: [columns, columns], positive definite.
    """

    mean: np.ndarray
    strength: float
    degrees: float
    scale: np.ndarray

    @classmethod
    def around(cls, values: Values, strength: float = 0.05, share: float = 0.3) -> NormalInverseWishart:
        """Weak, around the data: states are expected to have a ``share`` of the covariance of all steps.

        Args:
            values: of one chain.
            strength: of the mean.
            share: of the covariance.
        """
        mean, covariance = moments(values)
        degrees = len(mean) + 3.0
        return cls(mean, strength, degrees, share * (degrees - len(mean) - 1) * covariance)

    def sample(
        self, counts: np.ndarray, sums: np.ndarray, squares: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draws means and covariances from the posterior; from the prior where counts are 0.

        Args:
            counts: [chains, states]: observations of each state.
            sums: [chains, states, columns]: their sum.
            squares: [chains, states, columns, columns]: the sum of their outer products.
            rng: the source of the draws.

        Returns:
            Means [chains, states, columns] and covariances [chains, states, columns, columns].
        """
        n = counts[..., None, None]
        strength = self.strength + n
        centre = (self.strength * self.mean + sums) / strength[..., 0]
        prior = self.strength * np.outer(self.mean, self.mean)
        scale = self.scale + prior + squares - strength * centre[..., :, None] * centre[..., None, :]
        covariance = sample_inverse_wishart(self.degrees + counts, scale, rng)
        root = np.linalg.cholesky(covariance)
        noise = rng.standard_normal(centre.shape)[..., None]
        return centre + ((root @ noise) / np.sqrt(strength))[..., 0], covariance


def sample_inverse_wishart(degrees: np.ndarray, scale: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws by Bartlett's decomposition (1933) of the precision.

    Args:
        degrees: [...], of freedom.
        scale: [..., columns, columns], positive definite.
        rng: the source of the draws.

    Returns:
        [..., columns, columns].
    """
    width = scale.shape[-1]
    factor = np.zeros(scale.shape)
    places = np.arange(width)
    factor[..., places, places] = np.sqrt(rng.chisquare(degrees[..., None] - places))
    below = np.tril_indices(width, -1)
    factor[(..., *below)] = rng.standard_normal((*degrees.shape, len(below[0])))
    # precision = U^-T A A^T U^-1 with scale = U U^T, so that the covariance is (U A^-T)(U A^-T)^T
    inverse = np.linalg.inv(factor) if width > 1 else 1 / factor
    root = np.linalg.cholesky(scale) @ inverse.swapaxes(-1, -2)
    return root @ root.swapaxes(-1, -2)


def moments(values: Values) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of all observations of one chain.

    Args:
        values: the observations; every column is observed at least once.

    Returns:
        [columns], and [columns, columns] with ``FLOOR`` on its diagonal; columns that are never observed together count
        as uncorrelated.
    """
    array, known = values.array[0], values.known
    counts = np.maximum(known.sum(axis=0), 1)
    mean = array.sum(axis=0) / counts
    off = np.where(known, array - mean, 0.0)
    pairs = np.maximum(known.T.astype(float) @ known, 1)
    covariance = off.T @ off / pairs
    if not values.complete:  # pairs of different steps need not be positive definite together
        size, turn = np.linalg.eigh(covariance)
        covariance = (turn * np.maximum(size, 0)) @ turn.T
    return mean, covariance + FLOOR * np.eye(len(mean))


def sufficient(values: Values, states: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Statistics of the steps of each state at which anything was observed.

    Args:
        values: without holes but for steps at which nothing was observed.
        states: [chains, total].
        count: the number of states.

    Returns:
        As ``NormalInverseWishart.sample`` takes them.
    """
    chains = len(states)
    width = values.array.shape[2]
    member = states[:, None, :] == np.arange(count)[:, None]
    if not values.any_known.all():
        member &= values.any_known
    weights = member.astype(np.float64)
    outer = (values.array[..., :, None] * values.array[..., None, :]).reshape(*values.array.shape[:2], -1)
    features = np.concatenate([np.ones((*values.array.shape[:2], 1)), values.array, outer], axis=2)
    found = weights @ features
    squares = found[..., 1 + width :].reshape(chains, count, width, width)
    return found[..., 0], found[..., 1 : 1 + width], squares
