"""Decoded media broken by a corruption, before an encoder sees them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch

from ...corruptions.corruption import Corruption
from ...corruptions.words import decode_words, encode_words
from ...datasets.batch import Batch
from ...datasets.fingerprint import code_sha256
from ...datasets.media.clip import Medium, SoundView, View
from ..core.errors import UsageError
from ..planning.evaluations import BROKEN_AS

#: Of how many clips of a split a corruption is made that mixes clips: those with the lowest hashes.
DONORS = 64
CORRUPTIONS = Path(__file__).resolve().parents[2] / "corruptions"


@dataclass(frozen=True)
class Breaking:
    """A corruption of one modality's media. Clips are broken one at a time, so that no clip depends on its batch.

    Attributes:
        corruption: with its sample rate set to that of the view, where it has one.
        medium: what the media are.
    """

    corruption: Corruption
    medium: Medium

    @classmethod
    def of(cls, corruption: Corruption, modality: str, medium: Medium, view: View) -> Breaking | None:
        """How a corruption breaks the media of a modality; None where it does nothing.

        Raises:
            UsageError: it breaks another modality, or something else than these media; or sound is read at too low
                a rate for it.
        """
        if corruption.modality != modality:
            raise UsageError(f"{corruption.name} breaks {corruption.modality}, not {modality}")
        if corruption.medium != BROKEN_AS.get(medium):
            raise UsageError(
                f"{corruption.name} breaks {corruption.medium}; the raw media of {modality} are {medium}"
            )
        if corruption.severity == 0:
            return None
        if isinstance(view, SoundView):
            corruption = at_rate(corruption, view.rate)
        return cls(corruption, medium)

    @property
    def identity(self) -> dict[str, str | int | float | bool | None]:
        """All that decides what it does but the media: its kind, what it is set to, and the code of all
        corruptions, for they share parts; of one from outside also its own file."""
        plain = (str, int, float, bool, type(None))
        own = Path(inspect.getfile(type(self.corruption))).resolve()
        set_to = {field.name: getattr(self.corruption, field.name) for field in fields(self.corruption)}
        return {
            "kind": self.corruption.kind,
            **{name: value for name, value in set_to.items() if isinstance(value, plain)},
            "code": code_sha256(CORRUPTIONS, *([] if CORRUPTIONS in own.parents else [own])),
        }

    @property
    def mixes(self) -> bool:
        """Whether other clips of the split go into the damage."""
        return type(self.corruption).prepared is not Corruption.prepared

    def prepared(self, media: Iterable[np.ndarray | str], samples: Sequence[int]) -> Breaking:
        """This, with what it needs to know of other clips.

        Raises:
            UsageError: they are too few or silent.
        """
        try:
            return replace(self, corruption=self.corruption.prepared(self._batch(list(media), samples)))
        except ValueError as error:
            raise UsageError(f"{self.corruption.name}: {error}") from None

    def apply(self, media: np.ndarray | str, sample: int) -> np.ndarray | str:
        """A broken clip, in the shape of a decoded one; frames as float32 in 0 to 1.

        Args:
            media: frames uint8 [time, channel, height, width], sound float32 [time, channel], or a text.
            sample: the sample's hash.

        Raises:
            UsageError: the corruption cannot break such media.
        """
        try:
            broken = self.corruption.apply(self._batch([media], [sample])).features[self.corruption.modality]
        except ValueError as error:
            raise UsageError(f"{self.corruption.name}: {error}") from None
        return decode_words(broken)[0] if self.medium == "text" else broken[0].numpy()

    def _batch(self, media: Sequence[np.ndarray | str], samples: Sequence[int]) -> Batch:
        modality, count = self.corruption.modality, len(media)
        if self.medium == "text":
            values = encode_words([str(text) for text in media])
            mask = (values != 0).any(-1)
        else:
            values, mask = padded([as_float(array) for array in media if not isinstance(array, str)])
        return Batch(
            features={modality: values},
            mask={modality: mask},
            present={modality: torch.ones(count, dtype=torch.bool)},
            target=torch.zeros(count),
            domain=torch.zeros(count, dtype=torch.int64),
            sample_id=torch.tensor(samples, dtype=torch.int64),
        )


def at_rate(corruption: Corruption, rate: int) -> Corruption:
    """A corruption of sound, for sound of ``rate`` samples a second. Raises UsageError where that is too low for it."""
    try:
        return replace(corruption, sample_rate=rate)  # every corruption of sound has one
    except ValueError as error:
        raise UsageError(f"{corruption.name}: {error}") from None


def as_float(media: np.ndarray) -> np.ndarray:
    """Frames in 0 to 1 where they are bytes; what is float32 stays as it is."""
    return media.astype(np.float32) / np.float32(255) if media.dtype == np.uint8 else media


def padded(media: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Arrays [time, ...], alike but for their time, as [batch, time, ...] with zeros at the end; and the mask."""
    lengths = [len(array) for array in media]
    values = torch.zeros(len(media), max(lengths), *media[0].shape[1:], dtype=torch.float32)
    for row, array in enumerate(media):
        values[row, : len(array)] = torch.from_numpy(np.ascontiguousarray(array))
    return values, torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
