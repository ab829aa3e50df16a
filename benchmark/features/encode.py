"""Features of raw media: clips that the cache lacks are decoded, corrupted where wanted, encoded and stored."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ...corruptions.corruption import Corruption
from ...datasets.cache.cache import FeatureCache
from ...datasets.cache.keys import content_key, corrupted_key, joined_key
from ...datasets.cache.recipe import DType, Recipe
from ...datasets.dataset import DataError
from ...datasets.encoders.encoder import Encoder
from ...datasets.media.clip import Clip, MediaSet, Piece, Problem
from ..core.errors import UsageError
from .corrupt_media import DONORS, MediaCorruption
from .pipeline import Part, Progress, Work, encode_parts

LOG = logging.getLogger("mmbench.features")


@dataclass(frozen=True)
class EncodedModality:
    """The result of encoding one modality.

    Attributes:
        recipe: the recipe under which the cache holds the features.
        keys: sample id -> key in the cache; clips without the modality, and clips that cannot be read, are left out.
        problems: the clips that could not be encoded, and why.
        encoded: the number of clips that this process encoded now.
    """

    recipe: Recipe
    keys: Mapping[str, str]
    problems: tuple[Problem, ...]
    encoded: int


def encode(
    media_set: MediaSet,
    modality: str,
    encoder: Encoder,
    cache: FeatureCache,
    corruption: Corruption | None = None,
    *,
    clips: Sequence[Clip] | None = None,
    dtype: DType = "float16",
    workers: int | None = None,
    progress: Progress | None = None,
) -> EncodedModality:
    """Puts the features of clips into the cache. Processes that encode the same clips share the work.

    Args:
        media_set: the raw data.
        modality: which of its media.
        encoder: what makes features of them.
        cache: where features are kept.
        corruption: applied to the media before they are encoded.
        clips: those to encode; by default all.
        dtype: the type that features are stored in.
        workers: threads that decode; by default one a core, 8 at most.
        progress: called with the stage, the number of finished clips, and the number of all clips.

    Returns:
        Where the features are, and what could not be encoded.

    Raises:
        UsageError: the encoder reads another medium than the modality has, or the corruption is for another modality or medium.
        CacheError: the cache cannot be written.
    """
    if modality not in media_set.modalities:
        raise UsageError(f"{media_set.name} has no {modality}; there are {', '.join(media_set.modalities)}")
    if encoder.medium != media_set.modalities[modality]:
        raise UsageError(
            f"{modality} of {media_set.name} is {media_set.modalities[modality]}, "
            f"but encoder {encoder.identity().get('encoder', '')} reads {encoder.medium}"
        )
    applied = None
    if corruption is not None:
        applied = MediaCorruption.of(corruption, modality, encoder.medium, encoder.view)
    recipe = Recipe(
        encoder.identity(),
        encoder.medium,
        asdict(encoder.view),
        applied.identity if applied else {},
        dtype,
    )
    workers = min(8, len(os.sched_getaffinity(0))) if workers is None else workers
    work = Work(media_set, modality, encoder, cache, recipe, workers)
    chosen = [clip for clip in (media_set.clips if clips is None else clips) if modality in clip.media]
    contents, unreadable = _contents(chosen, modality, progress or _no_progress)
    keys: dict[str, str] = {}
    parts = list(_parts(work, applied, contents, keys))
    encode_parts(work, parts, progress or _no_progress)
    problems = []
    for clip in chosen:
        reason = unreadable.get(clip.sample_id) or work.failed.get(keys.get(clip.sample_id, ""))
        if reason:
            problems.append(Problem(clip.sample_id, modality, location_of(clip.media[modality]), reason))
            keys.pop(clip.sample_id, None)
    LOG.info(
        "%s of %s: features of %d contents, %d encoded now, the others found in %s (recipe %s)",
        modality,
        media_set.name,
        len(set(keys.values())),
        work.encoded,
        cache.root,
        recipe.id[:12],
    )
    return EncodedModality(recipe, keys, tuple(problems), work.encoded)


def _no_progress(stage: str, done: int, total: int) -> None:
    pass


def location_of(media: Piece | str) -> str:
    """Where media lie, in words for a message."""
    return "its text" if isinstance(media, str) else " and ".join(map(str, media.files))


def _contents(
    clips: Sequence[Clip], modality: str, progress: Progress
) -> tuple[dict[str, tuple[Clip, str]], dict[str, str]]:
    """Hashes the media of clips.

    Returns:
        Sample id -> the clip and the key of its content; and sample id -> why it cannot be read.
    """
    contents: dict[str, tuple[Clip, str]] = {}
    unreadable: dict[str, str] = {}
    for done, clip in enumerate(clips):
        progress("hash", done, len(clips))
        try:
            contents[clip.sample_id] = clip, content_key(clip.media[modality])
        except DataError as error:
            unreadable[clip.sample_id] = str(error)
    return contents, unreadable


def _parts(
    work: Work,
    corruption: MediaCorruption | None,
    contents: Mapping[str, tuple[Clip, str]],
    keys: dict[str, str],
) -> Iterator[Part]:
    """Groups clips by how they are encoded, each content once.

    Args:
        work: the call of ``encode``.
        corruption: what is applied to the media first.
        contents: sample id -> the clip and the key of its content.
        keys: filled in here: sample id -> key in the cache.
    """
    if corruption is None:
        clips: dict[str, Clip] = {}
        for clip, key in contents.values():
            keys[clip.sample_id] = key
            clips.setdefault(key, clip)
        yield Part(clips)
        return
    for split in dict.fromkeys(clip.split for clip, _ in contents.values()):
        donors = _donors(work, split) if corruption.mixes else []
        stands = joined_key([key for _, key in donors]) if donors else ""
        clips = {}
        for clip, content in contents.values():
            if clip.split == split:
                keys[clip.sample_id] = key = corrupted_key(content, work.hash_of(clip), stands)
                clips[key] = clip
        yield Part(clips, corruption, [clip for clip, _ in donors])


def _donors(work: Work, split: str) -> list[tuple[Clip, str]]:
    """The clips of a split that a mixing corruption adds to others, with the keys of their contents.

    They do not depend on which clips of the split are encoded.
    """
    candidates = [
        clip for clip in work.media_set.clips if clip.split == split and work.modality in clip.media
    ]
    donors: list[tuple[Clip, str]] = []
    for clip in sorted(candidates, key=work.hash_of):
        try:
            donors.append((clip, content_key(clip.media[work.modality])))
        except DataError:
            continue  # reported where the clip itself is encoded
        if len(donors) == DONORS:
            break
    return donors


@dataclass(frozen=True)
class Features:
    """Features of clips, in their order, padded with zeros at the end.

    Attributes:
        features: [clips, time, width], float32.
        mask: [clips, time], bool, true at steps that hold data.
        present: [clips], bool, false where a clip lacks the modality or could not be encoded.
        problems: what could not be encoded.
    """

    features: np.ndarray
    mask: np.ndarray
    present: np.ndarray
    problems: tuple[Problem, ...] = ()


def encode_clips(
    media_set: MediaSet,
    modality: str,
    encoder: Encoder,
    cache: FeatureCache,
    corruption: Corruption | None,
    clips: Sequence[Clip],
    **how: Any,
) -> Features:
    """Encodes clips where the cache lacks them, and reads their features.

    Args:
        media_set, modality, encoder, cache, corruption, clips: as of ``encode``.
        how: further arguments of ``encode``.

    Returns:
        Features in the order of ``clips``, and what could not be encoded.
    """
    result = encode(media_set, modality, encoder, cache, corruption, clips=clips, **how)
    return replace(gather_features(result, cache, clips, encoder.width, np.float32), problems=result.problems)


def gather_features(
    result: EncodedModality, cache: FeatureCache, clips: Sequence[Clip], width: int, dtype: Any
) -> Features:
    """Reads the features of clips that were encoded, padded to the longest.

    Args:
        result: what ``encode`` returned.
        cache: where the features are.
        clips: those whose features are wanted, in order.
        width: features of a step.
        dtype: the type of the array that is returned.

    Returns:
        Features [clips, time, width], with mask and presence.
    """
    known = [row for row, clip in enumerate(clips) if clip.sample_id in result.keys]
    rows = cache.rows(result.recipe, [result.keys[clips[row].sample_id] for row in known])
    steps = np.zeros(len(clips), np.int64)
    steps[known] = [len(array) for array in rows]
    features = np.zeros((len(clips), max(1, int(steps.max(initial=0))), width), dtype)
    for row, array in zip(known, rows, strict=True):
        features[row, : len(array)] = array
    mask = np.arange(features.shape[1]) < steps[:, None]
    return Features(features, mask, steps > 0)
