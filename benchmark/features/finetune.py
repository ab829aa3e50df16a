"""Encoders that are trained along: what a job's batches then hold, raw media in the place of their features."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...corruptions.condition import Condition
from ...corruptions.corruption import Corruption
from ...corruptions.words import encode_words, words_shape
from ...datasets.batch import Batch, Tuned
from ...datasets.dataset import DataError, Located
from ...datasets.encoders.encoder import Encoder
from ...datasets.encoders.memory import free_bytes
from ...datasets.encoders.tuning import Tunable
from ...datasets.media.clip import Clip, MediaError
from ...datasets.media.decode import Item, decoded
from ..core.errors import UsageError
from ..core.protocol import Protocol
from ..data.tensors import Split, TaskData, sample_hash
from ..planning.evaluations import breakable_modalities, media_of
from .corrupt_media import Breaking
from .reencode import check_content, clips_of, contents_of, encoder_of, origin_of

#: Of the memory that is free, what media may take.
SHARE = 0.8


def with_media(
    data: TaskData, located: Mapping[str, Located], protocol: Protocol, modalities: Sequence[str]
) -> TaskData:
    """The same task with raw media in the place of the features that networks made, which are trained along.

    Args:
        data: with frozen features.
        located: every dataset of the task.
        protocol: what is done with encoders.
        modalities: those of the job.

    Raises:
        UsageError: no modality's features were made by a network.
        DataError: the datasets' encoders differ; media are gone, broken or not those that the features were made of,
            or do not fit into memory.
    """
    encoders = _encoders(located, modalities)
    if not encoders:
        raise UsageError(
            f"--encoder-mode {protocol.encoder_mode}: no modality of {', '.join(located)} was encoded by a network; "
            f"see mmbench data encode"
        )
    mode = protocol.encoder_mode
    assert mode != "frozen"
    clips = {
        sample_hash(name, clip.sample_id): clip
        for name, one in located.items()
        for clip in clips_of(origin_of(one))[1].values()
    }
    contents = {
        modality: {
            sample_hash(name, sample): content
            for name, one in located.items()
            for sample, content in contents_of(one, modality).items()
        }
        for modality in encoders
    }
    tuned = {
        name: Tuned(text, mode, protocol.adapter_rank, protocol.checkpointing)
        for name, (text, _) in encoders.items()
    }

    def changed(split: Split) -> Split:
        features, mask = dict(split.batch.features), dict(split.batch.mask)
        for name, (_, encoder) in encoders.items():
            features[name], mask[name] = _media(split, name, encoder, clips, contents[name])
        return replace(split, batch=replace(split.batch, features=features, mask=mask))

    return replace(data.each(changed), finetuned=tuned)


@dataclass(frozen=True)
class Live:
    """A corruption of raw media that a batch holds: frames are bytes there, and numbers in 0 to 1 once broken."""

    corruption: Corruption

    @property
    def name(self) -> str:
        """The corruption's."""
        return self.corruption.name

    @property
    def alters(self) -> frozenset[str]:
        """Its modality."""
        return self.corruption.alters

    def apply(self, batch: Batch) -> Batch:
        """The batch with the modality broken."""
        name = self.corruption.modality
        values = batch.features[name]
        if values.dtype == torch.uint8:
            batch = replace(batch, features={**batch.features, name: values.float() / 255})
        return self.corruption.apply(batch)


def conditions_on_batches(corruption: type[Corruption], located: Located, data: TaskData) -> list[Condition]:
    """The conditions of a corruption that concern modalities of which batches hold the raw media themselves."""
    media = media_of(located)
    found: list[Condition] = []
    for condition in corruption.conditions(breakable_modalities(corruption, list(data.finetuned), media)):
        name = condition.modality
        encoder = _encoder(located, name)
        breaking = Breaking.of(condition, name, encoder.medium, encoder.view)
        assert breaking is not None  # conditions are severe
        found.append(Live(breaking.corruption.prepared(data.test.batch)))
    return found


def _encoders(located: Mapping[str, Located], modalities: Sequence[str]) -> dict[str, tuple[str, Encoder]]:
    """Modality -> the encoder that made its features, as it was asked for and itself, where it is a network."""
    found: dict[str, tuple[str, Encoder]] = {}
    for name in modalities:
        texts = {
            origin_of(one).modalities[name].encoder: one for one in located.values() if name in media_of(one)
        }
        if len(texts) > 1:
            raise DataError(f"{name} was encoded by different encoders: {', '.join(texts)}; encode alike")
        if not texts or not all(name in media_of(one) for one in located.values()):
            continue
        ((text, one),) = texts.items()
        encoder = _encoder(one, name)
        if isinstance(encoder, Tunable):
            found[name] = text, encoder
    return found


