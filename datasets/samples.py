"""From raw arrays to checked samples: what every reader shares. Each check names file and key."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .array_values import as_float32 as as_float32  # public names of this module
from .array_values import check_precision
from .array_values import labels as labels
from .array_values import numbers as numbers
from .array_values import text as text
from .counting import counted
from .dataset import SPLITS, Samples, data_error

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?", re.ASCII)


def shape_features(array: object, file: Path, key: str) -> np.ndarray:
    """Features as in ``features``, whose values are not looked at yet.

    Args:
        array: [samples, time, feature] or [samples, feature].
        file, key: what an error names.

    Returns:
        [samples, time, feature], float16 or float32.

    Raises:
        DataError: no numbers, another number of dimensions, nothing in it, or values that float32 cannot tell apart.
    """
    values = numbers(array, file, key)
    if values.ndim == 2:
        values = values[:, None, :]
    if values.ndim != 3:
        shape = "x".join(map(str, values.shape)) or "a single number"
        raise data_error(file, key, f"shape {shape}", "[samples, time, feature] or [samples, feature]")
    if 0 in values.shape:
        what = ("samples", "time steps", "features")[values.shape.index(0)]
        raise data_error(file, key, f"no {what}", "at least one")
    if values.dtype == np.float16:
        return values
    kept = as_float32(values)
    check_precision(values, kept, file, key)
    return kept


def without_padding(array: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Features with zeros at every step that is not valid: whatever stands there is no data.

    Args:
        array: [samples, time, feature].
        mask: [samples, time], bool, the valid steps.

    Returns:
        The same array where there are zeros already, or a copy.
    """
    padding = ~mask
    if not (array[padding] != 0).any():  # NaN differs from 0, too
        return array
    array = array.copy()
    array[padding] = 0
    return array


def features(
    array: object, file: Path, key: str, *, negative_infinity_to_zero: bool = False, nan_hint: str = ""
) -> np.ndarray:
    """Features [samples, time, feature] from an array of that shape or [samples, feature] (one time step).

    float16 is kept, everything else becomes float32.

    Args:
        array: the raw features.
        file, key: what an error names.
        negative_infinity_to_zero: -inf (the logarithm of silence in published audio features) becomes 0.
        nan_hint: what an error adds to "finite numbers" where there is NaN.

    Returns:
        Contiguous and writable.

    Raises:
        DataError: another number of dimensions, nothing in it, NaN or infinite values, or values that float32 cannot
            hold or tell apart.
    """
    values = shape_features(array, file, key)
    finite = np.isfinite(values)
    if finite.all():
        # a tensor can share this memory only if it may be written to
        return np.require(values, requirements=["C_CONTIGUOUS", "WRITEABLE"])
    if negative_infinity_to_zero:
        silent = np.isneginf(values)
        values = np.where(silent, values.dtype.type(0), values)
        finite |= silent
    if not finite.all():
        row, step, column = (int(index) for index in np.argwhere(~finite)[0])
        place = f"sample {row}, step {step}, feature {column}"
        count = int((~finite).sum())
        # a number that float32 cannot hold has become infinite
        hint = nan_hint if np.isnan(values).any() else " that 32 bits hold"
        raise data_error(
            file,
            key,
            f"{count} {'value is' if count == 1 else 'values are'} not finite ({values[row, step, column]}), first at {place}",
            f"finite numbers{hint}",
        )
    return values


def mask_from_lengths(array: object, steps: int, file: Path, key: str) -> np.ndarray:
    """The mask of samples whose first steps are valid.

    Args:
        array: [samples], the number of valid steps.
        steps: of all samples.
        file, key: what an error names.

    Returns:
        [samples, steps], bool.

    Raises:
        DataError: a length is below 0 or above ``steps``.
    """
    lengths = numbers(array, file, key)
    if lengths.ndim != 1:
        raise data_error(file, key, f"shape {'x'.join(map(str, lengths.shape))}", "one length a sample")
    wrong = ~((lengths >= 0) & (lengths <= steps))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise data_error(
            file, key, f"length {lengths[row]} (sample {row})", f"0 to {counted(steps, 'time step')}"
        )
    return np.arange(steps) < lengths[:, None]


def mask_nonzero(array: np.ndarray) -> np.ndarray:
    """The mask [samples, time] of the steps from the first to the last that is not all zero: zeros at either
    end are padding, zeros in between are data. A sample of zeros has no valid step."""
    filled = (array != 0).any(axis=2)
    return (
        np.logical_or.accumulate(filled, axis=1) & np.logical_or.accumulate(filled[:, ::-1], axis=1)[:, ::-1]
    )


