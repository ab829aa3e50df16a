"""Each method on every target of a family of shifts, and its mean over them: the table that papers print.

A family is made of shifts that differ in their target alone: each domain of a dataset left out in turn, or each of some
datasets, with as many sources. The mean over targets is taken seed by seed and resample by resample, so that its interval
is over seeds and samples, and methods are compared by paired differences, as in every table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from ..labels import CLEAN, OVER_TARGETS, TARGET, WORST_TARGET, counted
from ..stats.bootstrap import DRAWS
from .accuracy import table_of
from .cells import Cell, Group
from .groups import groups_of, led, score
from .results import Result
from .worst_domain import worst

#: What the shifts of a family have in common: the dataset whose domains they are between, empty where they are between
#: datasets; the number of sources; and what a row is, but for its task.
_Key = tuple[str, int, str, str, bool, tuple[str, ...]]


def family_of(task: str) -> tuple[str, int] | None:
    """Which family of shifts a task is of.

    Args:
        task: such as ``"hust/10hz+hust/20hz->hust/5hz"``.

    Returns:
        The dataset of its domains, empty where it is a shift between whole datasets, and the number of sources; None
        for a task that is no shift.
    """
    sources, arrow, target = task.partition("->")
    if not arrow:
        return None
    dataset, slash, _ = target.partition("/")
    return (dataset if slash else ""), sources.count("+") + 1


def targets(results: Iterable[Result], draws: int = DRAWS, seed: int = 0) -> pd.DataFrame:
    """The main metric of each method on every target of a family, the mean over targets, and the worst target.

    Args:
        results: one a job, whatever its state.
        draws: number of resamples.
        seed: of the resampling.

    Returns:
        A frame as ``tables.accuracy`` gives it, without an audit. ``task`` names the family; ``condition`` is
        ``average_over_targets`` and ``worst_target``, which have a value only where every target has one of the same
        seeds, then ``target:NAME``. The worst target is found seed by seed and resample by resample.

    Raises:
        ValueError: no two shifts differ in their target alone.
    """
    families: dict[_Key, list[Group]] = {}
    for group in led(groups_of(results)):
        family = family_of(group.block.task)
        if family and not group.folds:
            block, metrics = group.block, tuple(metric.name for metric in group.metrics)
            key = (*family, block.modalities, block.protocol, block.synthetic, metrics)
            families.setdefault(key, []).append(group)
    parts = []
    for members in families.values():
        names = _names(list(dict.fromkeys(group.block.task for group in members)))
        if len(names) > 1:
            parts.append(
                _table(_title(members[0].block.task, names), names, _by_method(members), draws, seed)
            )
    if not parts:
        raise ValueError("no two shifts differ in their target alone, as those of --datasets 'hust/*' do")
    return pd.concat(parts, ignore_index=True)


def _table(
    title: str, names: Mapping[str, str], rows: Sequence[Sequence[Group]], draws: int, seed: int
) -> pd.DataFrame:
    """The frame of a family.

    Args:
        title: what stands as its task.
        names: task -> condition.
        rows: of each method, its groups.
        draws: number of resamples.
        seed: of the resampling.
    """
    groups = [
        replace(own[0], block=own[0].block._replace(task=title), metrics=own[0].metrics[:1]) for own in rows
    ]
    frame = table_of(groups, [_cells(names, own, draws, seed) for own in rows])
    jobs: list[str] = []
    for own in rows:
        of_task = {group.block.task: " ".join(one.job for one in group.results) for group in own}
        everything = " ".join(of_task.values())
        jobs += [everything, everything, *(of_task.get(task, "") for task in names)]
    audits = [name for name in frame if str(name).startswith("audit_")]  # that of one target alone
    return frame.drop(columns=["drop", "drop_low", "drop_high", *audits]).assign(jobs=jobs)


def _by_method(members: Sequence[Group]) -> list[list[Group]]:
    """The groups of each method, in the order of their tasks."""
    by_method: dict[tuple[str, int], list[Group]] = {}
    for group in members:
        by_method.setdefault((group.method, group.draw), []).append(group)
    for own in by_method.values():
        own.sort(key=lambda group: group.block.task)
    return list(by_method.values())


def _names(tasks: Sequence[str]) -> dict[str, str]:
    """Task -> its condition: the target, or the whole task where several have that target."""
    ends = [task.partition("->")[2] for task in tasks]
    return {
        task: TARGET + (end if ends.count(end) == 1 else task)
        for task, end in sorted(zip(tasks, ends, strict=True), key=lambda pair: pair[::-1])
    }


def _title(task: str, names: Mapping[str, str]) -> str:
    dataset, sources = family_of(task) or ("", 0)
    places = "+".join(sorted({part for name in names for part in name.replace("->", "+").split("+")}))
    return (
        f"{dataset or places}: mean over {counted(len(names), 'target')} of {counted(sources, 'source')} each"
    )


def _cells(names: Mapping[str, str], own: Sequence[Group], draws: int, seed: int) -> dict[str, Cell]:
    """The cells of a method: the mean over targets, the worst, and every one."""
    of_task = {group.block.task: group for group in own}
    cells = {}
    for task, name in names.items():
        group = of_task.get(task)
        if group is None:
            cells[name] = Cell("not run on this target", 0)
        elif group.networks != own[0].networks:
            cells[name] = Cell(f"other seeds than on {own[0].block.task}", 0)
        else:
            cells[name] = _first(score(group, "clean", CLEAN.__eq__, draws, seed)[CLEAN])
    return {OVER_TARGETS: _mean(cells), WORST_TARGET: worst(cells, own[0].metrics[0]), **cells}


def _first(cell: Cell) -> Cell:
    """A cell with its first metric alone."""
    if cell.scores is None:
        return cell
    scores = cell.scores
    return replace(cell, scores=replace(scores, values=scores.values[:, :1], draws=scores.draws[:, :, :1]))


def _mean(cells: Mapping[str, Cell]) -> Cell:
    """The mean over targets, for each seed and resample; a hole where any target has one."""
    holes = dict.fromkeys(f"{name}: {cell.hole}" for name, cell in cells.items() if cell.hole)
    scores = [cell.scores for cell in cells.values() if cell.scores is not None]
    if holes or len(scores) < len(cells):
        return Cell("; ".join(holes), min(cell.done for cell in cells.values()))
    together = replace(
        scores[0],
        values=np.mean([score.values for score in scores], axis=0),
        draws=np.mean([score.draws for score in scores], axis=0),
        samples=sum(score.samples for score in scores),
    )
    first = next(iter(cells.values()))
    return replace(first, scores=together, of=" ".join(cell.of for cell in cells.values()))
