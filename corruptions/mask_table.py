"""Modalities that are missing as a table says, sample by sample: the masks of somebody else."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..datasets.batch import Batch


@dataclass(frozen=True)
class MaskTable:
    """Every sample has the modalities that a table gives it, and that it has anyway.

    Attributes:
        name: of the condition, such as ``mask:theirs~0123abcd``.
        modalities: those that the table tells of; any other stays.
        sample_id: [rows], int64, ascending: hashes of samples, as in a batch.
        there: [rows, modalities], bool.
    """

    name: str
    modalities: tuple[str, ...]
    sample_id: Tensor = field(repr=False)
    there: Tensor = field(repr=False)

    @property
    def alters(self) -> frozenset[str]:
        """Nothing: what remains is untouched."""
        return frozenset()

    def apply(self, batch: Batch) -> Batch:
        """The batch with modalities marked absent.

        Raises:
            ValueError: the table lacks a sample of the batch, or names a modality that the batch does not have.
        """
        unknown = [name for name in self.modalities if name not in batch.present]
        if unknown:
            raise ValueError(f"{self.name}: no modality {unknown[0]!r}; there are {', '.join(batch.present)}")
        known = self.sample_id.to(batch.sample_id.device)
        rows = torch.searchsorted(known, batch.sample_id).clamp(max=len(known) - 1)
        lacking = int((known[rows] != batch.sample_id).sum())
        if lacking:
            raise ValueError(f"{self.name}: a mask of other samples: it lacks {lacking} of {len(batch)}")
        there = self.there.to(rows.device)[rows]
        return batch.with_present(
            {name: batch.present[name] & there[:, place] for place, name in enumerate(self.modalities)}
        )
