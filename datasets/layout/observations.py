"""Which steps of a modality are valid, which of its entries were observed, and when each of its steps was, as the open layout
states them.

::

    vitals: {array: vitals, missing: nan}              # an entry that is NaN was not observed
    labs: {array: labs, observed: {array: labs_seen}}  # truth values of the shape of the features; others are not read
    notes: {array: notes, time: hours_of_notes}        # [samples, time] or, for all samples alike, [time], in seconds
    scans: {array: scans, time: {array: day, unit: days}}

Times are finite at valid steps and never run back within a sample. They are kept as float32 in seconds: where that cannot
tell two times apart, as those of a calendar, they must be counted from a nearer moment.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .. import samples as make
from ..dataset import data_error
from .description import ModalityRef


def observed_entries(
    array: np.ndarray, mask: np.ndarray, stated: np.ndarray | None, file: Path, key: str
) -> np.ndarray:
    """The entries of valid steps that were observed.

    Args:
        array: features, [samples, time, feature].
        mask: [samples, time], bool, the valid steps.
        stated: which entries were observed, as an array says it; None where NaN says it.
        file, key: what an error names.

    Returns:
        [samples, time, feature], bool; false at steps that are not valid.

    Raises:
        DataError: another shape or type, or steps are valid and no entry of them is observed.
    """
    if stated is None:
        observed = ~np.isnan(array)
    else:
        shaped = stated[:, None] if stated.ndim == 2 and array.shape[1] == 1 else stated
        if not mask.any():  # no sample has the modality: lists without steps have no width either
            shaped = np.zeros(array.shape, bool)
        if shaped.shape != array.shape or shaped.dtype.kind not in "biu" or not np.isin(shaped, (0, 1)).all():
            wrong = f"{stated.dtype} of shape {_shape(stated)}"
            raise data_error(file, key, wrong, f"truth values of shape {_shape(array)}, as the features have")
        observed = shaped.astype(bool)
    observed = observed & mask[..., None]
    if mask.any() and not observed.any():
        wrong = "no entry is observed in any sample of the split"
        raise data_error(file, key, wrong, "at least one observed entry in each split")
    return observed


def seconds(stated: np.ndarray, mask: np.ndarray, unit: float, file: Path, key: str) -> np.ndarray:
    """When each step was.

    Args:
        stated: [samples, time] or, for all samples alike, [time].
        mask: [samples, time], bool, the valid steps.
        unit: the seconds of a unit of ``stated``.
        file, key: what an error names.

    Returns:
        [samples, time], float32, in seconds; 0 at steps that are not valid.

    Raises:
        DataError: no numbers, another shape, or times that are not finite, run back, or become equal in float32.
    """
    values = make.numbers(stated, file, key)
    if values.shape not in (mask.shape, mask.shape[1:]):
        expected = f"times of shape {_shape(mask)}, or {mask.shape[1]} for all samples alike"
        raise data_error(file, key, f"shape {_shape(values)}", expected)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is not finite
        exact = np.broadcast_to(values.astype(np.float64) * unit, mask.shape)
        times = np.where(mask, exact, 0).astype(np.float32)
    for row, step in np.argwhere(~np.isfinite(times))[:1]:
        wrong = f"the time is {_plain(exact[row, step] / unit)} (sample {row}, step {step})"
        raise data_error(file, key, wrong, "finite times at valid steps")
    before, there = _before(exact, mask)
    for row, step in np.argwhere(there & (exact < before))[:1]:
        steps = f"{_plain(before[row, step] / unit)} to {_plain(exact[row, step] / unit)}"
        wrong = f"times run back from {steps} (sample {row}, step {step})"
        raise data_error(file, key, wrong, "times that never run back within a sample")
    last, _ = _before(times, mask)
    for row, step in np.argwhere(there & (exact > before) & (times == last))[:1]:
        pair = f"{float(before[row, step] / unit)!r} and {float(exact[row, step] / unit)!r}"
        wrong = f"times {pair} (sample {row}, step {step}) are one in float32 seconds"
        raise data_error(
            file, key, wrong, "times counted from a near moment, such as the beginning of each sample"
        )
    return times


def _before(times: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The latest time of the valid steps before each step, and where a valid step has one; both [samples, time]."""
    latest = np.maximum.accumulate(np.where(mask, times, -np.inf), axis=1)
    before = np.concatenate([np.full((len(times), 1), -np.inf), latest[:, :-1]], axis=1)
    return before, mask & (before > -np.inf)


def _plain(number: Any) -> str:
    return f"{float(number):g}"


def _shape(array: np.ndarray) -> str:
    return "x".join(map(str, array.shape)) or "a single number"


def observed_in(
    ref: ModalityRef, split: str, array: np.ndarray, mask: np.ndarray, stated: np.ndarray | None
) -> np.ndarray | None:
    """The observed entries of a split's features; None where all are.

    Args:
        ref: says how they are stated.
        split: of the dataset.
        array: the features, [samples, time, feature].
        mask: [samples, time], bool.
        stated: the array of them, where the description names one.
    """
    if ref.observed is None and not ref.nan:
        return None
    told = ref.observed or ref.features
    if stated is not None:
        make.check_rows({"modality": array, told.array: stated}, told.file_of(split), split)
    return observed_entries(array, mask, stated, told.file_of(split), f"{split}/{told.array}")


def valid_steps(
    ref: ModalityRef,
    split: str,
    array: np.ndarray,
    ragged: np.ndarray | None,
    stated: np.ndarray | None,
) -> np.ndarray:
    """The valid steps [samples, time] of a split's features.

    Args:
        ref: says how they are stated.
        split: of the dataset.
        array: the features, [samples, time, feature].
        ragged: the number of steps of each sample, where they were lists of different lengths.
        stated: the lengths or the mask, where the description names an array of them.

    Raises:
        DataError: a length or a mask that does not fit the features.
    """
    steps = array.shape[1]
    if ref.length is not None and stated is not None:
        file = ref.length.file_of(split)
        return make.mask_from_lengths(stated, steps, file, f"{split}/{ref.length.array}")
    if ref.mask is not None and stated is not None:
        if stated.shape != array.shape[:2] or stated.dtype.kind not in "biu":
            file = ref.mask.file_of(split)
            wrong = f"{stated.dtype} of shape {'x'.join(map(str, stated.shape))}"
            expected = f"truth values of shape {len(array)}x{steps}"
            raise data_error(file, f"{split}/{ref.mask.array}", wrong, expected)
        return stated.astype(bool)
    if ref.padding == "nonzero":
        return make.mask_nonzero(array)
    if ragged is not None and ref.padding is None:
        return np.arange(steps) < ragged[:, None]
    return np.ones(array.shape[:2], dtype=bool)
