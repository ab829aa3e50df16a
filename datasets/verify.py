"""The content of a dataset on disk, and its comparison with what was published. Plain data, for others to show."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from .counting import counted
from .dataset import Dataset, Located, Published, Samples, Target
from .fingerprint import file_sha256, fingerprint
from .label_values import single_labels
from .layout.open_layout import LocatedFolder
from .leaks import leaks

_BINS = 7
#: Of more files than these the first are named, and the others counted.
MANY_FILES = 20


@dataclass(frozen=True)
class ModalityInfo:
    """A modality in one split.

    Attributes:
        steps, features: the shape of a sample.
        dtype: of the features.
        mean_length: mean number of valid steps, of the samples that have the modality.
        absent: the number of samples that do not have it.
        observed: the share of the entries of valid steps that were observed; None where the modality is not partly observed.
        time: the longest span between the first and the last step of a sample, in seconds; None where no times are stated.
        tokens: the positions of token ids; None where none are stated.
    """

    steps: int
    features: int
    dtype: str
    mean_length: float
    absent: int
    observed: float | None = None
    time: float | None = None
    tokens: int | None = None


@dataclass(frozen=True)
class SplitInfo:
    """One split.

    Attributes:
        samples: how many.
        modalities: name -> shape, type, lengths.
        labels: class name -> samples; or, for regression, seven equal parts of the range -> samples.
        label_min, label_max: of the scores found (regression), or None.
        zeros: the number of labels that are exactly 0 (regression), or None.
        domains: name -> samples.
        with_previous: the number of samples whose previous utterance is in the split.
        conversations: the number of them, and of utterances of the longest; None where the data state none.
        labelled: the modalities with labels of their own.
    """

    samples: int
    modalities: Mapping[str, ModalityInfo]
    labels: Mapping[str, int]
    label_min: float | None
    label_max: float | None
    zeros: int | None
    domains: Mapping[str, int]
    with_previous: int
    conversations: tuple[int, int] | None = None
    labelled: tuple[str, ...] = ()


@dataclass(frozen=True)
class Info:
    """All that ``mmbench data info`` shows; ``cut`` says of modalities how many clips an encoder cut, and
    ``drawn_validation`` how the validation part was drawn, where the data state none."""

    name: str
    format: str
    synthetic: bool
    files: tuple[Path, ...]
    fingerprint: str
    target: Target
    splits: Mapping[str, SplitInfo]
    cut: Mapping[str, str]
    drawn_validation: str = ""


@dataclass(frozen=True)
class Comparison:
    """One comparison with what is published, or of the splits with each other.

    ``unknown``: nothing is published to compare with. ``warning``: the splits share what they should not, or all samples of
    one have the same label. ``note``: they
    share what may be meant, or what is worth a look.
    """

    what: str
    expected: str
    found: str
    status: Literal["ok", "differs", "unknown", "warning", "note"]


def info(located: Located) -> Info:
    """Reads a dataset and says what is in it. Raises DataError."""
    origin = located.description.media if isinstance(located, LocatedFolder) else None
    return Info(
        name=located.name,
        format=located.format,
        synthetic=located.synthetic,
        files=tuple(located.files),
        fingerprint=located.fingerprint(),
        target=located.target,
        splits={name: _split_info(samples, located.target) for name, samples in located.load().items()},
        cut={name: one.cut for name, one in origin.modalities.items() if one.cut} if origin else {},
        drawn_validation=getattr(located, "drawn_validation", ""),
    )


def _split_info(samples: Samples, target: Target) -> SplitInfo:
    score = samples.target if target.kind == "regression" else None
    return SplitInfo(
        samples=len(samples),
        modalities={name: _modality_info(samples, name) for name in samples.features},
        labels=_histogram(samples.target, target),
        label_min=None if score is None else float(score.min()),
        label_max=None if score is None else float(score.max()),
        zeros=None if score is None else int((score == 0).sum()),
        domains=dict(zip(*_count_values(samples.domain), strict=True)),
        with_previous=int((samples.previous >= 0).sum()),
        conversations=None
        if samples.utterances is None
        else _sizes(_count_values(samples.utterances.conversation)[1]),
        labelled=tuple(samples.unimodal_target),
    )


def _modality_info(samples: Samples, name: str) -> ModalityInfo:
    array, present = samples.features[name], samples.present[name]
    lengths = samples.mask[name].sum(axis=1)[present]
    return ModalityInfo(
        steps=array.shape[1],
        features=array.shape[2],
        dtype=str(array.dtype),
        mean_length=float(lengths.mean()) if len(lengths) else 0.0,
        absent=int((~present).sum()),
        observed=_observed_share(samples, name) if name in samples.observed else None,
        time=_longest_span(samples, name) if name in samples.time else None,
        tokens=samples.tokens[name].shape[2] if name in samples.tokens else None,
    )


def _observed_share(samples: Samples, name: str) -> float:
    entries = samples.mask[name].sum() * samples.features[name].shape[2]
    return float(samples.observed_entries(name).sum() / max(int(entries), 1))


def _longest_span(samples: Samples, name: str) -> float:
    times, valid = samples.time[name], samples.mask[name]
    first = np.where(valid, times, np.inf).min(axis=1)
    last = np.where(valid, times, -np.inf).max(axis=1)
    return float((last - first)[valid.any(axis=1)].max(initial=0))


def _count_values(names: np.ndarray) -> tuple[list[str], list[int]]:
    values, counts = np.unique(names, return_counts=True)
    return values.tolist(), counts.tolist()


def _sizes(counts: list[int]) -> tuple[int, int]:
    return len(counts), max(counts)


def _histogram(target: np.ndarray, about: Target) -> dict[str, int]:
    if about.kind == "multi-label":
        return dict(zip(about.classes, target.sum(axis=0).astype(int).tolist(), strict=True))
    if about.kind == "classification":
        counts = np.bincount(target, minlength=len(about.classes))
        return dict(zip(about.classes, counts.tolist(), strict=True))
    span = about.label_range or (float(target.min()), float(target.max()))
    counts, edges = np.histogram(np.clip(target, *span), bins=_BINS, range=span)
    names = [f"{low:.2f} to {high:.2f}" for low, high in itertools.pairwise(edges)]
    return dict(zip(names, counts.tolist(), strict=True))


def verify(located: Located, dataset: Dataset | None = None) -> list[Comparison]:
    """Compares a dataset with what its publishers state, and its splits with each other (``leaks``).

    A stand-in is one finding that differs: it is not the published data, whatever its counts. Data in the
    open layout are compared with the closest of the published counts; their files have no published hash.

    Args:
        located: the dataset.
        dataset: the registered dataset, which holds the published figures; without it all is unknown.

    Raises:
        DataError: the data are wrong.
    """
    published = dict(dataset.published) if dataset is not None else {}
    splits = located.load()
    counts = {split: len(samples) for split, samples in splits.items()}
    if located.synthetic:
        return [Comparison("origin", "published data", "synthetic stand-in made by mmbench", "differs")]
    if located.format in published:
        stated = published[located.format]
    else:
        stated = min(published.values(), key=lambda one: _distance(one, counts), default=Published())
    findings = [_count_finding(split, count, stated) for split, count in counts.items()]
    hashes = stated.sha256 if located.format in published else {}
    findings += _hash_findings(located.files, hashes, stated.source)
    drawn = getattr(located, "drawn_validation", "")
    if drawn:
        findings.append(Comparison("validation part", "a part that the data state", drawn, "note"))
    findings += [
        Comparison(f"labels of {split}", "two or more", f"all samples are of {label}", "warning")
        for split, label in single_labels(splits, located.target).items()
    ]
    return findings + _observed_findings(splits) + _leak_findings(splits)


def _observed_findings(splits: Mapping[str, Samples]) -> list[Comparison]:
    """What share of each partly observed modality the splits have. It is a note: shares that differ may be what is studied."""
    partly = dict.fromkeys(name for samples in splits.values() for name in samples.observed)
    return [
        Comparison(
            f"observed entries of {name}",
            "nothing published",
            ", ".join(f"{split} {_observed_share(part, name):.1%}" for split, part in splits.items()),
            "note",
        )
        for name in partly
    ]


def _leak_findings(splits: Mapping[str, Samples]) -> list[Comparison]:
    found = leaks(splits)
    lines = [
        Comparison(
            f"{_SHARED[leak.kind]} in {leak.splits[0]} and {leak.splits[1]}",
            _REMEDIES[leak.kind],
            f"{leak}: {'; '.join(leak.examples)}{' ...' if leak.count > len(leak.examples) else ''}",
            "note" if leak.kind == "domains" else "warning",
        )
        for leak in found
    ]
    kinds = {leak.kind for leak in found}
    clean = [_SHARED[kind] for kind in ("samples", "groups") if kind not in kinds]
    return [*lines, *(Comparison(f"{what} in two splits", "none", "none", "ok") for what in clean)]


_SHARED = {
    "samples": "near-duplicates",
    "conversations": "conversations",
    "groups": "groups",
    "domains": "domains",
}
_REMEDIES = {
    "samples": "none: keep one of each pair, or put both into one split",
    "conversations": "none: put all utterances of a conversation into one split",
    "groups": "none: put all samples of a group (a video, a person) into one split",
    "domains": "meant where one is left out at a time (NAME/*); else, if a domain is a person, none",
}


def _distance(stated: Published, counts: Mapping[str, int]) -> int:
    return sum(abs(stated.counts.get(split, 0) - count) for split, count in counts.items())


def _count_finding(split: str, count: int, stated: Published) -> Comparison:
    expected = stated.counts.get(split)
    if expected is None:
        return Comparison(f"{split} samples", "nothing published", str(count), "unknown")
    status = "ok" if expected == count else "differs"
    return Comparison(f"{split} samples", f"{expected} ({stated.source})", str(count), status)


def _hash_findings(files: tuple[Path, ...], hashes: Mapping[str, str], source: str) -> list[Comparison]:
    """A comparison of each file; of many without a published hash one, of all together."""
    if hashes or len(files) <= MANY_FILES:
        return [_hash_finding(file, hashes, source) for file in files]
    digest = fingerprint("files", files)
    return [Comparison(f"SHA-256 over {counted(len(files), 'file')}", "nothing published", digest, "unknown")]


def _hash_finding(file: Path, hashes: Mapping[str, str], source: str) -> Comparison:
    digest = file_sha256(file)
    # a file may have been renamed: any published hash of this format will do
    prefix = hashes.get(file.name) or next(iter(hashes.values()), None)
    if prefix is None:
        return Comparison(f"SHA-256 of {file.name}", "nothing published", digest, "unknown")
    shown = prefix if len(prefix) == 64 else f"{prefix}..."
    status = "ok" if digest.startswith(prefix) else "differs"
    return Comparison(f"SHA-256 of {file.name}", f"{shown} ({source})", digest, status)
