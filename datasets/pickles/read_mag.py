"""Reading the pickles that MAG-BERT, MIB and their successors are trained on: words, with what is seen and heard during each.

A dict ``train``, ``dev``, ``test``, each a list of ((words, visual, acoustic), label, segment): the words of an utterance, arrays
[words, feature], a score, and the name of the utterance. Layout: the loader of
https://github.com/WasifurRahman/BERT_multimodal_transformer (``multimodal_driver.py``). Text is not made features there: its words
are tokenised when they are read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import samples as make
from ..counting import counted
from ..dataset import Samples, Target, data_error
from .read_merbench import padded_arrays
from .unpickle import load_pickle

#: Split -> its key.
_KEYS = {"train": "train", "valid": "dev", "test": "test"}
#: Modality -> its place in an utterance.
_MODALITIES = {"vision": 1, "audio": 2}
_EXPECTED = "((words, visual, acoustic), label, segment)"
#: The video and the number of an utterance, where its name says both: ``03bSnISJMiM[11]``.
_SEGMENT = re.compile(r"(.+)\[(\d+)\]", re.ASCII)


@dataclass(frozen=True)
class WordData:
    """What such a pickle holds.

    Attributes:
        splits: split -> samples with ``vision`` and ``audio``, a step a word.
        texts: split -> the text of each sample, its words with blanks between them.
        places: split -> video and number of each sample; empty where the names of some do not say them.
        target: the score.
    """

    splits: dict[str, Samples]
    texts: dict[str, list[str]]
    places: dict[str, list[tuple[str, str]]]
    target: Target


def read_mag(file: Path, name: str) -> WordData:
    """Reads and checks a pickle of words.

    A sample is called by its segment; where a segment names several, those behind the first get ``#2``, ``#3`` and so on. The
    utterance before in the same video is the context where segments are ``VIDEO[NUMBER]``. In ``audio``, -inf becomes 0.

    Args:
        file: such as ``mosi.pkl`` or ``mosei.pkl`` of the release.
        name: of the dataset, which becomes the domain.

    Raises:
        DataError: the file is no such pickle, words are numbers of a list that lies elsewhere, an array has not a row for each word
            or is not finite, or a score is outside -3 to 3.
    """
    content = load_pickle(file)
    if not isinstance(content, Mapping) or not set(_KEYS.values()) <= set(content):
        raise data_error(
            file, "", f"holds a {type(content).__name__}", f"a dict of {', '.join(_KEYS.values())}"
        )
    target = Target("regression", (-3.0, 3.0), metrics="mosi")
    told = {split: _utterances(content[key], file, key) for split, key in _KEYS.items()}
    everything = {
        m: {f"{split}/{row}": one.arrays[m] for split, part in told.items() for row, one in enumerate(part)}
        for m in _MODALITIES
    }
    names, splits = _names(told), {}
    for split, part in told.items():
        padded = {m: padded_arrays([one.arrays[m] for one in part], everything[m]) for m in _MODALITIES}
        mask = {m: valid for m, (_, valid) in padded.items()}
        parsed = [_SEGMENT.fullmatch(one.segment) for one in part]
        videos = np.array([found[1] if found else f"\0{row}" for row, found in enumerate(parsed)])
        numbers = np.array([found[2] if found else "0" for found in parsed])
        splits[split] = Samples(
            features={
                m: make.features(values, file, f"{_KEYS[split]}/{m}", negative_infinity_to_zero=m == "audio")
                for m, (values, _) in padded.items()
            },
            mask=mask,
            present=make.present(mask),
            target=make.labels(np.array([one.label for one in part]), target, file, f"{_KEYS[split]}/labels"),
            sample_id=np.array(names[split]),
            domain=np.full(len(part), name),
            previous=make.previous_rows(videos, numbers),
        )
    make.check_splits(splits, file)
    texts = {split: [one.text for one in part] for split, part in told.items()}
    found = {split: [_SEGMENT.fullmatch(one) for one in part] for split, part in names.items()}
    places = {split: [(m[1], m[2]) for m in part if m] for split, part in found.items()}
    whole = all(len(part) == len(names[split]) for split, part in places.items())
    return WordData(splits, texts, places if whole else {}, target)


@dataclass(frozen=True)
class _Utterance:
    """One entry of a list: its text, modality -> [words, feature], score and name."""

    text: str
    arrays: dict[str, np.ndarray]
    label: float
    segment: str


def _utterances(listed: object, file: Path, key: str) -> list[_Utterance]:
    """The entries of a part. Raises DataError."""
    if not isinstance(listed, list | tuple) or not listed:
        raise data_error(file, key, f"is a {type(listed).__name__}, or empty", f"a list of {_EXPECTED}")
    found: list[_Utterance] = []
    widths: dict[str, int] = {}
    for row, entry in enumerate(listed):
        one = _utterance(entry, file, f"{key}/{row}")
        for m, values in one.arrays.items():
            if values.shape[1] != widths.setdefault(m, values.shape[1]):
                raise data_error(
                    file,
                    f"{key}/{row}/{m}",
                    counted(values.shape[1], "feature"),
                    f"{widths[m]}, as in {key}/0",
                )
        found.append(one)
    return found


def _utterance(entry: object, file: Path, key: str) -> _Utterance:
    """Checks one entry. Raises DataError."""
    if not (isinstance(entry, list | tuple) and len(entry) == 3):
        raise data_error(file, key, f"is a {type(entry).__name__} of another form", _EXPECTED)
    parts, label, segment = entry
    if not (isinstance(parts, list | tuple) and len(parts) == 3):
        raise data_error(file, key, f"begins with a {type(parts).__name__} of another form", _EXPECTED)
    words = parts[0].tolist() if isinstance(parts[0], np.ndarray) else parts[0]
    if not isinstance(words, list | tuple) or not all(isinstance(one, str) for one in words):
        raise data_error(
            file, f"{key}/words", "numbers or other things", "the words themselves (older files number them)"
        )
    arrays = {}
    for m, place in _MODALITIES.items():
        values = make.numbers(parts[place], file, f"{key}/{m}")
        if values.ndim != 2 or len(values) != len(words):
            shape = "x".join(map(str, values.shape))
            raise data_error(file, f"{key}/{m}", f"shape {shape}", f"[{len(words)} words, feature]")
        arrays[m] = make.as_float32(values)
    score = np.asarray(label)
    if score.size != 1 or score.dtype.kind not in "iuf":
        raise data_error(file, f"{key}/label", f"is a {type(label).__name__}", "one number")
    return _Utterance(" ".join(words), arrays, float(score.item()), str(segment))


def _names(told: Mapping[str, Sequence[_Utterance]]) -> dict[str, list[str]]:
    """Split -> the names of its samples, each once in the dataset."""
    counts: dict[str, int] = {}
    names: dict[str, list[str]] = {}
    for split, part in told.items():
        names[split] = []
        for one in part:
            counts[one.segment] = counts.get(one.segment, 0) + 1
            again = counts[one.segment]
            names[split].append(one.segment if again == 1 else f"{one.segment}#{again}")
    return names
