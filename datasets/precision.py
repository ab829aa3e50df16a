"""Whether 32 bits hold what features say: a clock of 1.7e9 seconds is known to two minutes afterwards."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .dataset import data_error

#: The share of a feature's deviation that rounding may be.
_LOST = 0.01
#: A deviation below this share of the values is rounding of whatever computed them: the feature is constant.
_CONSTANT = 1e-11
_AT_ONCE = 1 << 20  # values: no second array of the size of the first


def check_precision(exact: np.ndarray, kept: np.ndarray, file: Path, key: str) -> None:
    """Refuses features whose variation is lost when they become float32.

    Zeros and what is not finite are passed over, as they may be padding or unobserved.

    Args:
        exact: [samples, time, feature], as they were read.
        kept: the same as float32.
        file, key: what the error names.

    Raises:
        DataError: the rounding of a feature is more than a hundredth of its standard deviation.
    """
    if np.can_cast(exact.dtype, np.float32) or exact.dtype.kind not in "fiu":
        return
    width = exact.shape[-1]
    count, total, squares, errors = (np.zeros(width) for _ in range(4))
    start = np.zeros(width)
    rows, rounded = exact.reshape(-1, width), kept.reshape(-1, width)
    step = max(_AT_ONCE // width, 1)
    for begin in range(0, len(rows), step):
        part = rows[begin : begin + step].astype(np.float64)
        there = np.isfinite(part) & (part != 0) & np.isfinite(rounded[begin : begin + step])
        # Sums of differences from a value of the feature keep their digits where those from 0 would not.
        first = part[there.argmax(axis=0), np.arange(width)]
        start = np.where((count == 0) & there.any(axis=0), first, start)
        apart = np.where(there, part, start) - start
        count += there.sum(axis=0)
        total += apart.sum(axis=0)
        squares += np.square(apart).sum(axis=0)
        read = np.where(there, rounded[begin : begin + step], 0)
        errors += np.square(np.where(there, part, 0) - read).sum(axis=0)
    samples = np.maximum(count, 1)
    mean = total / samples
    deviation = np.sqrt(np.maximum(squares / samples - mean**2, 0))
    lost = np.sqrt(errors / samples)
    wrong = (lost > _LOST * deviation) & (deviation > _CONSTANT * np.abs(start + mean))
    if wrong.any():
        column = int(wrong.argmax())
        raise data_error(
            file,
            key,
            f"feature {column} varies by {deviation[column]:.3g} about {(start + mean)[column]:.7g}, "
            f"of which 32-bit numbers lose {lost[column]:.2g}",
            "features whose mean or first value was subtracted before they were saved",
        )
