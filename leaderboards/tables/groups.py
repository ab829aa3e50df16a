"""From results to scored groups: the seeds of one method that make one row, or the reason why they do not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..labels import CLEAN
from ..metrics.base import Metric, checked, task_of
from ..metrics.registry import applies, family_metrics, find
from ..stats.bootstrap import DRAWS, Resampled, resample
from .results import Outputs, Result, one_line, read_outputs
from .score_sheet import Sheet, SheetEntry, sheet_from, short_hash, stored_sheet

T = TypeVar("T")


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


def groups_of(results: Iterable[Result], metrics: Sequence[str] | None = None) -> list[Group]:
    """Sorts results into groups, in the order in which each group first appears.

    Args:
        results: one a job.
        metrics: names; None for all of each result's family. A metric of another task (regression or
            classification) than a group's is left out of that group.

    Returns:
        The groups that have a metric.

    Raises:
        ValueError: no results, an unknown metric, none that applies, two jobs of one group with the same
            seed, or one group of several families.
    """
    members_of: dict[tuple[Block, str, int], list[Result]] = {}
    for result in results:
        block = Block(result.task, result.modalities, result.protocol, result.synthetic)
        members_of.setdefault((block, result.method, result.draw), []).append(result)
    if not members_of:
        raise ValueError("no results: there is nothing to tabulate")
    chosen = None if metrics is None else [find(name) for name in metrics]
    groups = []
    for (block, method, draw), members in members_of.items():
        members.sort(key=lambda result: (result.seed, result.fold))
        for one, two in pairwise(members):
            if (one.seed, one.fold) == (two.seed, two.fold):
                raise ValueError(
                    f"jobs {one.job} and {two.job} are both {one.place} of {method}, {block.task}"
                )
            if one.folds != two.folds:
                raise ValueError(f"jobs {one.job} and {two.job} of {method} are of other numbers of folds")
            if one.family != two.family:
                raise ValueError(
                    f"jobs {one.job} and {two.job} of {method} have different families of metrics"
                )
        family = family_metrics(members[0].family)
        own = family if chosen is None else tuple(m for m in chosen if applies(m, members[0].family))
        if own:
            groups.append(Group(block, method, draw, tuple(members), own))
    if not groups:
        raise ValueError(f"none of the metrics {', '.join(metrics or ())} applies to any of the results")
    return groups


def score(
    group: Group,
    sheet: str,
    tests: Callable[[str], bool],
    draws: int,
    seed: int,
    always: Sequence[str] = (CLEAN,),
    further: bool = False,
) -> dict[str, Cell]:
    """Scores a group under the conditions that a table tests.

    Where any planned seed is not done, or its predictions cannot be used, the cell is a hole.

    Args:
        group: the group.
        sheet: the name of the table's sheets.
        tests: whether a condition belongs into it.
        draws: number of resamples of the samples.
        seed: of the resampling.
        always: conditions that stand first, whether tested or not.
        further: whether predictions under further conditions are read.

    Returns:
        condition -> cell, for every condition that any seed was tested under.
    """
    key = sheet_key(group.metrics, draws, seed)

    def read(result: Result) -> Sheet:
        def make() -> Sheet:
            outputs = read_outputs(result, further=further)
            tested = {name: one for name, one in outputs.items() if tests(name)}
            return scored(tested, group.metrics, draws, seed)

        return stored_sheet(result.cache, sheet, key, make)

    return cells_of(group, read, always)


def with_clean(cells: dict[str, Cell], group: Group, metrics: Sequence[Metric], seed: int) -> dict[str, Cell]:
    """Cells of a group of which the clean one has the interval that it has in the table of accuracy.

    Args:
        cells: condition -> cell, on fewer resamples than there.
        group: the group.
        metrics: all that score it there.
        seed: of the resampling.
    """
    own = cells.get(CLEAN)
    if own is None or own.scores is None:
        return cells
    results = tuple(
        result if result.cache is None else replace(result, cache=result.cache.reading(_OF_CLEAN))
        for result in group.results
    )
    finest = score(
        replace(group, results=results, metrics=tuple(metrics)), "clean", CLEAN.__eq__, DRAWS, seed
    )
    scores = finest[CLEAN].scores
    if scores is None or not own.comparable(finest[CLEAN]):
        return cells
    places = [list(metrics).index(metric) for metric in group.metrics]
    finer = replace(scores, values=scores.values[:, places], draws=scores.draws[:, :, places])
    return {**cells, CLEAN: replace(own, scores=replace(own.scores, finer=finer))}


#: The outputs that decide the scores of the table of accuracy.
_OF_CLEAN = frozenset({"predictions"})


def once_for_each(make: Callable[..., T]) -> Callable[..., T]:
    """Keeps what was made of the last results or frame, for the next table that is made of the same."""
    last: list[tuple[object, object, T]] = []

    @wraps(make)
    def remembered(results: Any, *args: int) -> T:
        if not (last and last[0][0] is results and last[0][1] == args):
            last[:] = [(results, args, make(results, *args))]
        return last[0][2]

    return remembered


def sheet_key(metrics: Sequence[Metric], draws: int, seed: int) -> list[object]:
    """What decides the scores of a sheet beside the predictions: for metrics from outside, their code too.

    Args:
        metrics: those of the sheet, in order.
        draws: number of resamples.
        seed: of the resampling.
    """
    names = [f"{metric.name}@{metric.version}" if metric.version else metric.name for metric in metrics]
    return [names, draws, seed]


def scored(outputs: Mapping[str, Outputs], metrics: Sequence[Metric], draws: int, seed: int) -> Sheet:
    """The sheet of one network: every condition, judged by all metrics.

    Args:
        outputs: condition -> outputs.
        metrics: of one task, at least one.
        draws: number of resamples.
        seed: of the resampling.

    Returns:
        What the metrics refuse is a hole with the reason, and no error.
    """
    entries: dict[str, SheetEntry] = {}
    alike: dict[str, list[str]] = {}
    for condition, found in outputs.items():
        try:
            checked(task_of(metrics), found.target, found.prediction)
        except ValueError as error:
            entries[condition] = SheetEntry(None, hole=one_line(str(error)))
            continue
        entries[condition] = SheetEntry(None, found.of)
        alike.setdefault(found.of, []).append(condition)
    for of, conditions in alike.items():  # of the same samples, all at once
        predictions = [outputs[condition].prediction for condition in conditions]
        together = resample(metrics, outputs[conditions[0]].target, predictions, draws, seed)
        for row, condition in enumerate(conditions):
            one = slice(row, row + 1)
            scores = Resampled(together.values[one], together.draws[:, one], together.samples)
            entries[condition] = SheetEntry(scores, of)
    return sheet_from(entries, [metric.name for metric in metrics], draws)


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
    if not troubles and _alike(sheets):
        cells = _together(list(sheets.values()), group.folds)
        first = [name for name in always if name in cells]
        if len(first) == len(always):
            return {name: cells[name] for name in dict.fromkeys([*first, *cells])}
    names = dict.fromkeys([*always, *(name for sheet in sheets.values() for name in sheet.conditions)])
    return {name: _cell(name, sheets, troubles, group) for name in names}


def _alike(sheets: Mapping[tuple[int, int], Sheet]) -> bool:
    """Whether all seeds were tested under the same conditions, on the same samples (of each fold), without a hole."""
    first = next(iter(sheets.values()))
    of: dict[int, tuple[str, ...]] = {}
    return all(
        (sheet.conditions, sheet.metrics) == (first.conditions, first.metrics)
        and sheet.of == of.setdefault(fold, sheet.of)
        and not sheet.holes
        and sheet.undefined.keys() == first.undefined.keys()
        for (_, fold), sheet in sheets.items()
    )


def _together(sheets: Sequence[Sheet], folds: int) -> dict[str, Cell]:
    """The cells of sheets under the same conditions.

    Args:
        sheets: of each seed; of cross-validation those of its folds side by side.
        folds: how many folds there are, 0 for none.
    """
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
        samples = sum(int(sheet.samples[row]) for sheet in sheets[: folds or 1])
        scores = Resampled(values[row], draws[row], samples, folds=folds)
        reasons = _reasons(name, sheets) if anywhere else {}
        of = _all_of([sheet.of[row] for sheet in sheets[:folds]]) if folds else first.of[row]
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
        place, (_, fold) = sheet.conditions.index(name), network
        reason = sheet.holes.get(name, "") or _difference(sheet.of[place], first.get(fold, sheet.of[place]))
        if reason:
            troubles.append(("unusable", f"{place_of[network]}: {reason}"))
            continue
        first.setdefault(fold, sheet.of[place])
        usable.append(_only(sheet, place))
    if troubles:
        return Cell(_hole(troubles, group), len(usable))
    reasons = dict.fromkeys(sheet.undefined[name] for sheet in usable if name in sheet.undefined)
    return Cell("; ".join(reasons), len(usable)) if reasons else _together(usable, group.folds)[name]


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


Troubles = list[tuple[str, str]]
_WORDS = {
    "failed": "failed",
    "dead": "died",
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
        details = [detail for kind, detail in troubles if kind == word]
        parts.append(f"{len(details)} of {planned} {group.unit} {word} ({'; '.join(details)})")
    return ", ".join(parts)
