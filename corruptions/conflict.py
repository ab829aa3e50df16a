"""Conflict between modalities: one of them is taken from a sample of another class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from ..datasets.batch import Batch
from .corruption import Corruption
from .random import Stream
from .split_classes import classes_of, rows_of


@dataclass(frozen=True)
class Donors:
    """The samples that a modality can be taken from, those of a class side by side.

    Attributes:
        split: all samples, among them those that are damaged.
        classes: [samples], int64, from 0, the class of each sample of the split.
        rows: [donors], int64, the samples that have the modality, by class and then by id.
        first, count: [classes], int64, where the donors of a class begin in ``rows``, and how many there are.
    """

    split: Batch
    classes: Tensor
    rows: Tensor
    first: Tensor
    count: Tensor


@dataclass(frozen=True)
class Conflict(Corruption):
    """A share of the samples has this modality of a random sample of another class, with its steps, holes, times and tokens.

    Which samples, and of whom, is drawn by the id of the sample: what conflicts at one severity does at every higher
    one, with the same donor. The idea is that of the conflict test of RCML (Xu et al., AAAI 2024), which replaces one view
    of 40 % of the test samples, there always by the first sample of the next class; here the donor is random. Scores count as two
    classes, up to their median in the split and above it, and samples with several labels as being of one class where
    all labels are the same. A sample that lacks the modality stays without it.

    Attributes:
        donors: set by ``prepared``.
    """

    kind: ClassVar[str] = "conflict"
    family: ClassVar[str] = "conflict"
    moves_steps: ClassVar[bool] = True
    changes_mask: ClassVar[bool] = True
    any_medium: ClassVar[bool] = True
    reads_targets: ClassVar[bool] = True
    #: Share of the samples.
    levels: ClassVar[tuple[float, float, float, float, float]] = (0.1, 0.2, 0.4, 0.7, 1.0)

    donors: Donors | None = field(default=None, compare=False, repr=False)

    def prepared(self, split: Batch) -> Self:
        """This conflict, with the samples of a split as donors.

        Raises:
            ValueError: the split has no such modality, or its donors are all of one class.
        """
        self._check(split)
        classes = classes_of(split.target)
        there = split.present[self.modality].nonzero().squeeze(1)
        order = there[split.sample_id[there].argsort()]
        rows = order[classes[order].argsort(stable=True)]
        count = torch.bincount(classes[rows], minlength=int(classes.max()) + 1)
        if int((count > 0).sum()) < 2:
            raise ValueError(
                f"{self.kind}: all samples with {self.modality} are of one class: none conflicts with another"
            )
        return replace(self, donors=Donors(split, classes, rows, count.cumsum(0) - count, count))

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Mapping[str, Tensor]:
        """``chosen`` and ``donor``, [batch] each, in [0, 1)."""
        return {"chosen": stream.uniform("chosen"), "donor": stream.uniform("donor")}

    def apply_draws(self, batch: Batch, draws: Mapping[str, Tensor]) -> Batch:
        """The batch with the modality of some samples taken from others.

        Raises:
            ValueError: the conflict has not been prepared, or the batch holds samples that its split does not.
        """
        if self.donors is None:
            raise ValueError(
                "conflict takes a modality from other samples: call prepared(split) before apply"
            )
        donors, name = self.donors, self.modality
        own = rows_of(batch.sample_id, donors.split.sample_id)
        known = own >= 0
        source = self._source(donors, donors.classes[own.clamp(min=0)], draws["donor"])
        taken = known & batch.present[name] & (draws["chosen"] < self.level)
        rows, foreign = source[taken], donors.split
        changed = replace(
            batch,
            features=_with(batch.features, foreign.features, name, taken, rows),
            mask=_with(batch.mask, foreign.mask, name, taken, rows),
            time=_with(batch.time, foreign.time, name, taken, rows),
            tokens=_with(batch.tokens, foreign.tokens, name, taken, rows),
        )
        if name not in batch.observed:
            return changed
        observed = batch.observed[name].clone()
        observed[taken] = foreign.take(rows).observed_entries(name)
        return changed.with_observed({name: observed})

    def _source(self, donors: Donors, own: Tensor, draw: Tensor) -> Tensor:
        """The row of the split that each sample's modality would come from, [batch].

        Args:
            donors: the samples to take from.
            own: [batch], int64, the class of each sample.
            draw: [batch], in [0, 1).
        """
        others = len(donors.rows) - donors.count[own]
        place = torch.minimum((draw.double() * others).long(), others - 1)
        place = place + (place >= donors.first[own]) * donors.count[own]  # its own class is passed over
        return donors.rows[place]

    def corrupt(self, features: Tensor, valid: Tensor, draws: Mapping[str, Tensor]) -> Tensor:
        """The features: a modality is replaced as a whole, by ``apply_draws``."""
        return features


def _with(
    own: Mapping[str, Tensor], foreign: Mapping[str, Tensor], name: str, taken: Tensor, rows: Tensor
) -> Mapping[str, Tensor]:
    """Tensors by modality, of which that of one modality has other rows; as they are where the others have none.

    Args:
        own: of the batch, [batch, ...] each.
        foreign: of the split, [samples, ...] each.
        name: of the modality.
        taken: [batch], bool, whose rows are replaced.
        rows: int64, the rows of the split that replace them.
    """
    if name not in own or name not in foreign:
        return own
    values = own[name].clone()
    values[taken] = foreign[name][rows]
    return {**own, name: values}
