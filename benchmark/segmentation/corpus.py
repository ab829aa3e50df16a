"""The conversations of a dataset, as segmenters are given them."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...datasets.conversations import in_order
from ...regimes.observe import NEEDS, OBSERVERS, RIDGE
from ...regimes.segmenter import DIMENSIONS, Conversation, SegmenterError
from ..core.errors import UsageError, nearest
from ..core.locate import locate
from .regression import Regression, valence_by_ridge

if TYPE_CHECKING:
    from ...datasets.layout.affect import Affect


#: A column with larger values is divided by its largest one before it is squared, which would be infinite.
_SQUARED_ABOVE = 1e100


@dataclass(frozen=True)
class Corpus:
    """Conversations, and what they are compared with.

    Attributes:
        dataset: its name.
        synthetic: whether it is a stand-in.
        observe: how each modality was observed, such as ``text=vader+audio=energy``.
        modalities: their names.
        conversations: by name.
        labels: one [steps] of class indices a conversation; None where the label is no class.
        classes: the names of the classes.
        fingerprint: SHA-256 (hex) of all that segmenters and metrics read.
        regressions: modality -> what is said of the regression that it was observed by, where it was.
    """

    dataset: str
    synthetic: bool
    observe: str
    modalities: tuple[str, ...]
    conversations: tuple[Conversation, ...]
    labels: tuple[np.ndarray, ...] | None
    classes: tuple[str, ...]
    fingerprint: str
    regressions: Mapping[str, Regression] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """The names of the columns of a flattened observation."""
        return [f"{modality}.{dimension}" for modality in self.modalities for dimension in DIMENSIONS]


def parse_observe(text: str) -> dict[str, str]:
    """Reads ``text=vader,audio=energy``, or ``text=ridge:mosi``.

    Raises:
        UsageError: an item is not so, or its observer is unknown.
    """
    found: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        modality, equals, observer = (part.strip() for part in item.partition("="))
        if not equals or not modality or modality in found:
            raise UsageError(f"--observe {text!r}: write each modality once, as in text=vader,audio=energy")
        kind, _, scored = observer.partition(":")
        if kind == RIDGE:
            if not scored:
                raise UsageError(
                    f"--observe {item}: name the dataset whose scores it is fitted to: {modality}={RIDGE}:mosi"
                )
        elif observer not in OBSERVERS:
            raise UsageError(
                f"--observe {item}: unknown observer {observer!r}: {nearest(observer, [*OBSERVERS, RIDGE])}"
            )
        found[modality] = observer
    return found


def read_corpus(
    dataset: str, root: Path, observe: Mapping[str, str], plugins: tuple[Path, ...] = ()
) -> Corpus:
    """Reads and observes the conversations of a dataset. Columns are standardised over all that was observed.

    Args:
        dataset: a folder of ``root`` with a ``dataset.yaml``, or a registered dataset in the open layout.
        root: the folder of the datasets.
        observe: modality -> observer; of those that it names alone. Empty: all, each by the first observer that finds what it
            needs.
        plugins: files that bring datasets.

    Raises:
        UsageError: the dataset states no conversations, or cannot be observed so.
        DataError: it cannot be read.
    """
    from ...datasets.layout.affect import read_affect
    from ...datasets.layout.open_layout import LocatedFolder

    located = locate(dataset, root, plugins=plugins)
    if not isinstance(located, LocatedFolder):
        raise UsageError(
            f"dataset {dataset} is not in the open layout: regimes are read from the entries conversation and regimes of "
            f"a dataset.yaml"
        )
    scored = {m: observer.partition(":")[2] for m, observer in observe.items() if ":" in observer}
    for modality in scored:
        if modality not in located.modalities:
            raise UsageError(
                f"--observe {modality}={observe[modality]}: dataset {dataset} has no such modality: "
                f"{nearest(modality, located.modalities)}"
            )
    read = read_affect(located.name, located.description, list(scored))
    chosen = dict(observe) or {m: _first_observer(set(read.arrays[m])) for m in read.arrays}
    arrays, regressions = {}, {}
    for modality, observer in chosen.items():
        if modality in scored:
            arrays[modality], regressions[modality] = valence_by_ridge(
                located, modality, read.arrays[modality]["vector"], scored[modality], root, plugins
            )
        else:
            arrays[modality] = _observe(read, modality, observer, dataset)
    columns = np.stack(list(arrays.values()), axis=1)
    if not np.isfinite(columns).any():
        raise UsageError(
            f"dataset {dataset}: nothing was observed by {_words(chosen)}: name another observer"
        )
    columns = _standardised(columns)
    target = located.target
    is_class = target.kind == "classification"
    order = in_order(read.utterances)
    names = read.utterances.conversation[order]
    cuts = np.flatnonzero(names[1:] != names[:-1]) + 1
    conversations, labels = [], []
    for rows in np.split(order, cuts):
        name = str(read.utterances.conversation[rows[0]])
        conversations.append(Conversation(name, columns[rows], speaker=read.utterances.speaker[rows]))
        labels.append(read.target[rows].astype(np.int64) if is_class else np.empty(0, np.int64))
    found = tuple(conversations)
    truth = tuple(labels) if is_class else None
    classes = tuple(map(str, target.classes or ())) if is_class else ()
    return Corpus(
        dataset,
        located.synthetic,
        _words(chosen),
        tuple(chosen),
        found,
        truth,
        classes,
        _fingerprint(found, truth, classes),
        regressions,
    )


def _words(chosen: Mapping[str, str]) -> str:
    return "+".join(f"{modality}={observer}" for modality, observer in chosen.items())


def _first_observer(there: set[str]) -> str:
    return next(name for name, needs in NEEDS.items() if there & set(needs))


def _observe(read: Affect, modality: str, observer: str, dataset: str) -> np.ndarray:
    """[samples, 2] of one modality."""
    if modality not in read.arrays:
        raise UsageError(
            f"--observe {modality}={observer}: the regimes of dataset {dataset} have no such modality: "
            f"{nearest(modality, read.arrays)}"
        )
    arrays = read.arrays[modality]
    if not set(NEEDS[observer]) & set(arrays):
        raise UsageError(
            f"--observe {modality}={observer}: {observer} reads {' or '.join(NEEDS[observer])}, and regimes/{modality} of "
            f"dataset {dataset} has {', '.join(arrays)}"
        )
    for what in (*DIMENSIONS, "length"):
        if what in arrays and arrays[what].ndim != 1:
            raise UsageError(f"dataset {dataset}: regimes/{modality}/{what} should hold one number a sample")
    module, _, function = OBSERVERS[observer].partition(":")
    try:
        return getattr(importlib.import_module(module), function)(arrays, read.rates.get(modality))
    except SegmenterError as error:
        raise UsageError(f"--observe {modality}={observer}: {error}") from None


def _standardised(columns: np.ndarray) -> np.ndarray:
    """[samples, modalities, dimensions] with mean 0 and deviation 1 of what was observed; a constant column is 0."""
    seen = np.isfinite(columns)
    largest = np.abs(np.where(seen, columns, 0)).max(axis=0)
    columns = columns / np.where(largest > _SQUARED_ABOVE, largest, 1.0)
    count = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, columns, 0).sum(axis=0) / count
    off = np.where(seen, columns - mean, 0)
    spread = np.sqrt((off**2).sum(axis=0) / count)
    spread = np.where(spread > 1e-12 * np.maximum(1, np.abs(mean)), spread, np.inf)
    return np.where(seen, off / spread, np.nan)


def _fingerprint(
    conversations: tuple[Conversation, ...],
    labels: tuple[np.ndarray, ...] | None,
    classes: tuple[str, ...],
) -> str:
    digest = hashlib.sha256(repr(classes).encode())
    for place, one in enumerate(conversations):
        digest.update(f"{one.id}\0{one.observed.shape}\0".encode() + one.observed.tobytes())
        digest.update(b"" if labels is None else labels[place].tobytes())
    return digest.hexdigest()
