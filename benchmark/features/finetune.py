"""Raw media in the place of features: of jobs whose encoders are fine-tuned, and of methods that read media themselves."""

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
from ...datasets.media.clip import Clip, MediaError, SoundView
from ...datasets.media.decode import Item, decode_ahead
from ..core.errors import UsageError
from ..core.protocol import Protocol
from ..data.split import Split
from ..data.tensors import TaskData, sample_hash
from ..planning.corruption_groups import breakable_modalities, media_of
from .corrupt_media import MediaCorruption
from .reencode import check_content, clips_of, contents_of, encoder_of, origin_of

#: The share of the free memory that media may take.
SHARE = 0.8


def with_media(
    data: TaskData, located: Mapping[str, Located], protocol: Protocol, modalities: Sequence[str]
) -> TaskData:
    """Replaces features that networks made by the raw media, so that these networks are fine-tuned.

    Args:
        data: the task with features of frozen encoders, and perhaps encoders of token ids (``with_token_encoders``), whose
            modalities are left as they are.
        located: every dataset of the task, by name.
        protocol: says how encoders are trained.
        modalities: those of the job.

    Returns:
        The same task with raw media.

    Raises:
        UsageError: no modality's features were made by a network.
        DataError: the datasets' encoders differ; media are gone, damaged or not those that the features were made of,
            or do not fit into memory.
    """
    encoders = {
        name: found
        for name, found in _encoders(located, [m for m in modalities if m not in data.finetuned]).items()
        if isinstance(found[1], Tunable)
    }
    if not encoders and data.finetuned:
        return data
    if not encoders and data.train.tokens:
        raise UsageError(
            f"--encoder-mode {protocol.encoder_mode}: {', '.join(located)} has token ids of {', '.join(data.train.tokens)}: "
            "name the model whose tokenizer made them with --text-encoder"
        )
    if not encoders:
        raise UsageError(
            f"--encoder-mode {protocol.encoder_mode}: no modality of {', '.join(located)} was encoded by a network; "
            f"see mmbench data encode"
        )
    mode = protocol.encoder_mode
    assert mode != "frozen"
    tuned = {
        name: Tuned(
            text,
            mode,
            protocol.adapter_rank,
            protocol.checkpointing,
            steps=data.train.batch.features[name].shape[1],
        )
        for name, (text, _) in encoders.items()
    }
    return replace(_with_media_of(data, located, encoders), finetuned={**data.finetuned, **tuned})


def with_all_media(data: TaskData, located: Mapping[str, Located], modalities: Sequence[str]) -> TaskData:
    """Replaces all features that were encoded from raw media by these, for a method that reads media itself.

    They are decoded as for the encoder that made the features: its rate of sound, its number and size of frames.

    Args:
        data: the task with features.
        located: every dataset of the task, by name.
        modalities: those of the job.

    Returns:
        The same task with raw media.

    Raises:
        UsageError: no modality's features were encoded from raw media.
        DataError: as ``with_media``.
    """
    encoders = _encoders(located, modalities)
    if not encoders:
        raise UsageError(
            f"the method reads raw media, and no modality of {', '.join(located)} was encoded from them; "
            f"see mmbench data encode"
        )
    return _with_media_of(data, located, encoders)


def _with_media_of(
    data: TaskData, located: Mapping[str, Located], encoders: Mapping[str, tuple[str, Encoder]]
) -> TaskData:
    """The task with the raw media of the modalities that have an encoder here."""
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

    made = {name: encoder for name, (_, encoder) in encoders.items()}
    media = {name: encoder.medium for name, encoder in made.items()}
    rates = {name: encoder.view.rate for name, encoder in made.items() if isinstance(encoder.view, SoundView)}
    read = data.each(lambda split: with_clips(split, made, clips, contents))
    return replace(read, media=media, sound_rates=rates)


def with_clips(
    split: Split,
    encoders: Mapping[str, Encoder],
    clips: Mapping[int, Clip],
    contents: Mapping[str, Mapping[int, str]],
) -> Split:
    """The samples with raw media in the place of features.

    Args:
        split: the samples.
        encoders: modality -> the encoder that says how its media are read.
        clips: hash of a sample -> its clip.
        contents: modality -> hash of a sample -> the key of the media that its features were made of, where it is recorded.

    Raises:
        DataError: media are gone, damaged or not those that the features were made of, or do not fit into memory.
    """
    features, mask = dict(split.batch.features), dict(split.batch.mask)
    for name, encoder in encoders.items():
        features[name], mask[name] = _media(split, name, encoder, clips, contents.get(name, {}))
    return replace(split, batch=replace(split.batch, features=features, mask=mask))


@dataclass(frozen=True)
class BatchCorruption:
    """A corruption of the raw media in a batch. Frames are bytes before it, and float32 in 0 to 1 after it."""

    corruption: Corruption

    @property
    def name(self) -> str:
        """The corruption's name."""
        return self.corruption.name

    @property
    def alters(self) -> frozenset[str]:
        """The corrupted modality."""
        return self.corruption.alters

    def apply(self, batch: Batch) -> Batch:
        """The batch with the corrupted modality."""
        name = self.corruption.modality
        values = batch.features[name]
        if values.dtype == torch.uint8:
            batch = replace(batch, features={**batch.features, name: values.float() / 255})
        return self.corruption.apply(batch)


