"""Which epoch is tested: small pure functions over the record of the fit. None of them sees the target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Epoch:
    """What is known at the end of an epoch.

    Attributes:
        epoch: from 0.
        stage: which of the method's stages it belongs to.
        train: mean of each loss term over the epoch.
        loss: task loss on the source validation split.
        metric: ``mae`` or ``accuracy`` on the source validation split.
    """

    epoch: int
    stage: int
    train: Mapping[str, float]
    loss: float
    metric: float


Direction = Literal["lower", "higher"]


def last(record: Sequence[Epoch], direction: Direction) -> int:
    """The last epoch."""
    return len(record) - 1


def source_validation(record: Sequence[Epoch], direction: Direction) -> int:
    """The best source validation metric; ties go to the lower validation loss, then to the earlier epoch.

    Only epochs of the last stage count: before it, a network of several stages is not the method yet.
    """
    return _best(record, direction, lambda place: record[place].loss)


def earliest(record: Sequence[Epoch], direction: Direction) -> int:
    """The best source validation metric, of equal ones the first: MMDG-Bench's rule for HUST and sentiment."""
    return _best(record, direction, lambda place: place)


def latest(record: Sequence[Epoch], direction: Direction) -> int:
    """The best source validation metric, of equal ones the last: MMDG-Bench's rule for action recognition."""
    return _best(record, direction, lambda place: -place)


def _best(record: Sequence[Epoch], direction: Direction, then: Callable[[int], float]) -> int:
    """The place of the best metric among the epochs of the last stage; of equal ones that of the least ``then``."""
    sign = 1.0 if direction == "lower" else -1.0
    final = max(item.stage for item in record)
    candidates = [place for place, item in enumerate(record) if item.stage == final]
    return min(candidates, key=lambda place: (sign * record[place].metric, then(place)))


RULES: dict[str, Callable[[Sequence[Epoch], Direction], int]] = {
    "source-validation": source_validation,
    "source-validation-earliest": earliest,
    "source-validation-latest": latest,
    "last": last,
}