def present(
    mask: Mapping[str, np.ndarray], observed: Mapping[str, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """Whether a sample has a modality: a valid step of it, with an observed entry where that is told.

    Args:
        mask: modality -> [samples, time], bool.
        observed: modality -> [samples, time, feature], bool, of those that are partly observed; false at steps that are
            not valid.

    Returns:
        Modality -> [samples], bool.
    """
    told = observed or {}
    steps = {name: np.any(told[name], axis=2) if name in told else valid for name, valid in mask.items()}
    return {name: np.asarray(np.any(there, axis=1)) for name, there in steps.items()}


def previous_rows(video: np.ndarray, clip: np.ndarray) -> np.ndarray:
    """For each row the row of the clip before it in the same video.

    Clips are ordered as numbers where they are numbers (so 2 comes before 10), names after them.

    Args:
        video: [samples], names of videos.
        clip: [samples], names or numbers of clips.

    Returns:
        [samples], int64; -1 for the first clip of a video.
    """

    def order(row: int) -> tuple[str, int, float, str, int]:
        name = str(clip[row])
        number = float(name) if _NUMBER.fullmatch(name) else None
        return str(video[row]), int(number is None), number or 0.0, "" if number is not None else name, row

    previous = np.full(len(video), -1, dtype=np.int64)
    rows = sorted(range(len(video)), key=order)
    for before, row in itertools.pairwise(rows):
        if video[before] == video[row]:
            previous[row] = before
    return previous


def check_rows(parts: Mapping[str, np.ndarray], file: Path, split: str) -> int:
    """The number of samples that all arrays of a split agree on.

    Args:
        parts: name -> array [samples, ...].
        file, split: what an error names.

    Raises:
        DataError: they do not agree, or it is 0.
    """
    counts = {key: len(array) for key, array in parts.items()}
    first_key, first = next(iter(counts.items()))
    for key, count in counts.items():
        if count != first:
            raise data_error(file, f"{split}/{key}", counted(count, "sample"), f"{first}, as in {first_key}")
    if first == 0:
        raise data_error(file, split, "no samples", "at least one")
    return first


def check_splits(splits: Mapping[str, Samples], file: Path) -> None:
    """Checks what only all splits together can show: one width of each modality, each sample id once.

    Args:
        splits: split -> samples.
        file: what an error names.

    Raises:
        DataError: a width differs, or a sample id occurs twice.
    """
    first = splits[SPLITS[0]]
    seen: dict[str, str] = {}
    for split, samples in splits.items():
        for name, array in samples.features.items():
            width = first.features[name].shape[2]
            if array.shape[2] != width:
                wrong = counted(array.shape[2], "feature")
                raise data_error(file, f"{split}/{name}", wrong, f"{width}, as in {SPLITS[0]}")
        for sample_id in samples.sample_id.tolist():
            if sample_id in seen:
                wrong = f"sample id {sample_id} occurs again (first in {seen[sample_id]})"
                raise data_error(file, split, wrong, "each sample once in the dataset")
            seen[sample_id] = split


def take_rows(samples: Samples, rows: np.ndarray) -> Samples:
    """Some samples of a split.

    Args:
        samples: the split.
        rows: the numbers of the samples, int64 [n].

    Returns:
        These samples in that order. A previous utterance that is not among them is dropped.
    """
    place = np.full(len(samples) + 1, -1, dtype=np.int64)  # the last place is that of "none", row -1
    place[rows] = np.arange(len(rows))
    return Samples(
        features={name: array[rows] for name, array in samples.features.items()},
        mask={name: array[rows] for name, array in samples.mask.items()},
        present={name: array[rows] for name, array in samples.present.items()},
        target=samples.target[rows],
        sample_id=samples.sample_id[rows],
        domain=samples.domain[rows],
        previous=place[samples.previous[rows]],
        group=None if samples.group is None else samples.group[rows],
        observed={name: array[rows] for name, array in samples.observed.items()},
        time={name: array[rows] for name, array in samples.time.items()},
        utterances=None if samples.utterances is None else samples.utterances.take(rows),
        unimodal_target={name: labels[rows] for name, labels in samples.unimodal_target.items()},
        tokens={name: array[rows] for name, array in samples.tokens.items()},
    )