def _encoder(located: Located, modality: str) -> Encoder:
    """It gives the view of media and is trained itself, so that the precision of the features does not matter."""
    return encoder_of(origin_of(located), modality, torch.device("cpu"), ignoring=("precision",))


def _media(
    split: Split, modality: str, encoder: Encoder, clips: Mapping[int, Clip], contents: Mapping[int, str]
) -> tuple[Tensor, Tensor]:
    """Raw media of a split, as a batch holds them, and their mask; empty where a sample lacks the modality.

    ``clips`` and ``contents``, what stands for the media that the features were made of, by the sample's hash.
    """
    present = split.batch.present[modality].tolist()
    items: list[Item] = []
    for sample, name, there in zip(split.batch.sample_id.tolist(), split.sample_id, present, strict=True):
        if not there:
            continue
        clip = clips.get(sample)
        if clip is None or modality not in clip.media:
            raise DataError(f"{name}: its {modality} is no longer in the raw media; encode again")
        check_content(name, modality, clip.media[modality], contents.get(sample))
        items.append((clip.media[modality], encoder.medium, encoder.view))
    found = _checked(decoded(items, workers=1), split, present, modality)
    fill = _words if encoder.medium == "text" else _arrays
    return fill(found, present, split.batch.target.device)


def _checked(
    media: Iterator[np.ndarray | str | MediaError], split: Split, present: Sequence[bool], modality: str
) -> Iterator[np.ndarray | str]:
    names = [name for name, there in zip(split.sample_id, present, strict=True) if there]
    for name, one in zip(names, media, strict=True):
        if isinstance(one, MediaError):
            raise DataError(f"{name}: its {modality} cannot be decoded any more: {one}")
        yield one


def _words(
    media: Iterator[np.ndarray | str], present: Sequence[bool], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Texts as words [sample, time, letters], and the mask of their steps."""
    texts = [""] * len(present)
    for row, text in zip(np.flatnonzero(present), media, strict=True):
        texts[row] = str(text)
    need = math.prod(words_shape(texts)) * torch.int32.itemsize
    for place in dict.fromkeys((torch.device("cpu"), device)):  # filled on the first, kept on the other
        _check_room(need, sum(present), place)
    words = encode_words(texts).to(device)
    return words, words[..., 0] != 0


def _arrays(
    media: Iterator[np.ndarray | str], present: Sequence[bool], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Arrays [time, ...], alike but for their time, as [sample, time, ...] with zeros at the end; and the mask.

    Each is put into its place as it comes, so that all are there once; twice for a moment where one is longer than
    those before.
    """
    values: Tensor | None = None
    steps = torch.zeros(len(present), dtype=torch.int64)
    for row, item in zip(np.flatnonzero(present), media, strict=True):
        array = torch.tensor(np.asarray(item))
        if values is None or len(array) > values.shape[1]:
            values = _longer(values, array, present, device)
        values[row, : len(array)] = array
        steps[row] = len(array)
    if values is None:
        values = torch.zeros(len(present), 1, 1, device=device)
    longest = max([1, *steps.tolist()])
    return values[:, :longest], torch.arange(longest, device=device) < steps.to(device)[:, None]


def _longer(values: Tensor | None, array: Tensor, present: Sequence[bool], device: torch.device) -> Tensor:
    """Room for a first array of all, or one that is longer than those before, with what was there.

    Raises:
        DataError: memory has no room for it, and for a mask of a byte a step.
    """
    length = len(array)
    if values is not None:  # a quarter more at least: where each is longer than the last, few copies are made
        length = max(length, values.shape[1] * 5 // 4)
    shape = (len(present), length, *array.shape[1:])
    _check_room(math.prod(shape) * array.element_size() + math.prod(shape[:2]), sum(present), device)
    longer = torch.zeros(shape, dtype=array.dtype, device=device)
    if values is not None:
        longer[:, : values.shape[1]] = values
    return longer


def _check_room(need: int, clips: int, device: torch.device) -> None:
    """Raises DataError where media do not fit into what is free now."""
    free = free_bytes(device)
    if need > SHARE * free:
        raise DataError(
            f"the raw media of {clips} clips take {need / 1e9:.1f} GB or more, which do not fit into the memory of "
            f"{device} ({free / 1e9:.1f} GB are free): encode fewer or smaller frames, or shorter clips, or use "
            f"--encoder-mode frozen"
        )
