"""From raw arrays to checked samples: what every reader shares. Each check names file and key."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .dataset import SPLITS, Samples, Target, data_error

# Labels are averages of annotations, stored as float32: this far outside the range is rounding, not an error.
_LABEL_SLACK = 1e-4

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?", re.ASCII)


def numbers(array: object, file: Path, key: str) -> np.ndarray:
    """An array of numbers, as it is. Raises DataError for objects, text, ragged lists and complex numbers."""
    found = _array(array, file, key)
    if found.dtype.kind not in "fiub":
        raise data_error(file, key, f"an array of type {found.dtype}", "numbers")
    return found


def _array(array: object, file: Path, key: str) -> np.ndarray:
    try:
        return np.asarray(array)
    except ValueError:
        raise data_error(file, key, "rows of unequal shape", "one array") from None


def features(array: object, file: Path, key: str, *, negative_infinity_to_zero: bool = False) -> np.ndarray:
    """Features [samples, time, feature] from an array of that shape or [samples, feature] (one time step).

    float16 is kept, everything else becomes float32.

    Args:
        array: the raw features.
        file, key: what an error names.
        negative_infinity_to_zero: -inf (the logarithm of silence in published audio features) becomes 0.

    Raises:
        DataError: another number of dimensions, nothing in it, NaN or infinite values.
    """
    found = numbers(array, file, key)
    if found.ndim == 2:
        found = found[:, None, :]
    if found.ndim != 3:
        shape = "x".join(map(str, found.shape)) or "a single number"
        raise data_error(file, key, f"shape {shape}", "[samples, time, feature] or [samples, feature]")
    if 0 in found.shape:
        what = ("samples", "time steps", "features")[found.shape.index(0)]
        raise data_error(file, key, f"no {what}", "at least one")
    if found.dtype != np.float16:
        with np.errstate(over="ignore"):  # what overflows is reported as infinite below
            found = found.astype(np.float32, copy=False)
    finite = np.isfinite(found)
    if finite.all():
        # a tensor can share this memory only if it may be written to
        return np.require(found, requirements=["C_CONTIGUOUS", "WRITEABLE"])
    if negative_infinity_to_zero:
        silent = np.isneginf(found)
        found = np.where(silent, found.dtype.type(0), found)
        finite |= silent
    if not finite.all():
        row, step, column = (int(index) for index in np.argwhere(~finite)[0])
        place = f"sample {row}, step {step}, feature {column}"
        count = int((~finite).sum())
        raise data_error(
            file,
            key,
            f"{count} values are {found[row, step, column]} or alike, first at {place}",
            "finite numbers",
        )
    return found


def labels(array: object, target: Target, file: Path, key: str) -> np.ndarray:
    """Targets [samples]: float32 scores within the target's range, or int64 class indices.

    Class labels are indices, or the names of the classes as text.

    Raises:
        DataError: wrong shape, NaN, a score outside the range, an unknown class.
    """
    raw = _array(array, file, key)
    if raw.ndim == 2 and raw.shape[1] == 1:
        raw = raw[:, 0]
    if raw.ndim != 1:
        raise data_error(file, key, f"shape {'x'.join(map(str, raw.shape))}", "one label a sample")
    if target.kind == "classification":
        return _class_indices(raw, target, file, key)
    scores = numbers(raw, file, key).astype(np.float32)
    if not np.isfinite(scores).all():
        row = int(np.argmin(np.isfinite(scores)))
        raise data_error(file, key, f"the label of sample {row} is {scores[row]}", "finite numbers")
    if target.label_range is not None and len(scores):
        low, high = target.label_range
        outside = (scores < low - _LABEL_SLACK) | (scores > high + _LABEL_SLACK)
        if outside.any():
            row = int(np.argmax(outside))
            wrong = f"{int(outside.sum())} labels out of range, first {scores[row]:g} (sample {row})"
            raise data_error(file, key, wrong, f"{low:g} to {high:g}")
    return scores


def _class_indices(raw: np.ndarray, target: Target, file: Path, key: str) -> np.ndarray:
    if raw.dtype.kind in "USO":
        index = {name: number for number, name in enumerate(target.classes)}
        found = np.array([index.get(name, -1) for name in text(raw, file, key)], dtype=np.int64)
    else:
        values = numbers(raw, file, key)
        found = values.astype(np.int64) if np.isfinite(values).all() else np.full(len(values), -1)
        found = np.where(found == values, found, -1)
    unknown = (found < 0) | (found >= len(target.classes))
    if unknown.any():
        row = int(np.argmax(unknown))
        names = ", ".join(target.classes[:20])
        expected = f"0 to {len(target.classes) - 1} or one of {names}"
        raise data_error(file, key, f"unknown class {raw[row]} (sample {row})", expected)
    return found


def text(array: object, file: Path, key: str) -> np.ndarray:
    """Names [samples], str, from text, bytes or whole numbers. Raises DataError for anything else."""
    found = _array(array, file, key)
    if found.ndim != 1:
        raise data_error(file, key, f"shape {'x'.join(map(str, found.shape))}", "one name a sample")
    if found.dtype.kind == "U":
        return found
    if found.dtype.kind in "iu":
        return found.astype(str)
    try:
        names = [value.decode() if isinstance(value, bytes) else value for value in found.tolist()]
    except UnicodeDecodeError:
        raise data_error(file, key, "bytes that are not UTF-8", "names") from None
    if not all(isinstance(name, str) for name in names):
        raise data_error(file, key, f"values of type {found.dtype}", "names or whole numbers")
    return np.array(names, dtype=str)


def mask_from_lengths(array: object, steps: int, file: Path, key: str) -> np.ndarray:
    """The mask [samples, time] whose first ``length`` steps are valid. Raises DataError for a length below 0
    or above ``steps``."""
    lengths = numbers(array, file, key)
    if lengths.ndim != 1:
        raise data_error(file, key, f"shape {'x'.join(map(str, lengths.shape))}", "one length a sample")
    wrong = ~((lengths >= 0) & (lengths <= steps))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise data_error(file, key, f"length {lengths[row]} (sample {row})", f"0 to {steps} time steps")
    return np.arange(steps) < lengths[:, None]


def mask_nonzero(array: np.ndarray) -> np.ndarray:
    """The mask [samples, time] of the steps from the first to the last that is not all zero: zeros at either
    end are padding, zeros in between are data. A sample of zeros has no valid step."""
    filled = (array != 0).any(axis=2)
    return (
        np.logical_or.accumulate(filled, axis=1) & np.logical_or.accumulate(filled[:, ::-1], axis=1)[:, ::-1]
    )


def present(mask: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Modality -> [samples], bool: whether the sample has a valid step of it."""
    return {name: np.asarray(valid.any(axis=1)) for name, valid in mask.items()}


