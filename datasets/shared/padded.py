"""Series of different lengths as one array: what readers of clinical stays share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..samples import present


@dataclass(frozen=True)
class Series:
    """One modality of one sample.

    Attributes:
        values: [time, feature], float32; 0 where not observed.
        observed: [time, feature], bool.
        times: [time], seconds, never running back; None for a modality without times.
    """

    values: np.ndarray
    observed: np.ndarray
    times: np.ndarray | None = None


@dataclass(frozen=True)
class Padded:
    """The arrays of ``Samples`` of the same names, by modality."""

    features: dict[str, np.ndarray]
    mask: dict[str, np.ndarray]
    present: dict[str, np.ndarray]
    observed: dict[str, np.ndarray]
    time: dict[str, np.ndarray]


def longest(series: Sequence[Series]) -> int:
    """The steps that all series fit in, at least 1."""
    return max((len(one.values) for one in series), default=1) or 1


def padded(samples: Mapping[str, Sequence[Series]], steps: Mapping[str, int]) -> Padded:
    """Pads the series of some samples at their ends.

    Args:
        samples: modality -> the series of each sample, at least one; one without steps where it lacks the modality.
        steps: modality -> the number to pad to.
    """
    found = Padded({}, {}, {}, {}, {})
    for name, series in samples.items():
        shape = (len(series), steps[name], series[0].values.shape[1])
        features, observed = np.zeros(shape, np.float32), np.zeros(shape, bool)
        mask, time = np.zeros(shape[:2], bool), np.zeros(shape[:2], np.float32)
        for row, one in enumerate(series):
            valid = slice(0, len(one.values))
            features[row, valid], observed[row, valid], mask[row, valid] = one.values, one.observed, True
            if one.times is not None:
                time[row, valid] = one.times
        found.features[name], found.mask[name], found.observed[name] = features, mask, observed
        if series[0].times is not None:
            found.time[name] = time
    return Padded(found.features, found.mask, present(found.mask, found.observed), found.observed, found.time)
