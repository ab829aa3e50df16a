"""The work of encoding: clips in slices, each decoded, broken, encoded and kept by one process."""

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
from ...datasets.media.decode import decoded
from ..data.tensors import sample_hash
from ..store.locks import hold, holder
from .corrupt_media import Breaking, as_float, padded

#: Clips of a slice: what one process takes on at a time, a shard, and the most that a kill loses.
SLICE = 64
#: Clips and numbers that an encoder is given at once, at most.
BATCH, MOST = 16, 1 << 26

#: Told of the stage ("hash", "encode"), the clips that are done, and all of them.
Progress = Callable[[str, int, int], object]


@dataclass
class Part:
    """Clips that are encoded alike: all of them, or those of one split where they are broken.

    Attributes:
        clips: key -> a clip that has it.
        breaking: what is done to them.
        donors: clips that go into the damage, until it is prepared.
    """

    clips: Mapping[str, Clip]
    breaking: Breaking | None = None
    donors: Sequence[Clip] = ()


@dataclass
class Work:
    """One call of ``encode``; ``failed`` says by key what could not be encoded, and why."""

    media_set: MediaSet
    modality: str
    encoder: Encoder
    cache: FeatureCache
    recipe: Recipe
    workers: int
    failed: dict[str, str] = field(default_factory=dict)
    encoded: int = 0

    def decoded(self, clips: Sequence[Clip]) -> Iterator[np.ndarray | str | MediaError]:
        """The media of clips, in their order, as the encoder reads them."""
        medium, view = self.encoder.medium, self.encoder.view
        items: list[tuple[Piece | str, Medium, View]]
        items = [(clip.media[self.modality], medium, view) for clip in clips]
        yield from decoded(items, workers=self.workers)

    def hash_of(self, clip: Clip) -> int:
        """What the chance that breaks a clip comes from."""
        return sample_hash(self.media_set.name, clip.sample_id)


def encode_parts(work: Work, parts: Sequence[Part], progress: Progress) -> None:
    """Encodes what is missing. Slices that another process is at come last: by then they are mostly done."""
    total = sum(len(part.clips) for part in parts)
    lost = set(work.cache.missing(work.recipe, (key for part in parts for key in part.clips)))
    slices = [(part, keys) for part in parts for keys in _slices(list(part.clips))]
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
                todo = work.cache.missing(work.recipe, keys)
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
    """A folder of a cache. Raises CacheError where there can be none."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CacheError(f"{folder}: cannot be written ({error.strerror or error})") from None


def _slices(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(keys), SLICE):
        yield keys[first : first + SLICE]


def _features(
    work: Work, part: Part, keys: Sequence[str], told: Callable[[int], object]
) -> dict[str, np.ndarray]:
    """Key -> features [steps, width] of the clips that can be encoded."""
    if not keys:
        return {}
    if part.breaking is not None and part.donors:
        whole = [
            (media, work.hash_of(clip))
            for clip, media in zip(part.donors, work.decoded(part.donors), strict=True)
            if not isinstance(media, MediaError) and not _flaw(media)
        ]
        part.breaking = part.breaking.prepared([media for media, _ in whole], [sample for _, sample in whole])
        part.donors = ()
    clips = [part.clips[key] for key in keys]
    found: dict[str, np.ndarray] = {}
    batch: dict[str, np.ndarray | str] = {}
    for place, (key, clip, media) in enumerate(zip(keys, clips, work.decoded(clips), strict=True)):
        flaw = str(media) if isinstance(media, MediaError) else _flaw(media)
        if flaw or isinstance(media, MediaError):
            work.failed[key] = flaw
            continue
        if part.breaking is not None:
            media = part.breaking.apply(media, work.hash_of(clip))
        elif not isinstance(media, str):
            media = as_float(media)
        if batch and not _fits(batch, media):
            _encode_batch(work, batch, found)
            told(place)
            batch = {}
        batch[key] = media
    if batch:
        _encode_batch(work, batch, found)
    return found


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


def _encode_batch(work: Work, batch: Mapping[str, np.ndarray | str], found: dict[str, np.ndarray]) -> None:
    """Encodes clips, and each alone where they cannot be encoded together."""
    arrays = [media for media in batch.values() if not isinstance(media, str)]
    if arrays:
        values, mask = padded(arrays)
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
            _encode_batch(work, {key: one}, found)
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
            found[key] = rows.astype(work.recipe.dtype)
