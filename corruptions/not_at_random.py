"""Modalities that are missing not at random: whether a sample has one depends on its label, or on what it would say.

The control is the same rate at random: ``--corruptions 'missing-rates(text=0.3)'``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from ..datasets.batch import Batch
from .corruption import SEVERITIES
from .random import Stream
from .split_classes import rank_of, rows_of

#: How strongly the chance depends on the rank: at the lowest it is (1 - DEPENDENCE) of the rate, at the highest (1 + DEPENDENCE).
DEPENDENCE = 0.9
RATES = (0.1, 0.2, 0.3, 0.4, 0.5)


@dataclass(frozen=True)
class Chances:
    """Ids of samples, [samples] int64, and the chance of each to lack the modality, [samples] float64."""

    sample_id: Tensor
    chance: Tensor


@dataclass(frozen=True)
class NotAtRandom(ABC):
    """Samples lack a modality by a chance that grows with a rank of theirs in the split.

    The chance is rate (1 + 0.9 (2 u - 1)), u being the rank in (0, 1), with ties at their mean; so the mean over the
    split is the rate, and missing at one severity is missing at every higher one. The last modality of a sample stays,
    which makes the realised rate smaller where samples lack modalities by themselves.

    Attributes:
        modality: which is missing.
        severity: 1 to 5 for a rate of 0.1 to 0.5; 0 for none.
        seed: of the masks, which depend on it, the chance and the id of a sample alone.
        chances: set by ``prepared``.
    """

    modality: str
    severity: int
    seed: int = 0
    chances: Chances | None = field(default=None, compare=False, repr=False)

    kind: ClassVar[str]
    family: ClassVar[str] = "missing"

    def __post_init__(self) -> None:
        if not 0 <= self.severity <= len(RATES):
            raise ValueError(f"severity {self.severity}: expected 0 (the identity) to {len(RATES)}")

    @property
    def name(self) -> str:
        """Such as ``missing-by-label:text@3``."""
        return f"{self.kind}:{self.modality}@{self.severity}"

    @property
    def rate(self) -> float:
        """The share of the samples that lack the modality."""
        return RATES[self.severity - 1] if self.severity else 0.0

    @property
    def alters(self) -> frozenset[str]:
        """Nothing: what remains is untouched."""
        return frozenset()

    @abstractmethod
    def values(self, split: Batch) -> Tensor:
        """[samples]: what the chance grows with."""

    def prepared(self, split: Batch) -> Self:
        """This condition, with the chances of the samples of a split.

        Raises:
            ValueError: the split has no such modality.
        """
        if self.modality not in split.present:
            raise ValueError(
                f"no modality {self.modality!r} to take away; there are {', '.join(split.present)}"
            )
        chance = self.rate * (1 + DEPENDENCE * (2 * rank_of(self.values(split)) - 1))
        return replace(self, chances=Chances(split.sample_id, chance))

    def apply(self, batch: Batch) -> Batch:
        """The batch with the modality marked absent for some samples.

        Raises:
            ValueError: the condition has not been prepared.
        """
        if not self.severity:
            return batch
        if self.chances is None:
            raise ValueError(f"{self.name} depends on the whole split: call prepared(split) before apply")
        rows = rows_of(batch.sample_id, self.chances.sample_id)
        chance = self.chances.chance[rows.clamp(min=0)].where(rows >= 0, 0.0)
        stream = Stream(self.seed, f"{self.kind}:{self.modality}", batch.sample_id)
        others = [flags for name, flags in batch.present.items() if name != self.modality]
        some = torch.stack(others).any(dim=0) if others else torch.zeros_like(batch.present[self.modality])
        gone = (stream.uniform("gone") < chance) & some
        return batch.with_present({self.modality: batch.present[self.modality] & ~gone})

    @classmethod
    def conditions(cls, modalities: Sequence[str]) -> list[Self]:
        """Every modality at every rate; none for a single modality."""
        if len(modalities) < 2:
            return []
        return [cls(modality, severity) for modality in modalities for severity in SEVERITIES]


@dataclass(frozen=True)
class MissingByLabel(NotAtRandom):
    """The chance grows with the label: the number of the class, the score, or how many labels a sample has."""

    kind: ClassVar[str] = "missing-by-label"
    any_medium: ClassVar[bool] = True
    reads_targets: ClassVar[bool] = True

    def values(self, split: Batch) -> Tensor:
        """[samples]: the target."""
        return split.target if split.target.ndim == 1 else split.target.sum(dim=1)


@dataclass(frozen=True)
class MissingByValue(NotAtRandom):
    """The chance grows with what is then missing: the mean of the modality's own observed, standardised entries."""

    kind: ClassVar[str] = "missing-by-value"

    def values(self, split: Batch) -> Tensor:
        """[samples]: the mean over observed entries, 0 for a sample without any."""
        entries = split.observed_entries(self.modality)
        features = split.features[self.modality].double().where(entries, 0)
        return features.flatten(1).sum(dim=1) / entries.flatten(1).sum(dim=1).clamp(min=1)