def previous_rows(video: np.ndarray, clip: np.ndarray) -> np.ndarray:
    """For each row the row of the clip before it in the same video, or -1 ([samples], int64).

    Clips are ordered as numbers where they are numbers (so 2 comes before 10), names after them.
    """

    def order(row: int) -> tuple[str, int, float, str, int]:
        name = str(clip[row])
        number = float(name) if _NUMBER.fullmatch(name) else None
        return str(video[row]), int(number is None), number or 0.0, "" if number is not None else name, row

    found = np.full(len(video), -1, dtype=np.int64)
    rows = sorted(range(len(video)), key=order)
    for before, row in itertools.pairwise(rows):
        if video[before] == video[row]:
            found[row] = before
    return found


def check_rows(parts: Mapping[str, np.ndarray], file: Path, split: str) -> int:
    """The number of samples that all arrays of a split agree on. Raises DataError if they do not, or if it
    is 0."""
    counts = {key: len(array) for key, array in parts.items()}
    first_key, first = next(iter(counts.items()))
    for key, count in counts.items():
        if count != first:
            raise data_error(file, f"{split}/{key}", f"{count} samples", f"{first}, as in {first_key}")
    if first == 0:
        raise data_error(file, split, "no samples", "at least one")
    return first


def check_splits(splits: Mapping[str, Samples], file: Path) -> None:
    """Checks what only all splits together can show: the same widths everywhere, each sample id once."""
    first = splits[SPLITS[0]]
    seen: dict[str, str] = {}
    for split, samples in splits.items():
        for name, array in samples.features.items():
            width = first.features[name].shape[2]
            if array.shape[2] != width:
                wrong = f"{array.shape[2]} features"
                raise data_error(file, f"{split}/{name}", wrong, f"{width}, as in {SPLITS[0]}")
        for sample_id in samples.sample_id.tolist():
            if sample_id in seen:
                wrong = f"sample id {sample_id} occurs again (first in {seen[sample_id]})"
                raise data_error(file, split, wrong, "each sample once in the dataset")
            seen[sample_id] = split


#: Which samples validate where no validation split is published: a share, drawn by a generator of this seed.
VALIDATION_SHARE, VALIDATION_SEED = 0.2, 8


def drawn_for_validation(count: int) -> np.ndarray:
    """Which of ``count`` training samples, two or more, become validation samples: [count], bool, at least one
    and not all. The same count gives the same draw."""
    drawn = np.zeros(count, dtype=bool)
    chosen = np.random.default_rng(VALIDATION_SEED).permutation(count)
    drawn[chosen[: min(max(1, round(VALIDATION_SHARE * count)), count - 1)]] = True
    return drawn
