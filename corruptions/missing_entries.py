"""Missing entries: single values, runs of a channel, or whole steps of a series are not observed.

Unlike the dropped frames of ``features.py``, which a network cannot tell from data, what is hidden here is said to be:
``Batch.observed`` of the modality is false there, of any modality of features, whether its data were partly observed or
not; and a step that was not sampled is no valid step. The times of what is left are the true ones. Levels are the share
that is hidden, of all entries or steps alike; what was not observed before stays so. A sample without any observed entry
lacks the modality.

Points at a rate are how imputation is commonly tested (BRITS, Cao et al. 2018; CSDI, Tashiro et al. 2021), runs of a
channel are sensors that fail for a while, and a random part of the steps is irregular sampling.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from torch import Tensor

from ..datasets.batch import Batch
from ..datasets.stream import Stream
from .corruption import Corruption
from .features import places

Draws = Mapping[str, Tensor]


class _MissingEntries(Corruption):
    """Entries that are no longer observed; a subclass says which."""

    family: ClassVar[str] = "missing-entries"
    levels = (0.1, 0.3, 0.5, 0.7, 0.9)

    @abstractmethod
    def hidden(self, valid: Tensor, draws: Draws) -> Tensor:
        """The entries that are hidden, bool, [batch, time, feature] or [batch, time, 1].

        Args:
            valid: [batch, time] bool, the steps that hold data.
            draws: as ``draw`` returns them.
        """

    def corrupt(self, features: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """Zeroes what is hidden."""
        return features.masked_fill(self.hidden(valid, draws), 0)

    def apply_draws(self, batch: Batch, draws: Mapping[str, Tensor]) -> Batch:
        """The batch with entries hidden, at a severity from 1; the given one is left as it was.

        Args:
            batch: to damage.
            draws: as ``draw_for`` returns them for this batch.
        """
        hidden = self.hidden(self._valid(batch), draws)
        return batch.with_observed({self.modality: batch.observed_entries(self.modality) & ~hidden})


class MissingPoints(_MissingEntries):
    """Hides each entry with a probability, independently."""

    kind: ClassVar[str] = "missing-points"

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """A uniform number for each entry."""
        return {"chance": stream.uniform("entries", *features.shape[1:])}

    def hidden(self, valid: Tensor, draws: Draws) -> Tensor:
        """The entries whose number is below the rate."""
        return draws["chance"] < self.level


class MissingBlocks(_MissingEntries):
    """Hides one contiguous run of every channel, a share of the valid steps long: at another place in each."""

    kind: ClassVar[str] = "missing-blocks"

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """For each channel where its run lies, as a share of the room that is left, and a number for its rounding."""
        channels = features.shape[2]
        return {"place": stream.uniform("place", channels), "rest": stream.uniform("rest", channels)}

    def hidden(self, valid: Tensor, draws: Draws) -> Tensor:
        """The entries of the runs. A longer run contains a shorter one; its length is rounded at random, so that short
        series, too, lose the stated share in the mean."""
        place, count = (numbers.unsqueeze(-1) for numbers in places(valid))
        length = (self.level * count + draws["rest"].unsqueeze(1)).floor()
        start = (draws["place"].unsqueeze(1) * (count - length + 1)).floor()
        return (place >= start) & (place < start + length) & valid.unsqueeze(-1)


class MissingSteps(_MissingEntries):
    """Leaves out each step with a probability: irregular sampling. The times of the others stay."""

    kind: ClassVar[str] = "missing-steps"

    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Draws:
        """A uniform number for each step."""
        return {"chance": stream.uniform("steps", features.shape[1])}

    def hidden(self, valid: Tensor, draws: Draws) -> Tensor:
        """The steps whose number is below the rate."""
        return (draws["chance"] < self.level).unsqueeze(-1)

    def apply_draws(self, batch: Batch, draws: Mapping[str, Tensor]) -> Batch:
        """The batch with steps left out: they are no longer valid.

        Args:
            batch: to damage.
            draws: as ``draw_for`` returns them for this batch.
        """
        changed, name = super().apply_draws(batch, draws), self.modality
        kept = batch.mask[name] & ~self.hidden(batch.mask[name], draws).squeeze(-1)
        if name not in batch.observed:  # all entries of the steps that are left are observed
            changed = replace(changed, observed=batch.observed)
        time = {name: batch.time[name].where(kept, 0)} if name in batch.time else {}
        return replace(changed, mask={**batch.mask, name: kept}, time={**batch.time, **time})
