"""The work of encoding: clips in slices, each decoded, corrupted, encoded and stored by one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...datasets.cache.cache import FeatureCache
from ...datasets.cache.keys import joined_key
from ...datasets.cache.recipe import Recipe
from ...datasets.cache.shard import CacheError
from ...datasets.encoders.encoder import Encoder, Media
from ...datasets.media.clip import Clip, MediaError, MediaSet, Medium, Piece, View
from ...datasets.media.decode import decode_ahead
from ..data.tensors import sample_hash
from ..store.locks import hold, holder
from .corrupt_media import MediaCorruption, as_float, pad_batch

#: Clips of a slice: one process encodes them at a time and stores them as a shard; a kill loses no more than them.
SLICE = 64
#: The most clips, and the most numbers, that an encoder is given at once.
BATCH, MOST = 16, 1 << 26

#: Called with the stage ("hash" or "encode"), the number of finished clips, and the number of all clips.
Progress = Callable[[str, int, int], object]


@dataclass
class Part:
    """Clips that are encoded alike: all of them, or those of one split where a corruption is applied.

    Attributes:
        clips: key in the cache -> a clip that has it.
        corruption: applied to their media before they are encoded.
        donors: clips that the corruption mixes into others; empty once it is prepared.
    """

    clips: Mapping[str, Clip]
    corruption: MediaCorruption | None = None
    donors: Sequence[Clip] = ()


@dataclass
class Work:
    """One call of ``encode``.

    Attributes:
        media_set, modality, encoder, cache: as given to ``encode``.
        recipe: under which the cache holds the features.
        workers: threads that decode.
        failed: key in the cache -> why its clip could not be encoded.
        encoded: the number of clips that were encoded so far.
    """

    media_set: MediaSet
    modality: str
    encoder: Encoder
    cache: FeatureCache
    recipe: Recipe
    workers: int
    failed: dict[str, str] = field(default_factory=dict)
    encoded: int = 0

    def decode(self, clips: Sequence[Clip]) -> Iterator[np.ndarray | str | MediaError]:
        """The media of clips, in their order, as the encoder reads them."""
        medium, view = self.encoder.medium, self.encoder.view
        items: list[tuple[Piece | str, Medium, View]]
        items = [(clip.media[self.modality], medium, view) for clip in clips]
        yield from decode_ahead(items, workers=self.workers)

    def hash_of(self, clip: Clip) -> int:
        """The hash of a clip's sample, which seeds its corruption."""
        return sample_hash(self.media_set.name, clip.sample_id)


def encode_parts(work: Work, parts: Sequence[Part], progress: Progress) -> None:
    """Encodes what the cache lacks. Slices that another process works on come last: by then most are finished.

    Args:
        work: the call of ``encode``; its ``failed`` and ``encoded`` are filled in.
        parts: the clips.
        progress: called as slices and batches are finished.

    Raises:
        CacheError: the cache cannot be written.
    """
    total = sum(len(part.clips) for part in parts)
    lost = set(work.cache.missing_keys(work.recipe, (key for part in parts for key in part.clips)))
    slices = [(part, keys) for part in parts for keys in _slices(in_order(part.clips, work.modality))]
    left = [(part, keys) for part, keys in slices if not lost.isdisjoint(keys)]
    done = total - sum(len(keys) for _, keys in left)
    progress("encode", done, total)
    for patient in (False, True):
        busy = []
        for part, keys in left:
            claims = work.cache.folder(work.recipe) / "claims" / joined_key(list(keys))[:16]
            make_folder(claims)
            if not patient and holder(claims) is not None:
                busy.append((part, keys))
                continue
            with hold(claims) as claim:
                todo = work.cache.missing_keys(work.recipe, keys)
                features = _features(
                    work, part, todo, lambda n, done=done: progress("encode", done + n, total)
                )
                if features:
                    work.cache.write(work.recipe, features)
                    work.encoded += len(features)
                claim.release(forget=True)
            done += len(keys)
            progress("encode", done, total)
        left = busy


