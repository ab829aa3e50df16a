"""The rows of a table, which are groups of seeds, and their cells: the scores of all seeds under one condition."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from ..metrics.base import Metric
from ..stats.bootstrap import Resampled
from .results import Result, one_line
from .score_sheet import Sheet, short_hash

#: What keeps seeds from being scored: the kind of trouble, and which seed has it and why.
Troubles = list[tuple[str, str]]


class Block(NamedTuple):
    """What can be compared: rows of one block were given the same and are judged on the same samples."""

    task: str
    modalities: str
    protocol: str
    synthetic: bool


@dataclass(frozen=True)
class Group:
    """All planned seeds of one method: one row of a table.

    Attributes:
        block: what it is compared within.
        method: its label.
        draw: its draw of the hyper-parameters.
        results: its jobs, by seed.
        metrics: what scores it, the main metric first.
    """

    block: Block
    method: str
    draw: int
    results: tuple[Result, ...]
    metrics: tuple[Metric, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each planned job, in ascending order; of cross-validation once for each fold."""
        return tuple(result.seed for result in self.results)

    @property
    def folds(self) -> int:
        """The number of folds; 0 where its data have parts of their own."""
        return self.results[0].folds

    @property
    def one_test(self) -> bool:
        """Whether it has folds and all are tested on the same samples."""
        return self.folds > 0 and self.results[0].held_out_test

    @property
    def is_vote(self) -> bool:
        """Whether it is an ensemble: its variance over seeds says nothing of a network's, nor a network's of it."""
        return self.results[0].ensemble is not None

    @property
    def networks(self) -> tuple[tuple[int, int], ...]:
        """Seed and fold of each planned job: rows with the same can be paired."""
        return tuple((result.seed, result.fold) for result in self.results)

    @property
    def absent(self) -> list[str]:
        """The folds that nobody planned, such as ``fold 3/5 of seed 0``: without them there is no mean over folds."""
        there = set(self.networks)
        return [
            f"fold {fold}/{self.folds} of seed {seed}"
            for seed in dict.fromkeys(self.seeds)
            for fold in range(1, self.folds + 1)
            if (seed, fold) not in there
        ]

    @property
    def unit(self) -> str:
        """What its jobs are called together: seeds or folds."""
        return "folds" if self.folds else "seeds"


@dataclass(frozen=True)
class Cell:
    """A group under one condition.

    Attributes:
        hole: why there is no value; empty where there is one.
        done: number of seeds, or of folds of all seeds, whose predictions could be used.
        scores: of all planned seeds; None in a hole.
        of: which samples with which targets, as ``Sheet.of``; empty in a hole.
        reasons: metric -> why it is undefined here, where it is.
    """

    hole: str
    done: int
    scores: Resampled | None = None
    of: str = ""
    reasons: Mapping[str, str] = field(default_factory=dict)

    def comparable(self, other: Cell) -> bool:
        """Whether both were tested on the same samples with the same targets."""
        return self.of == other.of


def cells_of(group: Group, read: Callable[[Result], Sheet], always: Sequence[str] = ()) -> dict[str, Cell]:
    """Brings the sheets of all seeds together, condition by condition; a hole where any cannot be used.

    Args:
        group: the group.
        read: the sheet of a finished job; raises ValueError, in one line, where there is none.
        always: conditions that stand first, whether tested or not.
    """
    sheets: dict[tuple[int, int], Sheet] = {}
    troubles: Troubles = [("not in the store", place) for place in group.absent]
    for result in group.results:
        if result.state != "done":
            reason = f": {one_line(result.reason)}" if result.reason else ""
            troubles.append((_WORDS[result.state], f"{result.place}{reason}"))
            continue
        try:
            sheets[result.seed, result.fold] = read(result)
        except (OSError, ValueError, KeyError) as error:
            troubles.append(("unusable", f"{result.place}: {one_line(str(error))}"))
    if not troubles and _alike(sheets, group.one_test):
        cells = _together(list(sheets.values()), group)
        first = [name for name in always if name in cells]
        if len(first) == len(always):
            return {name: cells[name] for name in dict.fromkeys([*first, *cells])}
    names = dict.fromkeys([*always, *(name for sheet in sheets.values() for name in sheet.conditions)])
    return {name: _cell(name, sheets, troubles, group) for name in names}


def _alike(sheets: Mapping[tuple[int, int], Sheet], one_test: bool) -> bool:
    """Whether all seeds were tested under the same conditions, on the same samples (of each fold), without a hole."""
    first = next(iter(sheets.values()))
    of: dict[int, tuple[str, ...]] = {}
    return all(
        (sheet.conditions, sheet.metrics) == (first.conditions, first.metrics)
        and sheet.of == of.setdefault(0 if one_test else fold, sheet.of)
        and not sheet.holes
        and sheet.undefined.keys() == first.undefined.keys()
        for (_, fold), sheet in sheets.items()
    )


