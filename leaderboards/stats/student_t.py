"""Student's t distribution for many values at once."""

from __future__ import annotations

import math

import numpy as np


def t_cdf(degrees: int, t: np.ndarray) -> np.ndarray:
    """The distribution function for a whole number of degrees of freedom: a finite sum (Abramowitz and Stegun
    1964, 26.7.3 and 26.7.4), an order of magnitude faster than the incomplete beta function.

    Args:
        degrees: at least 1.
        t: any shape.

    Returns:
        The probability of at most ``t``, of the same shape.

    Raises:
        ValueError: fewer degrees than 1.
    """
    if degrees < 1:
        raise ValueError(f"{degrees} degrees of freedom: expected at least 1")
    ratio = t / math.sqrt(degrees)
    square = 1 / (1 + ratio * ratio)  # cos^2 of the angle whose tangent is the ratio
    sine = ratio * np.sqrt(square)
    # The sum is built from its last term on, as 1 + a (1 + b (1 + ...)) with rising factors.
    total = np.ones_like(square)
    if degrees % 2:
        for k in range(degrees - 3, 0, -2):
            total = 1 + total * square * (k / (k + 1))
        inner = np.arctan(ratio)
        if degrees > 1:
            inner += sine * np.sqrt(square) * total
        return 0.5 + inner / math.pi
    for k in range(degrees - 3, 0, -2):
        total = 1 + total * square * (k / (k + 1))
    return 0.5 + 0.5 * sine * total
