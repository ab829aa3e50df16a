"""How many seeds would a difference of the seen size need?

The paired t-test over seeds (Cohen 1988, chapter 2). The seen difference and its spread are taken for the true
ones, so that the number is a guide and no promise: from two or three seeds, the spread is known to a factor
of two at best.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

POWER = 0.8
ALPHA = 0.05
#: Where even so many seeds are too few, no number is given.
MOST = 100_000


def power_of(effect: float, n: int, alpha: float = ALPHA) -> float:
    """The probability that a two-sided paired t-test over n seeds finds a difference.

    Args:
        effect: mean of the differences over their standard deviation.
        n: seeds, at least 2.
        alpha: level of the test, between 0 and 1.

    Returns:
        The power, alpha to 1: both tails of the noncentral t with n - 1 degrees of freedom.

    Raises:
        ValueError: fewer than two seeds.
    """
    from scipy.special import gammainc, stdtrit

    if n < 2:
        raise ValueError(f"a t-test over {n} seeds has no spread, expected at least 2")
    df, shift = n - 1, abs(effect) * math.sqrt(n)
    border = float(stdtrit(df, 1 - alpha / 2))
    # scipy's noncentral t is NaN at some large shifts, so the power is averaged over the normal numerator z: the
    # test finds a difference where the sample deviation is below |z + shift| / border. That has a corner where
    # the numerator is 0, and each side of it is integrated by Gauss and Legendre.
    corner = max(-shift, -_FAR)
    place, weight = _nodes()
    z = np.concatenate([low + (high - low) * place for low, high in ((-_FAR, corner), (corner, _FAR))])
    width = np.concatenate([(corner + _FAR) * weight, (_FAR - corner) * weight])
    below = gammainc(df / 2, df / 2 * ((z + shift) / border) ** 2)
    return float((width * np.exp(-z * z / 2) * below).sum() / math.sqrt(2 * math.pi))


#: Beyond so many deviations there is no normal number.
_FAR = 9.0


@cache
def _nodes() -> tuple[np.ndarray, np.ndarray]:
    """Places in 0 to 1 and weights of Gauss and Legendre."""
    place, weight = np.polynomial.legendre.leggauss(200)
    return (place + 1) / 2, weight / 2


def seeds_needed(mean: float, sd: float, power: float = POWER, alpha: float = ALPHA) -> int | None:
    """The fewest seeds with which a paired t-test finds a difference of this size.

    Args:
        mean: of the differences, seed by seed.
        sd: their standard deviation (ddof = 1), 0 or more.
        power: how often it should be found.
        alpha: level of the test, two-sided.

    Returns:
        At least 2; None where the mean is 0 or ``MOST`` seeds are not enough.

    Raises:
        ValueError: a mean or sd that is not finite, or a negative sd.
    """
    if not (math.isfinite(mean) and math.isfinite(sd)) or sd < 0:
        raise ValueError(f"mean {mean} and sd {sd} say nothing of how many seeds are needed")
    if mean == 0:
        return None
    if sd == 0:
        return 2
    effect = mean / sd
    low, high = 1, 2
    while power_of(effect, high, alpha) < power:
        low, high = high, 2 * high
        if high > 2 * MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if power_of(effect, middle, alpha) < power:
            low = middle
        else:
            high = middle
    return high if high <= MOST else None