def _together(sheets: Sequence[Sheet], group: Group) -> dict[str, Cell]:
    """The cells of sheets under the same conditions.

    Args:
        sheets: of each seed; of cross-validation those of its folds side by side.
        group: whose they are.
    """
    folds = group.folds
    parts = 0 if group.one_test else folds
    first = sheets[0]
    values = np.stack([sheet.values for sheet in sheets], axis=1)
    draws = np.stack([sheet.resampled for sheet in sheets], axis=2)
    cells = {}
    anywhere = any(sheet.reasons for sheet in sheets)
    for row, name in enumerate(first.conditions):
        if name in first.undefined:
            reasons = dict.fromkeys(sheet.undefined[name] for sheet in sheets)
            cells[name] = Cell("; ".join(reasons), len(sheets))
            continue
        samples = sum(int(sheet.samples[row]) for sheet in sheets[: parts or 1])
        scores = Resampled(values[row], draws[row], samples, folds=folds, one_test=group.one_test)
        reasons = _reasons(name, sheets) if anywhere else {}
        of = _all_of([sheet.of[row] for sheet in sheets[:parts]]) if parts else first.of[row]
        cells[name] = Cell("", len(sheets), scores, of, reasons)
    return cells


def _reasons(name: str, sheets: Sequence[Sheet]) -> dict[str, str]:
    return {metric: why for sheet in sheets for metric, why in sheet.reasons.get(name, {}).items()}


def _all_of(parts: Sequence[str]) -> str:
    """Which samples with which targets all folds together have, as ``Sheet.of``."""
    ids, targets = zip(*(part.partition(":")[::2] for part in parts), strict=True)
    return f"{short_hash(' '.join(ids).encode())}:{short_hash(' '.join(targets).encode())}"


def _cell(name: str, sheets: Mapping[tuple[int, int], Sheet], troubles: Troubles, group: Group) -> Cell:
    troubles = list(troubles)
    usable: list[Sheet] = []
    first: dict[int, str] = {}
    place_of = {(result.seed, result.fold): result.place for result in group.results}
    for network, sheet in sheets.items():
        if name not in sheet.conditions:
            troubles.append(("not evaluated", f"{place_of[network]}: no predictions under {name}"))
            continue
        place, fold = sheet.conditions.index(name), 0 if group.one_test else network[1]
        reason = sheet.holes.get(name, "") or _difference(sheet.of[place], first.get(fold, sheet.of[place]))
        if reason:
            troubles.append(("unusable", f"{place_of[network]}: {reason}"))
            continue
        first.setdefault(fold, sheet.of[place])
        usable.append(_only(sheet, place))
    if troubles:
        return Cell(_hole(troubles, group), len(usable))
    reasons = dict.fromkeys(sheet.undefined[name] for sheet in usable if name in sheet.undefined)
    return Cell("; ".join(reasons), len(usable)) if reasons else _together(usable, group)[name]


def _difference(of: str, first: str) -> str:
    """Why scores cannot stand beside those of the first seed; empty where they can."""
    if of == first:
        return ""
    if of.partition(":")[0] == first.partition(":")[0]:
        return "other targets than those of the other seeds"
    return "predictions of other samples than those of the other seeds"


def _only(sheet: Sheet, place: int) -> Sheet:
    """The sheet with one of its conditions."""
    chosen = slice(place, place + 1)
    return replace(
        sheet,
        conditions=sheet.conditions[chosen],
        values=sheet.values[chosen],
        draws=sheet.draws[chosen],
        scale=sheet.scale[chosen],
        samples=sheet.samples[chosen],
        of=sheet.of[chosen],
    )


_WORDS = {
    "failed": "failed",
    "dead": "died",
    "interrupted": "interrupted",
    "cancelled": "cancelled",
    "running": "running",
    "queued": "queued",
    "planned": "not started",
    "pruned": "ended early",
}


def _hole(troubles: Troubles, group: Group) -> str:
    planned = len(group.results) + len(group.absent)
    parts = []
    for word in dict.fromkeys(word for word, _ in troubles):
        places_of: dict[str, list[str]] = {}  # reason -> where; what several have in common is said once
        for place, mark, reason in (detail.partition(": ") for kind, detail in troubles if kind == word):
            places_of.setdefault(mark + reason, []).append(place)
        number = sum(map(len, places_of.values()))
        details = "; ".join(f"{', '.join(places)}{reason}" for reason, places in places_of.items())
        parts.append(f"{number} of {planned} {group.unit} {word} ({details})")
    return ", ".join(parts)
