"""Whether the chains of a sampler tell the same."""

from __future__ import annotations

import numpy as np


def split_rhat(draws: np.ndarray) -> float:
    """Split R-hat (Gelman et al. 2013, Bayesian Data Analysis, third edition, section 11.4).

    Args:
        draws: [chains, draws], after burn-in. Each chain is cut into halves.

    Returns:
        1 where all halves agree, more where they do not; 1 where nothing varies; NaN of fewer than four draws.
    """
    half = draws.shape[1] // 2
    if half < 2:
        return float("nan")
    halves = np.concatenate([draws[:, :half], draws[:, draws.shape[1] - half :]])
    within = halves.var(axis=1, ddof=1).mean()
    between = half * halves.mean(axis=1).var(ddof=1)
    if within == 0:
        return 1.0 if between == 0 else float("inf")
    return float(np.sqrt(((half - 1) / half * within + between / half) / within))
