"""A set of raw media, encoded as a whole: features in the open layout, and where they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...datasets import samples as make
from ...datasets.cache.cache import FeatureCache
from ...datasets.cache.recipe import DType
from ...datasets.dataset import SPLITS, Samples
from ...datasets.encoders.encoder import Encoder
from ...datasets.layout.contents import content_arrays
from ...datasets.layout.origin import Encoding, Origin
from ...datasets.layout.write import write_open_layout
from ...datasets.media.clip import Clip, MediaSet, Problem, SoundView, TextView, View
from ...datasets.media.rates import odd_rates
from ..core.errors import UsageError
from ..store.locks import hold
from .encode import Result, encode, gathered
from .pipeline import Progress, make_folder
from .provenance import Source, origin_there, stands_for


@dataclass
class Outcome:
    """What came of encoding a set.

    Attributes:
        problems: of all clips and modalities.
        remarks: what is no problem, but worth a look.
        encoded: modality -> how many clips were encoded now.
        files: what was written; empty where nothing had to be, or where there are problems.
        dropped: clips that are left without any modality.
        unread: modalities of which no clip could be read; nothing is written then.
        unchanged: whether the dataset was there already, made of the same media in the same way.
    """

    problems: list[Problem] = field(default_factory=list)
    remarks: list[Problem] = field(default_factory=list)
    encoded: dict[str, int] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    dropped: int = 0
    unread: tuple[str, ...] = ()
    unchanged: bool = False


def encode_dataset(
    media_set: MediaSet,
    encoders: Mapping[str, tuple[str, Encoder]],
    cache: FeatureCache,
    folder: Path,
    source: Source,
    *,
    dtype: DType = "float16",
    skip_broken: bool = False,
    overwrite: bool = False,
    workers: int | None = None,
    progress: Callable[[str], Progress] | None = None,
) -> Outcome:
    """Encodes the modalities that have an encoder and writes a dataset in the open layout.

    Args:
        media_set: the raw data.
        encoders: modality -> the encoder as it was asked for, and itself.
        cache: where features are kept.
        folder: where the dataset is written.
        source: how the raw data are found again.
        dtype: what features are stored as.
        skip_broken: whether what cannot be encoded is left out; else it keeps everything from being written.
        overwrite: whether another dataset may be replaced. One that was encoded from the same source may.
        workers: threads that decode.
        progress: modality -> what is told of it.

    Raises:
        UsageError: another dataset is there; or a split would be empty.
        DataError: the folder cannot be written.
    """
    before = origin_there(folder, source, overwrite)
    found = Outcome(list(media_set.problems))
    results: dict[str, Result] = {}
    for modality, (_, encoder) in encoders.items():
        told = progress(modality) if progress else None
        results[modality] = result = encode(
            media_set, modality, encoder, cache, dtype=dtype, workers=workers, progress=told
        )
        found.problems += result.problems
        found.remarks += _remarks(media_set, modality, encoder.view)
        found.encoded[modality] = result.encoded
    found.unread = tuple(modality for modality, result in results.items() if not result.keys)
    if found.unread or (found.problems and not skip_broken):
        return found
    clips = [clip for clip in media_set.clips if any(clip.sample_id in one.keys for one in results.values())]
    found.dropped = len(media_set.clips) - len(clips)
    origin = Origin(
        source=source.name,
        path=source.path,
        root=source.root,
        modalities={
            modality: Encoding(encoder.medium, text, {str(k): str(v) for k, v in encoder.identity().items()})
            for modality, (text, encoder) in encoders.items()
        },
        dtype=dtype,
        cache=str(cache.root.resolve()),
        problems=len(found.problems),
        asked=stands_for(media_set, {modality: text for modality, (text, _) in encoders.items()}, dtype),
    )
    if before == origin:
        found.unchanged = True
        return found
    splits = {}
    for split in SPLITS:
        chosen = [clip for clip in clips if clip.split == split]
        if not chosen:
            raise UsageError(f"{media_set.name}: no clip of {split} is left; every split needs one")
        widths = {modality: encoder.width for modality, (_, encoder) in encoders.items()}
        splits[split] = _samples(media_set, chosen, results, cache, widths)
    keys = {modality: result.keys for modality, result in results.items()}
    with writing_alone(folder, cache):
        found.files = write_open_layout(
            folder,
            splits,
            media_set.target,
            name=media_set.name,
            title=media_set.title,
            homepage=media_set.homepage,
            synthetic=media_set.synthetic,
            media=origin.to_dict(),
            beside={split: content_arrays(keys, one.sample_id.tolist()) for split, one in splits.items()},
            overwrite=True,
        )
    return found


@contextmanager
def writing_alone(folder: Path, cache: FeatureCache) -> Iterator[None]:
    """While this process writes a dataset, another that writes the same one waits: splits of two are never mixed."""
    claims = cache.root / "writing" / hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    make_folder(claims)
    with hold(claims) as claim:
        yield
        claim.release(forget=True)


def _remarks(media_set: MediaSet, modality: str, view: View) -> list[Problem]:
    """Recordings of a rate of their own, and clips without a text that nobody calls a problem."""
    if isinstance(view, SoundView):
        return odd_rates(media_set, modality, view.rate)
    if not isinstance(view, TextView):
        return []
    told = {one.sample_id for one in media_set.problems if one.modality in (modality, "")}
    return [
        Problem(clip.sample_id, modality, "its text", "empty: the clip has no text")
        for clip in media_set.clips
        if modality not in clip.media and clip.sample_id not in told
    ]


def _samples(
    media_set: MediaSet,
    clips: Sequence[Clip],
    results: Mapping[str, Result],
    cache: FeatureCache,
    widths: Mapping[str, int],
) -> Samples:
    parts = {
        modality: gathered(result, cache, clips, widths[modality], result.recipe.dtype)
        for modality, result in results.items()
    }
    regression = media_set.target.kind == "regression"
    # a clip without a recording is one of its own
    videos = np.array([clip.video or f"\0{clip.sample_id}" for clip in clips])
    return Samples(
        features={modality: part.features for modality, part in parts.items()},
        mask={modality: part.mask for modality, part in parts.items()},
        present={modality: part.present for modality, part in parts.items()},
        target=np.array([clip.label for clip in clips], np.float32 if regression else np.int64),
        sample_id=np.array([clip.sample_id for clip in clips]),
        domain=np.array([clip.domain for clip in clips]),
        previous=make.previous_rows(videos, np.array([clip.number for clip in clips])),
    )
