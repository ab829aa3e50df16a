"""Raw media become features: what is missing in the cache is decoded, broken where asked for, encoded and kept."""

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
from .corrupt_media import DONORS, Breaking
from .pipeline import Part, Progress, Work, encode_parts

LOG = logging.getLogger("mmbench.features")


@dataclass(frozen=True)
class Result:
    """What came of encoding a modality.

    Attributes:
        recipe: where in the cache the features are.
        keys: sample id -> key in the cache; clips without the modality, and broken ones, are not named.
        problems: what could not be encoded.
        encoded: how many clips were encoded now, by this process.
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
) -> Result:
    """Makes sure that the features of clips are in the cache. Processes that do the same share the work.

    Args:
        media_set: the raw data.
        modality: which of its media.
        encoder: what makes features of them.
        cache: where features are kept.
        corruption: what the media are broken by before they are encoded.
        clips: those to encode; by default all.
        dtype: what features are stored as.
        workers: threads that decode; by default one a core, 8 at most.
        progress: told how far it is.

    Raises:
        UsageError: the encoder reads other media, or the corruption breaks others.
        CacheError: the cache cannot be written.
    """
    if modality not in media_set.modalities:
        raise UsageError(f"{media_set.name} has no {modality}; there are {', '.join(media_set.modalities)}")
    if encoder.medium != media_set.modalities[modality]:
        raise UsageError(
            f"{modality} of {media_set.name} is {media_set.modalities[modality]}, "
            f"but encoder {encoder.identity().get('encoder', '')} reads {encoder.medium}"
        )
    breaking = None
    if corruption is not None:
        breaking = Breaking.of(corruption, modality, encoder.medium, encoder.view)
    recipe = Recipe(
        encoder.identity(),
        encoder.medium,
        asdict(encoder.view),
        breaking.identity if breaking else {},
        dtype,
    )
    workers = min(8, len(os.sched_getaffinity(0))) if workers is None else workers
    work = Work(media_set, modality, encoder, cache, recipe, workers)
    chosen = [clip for clip in (media_set.clips if clips is None else clips) if modality in clip.media]
    contents, unreadable = _contents(chosen, modality, progress or _silent)
    keys: dict[str, str] = {}
    parts = list(_parts(work, breaking, contents, keys))
    encode_parts(work, parts, progress or _silent)
    problems = []
    for clip in chosen:
        reason = unreadable.get(clip.sample_id) or work.failed.get(keys.get(clip.sample_id, ""))
        if reason:
            problems.append(Problem(clip.sample_id, modality, place_of(clip.media[modality]), reason))
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
    return Result(recipe, keys, tuple(problems), work.encoded)


def _silent(stage: str, done: int, total: int) -> None:
    pass


def place_of(media: Piece | str) -> str:
    """Where media lie, in words."""
    return "its text" if isinstance(media, str) else " and ".join(map(str, media.files))


def _contents(
    clips: Sequence[Clip], modality: str, progress: Progress
) -> tuple[dict[str, tuple[Clip, str]], dict[str, str]]:
    """Sample id -> the clip and what stands for the content of its media; and sample id -> why there is none."""
    found, unreadable = {}, {}
    for done, clip in enumerate(clips):
        progress("hash", done, len(clips))
        try:
            found[clip.sample_id] = clip, content_key(clip.media[modality])
        except DataError as error:
            unreadable[clip.sample_id] = str(error)
    return found, unreadable


def _parts(
    work: Work, breaking: Breaking | None, contents: Mapping[str, tuple[Clip, str]], keys: dict[str, str]
) -> Iterator[Part]:
    """What is to be encoded, each content once; fills in the key of every clip."""
    if breaking is None:
        clips: dict[str, Clip] = {}
        for clip, key in contents.values():
            keys[clip.sample_id] = key
            clips.setdefault(key, clip)
        yield Part(clips)
        return
    for split in dict.fromkeys(clip.split for clip, _ in contents.values()):
        donors = _donors(work, split) if breaking.mixes else []
        stands = joined_key([key for _, key in donors]) if donors else ""
        clips = {}
        for clip, content in contents.values():
            if clip.split == split:
                keys[clip.sample_id] = key = corrupted_key(content, work.hash_of(clip), stands)
                clips[key] = clip
        yield Part(clips, breaking, [clip for clip, _ in donors])


def _donors(work: Work, split: str) -> list[tuple[Clip, str]]:
    """The clips of a split that go into the damage of others, whichever clips are asked for."""
    able = [clip for clip in work.media_set.clips if clip.split == split and work.modality in clip.media]
    found = []
    for clip in sorted(able, key=work.hash_of):
        try:
            found.append((clip, content_key(clip.media[work.modality])))
        except DataError:
            continue  # told where the clip itself is encoded
        if len(found) == DONORS:
            break
    return found


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


def encoded_split(
    media_set: MediaSet,
    modality: str,
    encoder: Encoder,
    cache: FeatureCache,
    corruption: Corruption | None,
    clips: Sequence[Clip],
    **how: Any,
) -> Features:
    """The features of some clips, encoded first where they are not in the cache. ``how``: as of ``encode``."""
    result = encode(media_set, modality, encoder, cache, corruption, clips=clips, **how)
    return replace(gathered(result, cache, clips, encoder.width, np.float32), problems=result.problems)


def gathered(result: Result, cache: FeatureCache, clips: Sequence[Clip], width: int, dtype: Any) -> Features:
    """The features of some of the clips that were encoded, as ``dtype``, padded to the longest."""
    known = [row for row, clip in enumerate(clips) if clip.sample_id in result.keys]
    rows = cache.rows(result.recipe, [result.keys[clips[row].sample_id] for row in known])
    steps = np.zeros(len(clips), np.int64)
    steps[known] = [len(array) for array in rows]
    features = np.zeros((len(clips), max(1, int(steps.max(initial=0))), width), dtype)
    for row, array in zip(known, rows, strict=True):
        features[row, : len(array)] = array
    mask = np.arange(features.shape[1]) < steps[:, None]
    return Features(features, mask, steps > 0)
