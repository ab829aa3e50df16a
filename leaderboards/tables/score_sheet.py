"""The scores of one network under many conditions, on its samples and on resamples of them.

A sheet is all that tables need of a job. It is kept beside the predictions, so that tables over thousands of
jobs read kilobytes and not predictions, and are made again when those or the way of scoring have changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Protocol

import numpy as np

from ..stats.bootstrap import Resampled

#: Raised when scores of the same predictions would come out otherwise: sheets of another number are made anew.
SCORING = 1


class SheetCache(Protocol):
    """The stored sheets of one job, as one table reads them."""

    def reading(self, reads: frozenset[str], code: str = "") -> SheetCache:
        """The same cache for a table that reads some of the outputs of the job.

        Args:
            reads: of ``catalog.READABLE``; by default a cache expects that all of them are read.
            code: what changes when the code of a table from outside does; empty for tables of mmbench.
        """
        ...

    def fingerprint(self) -> str:
        """A hash of the outputs that the table reads. Raises ValueError where they are not whole."""
        ...

    def read(self, file: str) -> bytes | None:
        """The content that is stored under a name, or None."""
        ...

    def write(self, file: str, content: bytes) -> None:
        """Stores a sheet; one that cannot be stored is made again next time.

        Args:
            file: the name, as of ``sheet_file_name``.
            content: of the sheet.
        """
        ...


def sheet_file_name(sheet: str, key: Sequence[object]) -> str:
    """The name under which a sheet is kept: it tells measures, resamples and the way of scoring apart.

    Args:
        sheet: name of the table that it belongs to.
        key: what decides its content beside the predictions, such as ``groups.sheet_key``.
    """
    text = json.dumps([SCORING, *map(str, key)])
    return f"{sheet}-{blake2b(text.encode(), digest_size=6).hexdigest()}.safetensors"


@dataclass(frozen=True)
class Sheet:
    """Conditions by measures.

    Attributes:
        metrics: names of the measures.
        conditions: names.
        values: [conditions, metrics], float64; NaN where undefined or in a hole.
        draws: [conditions, draws, metrics], float16: the value on each resample, as its distance from the
            value in units of ``scale``; what is lost is less than a thousandth of the largest distance.
        scale: [conditions, metrics], float64.
        samples: [conditions], number of samples.
        of: which samples with which targets: ids and targets, each as a hash, joined by ``":"``.
        holes: condition -> why its predictions cannot be used.
        undefined: condition -> why nothing can be said of predictions that are whole.
        reasons: condition -> metric -> why that one is undefined.
    """

    metrics: tuple[str, ...]
    conditions: tuple[str, ...]
    values: np.ndarray
    draws: np.ndarray
    scale: np.ndarray
    samples: np.ndarray
    of: tuple[str, ...]
    holes: Mapping[str, str] = field(default_factory=dict)
    undefined: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def resampled(self) -> np.ndarray:
        """[conditions, draws, metrics], float64: the value on each resample."""
        return self.values[:, None] + self.draws * self.scale[:, None]


@dataclass(frozen=True)
class SheetEntry:
    """One condition, before it stands in a sheet; ``scores`` is of this one network, None where there is none."""

    scores: Resampled | None
    of: str = ""
    hole: str = ""
    undefined: str = ""
    reasons: Mapping[str, str] = field(default_factory=dict)


def sheet_from(entries: Mapping[str, SheetEntry], metrics: Sequence[str], draws: int) -> Sheet:
    """The sheet of some conditions.

    Args:
        entries: condition -> its scores of one network, each with ``draws`` resamples.
        metrics: the names of their measures.
        draws: number of resamples.
    """
    values = np.full((len(entries), len(metrics)), np.nan)
    exact = np.full((len(entries), draws, len(metrics)), np.nan)
    for row, entry in enumerate(entries.values()):
        if entry.scores is not None:
            values[row], exact[row] = entry.scores.values[0], entry.scores.draws[:, 0]
    away = exact - values[:, None]
    largest = np.abs(away).max(axis=1, initial=0.0, where=np.isfinite(away))
    scale = np.where(largest > 0, largest, 1.0)
    return Sheet(
        metrics=tuple(metrics),
        conditions=tuple(entries),
        values=values,
        draws=(away / scale[:, None]).astype(np.float16),
        scale=scale,
        samples=np.array([0 if e.scores is None else e.scores.samples for e in entries.values()]),
        of=tuple(entry.of for entry in entries.values()),
        holes={name: entry.hole for name, entry in entries.items() if entry.hole},
        undefined={name: entry.undefined for name, entry in entries.items() if entry.undefined},
        reasons={name: entry.reasons for name, entry in entries.items() if entry.reasons},
    )


def short_hash(content: bytes) -> str:
    """24 hexadecimal digits that stand for the content."""
    return blake2b(content, digest_size=12).hexdigest()


def stored_sheet(
    cache: SheetCache | None,
    sheet: str,
    key: Sequence[object],
    make: Callable[[], Sheet],
    others: Sequence[str] = (),
) -> Sheet:
    """A sheet from the cache of its job; made, and stored there, where the cache has none of these predictions.

    Args:
        cache: of the job; None stores nothing.
        sheet: its name, without a hyphen.
        key: what decides the scores beside the predictions: names of the measures, draws, seed.
        make: makes it.
        others: the fingerprints of other predictions that it depends on.

    Raises:
        ValueError: the predictions are not whole, or what ``make`` raises.
    """
    if cache is None:
        return make()
    file, of = sheet_file_name(sheet, key), " ".join([cache.fingerprint(), *others])
    content = cache.read(file)
    stored = None if content is None else _unpacked(content, of)
    if stored is not None:
        return stored
    new = make()
    cache.write(file, _packed(new, of))
    return new


def _packed(sheet: Sheet, of: str) -> bytes:
    from safetensors.numpy import save

    words = json.dumps([getattr(sheet, name) for name in _WORDS])
    arrays = {name: np.ascontiguousarray(getattr(sheet, name)) for name in _ARRAYS}
    texts = {
        name: np.frombuffer(text.encode(), dtype=np.uint8)
        for name, text in (("predictions", of), ("words", words))
    }
    return save({**arrays, **texts, "digest": _digest({**arrays, **texts})})


def _digest(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """32 bytes that stand for all that a stored sheet holds, so that a bit that flipped on the disk is seen."""
    digest = blake2b(digest_size=32)
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).data)
    return np.frombuffer(digest.digest(), dtype=np.uint8)


_ARRAYS = ("values", "draws", "scale", "samples")
_WORDS = ("metrics", "conditions", "of", "holes", "undefined", "reasons")


def _unpacked(content: bytes, of: str) -> Sheet | None:
    """The sheet, or None where it is of other predictions, damaged, or of a version that stored no digest."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(content)
        digest = arrays.pop("digest")
        if arrays["predictions"].tobytes() != of.encode() or not np.array_equal(digest, _digest(arrays)):
            return None
        return Sheet(**{name: arrays[name] for name in _ARRAYS}, **_words(arrays["words"].tobytes()))
    except (SafetensorError, KeyError, ValueError):
        return None


@lru_cache(maxsize=256)
def _words(text: bytes) -> dict[str, Any]:
    """What jobs of one benchmark have in common is read once."""
    words = dict(zip(_WORDS, json.loads(text), strict=True))
    return {name: tuple(value) if isinstance(value, list) else value for name, value in words.items()}
