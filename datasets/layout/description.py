"""The ``dataset.yaml`` of the open layout: which array is which.

::

    file: features.npz                # or a map from split to file; .npz, .parquet, .safetensors
    modalities:
      text: {array: text, length: text_length}      # [samples, time, feature] and the number of valid steps
      audio: {array: audio, padding: nonzero}       # zeros before and after the data are padding
      sound: {array: wave, encoder: cnn1d}          # windows of a waveform, [samples, time, 1]
      vision: vision                                # all steps are data; [samples, feature] is one step
      vitals: {array: vitals, missing: nan}         # NaN says that an entry was not observed
      labs: {array: labs, observed: {array: seen}, time: {array: hours, unit: hours}}   # see ``observations.py``
    words: {array: bert, tokens: text_bert}       # token ids beside features: see ``token_arrays.py``
    task: {kind: regression, range: [-3, 3]}        # or {kind: classification, classes: [negative, positive]}
    label: label
    unimodal_labels: {text: label_t}  # optional: the label by one modality alone, as annotators gave it for that
    indices: true                     # class labels are indices, even where classes are called by numbers
    split: {array: split, values: {0: train, 1: valid, 2-9: test}}   # not with a file for each split
    # split: none                     # the data have no parts of their own: they are divided by --folds alone
    valid: {share: 0.2, group: video_id}   # where no sample validates: a share of train, by whole groups
    domain: speaker                   # the rest is optional
    sample_id: name
    video: video_id                   # with clip: gives the previous utterance as context
    clip: clip_id
    conversation: {id: dialogue, order: turn, speaker: who}   # whole conversations, for methods that read them
    regimes: {text: {transcript: words}}   # of whole conversations, for mmbench regimes: see ``affect.py``
    group: subject                    # what must lie in one split as a whole; by default the video, else conversation
    media: {source: mosi, path: ..., encoders: ...}   # written by mmbench data encode: see ``origin.py``
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..dataset import VALIDATION_SEED, VALIDATION_SHARE, Target
from .origin import Origin

FILE_NAME = "dataset.yaml"
SUFFIXES = (".npz", ".parquet", ".safetensors", ".mat")
#: Unit of times -> seconds.
UNITS = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0, "days": 86400.0}


@dataclass(frozen=True)
class ArrayRef:
    """Where an array lies.

    Attributes:
        array: its name in the file.
        files: split -> file; or ``""`` -> the one file that holds all splits.
        values: what the values of the array mean, as text -> name (``{"0": "train"}``); empty: themselves.
    """

    array: str
    files: Mapping[str, Path]
    values: Mapping[str, str]

    def file_of(self, split: str) -> Path:
        """The file that holds a split of the array."""
        return self.files.get(split) or self.files[""]


@dataclass(frozen=True)
class ModalityRef:
    """Where a modality's features lie, which steps are valid (at most one of the three says so), what reads them, which
    entries were observed (at most one of ``nan`` and ``observed`` says so; else all are), when each step was, and of a
    text the token ids.

    ``nan`` says that NaN is an entry that was not observed; ``unit`` is a key of ``UNITS``, of the times.
    """

    features: ArrayRef
    length: ArrayRef | None = None
    mask: ArrayRef | None = None
    padding: str | None = None
    encoder: str = "sequence"
    nan: bool = False
    observed: ArrayRef | None = None
    time: ArrayRef | None = None
    unit: str = "seconds"
    tokens: ArrayRef | None = None

    def refs(self) -> Iterable[ArrayRef]:
        """Its arrays, in a fixed order."""
        arrays = (self.features, self.length, self.mask, self.observed, self.time, self.tokens)
        return (ref for ref in arrays if ref)


@dataclass(frozen=True)
class AffectRef:
    """What valence and arousal of a modality are read from, where given: arrays of either, texts, or waveforms.

    Attributes:
        arrays: ``valence``, ``arousal``, ``transcript``, ``waveform``, ``length`` -> array, where given.
        rate: of waveforms, in Hz.
    """

    arrays: Mapping[str, ArrayRef]
    rate: float | None = None


@dataclass(frozen=True)
class ValidationPart:
    """The part of the training samples that validates, where the dataset states no validation part.

    Attributes:
        share: of the training samples, above 0 and below 1.
        group: an array of what must not lie on both sides, by default the conversation; None draws single samples,
            evenly from all classes.
    """

    share: float = VALIDATION_SHARE
    group: ArrayRef | None = None

    def __str__(self) -> str:
        part = f"{100 * self.share:g} % of the training samples"
        if self.group is not None:
            return (
                f"{part}, drawn by whole groups of {self.group.array!r} in an order that their names decide"
            )
        return f"{part}, single ones drawn by seed {VALIDATION_SEED}"


@dataclass(frozen=True)
class Description:
    """A checked ``dataset.yaml``."""

    file: Path
    name: str
    title: str
    homepage: str
    synthetic: bool
    modalities: Mapping[str, ModalityRef]
    target: Target
    label: ArrayRef
    split: ArrayRef | None
    # domain, sample_id, video, clip, previous, group, conversation/id, unimodal_labels/text and so on, where given
    optional: Mapping[str, ArrayRef]
    media: Origin | None = None  # of which raw media, by which encoders, the features were made
    valid: ValidationPart | None = None  # None where the split states the validation part
    indices: bool = False  # class labels are indices whatever the classes are called: mmbench wrote them
    undivided: bool = (
        False  # there are no parts: all samples are read as training samples, to be divided into folds
    )
    regimes: Mapping[str, AffectRef] = field(default_factory=dict)  # no part of what networks read

    def refs(self) -> Iterable[ArrayRef]:
        """Every array that is read, in a fixed order."""
        for modality in self.modalities.values():
            yield from modality.refs()
        yield self.label
        if self.split is not None:
            yield self.split
        yield from self.optional.values()
        if self.valid is not None and self.valid.group is not None:
            yield self.valid.group

    @property
    def whole(self) -> ArrayRef | None:
        """The array of what should lie in one split as a whole: the group, else the video, else the conversation; None
        without any."""
        keys = ("group", "video", "conversation/id")
        return next((self.optional[key] for key in keys if key in self.optional), None)

    @property
    def unimodal_labels(self) -> dict[str, ArrayRef]:
        """Modality -> the array of its own labels."""
        labels = {name: self.optional.get(f"unimodal_labels/{name}") for name in self.modalities}
        return {name: ref for name, ref in labels.items() if ref is not None}

    @property
    def has_conversations(self) -> bool:
        """Whether it says which samples are utterances of one conversation."""
        return "conversation/id" in self.optional

    def files(self) -> tuple[Path, ...]:
        """Every file that holds an array, each once, in the order of their first use."""
        return tuple(dict.fromkeys(path for ref in self.refs() for path in ref.files.values()))

    def content(self) -> list[object]:
        """All that decides what is read, as JSON can hold it, without paths: files are numbers here."""
        number = {path: index for index, path in enumerate(self.files())}

        def plain(ref: ArrayRef | None) -> object:
            if ref is None:
                return None
            where = [[split, number[path]] for split, path in ref.files.items()]
            return [ref.array, where, list(ref.values.items())]

        def later(ref: ModalityRef) -> list[object]:
            """What came later: modalities without it keep their hash."""
            time = [plain(ref.time), ref.unit] if ref.time else None
            told = {
                "missing": "nan" if ref.nan else None,
                "observed": plain(ref.observed),
                "time": time,
                "tokens": plain(ref.tokens),
            }
            told = {key: value for key, value in told.items() if value is not None}
            return [*([ref.encoder] if ref.encoder != "sequence" else []), *([told] if told else [])]

        return [
            [
                [name, plain(ref.features), plain(ref.length), plain(ref.mask), ref.padding, *later(ref)]
                for name, ref in self.modalities.items()
            ],
            [self.target.kind, self.target.label_range, self.target.classes, self.target.metrics],
            plain(self.label),
            plain(self.split),
            [[name, plain(ref)] for name, ref in self.optional.items()],
            self.synthetic,
            # what came later: others keep their hash
            *([self.media.content()] if self.media else []),
            *([{"valid": [self.valid.share, plain(self.valid.group)]}] if self.valid else []),
            *([{"undivided": True}] if self.undivided else []),
        ]


#: Stands for the label where none is read.
NO_LABEL = ArrayRef("", {}, {})
