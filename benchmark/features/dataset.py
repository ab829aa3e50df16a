"""A whole set of raw media as a dataset of features in the open layout, with a record of where they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...datasets import samples as make
from ...datasets.cache.cache import FeatureCache
from ...datasets.cache.recipe import DType
from ...datasets.conversations import previous_utterances
from ...datasets.dataset import SPLITS, Located, Samples, Target, Utterances
from ...datasets.encoders.encoder import Encoder
from ...datasets.layout.contents import content_arrays
from ...datasets.layout.origin import Encoding, Origin
from ...datasets.layout.write import write_open_layout
from ...datasets.media.clip import Clip, MediaSet, Problem, SoundView, TextView, View
from ...datasets.media.rates import odd_rates
from ..core.errors import UsageError
from ..store.locks import hold
from .beside import add_features, check_beside
from .cuts import cut_summary
from .encode import EncodedModality, Features, encode, gather_features
from .pipeline import Progress, make_folder
from .provenance import MediaSource, existing_origin, request_digest


@dataclass
class EncodingOutcome:
    """The result of encoding a set.

    Attributes:
        problems: of all clips and modalities.
        cut: modality -> how many clips are longer than its encoder reads, and by how much; empty where none is.
        remarks: what is no problem, but worth a look.
        encoded: modality -> the number of clips that were encoded now.
        files: the files written; empty where the dataset is unchanged, or where there are problems.
        dropped: the number of clips that are left out because none of their modalities can be read.
        leaks: the number of clips that are left out because they lie in a later split, too.
        unread: modalities of which no clip could be read; nothing is written then.
        unchanged: whether the dataset was there already, made of the same media in the same way.
    """

    problems: list[Problem] = field(default_factory=list)
    cut: dict[str, str] = field(default_factory=dict)
    remarks: list[Problem] = field(default_factory=list)
    encoded: dict[str, int] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    dropped: int = 0
    leaks: int = 0
    unread: tuple[str, ...] = ()
    unchanged: bool = False


def encode_dataset(
    media_set: MediaSet,
    encoders: Mapping[str, tuple[str, Encoder]],
    cache: FeatureCache,
    folder: Path,
    source: MediaSource,
    *,
    dtype: DType = "float16",
    skip_broken: bool = False,
    overwrite: bool = False,
    workers: int | None = None,
    progress: Callable[[str], Progress] | None = None,
    others: Located | None = None,
) -> EncodingOutcome:
    """Encodes the modalities that have an encoder and writes a dataset in the open layout.

    Args:
        media_set: the raw data.
        encoders: modality -> the encoder's specification as the user wrote it, and the encoder.
        cache: where features are stored.
        folder: where the dataset is written.
        source: how the raw data are outcome again.
        dtype: the type that features are stored in.
        skip_broken: leave out what cannot be encoded, and clips that lie in a later split, too; otherwise one problem keeps
            everything from being written.
        overwrite: replace another dataset; one that was encoded from the same source is replaced in any case.
        workers: threads that decode.
        progress: modality -> the function that is called as its clips are finished.
        others: a dataset whose features are put beside, by sample id.

    Returns:
        What was written, and what could not be encoded.

    Raises:
        UsageError: another dataset is in the folder, a split would be empty, or the other dataset does not fit.
        DataError: the folder cannot be written.
    """
    before = existing_origin(folder, source, overwrite)
    further = {} if others is None else others.load()
    check_beside(encoders, further)
    outcome = EncodingOutcome(list(media_set.faults))
    outcome.remarks += [problem for problem in media_set.problems if problem.remark]
    if skip_broken:
        outcome.leaks = len(media_set.leaks)
        media_set = media_set.without_leaks()
    results: dict[str, EncodedModality] = {}
    for modality, (_, encoder) in encoders.items():
        report = progress(modality) if progress else None
        results[modality] = result = encode(
            media_set, modality, encoder, cache, dtype=dtype, workers=workers, progress=report
        )
        outcome.problems += result.problems
        outcome.remarks += _remarks(media_set, modality, encoder.view)
        outcome.cut[modality] = cut_summary(media_set, modality, encoder)
        outcome.encoded[modality] = result.encoded
    outcome.unread = tuple(modality for modality, result in results.items() if not result.keys)
    if outcome.unread or (outcome.problems and not skip_broken):
        return outcome
    clips = [clip for clip in media_set.clips if any(clip.sample_id in one.keys for one in results.values())]
    outcome.dropped = len(media_set.clips) - len(clips)
    origin = Origin(
        source=source.name,
        path=source.path,
        root=source.root,
        modalities={
            modality: Encoding(
                encoder.medium,
                text,
                {str(k): str(v) for k, v in encoder.identity().items()},
                outcome.cut[modality],
            )
            for modality, (text, encoder) in encoders.items()
        },
        dtype=dtype,
        cache=str(cache.root.resolve()),
        problems=len(outcome.problems),
        asked=request_digest(
            media_set, {modality: text for modality, (text, _) in encoders.items()}, dtype, others
        ),
    )
    if before == origin:
        outcome.unchanged = True
        return outcome
    splits = {}
    stated = {clip.split for clip in media_set.clips}
    for split in (split for split in SPLITS if split in stated):
        chosen = [clip for clip in clips if clip.split == split]
        if not chosen:
            raise UsageError(f"{media_set.name}: no clip of {split} is left; every split needs one")
        widths = {modality: encoder.width for modality, (_, encoder) in encoders.items()}
        parts = {
            modality: gather_features(result, cache, chosen, widths[modality], result.recipe.dtype)
            for modality, result in results.items()
        }
        splits[split] = samples_of_clips(media_set.target, chosen, parts)
        if others is not None:
            splits[split] = add_features(splits[split], further.get(split), split)
    keys = {modality: result.keys for modality, result in results.items()}
    with exclusive_writer(folder, cache):
        outcome.files = write_open_layout(
            folder,
            splits,
            media_set.target,
            name=media_set.name,
            title=media_set.title,
            homepage=media_set.homepage,
            synthetic=media_set.synthetic,
            media=origin.to_dict(),
            beside={split: content_arrays(keys, one.sample_id.tolist()) for split, one in splits.items()},
            transcripts=_transcripts(clips, encoders, splits),
            overwrite=True,
        )
    return outcome


def _transcripts(
    clips: Sequence[Clip], encoders: Mapping[str, tuple[str, Encoder]], splits: Iterable[str]
) -> dict[str, dict[str, np.ndarray]]:
    """Split -> modality -> the texts of its clips, from which regimes of conversations can be read, too; empty where the clips are
    no conversations, or no modality is of text."""
    names = [modality for modality, (_, encoder) in encoders.items() if isinstance(encoder.view, TextView)]
    if not names or any(clip.turn is None for clip in clips):
        return {}
    return {
        split: {
            modality: np.array([str(clip.media.get(modality, "")) for clip in clips if clip.split == split])
            for modality in names
        }
        for split in splits
    }


@contextmanager
def exclusive_writer(folder: Path, cache: FeatureCache) -> Iterator[None]:
    """Holds the right to write a dataset: another process that writes the same one waits, so that splits never mix.

    Args:
        folder: of the dataset.
        cache: whose folder holds the lock.
    """
    claims = cache.root / "writing" / hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    make_folder(claims)
    with hold(claims) as claim:
        yield
        claim.release(forget=True)


def _remarks(media_set: MediaSet, modality: str, view: View) -> list[Problem]:
    """Recordings of an unusual rate, and clips without a text that the listing does not report as a problem."""
    if isinstance(view, SoundView):
        return odd_rates(media_set, modality, view.rate)
    if not isinstance(view, TextView):
        return []
    reported = {one.sample_id for one in media_set.problems if one.modality in (modality, "")}
    return [
        Problem(clip.sample_id, modality, "its text", "empty: the clip has no text")
        for clip in media_set.clips
        if modality not in clip.media and clip.sample_id not in reported
    ]


def samples_of_clips(target: Target, clips: Sequence[Clip], parts: Mapping[str, Features]) -> Samples:
    """Clips and their features as samples.

    Args:
        target: what their labels are.
        clips: in the order of the samples.
        parts: modality -> the features of the clips.
    """
    regression = target.kind == "regression"
    # a clip without a recording is one of its own
    videos = np.array([clip.video or f"\0{clip.sample_id}" for clip in clips])
    said = _utterances(clips)
    by_turns = said is not None and not any(clip.video for clip in clips)
    previous = (
        previous_utterances(said)
        if said is not None and by_turns
        else make.previous_rows(videos, np.array([clip.number for clip in clips]))
    )
    return Samples(
        features={modality: part.features for modality, part in parts.items()},
        mask={modality: part.mask for modality, part in parts.items()},
        present={modality: part.present for modality, part in parts.items()},
        target=np.array([clip.label for clip in clips], np.float32 if regression else np.int64),
        sample_id=np.array([clip.sample_id for clip in clips]),
        domain=np.array([clip.domain for clip in clips]),
        previous=previous,
        utterances=said,
        group=np.array([clip.group for clip in clips]) if any(clip.group for clip in clips) else None,
    )


def _utterances(clips: Sequence[Clip]) -> Utterances | None:
    """Where clips stand in conversations; None where the set states none."""
    turns = [clip.turn for clip in clips if clip.turn is not None]
    if len(turns) < len(clips):
        return None
    return Utterances(
        np.array([turn.conversation for turn in turns]),
        np.array([turn.order for turn in turns], np.float64),
        np.array([turn.speaker for turn in turns]),
    )
