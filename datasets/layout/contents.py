"""The digests of the media that features were made of, clip by clip: arrays of text beside the features in npz files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .description import Description


def content_arrays(keys: Mapping[str, Mapping[str, str]], samples: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays of a split, as they are written.

    Args:
        keys: modality -> sample id -> the digest of its media, 64 hex digits.
        samples: the sample ids of the split, in order; those without the modality are not among the keys.

    Returns:
        Name -> [samples], text; empty for a sample without the modality.
    """
    return {
        _array(modality): np.array([known.get(sample, "") for sample in samples], "U64")
        for modality, known in keys.items()
    }


def media_contents(about: Description, modality: str) -> dict[str, str]:
    """Sample id -> the digest of the media that its features were made of.

    Samples without the modality are not named; for a dataset that does not state its media, the result is empty.

    Args:
        about: the dataset.
        modality: whose features.
    """
    keys: dict[str, str] = {}
    if "sample_id" not in about.optional:
        return keys
    for file in about.modalities[modality].features.files.values():
        if file.suffix != ".npz":
            continue
        with np.load(file, allow_pickle=False) as arrays:
            if _array(modality) in arrays.files:
                names = arrays[about.optional["sample_id"].array].tolist()
                keys |= zip(names, arrays[_array(modality)].tolist(), strict=True)
    return {sample: key for sample, key in keys.items() if key}


def _array(modality: str) -> str:
    return f"content.{modality}"
