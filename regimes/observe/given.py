"""Valence and arousal as the dataset has them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..segmenter import DIMENSIONS


def given(arrays: Mapping[str, np.ndarray], rate: float | None) -> np.ndarray:
    """[samples, 2]: the arrays themselves; a dimension that has none is NaN.

    Args:
        arrays: ``valence`` and ``arousal``, or one of them, [samples] each; what is not finite was not observed.
        rate: not used.
    """
    found = [np.asarray(arrays[name], float) for name in DIMENSIONS if name in arrays]
    nothing = np.full(len(found[0]), np.nan)
    columns = [np.asarray(arrays[name], float) if name in arrays else nothing for name in DIMENSIONS]
    stacked = np.stack(columns, axis=1)
    return np.where(np.isfinite(stacked), stacked, np.nan)
