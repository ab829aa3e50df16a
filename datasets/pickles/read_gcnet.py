"""Reading the packs of GCNet: a pickle of utterances and labels, and for each set of features a folder with an array an utterance.

The pickle is a list of four dicts by video (ids of utterances, labels, speakers, sentences), then the videos of the training, the
validation and the test part; IEMOCAP has no validation part. Layout: the loaders of https://github.com/zeroQiaoba/GCNet
(``gcnet/dataloader_cmumosi.py``, ``dataloader_iemocap.py``), which average the steps of an array; here they stay.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .. import conversations
from .. import samples as make
from ..counting import counted
from ..dataset import Samples, Target, data_error
from .read_merbench import padded_arrays, read_arrays
from .read_mmgcn import listed_dialogues, of_dialogue
from .unpickle import load_pickle

_PARTS = ("ids", "labels", "speakers", "sentences")
#: Number of lists of videos -> the split of each.
_SPLITS = {3: ("train", "valid", "test"), 2: ("train", "test")}
_EXPECTED = "four dicts by video (" + ", ".join(_PARTS) + "), then two or three lists of videos"
#: Who speaks where the pickle names nobody, as in videos of one person.
_NOBODY = "one"


def read_gcnet(
    labels: Path, folders: Mapping[str, Path], name: str, label_range: tuple[float, float] | None = None
) -> tuple[dict[str, Samples], Target]:
    """Reads and checks a pack.

    An array has one vector (``*-UTT``) or one a step (``*-FRA``); shorter ones are padded at their ends. An utterance whose file
    is absent, or has no step, is without the modality.

    Args:
        labels: the pickle, such as ``CMUMOSI_features_raw_2way.pkl``.
        folders: modality -> the folder that has ``UTTERANCE.npy`` for each utterance.
        name: of the dataset, which becomes the domain.
        label_range: lowest and highest score, where labels are scores; None where they are numbers of classes.

    Returns:
        Split -> samples, videos as they are listed, of sets in their own order, and utterances in the order of the video; and the
        target, whose classes are called by their numbers.

    Raises:
        DataError: the file is no such pickle, a video is in two parts or lacks an entry, no utterance has a modality, or a label is
            out of range.
    """
    if not folders:
        raise data_error(labels, "", "no features", "a folder for each modality")
    content = load_pickle(labels)
    told = list(content) if isinstance(content, tuple | list) else []
    names, lists = told[: len(_PARTS)], told[len(_PARTS) :]
    if len(lists) not in _SPLITS or not all(isinstance(one, Mapping) for one in names):
        raise data_error(labels, "", f"holds a {type(content).__name__} of other things", _EXPECTED)
    parts: dict[str, Mapping[object, object]] = dict(zip(_PARTS, names, strict=True))
    videos = {
        split: listed_dialogues(one, labels, split)
        for split, one in zip(_SPLITS[len(lists)], lists, strict=True)
    }
    _check_apart(videos, labels)
    rows = {split: _Rows(parts, listed, labels, split) for split, listed in videos.items()}
    ids = [one for part in rows.values() for one in part.ids]
    arrays = {m: read_arrays(folder, ids) for m, folder in folders.items()}
    target = _target([one for part in rows.values() for one in part.labels], label_range, labels)
    splits = {}
    for split, part in rows.items():
        padded = {m: padded_arrays([own[one] for one in part.ids], own) for m, own in arrays.items()}
        mask = {m: valid for m, (_, valid) in padded.items()}
        said = conversations.utterances(
            np.array(part.videos), np.array(part.order), np.array(part.speakers), labels, split
        )
        splits[split] = Samples(
            features={m: make.features(values, folders[m], split) for m, (values, _) in padded.items()},
            mask=mask,
            present=make.present(mask),
            target=make.labels(np.array(part.labels), target, labels, f"{split}/labels"),
            sample_id=np.array(part.ids),
            domain=np.full(len(part.ids), name),
            previous=conversations.previous_utterances(said),
            utterances=said,
        )
    make.check_splits(splits, labels)
    return splits, target


class _Rows:
    """The utterances of a part, one after the other: lists of equal length.

    Attributes:
        ids, videos, order, speakers, labels: of each utterance.
    """

    def __init__(
        self, parts: Mapping[str, Mapping[object, object]], videos: list[object], file: Path, split: str
    ) -> None:
        self.ids: list[str] = []
        self.videos: list[str] = []
        self.order: list[int] = []
        self.speakers: list[str] = []
        self.labels: list[float] = []
        for video in videos:
            own = {
                part: of_dialogue(parts[part], video, file, f"{split}/{part}")
                for part in ("ids", "labels", "speakers")
            }
            make.check_rows({part: np.empty(len(one)) for part, one in own.items()}, file, f"{split}/{video}")
            for utterance in own["ids"]:
                if not isinstance(utterance, str) or "/" in utterance or "\0" in utterance:
                    raise data_error(
                        file, f"{split}/ids/{video}", f"an utterance {utterance!r}", "the name of a file"
                    )
            self.ids += own["ids"]
            self.videos += [str(video)] * len(own["ids"])
            self.order += range(len(own["ids"]))
            self.speakers += [str(one) or _NOBODY for one in own["speakers"]]
            self.labels += [_number(one, file, f"{split}/labels/{video}") for one in own["labels"]]


def _number(label: object, file: Path, key: str) -> float:
    array = np.asarray(label)
    if array.size != 1 or array.dtype.kind not in "iuf":
        raise data_error(file, key, f"a label that is a {type(label).__name__}", "one number an utterance")
    return float(array.item())


def _check_apart(videos: Mapping[str, list[object]], file: Path) -> None:
    for (one, first), (other, second) in itertools.combinations(videos.items(), 2):
        both = sorted(set(first) & set(second), key=str)
        if both:
            raise data_error(file, other, f"video {both[0]} is in {one}, too", "each video in one part")


def _target(labels: list[float], label_range: tuple[float, float] | None, file: Path) -> Target:
    """What is predicted: scores in a range, or the classes 0 to the largest number. Raises DataError."""
    if label_range is not None:
        return Target("regression", label_range, metrics="regression")
    numbers = np.array(labels)
    if not np.isfinite(numbers).all() or (numbers != np.floor(numbers)).any() or numbers.min() < 0:
        raise data_error(
            file, "labels", "scores, and not numbers of classes from 0", "a range of scores (--range)"
        )
    count = int(numbers.max()) + 1
    if count > len(labels):
        raise data_error(
            file,
            "labels",
            f"class {count - 1} of {counted(len(labels), 'utterance')}",
            "numbers of classes from 0",
        )
    return Target("classification", classes=tuple(map(str, range(count))), metrics="classification")
