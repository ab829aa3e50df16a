"""Corruptions applied to decoded media, before an encoder reads them."""

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
from ..planning.corruption_groups import BROKEN_AS

#: The number of clips of a split that a mixing corruption draws from: those with the lowest hashes.
DONORS = 64
CORRUPTIONS = Path(__file__).resolve().parents[2] / "corruptions"


@dataclass(frozen=True)
class MediaCorruption:
    """A corruption of one modality's media. It is applied to one clip at a time, so that no clip depends on its batch.

    Attributes:
        corruption: with its sample rate set to that of the view, where it has one.
        medium: the medium of the modality.
    """

    corruption: Corruption
    medium: Medium

    @classmethod
    def of(cls, corruption: Corruption, modality: str, medium: Medium, view: View) -> MediaCorruption | None:
        """Fits a corruption to the media of a modality.

        Args:
            corruption: the condition.
            modality: the modality that is encoded.
            medium: its medium.
            view: how the encoder reads it.

        Returns:
            The fitted corruption, or None where the severity is 0.

        Raises:
            UsageError: the corruption is for another modality or medium, or sound is read at too low a rate for it.
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
        """All that decides its effect but the media: its kind, its fields, and the code of all corruptions, which
        share parts; of a plug-in also its own file."""
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
        """Whether the corruption adds other clips of the split to a clip."""
        return type(self.corruption).prepared is not Corruption.prepared

    def prepare(self, media: Iterable[np.ndarray | str], samples: Sequence[int]) -> MediaCorruption:
        """Prepares a mixing corruption with the clips that it draws from.

        Args:
            media: the decoded clips.
            samples: the hash of each, in the same order.

        Returns:
            The prepared corruption.

        Raises:
            UsageError: there are too few clips, or they are silent.
        """
        try:
            return replace(self, corruption=self.corruption.prepared(self._batch(list(media), samples)))
        except ValueError as error:
            raise UsageError(f"{self.corruption.name}: {error}") from None

    def apply(self, media: np.ndarray | str, sample: int) -> np.ndarray | str:
        """Corrupts one decoded clip.

        Args:
            media: frames [time, channel, height, width] uint8, sound [time, channel] float32, or a text.
            sample: the sample's hash.

        Returns:
            The clip in the same shape; frames as float32 in 0 to 1.

        Raises:
            UsageError: the corruption cannot be applied to such media.
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
            values, mask = pad_batch([as_float(array) for array in media if not isinstance(array, str)])
        return Batch(
            features={modality: values},
            mask={modality: mask},
            present={modality: torch.ones(count, dtype=torch.bool)},
            target=torch.zeros(count),
            domain=torch.zeros(count, dtype=torch.int64),
            sample_id=torch.tensor(samples, dtype=torch.int64),
        )


def at_rate(corruption: Corruption, rate: int) -> Corruption:
    """A corruption of sound at another sample rate.

    Args:
        corruption: of sound.
        rate: in Hz.

    Raises:
        UsageError: the rate is too low for the corruption.
    """
    try:
        return replace(corruption, sample_rate=rate)  # every corruption of sound has one
    except ValueError as error:
        raise UsageError(f"{corruption.name}: {error}") from None


def as_float(media: np.ndarray) -> np.ndarray:
    """Scales frames of bytes to float32 in 0 to 1; arrays that are float32 stay as they are."""
    return media.astype(np.float32) / np.float32(255) if media.dtype == np.uint8 else media


def pad_batch(media: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Stacks arrays of different lengths.

    Args:
        media: arrays [time, ...], alike but for their time.

    Returns:
        Values [batch, time, ...] float32, padded with zeros at the end; and the mask [batch, time] bool, true at steps
        that hold data.
    """
    lengths = [len(array) for array in media]
    values = torch.zeros(len(media), max(lengths), *media[0].shape[1:], dtype=torch.float32)
    for row, array in enumerate(media):
        values[row, : len(array)] = torch.from_numpy(np.ascontiguousarray(array))
    return values, torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
