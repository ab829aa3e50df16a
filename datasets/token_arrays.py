"""Token ids as files hold them, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from .dataset import Samples, data_error
from .samples import numbers

_LARGEST = 2**31 - 1


def token_rows(array: object, file: Path, key: str) -> np.ndarray:
    """Token ids with the attention mask and the segments that belong to them.

    Args:
        array: [samples, 3, positions], ids, attention mask and segments, as MMSA's ``text_bert``; or [samples, positions],
            ids alone, of which 0 is padding and all are of one segment. Whole numbers of any type.
        file, key: what an error names.

    Returns:
        [samples, 3, positions], int32.

    Raises:
        DataError: another shape, no positions, or anything but whole numbers from 0.
    """
    values = numbers(array, file, key)
    if values.ndim == 2:
        values = np.stack([values, values != 0, np.zeros_like(values)], axis=1)
    if values.ndim != 3 or values.shape[1] != 3 or not values.shape[2]:
        shape = "x".join(map(str, values.shape)) or "a single number"
        expected = "[samples, 3, positions] (ids, attention mask, segments) or [samples, positions] (ids)"
        raise data_error(file, key, f"shape {shape}", expected)
    with np.errstate(invalid="ignore"):
        whole = (values >= 0) & (values <= _LARGEST) & (values == np.floor(values))  # not NaN either
    if not whole.all():
        row, _, place = (int(index) for index in np.argwhere(~whole)[0])
        wrong = f"{values[~whole][0]} (sample {row}, position {place})"
        raise data_error(file, key, wrong, "token ids: whole numbers from 0")
    return values.astype(np.int32)


def one_a_step(samples: Samples, modality: str) -> bool:
    """Whether the tokens of a modality are those that its features were made of: one at each step.

    Args:
        samples: with tokens and features of the modality.
        modality: its name.
    """
    return samples.tokens[modality].shape[2] == samples.features[modality].shape[1]


def concatenate_tokens(
    parts: Sequence[Mapping[str, np.ndarray]], modalities: Sequence[str]
) -> dict[str, np.ndarray]:
    """The tokens of several sets of samples, one set after the other, of the modalities of which all have some.

    Args:
        parts: modality -> [samples, 3, positions], of each set.
        modalities: those that are wanted.

    Returns:
        Modality -> [all samples, 3, positions], shorter texts padded with 0.
    """
    found = {}
    for name in modalities:
        if all(name in part for part in parts):
            longest = max(part[name].shape[2] for part in parts)
            padded = [
                np.pad(part[name], ((0, 0), (0, 0), (0, longest - part[name].shape[2]))) for part in parts
            ]
            found[name] = np.concatenate(padded)
    return found