def conditions_on_batches(corruption: type[Corruption], located: Located, data: TaskData) -> list[Condition]:
    """The conditions of a corruption of modalities whose raw media are in the batches.

    Args:
        corruption: the kind of corruption.
        located: the target's dataset.
        data: the task with raw media; a mixing corruption draws from its test split.
    """
    media = media_of(located)
    conditions: list[Condition] = []
    for condition in corruption.conditions(breakable_modalities(corruption, list(data.media), media)):
        name = condition.modality
        encoder = _encoder(located, name)
        fitted = MediaCorruption.of(condition, name, encoder.medium, encoder.view)
        assert fitted is not None  # no condition has severity 0
        conditions.append(BatchCorruption(fitted.corruption.prepared(data.test.batch)))
    return conditions


def _encoders(located: Mapping[str, Located], modalities: Sequence[str]) -> dict[str, tuple[str, Encoder]]:
    """Modality -> the specification of the encoder that made its features, and the encoder."""
    encoders: dict[str, tuple[str, Encoder]] = {}
    for name in modalities:
        texts = {
            origin_of(one).modalities[name].encoder: one for one in located.values() if name in media_of(one)
        }
        if len(texts) > 1:
            raise DataError(f"{name} was encoded by different encoders: {', '.join(texts)}; encode alike")
        if not texts or not all(name in media_of(one) for one in located.values()):
            continue
        ((text, one),) = texts.items()
        encoders[name] = text, _encoder(one, name)
    return encoders


def is_trainable(located: Located, modality: str) -> bool:
    """Whether the encoder of a modality is a network that can be trained along.

    Args:
        located: a dataset of raw media.
        modality: one that was encoded from some.
    """
    return isinstance(_encoder(located, modality), Tunable)


def _encoder(located: Located, modality: str) -> Encoder:
    """The encoder of a modality. It is trained itself, so the precision of the old features does not matter."""
    return encoder_of(origin_of(located), modality, torch.device("cpu"), ignoring=("precision",))


def _media(
    split: Split, modality: str, encoder: Encoder, clips: Mapping[int, Clip], contents: Mapping[int, str]
) -> tuple[Tensor, Tensor]:
    """Decodes the raw media of a split.

    Args:
        split: the samples.
        modality: the modality.
        encoder: says how the media are read.
        clips: hash of a sample -> its clip.
        contents: hash of a sample -> the key of the media that its features were made of.

    Returns:
        The media as a batch holds them, and their mask; all false where a sample lacks the modality.
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
    media = _require_decoded(decode_ahead(items, workers=1), split, present, modality)
    fill = _words if encoder.medium == "text" else _arrays
    return fill(media, present, split.batch.target.device)


def _require_decoded(
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
    """Puts texts into a tensor.

    Args:
        media: the texts of the samples that have one, in order.
        present: whether a sample has one.
        device: where the tensor is kept.

    Returns:
        Words [sample, time, letters] int32, and the mask of their steps [sample, time] bool.
    """
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
    """Stacks arrays of different lengths, with zeros at the end.

    Each is put into its place as it is decoded, so that all are in memory once; twice for a moment where one is
    longer than those before.

    Args:
        media: arrays [time, ...] of the samples that have one, in order, alike but for their time.
        present: whether a sample has one.
        device: where the tensor is kept.

    Returns:
        Values [sample, time, ...] of the arrays' type, and the mask [sample, time] bool.
    """
    values: Tensor | None = None
    steps = torch.zeros(len(present), dtype=torch.int64)
    for row, item in zip(np.flatnonzero(present), media, strict=True):
        array = torch.tensor(np.asarray(item))
        if values is None or len(array) > values.shape[1]:
            values = _enlarge(values, array, present, device)
        values[row, : len(array)] = array
        steps[row] = len(array)
    if values is None:
        values = torch.zeros(len(present), 1, 1, device=device)
    longest = max([1, *steps.tolist()])
    return values[:, :longest], torch.arange(longest, device=device) < steps.to(device)[:, None]


def _enlarge(values: Tensor | None, array: Tensor, present: Sequence[bool], device: torch.device) -> Tensor:
    """Allocates a tensor that has room for an array, and copies what is there already.

    Args:
        values: [sample, time, ...], what is there; None before the first array.
        array: [time, ...], longer than those before.
        present: whether a sample has an array.
        device: where the tensor is kept.

    Raises:
        DataError: the tensor and a mask of one byte a step do not fit into memory.
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
    """Checks that media fit into the memory that is free now.

    Args:
        need: bytes.
        clips: how many clips they are, for the message.
        device: whose memory.

    Raises:
        DataError: they do not fit.
    """
    free = free_bytes(device)
    if need > SHARE * free:
        raise DataError(
            f"the raw media of {clips} clips take {need / 1e9:.1f} GB or more, which do not fit into the memory of "
            f"{device} ({free / 1e9:.1f} GB are free): encode fewer or smaller frames, or shorter clips, or use "
            f"--encoder-mode frozen"
        )
