"""Reading the pickles of conversations that MMGCN, DialogueRNN and their successors are trained on: IEMOCAP and MELD.

A tuple of dicts by dialogue, each of lists by utterance: ids, speakers, labels, text, audio, visual, sentences; then the
dialogues of the training and of the test part. What follows is not read. Layout: the loaders of
https://github.com/hujingwen6666/MMGCN (``dataloader.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from .. import conversations
from .. import samples as make
from ..dataset import Samples, Target, data_error
from .unpickle import load_pickle

#: Dataset -> its classes in the order of the numbers in the pickle (comments of the loaders).
CLASSES = {
    "iemocap": ("happy", "sad", "neutral", "angry", "excited", "frustrated"),
    "meld": ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger"),
}
_PARTS = ("ids", "speakers", "labels", "text", "audio", "visual", "sentences")
#: Modality -> the part of the tuple that holds it.
_MODALITIES = {"text": "text", "audio": "audio", "vision": "visual"}
_EXPECTED = "a tuple of seven dicts by dialogue (" + ", ".join(_PARTS) + "), then two lists of dialogues"


def read_mmgcn(file: Path, dataset: str) -> tuple[dict[str, Samples], Target]:
    """Reads and checks a pickle of conversations.

    An utterance is a sample with one step of each modality; of a modality whose vector holds zeros only it is without.
    Dialogues follow the lists of the parts. The pickle has no validation part.

    Args:
        file: such as ``IEMOCAP_features.pkl`` or ``MELD_features_raw1.pkl``.
        dataset: one of ``CLASSES``, which says what the numbers of the classes mean.

    Returns:
        ``train`` and ``test`` -> samples, called ``DIALOGUE/UTTERANCE``; and the target.

    Raises:
        DataError: the file is no such pickle; a dialogue is in both parts, in none of the dicts, or lists of a dialogue differ in
            length; a label is none of the classes; a feature is not finite.
    """
    target = Target("classification", classes=CLASSES[dataset], metrics="classification")
    content = load_pickle(file)
    if not isinstance(content, tuple | list) or len(content) < len(_PARTS) + 2:
        raise data_error(file, "", f"holds a {type(content).__name__}", _EXPECTED)
    parts: dict[str, Mapping[object, object]] = dict(zip(_PARTS, content, strict=False))
    for name, part in parts.items():
        if not isinstance(part, Mapping):
            raise data_error(file, name, f"is a {type(part).__name__}", _EXPECTED)
    listed = content[len(_PARTS) : len(_PARTS) + 2]
    dialogues = {
        split: listed_dialogues(one, file, split)
        for split, one in zip(("train", "test"), listed, strict=True)
    }
    both = sorted(set(dialogues["train"]) & set(dialogues["test"]), key=str)
    if both:
        raise data_error(file, "test", f"dialogue {both[0]} is in train, too", "each dialogue in one part")
    splits = {split: _split(parts, names, dataset, target, file, split) for split, names in dialogues.items()}
    make.check_splits(splits, file)
    return splits, target


def listed_dialogues(listed: object, file: Path, split: str) -> list[object]:
    """The names of the dialogues of a part: as they are listed, of a set in their own order.

    Args:
        listed: a list, tuple, set or array of names.
        file, split: what an error names.

    Raises:
        DataError: it is anything else, or empty.
    """
    if not isinstance(listed, list | tuple | set | frozenset | np.ndarray) or not len(listed):
        raise data_error(file, split, f"is a {type(listed).__name__}", "a list of the names of dialogues")
    names: Iterable[object] = np.asarray(listed).tolist() if isinstance(listed, np.ndarray) else listed
    names = list(names)
    if not all(isinstance(one, str | int) for one in names):
        raise data_error(
            file, split, "a dialogue whose name is neither text nor a number", "names of dialogues"
        )
    return sorted(names, key=str) if isinstance(listed, set | frozenset) else list(names)


def _split(
    parts: Mapping[str, Mapping[object, object]],
    dialogues: list[object],
    dataset: str,
    target: Target,
    file: Path,
    split: str,
) -> Samples:
    """The samples of one part.

    Args:
        parts: name of the part of the tuple -> dialogue -> its list by utterance.
        dialogues: those of the split.
        dataset: its name, which becomes the domain.
        target: the classes.
        file: what an error names.
        split: the same.
    """
    rows: dict[str, list] = {name: [] for name in ("dialogue", "order", *_PARTS)}
    for dialogue in dialogues:
        own = {name: of_dialogue(parts[name], dialogue, file, f"{split}/{name}") for name in _PARTS}
        make.check_rows({name: np.empty(len(one)) for name, one in own.items()}, file, f"{split}/{dialogue}")
        for name, one in own.items():
            rows[name] += one
        rows["dialogue"] += [str(dialogue)] * len(own["ids"])
        rows["order"] += range(len(own["ids"]))
    count = len(rows["ids"])
    features = {
        m: make.features(_stacked(rows[p], file, f"{split}/{p}"), file, f"{split}/{p}")
        for m, p in _MODALITIES.items()
    }
    mask = {name: make.mask_nonzero(array) for name, array in features.items()}
    speakers = np.array([_speaker(one, file, f"{split}/speakers") for one in rows["speakers"]])
    said = conversations.utterances(
        np.array(rows["dialogue"]), np.array(rows["order"]), speakers, file, split
    )
    return Samples(
        features=features,
        mask=mask,
        present=make.present(mask),
        target=make.labels(rows["labels"], target, file, f"{split}/labels"),
        sample_id=np.array([f"{d}/{u}" for d, u in zip(rows["dialogue"], rows["ids"], strict=True)]),
        domain=np.full(count, dataset),
        previous=conversations.previous_utterances(said),
        utterances=said,
    )


def of_dialogue(part: Mapping[object, object], dialogue: object, file: Path, key: str) -> list:
    """What a part of the tuple has of a dialogue, by utterance.

    Args:
        part: dialogue -> its list.
        dialogue: which.
        file, key: what an error names.

    Raises:
        DataError: it has none, or anything but a list.
    """
    found = part.get(dialogue)
    if not isinstance(found, list | tuple | np.ndarray):
        wrong = "missing" if found is None else f"is a {type(found).__name__}"
        raise data_error(file, f"{key}/{dialogue}", wrong, "a list with an entry for each utterance")
    return list(found)


def _stacked(vectors: list, file: Path, key: str) -> np.ndarray:
    """Vectors of utterances as one array, [utterances, feature]. Raises DataError where they are of several lengths."""
    try:
        arrays = [np.asarray(one) for one in vectors]
    except ValueError:  # numpy: lists of several lengths within one another
        raise data_error(file, key, "an entry that is no vector", "vectors of one length") from None
    shapes = {one.shape for one in arrays}
    if len(shapes) > 1 or len(next(iter(shapes))) != 1:
        named = ", ".join(sorted(map(str, shapes))[:3])
        raise data_error(file, key, f"vectors of shapes {named}", "vectors of one length")
    return np.stack(arrays)


def _speaker(named: object, file: Path, key: str) -> str:
    """Who speaks: a letter (IEMOCAP), or the place of the 1 in a vector (MELD). Raises DataError."""
    if isinstance(named, str):
        return named
    if isinstance(named, list | tuple | np.ndarray) and np.count_nonzero(np.asarray(named) == 1) == 1:
        return f"speaker {int(np.argmax(np.asarray(named) == 1))}"
    raise data_error(file, key, f"{type(named).__name__} names nobody", "a name, or a vector with one 1")
