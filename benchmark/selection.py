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


#: Of epochs with the same metric the one with the least of this, by epoch and place. MMDG-Bench takes the earliest for
#: HUST and sentiment, and the latest for action recognition.
TIES: dict[str, Callable[[Epoch, int], tuple[float, ...]]] = {
    "lower-loss": lambda epoch, place: (epoch.loss, place),
    "earliest": lambda epoch, place: (place,),
    "latest": lambda epoch, place: (-place,),
}


def last(record: Sequence[Epoch], direction: Direction, ties: str = "lower-loss") -> int:
    """The last epoch."""
    return len(record) - 1


def source_validation(record: Sequence[Epoch], direction: Direction, ties: str = "lower-loss") -> int:
    """The best source validation metric; ties go by ``TIES``: to the lower validation loss, then the earlier epoch.

    Only epochs of the last stage count: before it, a network of several stages is not the method yet.
    """
    sign = 1.0 if direction == "lower" else -1.0
    final = max(item.stage for item in record)
    candidates = [place for place, item in enumerate(record) if item.stage == final]
    return min(candidates, key=lambda place: (sign * record[place].metric, *TIES[ties](record[place], place)))


RULES: dict[str, Callable[[Sequence[Epoch], Direction, str], int]] = {
    "source-validation": source_validation,
    "last": last,
}
