"""What a judge is: a measure that is no mean over samples, such as an area under a curve."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal


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
        compute: arrays -> the value; raises ``UndefinedError`` where there is none.
        undefined: when there is no value.
    """

    name: str
    convention: str
    direction: Literal["higher", "lower"]
    range: tuple[float, float]
    unit: Literal["fraction", "correlation", "label"]
    source: str
    compute: Callable[..., float]
    undefined: str = ""

    def __call__(self, *arrays: object) -> float:
        """The value at full precision. Raises UndefinedError where there is none."""
        return float(self.compute(*arrays))


def table(judges: Iterable[Judge]) -> dict[str, Judge]:
    """Judges by name, in order."""
    return {judge.name: judge for judge in judges}
