"""Features that others made, beside those that encoders make of the same samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ...datasets.dataset import Samples
from ..core.errors import UsageError

#: What samples have by modality and this adds.
_FIELDS = ("features", "mask", "present", "observed", "time", "tokens")


def check_beside(modalities: Mapping[str, object], others: Mapping[str, Samples]) -> None:
    """Checks that no modality is both encoded and among the features that are there.

    Args:
        modalities: those that are encoded.
        others: split -> samples with features.

    Raises:
        UsageError: one is.
    """
    for samples in others.values():
        for name in samples.features:
            if name in modalities:
                raise UsageError(
                    f"--beside: it has features of {name}, which --encoder makes: leave one of them out"
                )


def add_features(samples: Samples, others: Samples | None, split: str) -> Samples:
    """Samples with the modalities that others have of the same ids; who is not among them is without these.

    Args:
        samples: those that were encoded.
        others: of the same split, with other modalities; None where there is none.
        split: its name, for the error.

    Raises:
        UsageError: none of the samples is among the others.
    """
    rows = {name: row for row, name in enumerate(others.sample_id.tolist())} if others is not None else {}
    place = np.array([rows.get(name, -1) for name in samples.sample_id.tolist()], np.int64)
    known = place >= 0
    if others is None or not known.any():
        raise UsageError(f"--beside: none of the clips of {split} is in it; sample ids must be the same")
    added: dict[str, dict[str, np.ndarray]] = {}
    for field in _FIELDS:
        added[field] = dict(getattr(samples, field))
        for modality, array in getattr(others, field).items():
            made = np.zeros((len(samples), *array.shape[1:]), array.dtype)
            made[known] = array[place[known]]
            added[field][modality] = made
    return replace(samples, **added)