def make_folder(folder: Path) -> None:
    """Makes a folder of a cache. Raises CacheError where that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CacheError(f"{folder}: cannot be written ({error.strerror or error})") from None


def in_order(clips: Mapping[str, Clip], modality: str) -> list[str]:
    """The keys of clips in the order in which they are encoded: of texts the longest come first, so that those that an encoder
    is given together are of like length, and little of what it reads is padding.

    Args:
        clips: key -> a clip that has it.
        modality: which of its media is encoded.
    """

    def letters(key: str) -> int:
        media = clips[key].media[modality]
        return len(media) if isinstance(media, str) else 0

    return sorted(clips, key=letters, reverse=True)


def _slices(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(keys), SLICE):
        yield keys[first : first + SLICE]


def _features(
    work: Work, part: Part, keys: Sequence[str], advance: Callable[[int], object]
) -> dict[str, np.ndarray]:
    """Decodes and encodes the clips of some keys.

    Args:
        work: the call of ``encode``; its ``failed`` is filled in.
        part: holds the clips.
        keys: those that are encoded.
        advance: called with the number of finished clips.

    Returns:
        Key -> features [steps, width], of the clips that can be encoded.
    """
    if not keys:
        return {}
    if part.corruption is not None and part.donors:
        whole = [
            (media, work.hash_of(clip))
            for clip, media in zip(part.donors, work.decode(part.donors), strict=True)
            if not isinstance(media, MediaError) and not _flaw(media)
        ]
        part.corruption = part.corruption.prepare(
            [media for media, _ in whole], [sample for _, sample in whole]
        )
        part.donors = ()
    clips = [part.clips[key] for key in keys]
    features: dict[str, np.ndarray] = {}
    batch: dict[str, np.ndarray | str] = {}
    for place, (key, clip, media) in enumerate(zip(keys, clips, work.decode(clips), strict=True)):
        flaw = str(media) if isinstance(media, MediaError) else _flaw(media)
        if flaw or isinstance(media, MediaError):
            work.failed[key] = flaw
            continue
        if part.corruption is not None:
            media = part.corruption.apply(media, work.hash_of(clip))
        elif not isinstance(media, str):
            media = as_float(media)
        if batch and not _fits(batch, media):
            _encode_batch(work, batch, features)
            advance(place)
            batch = {}
        batch[key] = media
    if batch:
        _encode_batch(work, batch, features)
    return features


def _flaw(media: np.ndarray | str) -> str:
    """Why decoded media cannot be encoded; empty where they can."""
    if isinstance(media, str):
        return "" if media.strip() else "the text is empty"
    if not media.size:
        return "it is of zero length"
    return (
        "" if media.dtype == np.uint8 or np.isfinite(media).all() else "it holds numbers that are not finite"
    )


def _fits(batch: Mapping[str, np.ndarray | str], media: np.ndarray | str) -> bool:
    """Whether one more clip can go into a batch."""
    if len(batch) == BATCH:
        return False
    arrays = [array for array in (*batch.values(), media) if not isinstance(array, str)]
    alike = len({array.shape[1:] for array in arrays}) <= 1
    longest = max((array.size for array in arrays), default=0)
    return alike and longest * len(arrays) <= MOST


def _encode_batch(work: Work, batch: Mapping[str, np.ndarray | str], features: dict[str, np.ndarray]) -> None:
    """Encodes clips together, and each alone where that is not possible.

    Args:
        work: the call of ``encode``; its ``failed`` is filled in.
        batch: key -> decoded media.
        features: filled in here: key -> features [steps, width].
    """
    arrays = [media for media in batch.values() if not isinstance(media, str)]
    if arrays:
        values, mask = pad_batch(arrays)
        media = Media(values, mask)
    else:
        media = Media(texts=[str(text) for text in batch.values()])
    try:
        encoded = work.encoder.encode(media)
    except MediaError as error:
        if len(batch) == 1:
            work.failed[next(iter(batch))] = str(error)
            return
        for key, one in batch.items():
            _encode_batch(work, {key: one}, features)
        return
    most = np.finfo(work.recipe.dtype).max
    for key, rows, length in zip(
        batch, encoded.features.float().cpu().numpy(), encoded.length.tolist(), strict=True
    ):
        rows = rows[:length]
        highest = np.abs(rows).max(initial=0)
        if not length:
            work.failed[key] = "the encoder makes no steps of it"
        elif not np.isfinite(rows).all():
            work.failed[key] = "its features are not finite"
        elif highest > most:
            work.failed[key] = f"a feature of {highest:.3g} does not fit {work.recipe.dtype}: use float32"
        else:
            features[key] = rows.astype(work.recipe.dtype)
