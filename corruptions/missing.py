"""Missing modalities.

The fixed patterns are those of the missing-modality literature (MMIN, IMDer, MPLMM and others): every
non-empty set of available modalities, the same for the whole test set. Papers name them by what is
*available* or by what is *missing*; the names here always say what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import torch

from ..datasets.batch import Batch


@dataclass(frozen=True)
class Missing:
    """The named modalities are absent from every sample.

    Attributes:
        modalities: which are missing; at least one.
    """

    modalities: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.modalities:
            raise ValueError("a missing pattern names at least one modality")

    @property
    def name(self) -> str:
        """``missing:`` and what is missing, such as ``missing:text+audio``."""
        return "missing:" + "+".join(self.modalities)

    @property
    def alters(self) -> frozenset[str]:
        """Nothing: what remains is untouched, and what is missing is not read."""
        return frozenset()

    def apply(self, batch: Batch) -> Batch:
        """The batch with the modalities marked absent.

        Raises:
            ValueError: the batch has no such modality.
        """
        unknown = [name for name in self.modalities if name not in batch.present]
        if unknown:
            raise ValueError(f"no modality {unknown[0]!r} to take away; there are {', '.join(batch.present)}")
        return batch.with_present({name: torch.zeros_like(batch.present[name]) for name in self.modalities})

    @classmethod
    def conditions(cls, modalities: Sequence[str]) -> list[Missing]:
        """Every fixed pattern that leaves something: six for three modalities, two for two, none for one."""
        sizes = range(1, len(modalities))
        return [cls(absent) for size in sizes for absent in combinations(modalities, size)]
