"""A condition: the state in which the inputs reach a trained network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ..datasets.batch import Batch


class Condition(Protocol):
    """What is done to a batch before the network sees it."""

    @property
    def name(self) -> str:
        """The name that prediction tables carry, such as ``clean`` or ``missing:audio``."""
        ...

    @property
    def alters(self) -> frozenset[str]:
        """The modalities whose features it changes, and which must therefore be encoded again. A modality
        that is merely taken away is not altered."""
        ...

    def apply(self, batch: Batch) -> Batch:
        """The batch under this condition; the given one is left as it was. Of a batch with context, only the samples
        count: their context is given to another call, as a batch (``corruption.applied``)."""
        ...


@runtime_checkable
class NeedsSplit(Protocol):
    """A condition that has to see a whole split, such as one that takes something from other samples."""

    def prepared(self, split: Batch) -> Condition:
        """The condition as it may be applied to batches of a split.

        Args:
            split: all samples; with their targets where the condition has an attribute ``reads_targets`` that is true.
        """
        ...


@runtime_checkable
class LosesSteps(Protocol):
    """A condition that takes single steps away. Of raw sound, whose steps are numbers of a waveform, these are packets."""

    def for_sound(self, rates: Mapping[str, int]) -> Condition:
        """The condition for modalities that hold raw sound.

        Args:
            rates: modality -> samples a second of its sound.
        """
        ...


@dataclass(frozen=True)
class Clean:
    """Nothing is done."""

    @property
    def name(self) -> str:
        """``clean``."""
        return "clean"

    @property
    def alters(self) -> frozenset[str]:
        """Nothing."""
        return frozenset()

    def apply(self, batch: Batch) -> Batch:
        """The batch itself."""
        return batch
