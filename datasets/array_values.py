"""Values of raw arrays, checked: numbers, names and labels. Each check names file and key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .class_labels import class_indices, index_of
from .counting import counted
from .dataset import Target, data_error

#: The share of a feature's deviation that rounding may be.
_LOST = 0.01
#: A deviation below this share of the values is rounding of whatever computed them: the feature is constant.
_CONSTANT = 1e-11
_AT_ONCE = 1 << 20  # values: no second array of the size of the first
# Labels are averages of annotations, stored as float32: this far outside the range is rounding, not an error.
_LABEL_SLACK = 1e-4


def numbers(array: object, file: Path, key: str) -> np.ndarray:
    """An array of numbers, as it is.

    Args:
        array: anything that numpy takes.
        file, key: what an error names.

    Raises:
        DataError: objects, text, lists of unequal length or complex numbers.
    """
    values = _array(array, file, key)
    if values.dtype.kind not in "fiub":
        raise data_error(file, key, f"an array of type {values.dtype}", "numbers")
    return values


def _array(array: object, file: Path, key: str) -> np.ndarray:
    try:
        return np.asarray(array)
    except ValueError:
        raise data_error(file, key, "rows of unequal shape", "one array") from None


def text(array: object, file: Path, key: str) -> np.ndarray:
    """Names as text.

    Args:
        array: [samples], text, bytes in UTF-8 or whole numbers.
        file, key: what an error names.

    Returns:
        [samples], str.

    Raises:
        DataError: anything else.
    """
    values = _array(array, file, key)
    if values.ndim != 1:
        raise data_error(file, key, f"shape {'x'.join(map(str, values.shape))}", "one name a sample")
    if values.dtype.kind == "U":
        return values
    if values.dtype.kind in "iu":
        return values.astype(str)
    names: list[str] = []
    for row, value in enumerate(values.tolist()):
        try:
            name = value.decode() if isinstance(value, bytes) else value
        except UnicodeDecodeError:
            wrong = f"bytes that are not UTF-8 (sample {row})"
            raise data_error(file, key, wrong, "names as text") from None
        if not isinstance(name, str):
            shown = "nothing" if name is None else f"a value of type {type(name).__name__}"
            wrong = f"{shown} (sample {row}) in an array of type {values.dtype}"
            raise data_error(file, key, wrong, "names or whole numbers")
        names.append(name)
    return np.array(names, dtype=str)


def labels(
    array: object,
    target: Target,
    file: Path,
    key: str,
    *,
    among: Sequence[np.ndarray] = (),
    indices: bool = False,
) -> np.ndarray:
    """Targets [samples]: float32 scores within the target's range, or int64 class indices; of several labels a sample,
    [samples, classes], float32 of 0 and 1.

    Class labels are names of classes or indices, as text, numbers or truth values, as ``class_labels.class_indices`` reads
    them.

    Args:
        array: the labels, [samples] or [samples, 1]; [samples, classes] of numbers or truth values (multi-label).
        target: what is predicted.
        file, key: what an error names.
        among: the labels of all splits, which mean one thing together; by default these alone.
        indices: class labels are indices whatever the classes are called, as mmbench writes them.

    Raises:
        DataError: wrong shape, NaN, a score outside the range, an unknown class, anything but 0 and 1 for a label of
            several, or numbers that may be names of classes and indices of others.
    """
    if target.kind == "multi-label":
        return _label_sets(array, target, file, key)
    raw = _column(array, file, key)
    if target.kind == "classification":
        return _class_indices(raw, target, file, key, [_column(one, file, key) for one in among], indices)
    scores = as_float32(numbers(raw, file, key))
    if not np.isfinite(scores).all():
        row = int(np.argmin(np.isfinite(scores)))
        raise data_error(file, key, f"the label of sample {row} is {scores[row]}", "finite numbers")
    if target.label_range is not None and len(scores):
        low, high = target.label_range
        outside = (scores < low - _LABEL_SLACK) | (scores > high + _LABEL_SLACK)
        if outside.any():
            row = int(np.argmax(outside))
            wrong = (
                f"{counted(int(outside.sum()), 'label')} out of range, first {scores[row]:g} (sample {row})"
            )
            raise data_error(file, key, wrong, f"{low:g} to {high:g}")
    return scores


def _label_sets(array: object, target: Target, file: Path, key: str) -> np.ndarray:
    """[samples, classes], float32: 1 where a sample has a label and 0 where not."""
    values = numbers(array, file, key)
    count = len(target.classes)
    if values.ndim != 2 or values.shape[1] != count:
        shape = "x".join(map(str, values.shape))
        raise data_error(file, key, f"shape {shape}", f"samples x {count}, a column for each of the classes")
    wrong = ~((values == 0) | (values == 1))
    if wrong.any():
        row, column = (int(index) for index in np.argwhere(wrong)[0])
        place = f"sample {row}, class {target.classes[column]}"
        raise data_error(file, key, f"{values[row, column]} ({place})", "0 or 1 for each class of a sample")
    return values.astype(np.float32)


def _column(array: object, file: Path, key: str) -> np.ndarray:
    raw = _array(array, file, key)
    if raw.ndim == 2 and raw.shape[1] == 1:
        raw = raw[:, 0]
    if raw.ndim != 1:
        raise data_error(file, key, f"shape {'x'.join(map(str, raw.shape))}", "one label a sample")
    return raw


def _class_indices(
    raw: np.ndarray, target: Target, file: Path, key: str, among: Sequence[np.ndarray], indices: bool
) -> np.ndarray:
    written = [_label_cells(one, file, key) for one in (raw, *among)]
    numeric = raw.dtype.kind in "fiub"
    try:
        if indices and numeric:
            encoded = [index_of(cell, len(target.classes)) for cell in written[0]]
        else:
            everything = list(dict.fromkeys(cell for cells in written for cell in cells))
            index = dict(
                zip(everything, class_indices(everything, target.classes, numbers=numeric), strict=True)
            )
            encoded = [index[cell] for cell in written[0]]
    except ValueError as error:
        raise data_error(file, key, str(error), "labels that mean one thing: names as text, or 0 to "
                         f"{len(target.classes) - 1}") from None  # fmt: skip
    if None in encoded:
        row = encoded.index(None)
        names = ", ".join(target.classes[:20])
        expected = f"0 to {len(target.classes) - 1} or one of {names}"
        raise data_error(file, key, f"unknown class {written[0][row]} (sample {row})", expected)
    return np.array(encoded, dtype=np.int64)


def _label_cells(raw: np.ndarray, file: Path, key: str) -> list[str]:
    """Labels as they would stand in a table of text: numbers and truth values, too."""
    if raw.dtype.kind in "USO":
        return [str(name).strip() for name in text(raw, file, key)]
    return [str(value) for value in numbers(raw, file, key).tolist()]


def as_float32(values: np.ndarray) -> np.ndarray:
    """Numbers as float32. What overflows or is no number is infinite or NaN without a warning: the caller reports it."""
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(np.float32, copy=False)


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
