"""What regimes of conversations are read from: the entry ``regimes`` of a ``dataset.yaml``.

::

    conversation: {id: dialogue, order: turn, speaker: who}
    regimes:
      text: {transcript: words}                       # [samples] of text, from which --observe text=vader makes valence
      audio: {waveform: wave, length: samples, rate: 16000}   # [samples, time] of sound, from which audio=energy makes arousal
      video: {valence: face_valence, arousal: face_arousal}   # [samples] each; NaN where nothing was observed

Samples of all splits are read, and labels for evaluation alone. Valence by a regression (``text=ridge:mosi``) reads the features
of a modality instead, and needs no entry here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import conversations
from .. import samples as make
from ..counting import counted
from ..dataset import CONVERSATION_KEYS, Utterances, data_error
from .arrays import names_of
from .description import ArrayRef, Description, ModalityRef
from .read import Loader


@dataclass(frozen=True)
class Affect:
    """The samples of a dataset of conversations, all splits after each other.

    Attributes:
        utterances: where they stand.
        target: [samples], int64 classes or float32 scores.
        arrays: modality -> entry (``valence``, ``transcript``, ...) -> [samples, ...]; ``vector``, [samples, features], the mean of the
            features of the modality, where it was asked for.
        rates: modality -> Hz, of waveforms.
    """

    utterances: Utterances
    target: np.ndarray
    arrays: Mapping[str, Mapping[str, np.ndarray]]
    rates: Mapping[str, float]


def read_affect(name: str, description: Description, vectors: Collection[str] = ()) -> Affect:
    """Reads what regimes are made of.

    Args:
        name: the dataset's name.
        description: what its ``dataset.yaml`` says.
        vectors: modalities whose features are read, too.

    Raises:
        DataError: the description names no conversations or nothing to observe, or arrays are not as described.
    """
    file = description.file
    if not description.has_conversations:
        raise data_error(file, "conversation", "missing", "conversation: {id: ..., order: ..., speaker: ...}")
    if not description.regimes and not vectors:
        raise data_error(
            file, "regimes", "missing", "a map from modality to arrays, such as text: {transcript: words}"
        )
    loader = Loader(name, description)
    keys = [f"conversation/{key}" for key in CONVERSATION_KEYS]
    keys = [key for key in keys if key in description.optional]  # who speaks may not be stated
    places = {key: loader.read(description.optional[key]) for key in keys}
    targets = loader.targets(description.label)
    said = []
    for split in loader.splits:
        one = loader.utterances(split, {key: places[key][split][0] for key in keys})
        assert one is not None  # as it has conversations
        said.append(one)
    joined = conversations.joined(said)
    assert joined is not None
    arrays = {
        modality: {
            what: _joined(loader, ref, f"regimes/{modality}/{what}", what == "transcript")
            for what, ref in one.arrays.items()
        }
        for modality, one in description.regimes.items()
    }
    for modality in vectors:
        arrays[modality] = {
            **arrays.get(modality, {}),
            "vector": _vectors(loader, description.modalities[modality]),
        }
    target = np.concatenate([targets[split] for split in loader.splits])
    make.check_rows(
        {"label": target, "conversation": joined.conversation}
        | {f"regimes/{m}/{what}": array for m, one in arrays.items() for what, array in one.items()},
        file,
        "all splits",
    )
    rates = {m: one.rate for m, one in description.regimes.items() if one.rate is not None}
    return Affect(joined, target, arrays, rates)


def _vectors(loader: Loader, ref: ModalityRef) -> np.ndarray:
    """[samples, features] of all splits after each other; see ``mean_steps``."""
    parts = loader.read(ref.features)
    steps = loader.steps(ref, parts)
    return np.concatenate([mean_steps(parts[split][0], steps[split].mask) for split in loader.splits])


def mean_steps(features: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """[samples, features], float64: the mean over the valid steps of each sample; NaN of a sample that has none.

    Args:
        features: [samples, time, features].
        mask: [samples, time], bool, true at valid steps.
    """
    count = mask.sum(axis=1)[:, None]
    total = (features.astype(np.float64) * mask[..., None]).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _joined(loader: Loader, ref: ArrayRef, key: str, text: bool) -> np.ndarray:
    """An array of all splits after each other: of text [samples], of numbers float64 [samples] or [samples, time]."""
    parts: dict[str, Any] = loader.read(ref)
    found = []
    for split in loader.splits:
        file = ref.files.get(split) or ref.files[""]
        array = parts[split][0]
        if text:
            found.append(make.text(names_of(ref, array, file, key), file, key))
        elif array.dtype.kind not in "fiu" or array.ndim not in (1, 2):
            raise data_error(
                file,
                f"{key}: {ref.array}",
                f"{array.dtype} of {counted(array.ndim, 'axis', 'axes')}",
                "numbers",
            )
        else:
            found.append(array.astype(np.float64))
    return np.concatenate(found)
