"""What a judge is: a measure that is no mean over samples, such as an area under a curve."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

#: How often each sample stands in each resample, [draws, samples]; one array for each kind of sample.
Counts = tuple[np.ndarray, ...]


class UndefinedError(ValueError):
    """A measure that has no value for these samples. The message says why; it is never 0 instead."""


@dataclass(frozen=True)
class Judge:
    """A measure, called on arrays.

    Attributes:
        name: its name, which says its convention.
        convention: what is computed, in one sentence.
        direction: whether a higher or a lower value is better.
        range: lowest and highest possible value.
        unit: as that of a ``Metric``.
        source: whose definition this is.
        compute: (arrays, counts) -> [draws], the value on each resample, NaN where a resample has none;
            raises ``UndefinedError`` where the samples themselves have none.
        kinds: number of kinds of samples, each counted on its own: 2 where one is told from another.
        undefined: when there is no value.
    """

    name: str
    convention: str
    direction: Literal["higher", "lower"]
    range: tuple[float, float]
    unit: Literal["fraction", "correlation", "label"]
    source: str
    compute: Callable[[tuple[np.ndarray, ...], Counts], np.ndarray]
    undefined: str = ""
    kinds: int = 1

    def __call__(self, *arrays: np.ndarray) -> float:
        """The value at full precision. Raises UndefinedError where there is none."""
        return float(self.compute(arrays, once(*arrays[: self.kinds]))[0])


def once(*arrays: np.ndarray) -> Counts:
    """The counts of one resample in which every sample of each array stands once."""
    return tuple(np.ones((1, len(array)), dtype=np.int64) for array in arrays)


def table(judges: Iterable[Judge]) -> dict[str, Judge]:
    """Judges by name, in order."""
    return {judge.name: judge for judge in judges}
