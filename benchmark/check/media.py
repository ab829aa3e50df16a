"""What a set of raw media must be, before it is decoded."""

from __future__ import annotations

import math
from collections import Counter
from os.path import isfile, normpath

from ...datasets.dataset import SPLITS
from ...datasets.media.clip import MediaSet, Piece
from ..core.strings import counted

_SLACK = 1e-4


def sample_ids_are_unique(media: MediaSet) -> None:
    """Every clip has a name of its own."""
    counts = Counter(clip.sample_id for clip in media.clips)
    repeated = [name for name, count in counts.items() if count > 1 or not name]
    assert not repeated, f"sample ids that repeat or are empty: {', '.join(map(repr, repeated[:5]))}"


def splits_are_filled(media: MediaSet) -> None:
    """Clips are in train, valid or test. There are clips to train on and to test on, unless the set has no parts."""
    counts = Counter(clip.split for clip in media.clips)
    unknown = sorted(set(counts) - set(SPLITS))
    assert not unknown, f"unknown splits: {', '.join(map(repr, unknown))}"
    for split in ("train", "test") if set(counts) != {"train"} else ():
        assert counts[split], f"no clip is in {split}"


def labels_are_in_range(media: MediaSet) -> None:
    """Labels are indices of classes, or finite scores within the range."""
    low, high = media.target.label_range or (-math.inf, math.inf)
    for clip in media.clips:
        if media.target.kind == "classification":
            fits = isinstance(clip.label, int) and 0 <= clip.label < len(media.target.classes)
        else:
            fits = math.isfinite(clip.label) and low - _SLACK <= clip.label <= high + _SLACK
        assert fits, f"{clip.sample_id}: label {clip.label!r}"


def media_fit_their_modality(media: MediaSet) -> None:
    """Text is text that is not empty; everything else is a stretch of one file, or of two for flow."""
    for clip in media.clips:
        for name, piece in clip.media.items():
            assert name in media.modalities, f"{clip.sample_id}: {name} is no modality of the set"
            medium, where = media.modalities[name], f"{clip.sample_id}: {name}"
            assert isinstance(piece, str) == (medium == "text"), f"{where} is no {medium}"
            if isinstance(piece, str):
                assert piece.strip(), f"{where} is empty"
                continue
            count = 2 if medium == "flow" else 1
            assert len(piece.files) == count, f"{where} has {len(piece.files)} files, not {count}"
            start, stop = piece.start or 0.0, math.inf if piece.stop is None else piece.stop
            assert 0 <= start < stop, f"{where} lasts from {start} to {stop} s"


def modalities_are_had(media: MediaSet) -> None:
    """Every modality is had by one clip at least."""
    lacking = set(media.modalities).difference(*(clip.media for clip in media.clips))
    assert not lacking, f"no clip has {', '.join(sorted(lacking))}"


def every_file_is_there(media: MediaSet) -> None:
    """Every file of a clip exists, every file beside them is one of a clip, and every clip has media."""
    problems = [problem for problem in media.problems if not problem.published]
    assert not problems, f"{counted(len(problems), 'problem')}, listed below; the first: {problems[0]}"
    files = {
        file: clip.sample_id
        for clip in media.clips
        for piece in clip.media.values()
        if isinstance(piece, Piece)
        for file in piece.files
    }
    for file, sample_id in files.items():
        assert isfile(file), f"{sample_id}: {file} is not there"


def clips_have_their_place(media: MediaSet) -> None:
    """No two clips are the same part of the same recording."""
    counts = Counter((clip.video, clip.number) for clip in media.clips if clip.video)
    repeated = [f"{video} number {number}" for (video, number), count in counts.items() if count > 1]
    assert not repeated, f"given to two clips: {', '.join(repeated[:5])}"
    known = {problem.sample_id for problem in media.problems if problem.published}
    first: dict[frozenset[object], str] = {}
    same = []
    for clip in media.clips:
        if clip.sample_id in known or all(isinstance(piece, str) for piece in clip.media.values()):
            continue
        content = frozenset((name, _content(piece)) for name, piece in clip.media.items())
        if content in first:
            same.append(f"{first[content]} and {clip.sample_id}")
        first.setdefault(content, clip.sample_id)
    assert not same, f"the same files and times, and no other text: {', '.join(same[:5])}"


def _content(piece: Piece | str) -> object:
    """What two clips have in common where they are one. Another text, such as a question, makes another clip."""
    if isinstance(piece, str):
        return piece.strip()
    return tuple(map(normpath, piece.files)), piece.start or 0.0, piece.stop


def training_has_classes(media: MediaSet) -> None:
    """Where classes are told apart, training clips are of two classes or more."""
    labels = {clip.label for clip in media.clips if clip.split == "train"}
    one = media.target.kind == "classification" and len(labels) == 1
    assert not one, f"all clips in train are of one class: {_class_name(media, labels.pop())}"


def _class_name(media: MediaSet, label: float) -> str:
    classes = media.target.classes
    return classes[label] if isinstance(label, int) and 0 <= label < len(classes) else repr(label)


MEDIA_CHECKS = (
    sample_ids_are_unique,
    splits_are_filled,
    labels_are_in_range,
    media_fit_their_modality,
    modalities_are_had,
    every_file_is_there,
    clips_have_their_place,
    training_has_classes,
)
