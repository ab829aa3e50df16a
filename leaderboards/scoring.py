"""From results to scored groups: the seeds of one method that make one row, or the reason why they do not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .metric import Metric, checked
from .metrics import family_metrics, find
from .results import Outputs, Result, UnusableError, one_line, read_outputs
from .statistics import Resampled, holm, p_value, resample

# Rows differ where the p of their difference, corrected by Holm for the rows of their block, is below this.
ALPHA = 0.05


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
        metrics: what judges it.
    """

    block: Block
    method: str
    draw: int
    results: tuple[Result, ...]
    metrics: tuple[Metric, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The planned seeds, in ascending order."""
        return tuple(result.seed for result in self.results)


@dataclass(frozen=True)
class Cell:
    """A group under one condition.

    Attributes:
        hole: why there is no value; empty where there is one.
        done: number of seeds whose predictions could be used.
        scores: of all planned seeds; None in a hole.
        sample_id: [N], the samples, sorted; empty in a hole.
        target: [N], in that order.
        reasons: metric -> why it is undefined here, where it is.
    """

    hole: str
    done: int
    scores: Resampled | None = None
    sample_id: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=object))
    target: np.ndarray = field(default_factory=lambda: np.empty(0))
    reasons: Mapping[str, str] = field(default_factory=dict)

    def comparable(self, other: Cell) -> bool:
        """Whether both were tested on the same samples with the same targets."""
        return np.array_equal(self.sample_id, other.sample_id) and np.array_equal(self.target, other.target)


@dataclass(frozen=True)
class Comparison:
    """How the rows of a block stand to the best of them, for one metric.

    Attributes:
        best: [rows], whether the row has the best mean.
        p: [rows], Holm-corrected p of the difference from the best; NaN for the best itself and where there
            was no comparison.
        mark: [rows], ``"best"`` (every other row that has a value is significantly worse), ``"tied"`` (the
            best, or not significantly different from it) or ``""``.
    """

    best: np.ndarray
    p: np.ndarray
    mark: list[str]


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
    found: dict[tuple[Block, str, int], list[Result]] = {}
    for result in results:
        block = Block(result.task, result.modalities, result.protocol, result.synthetic)
        found.setdefault((block, result.method, result.draw), []).append(result)
    if not found:
        raise ValueError("no results: there is nothing to tabulate")
    chosen = None if metrics is None else [find(name) for name in metrics]
    groups = []
    for (block, method, draw), members in found.items():
        members.sort(key=lambda result: result.seed)
        for one, two in pairwise(members):
            if one.seed == two.seed:
                raise ValueError(
                    f"jobs {one.job} and {two.job} are both seed {one.seed} of {method}, {block.task}"
                )
            if one.family != two.family:
                raise ValueError(
                    f"jobs {one.job} and {two.job} of {method} have different families of metrics"
                )
        family = family_metrics(members[0].family)
        judges = family if chosen is None else tuple(m for m in chosen if m.task == family[0].task)
        if judges:
            groups.append(Group(block, method, draw, tuple(members), judges))
    if not groups:
        raise ValueError(f"none of the metrics {', '.join(metrics or ())} applies to any of the results")
    return groups


def score(group: Group, conditions: Sequence[str], draws: int, seed: int) -> dict[str, Cell]:
    """Scores a group under every condition, each job's predictions read once.

    Where any planned seed is not done, or its predictions cannot be used, the cell is a hole.

    Args:
        group: the group.
        conditions: the names of the conditions.
        draws: number of resamples of the samples.
        seed: of the resampling.

    Returns:
        condition -> cell.
    """
    tables, troubles = read_group(group)
    cells = {}
    for name in conditions:
        found = aligned(group, name, tables, troubles)
        if found.hole:
            cells[name] = Cell(found.hole, found.done)
            continue
        first = found.outputs[0]
        predictions = [outputs.prediction for outputs in found.outputs]
        scores = resample(group.metrics, first.target, predictions, draws, seed)
        cells[name] = Cell("", found.done, scores, first.sample_id, first.target)
    return cells


Troubles = list[tuple[str, str]]


@dataclass(frozen=True)
class Aligned:
    """What all seeds of a group answered under one condition, in the same order of samples.

    Attributes:
        hole: why there is nothing to score; empty where there is.
        done: number of seeds whose predictions could be used.
        outputs: one a seed, all of the same samples; empty in a hole.
    """

    hole: str
    done: int
    outputs: tuple[Outputs, ...] = ()


def read_group(group: Group) -> tuple[dict[int, dict[str, Outputs]], Troubles]:
    """The predictions of every seed, condition by condition, and what is wrong with those that lack."""
    tables: dict[int, dict[str, Outputs]] = {}
    troubles: Troubles = []
    for result in group.results:
        if result.state != "done":
            reason = f": {one_line(result.reason)}" if result.reason else ""
            troubles.append((_WORDS[result.state], f"seed {result.seed}{reason}"))
            continue
        try:
            tables[result.seed] = read_outputs(result)
        except UnusableError as error:
            troubles.append(("unusable", f"seed {result.seed}: {error}"))
    return tables, troubles


def aligned(
    group: Group, condition: str, tables: dict[int, dict[str, Outputs]], troubles: Troubles
) -> Aligned:
    """Brings the outputs of all seeds under a condition into one order; a hole where any cannot be used."""
    troubles = list(troubles)
    found: list[Outputs] = []
    for number, table in tables.items():
        outputs = table.get(condition)
        if outputs is None:
            troubles.append(("not evaluated", f"seed {number}: no predictions under {condition}"))
            continue
        try:
            if not found:
                outputs = outputs.in_order_of(np.sort(outputs.sample_id))
            else:
                outputs = outputs.in_order_of(found[0].sample_id)
                if not np.array_equal(outputs.target, found[0].target):
                    raise UnusableError("other targets than those of the other seeds")
            checked(group.metrics[0].task, outputs.target, outputs.prediction)
        except ValueError as error:
            troubles.append(("unusable", f"seed {number}: {one_line(str(error))}"))
            continue
        found.append(outputs)
    if troubles or not found:
        return Aligned(_hole(troubles, len(group.results)), len(found))
    return Aligned("", len(found), tuple(found))


def compare(cells: Sequence[Cell], groups: Sequence[Group], metric: Metric) -> Comparison:
    """Compares the rows of a block under one condition with the best of them.

    A row is compared with the best only if both have the same seeds and samples; otherwise its p is NaN, and
    nothing in the block is marked as the one best.

    Args:
        cells: one a row.
        groups: the rows' groups.
        metric: by what.

    Returns:
        The comparison. With fewer than two rows that have a value, nothing is marked.
    """
    sign = 1 if metric.direction == "higher" else -1
    columns = [group.metrics.index(metric) if metric in group.metrics else -1 for group in groups]
    means = np.full(len(cells), np.nan)
    for row, (cell, column) in enumerate(zip(cells, columns, strict=True)):
        if cell.scores is not None and column >= 0:
            means[row] = sign * cell.scores.values[:, column].mean()
    there = np.isfinite(means)
    p = np.full(len(cells), np.nan)
    if there.sum() < 2:
        return Comparison(best=there, p=p, mark=[""] * len(cells))
    best = there & (means == means[there].max())
    first = int(np.flatnonzero(best)[0])
    for row in map(int, np.flatnonzero(there & ~best)):
        same_seeds = groups[row].seeds == groups[first].seeds
        if same_seeds and cells[row].comparable(cells[first]):
            p[row] = _p(cells[first], columns[first], cells[row], columns[row])
    p = holm(p)
    worse = p < ALPHA
    others = there & ~best
    if best.sum() == 1 and worse[others].all():
        return Comparison(best, p, ["best" if row else "" for row in best])
    tied = best | (others & (p >= ALPHA))
    return Comparison(best, p, ["tied" if row else "" for row in tied])


_WORDS = {"failed": "failed", "dead": "died", "running": "running", "planned": "not started"}


def _p(best: Cell, best_column: int, other: Cell, other_column: int) -> float:
    assert best.scores is not None
    assert other.scores is not None
    difference = _one(best.scores, best_column).minus(_one(other.scores, other_column))
    return float(p_value(difference)[0])


def _one(scores: Resampled, column: int) -> Resampled:
    chosen = slice(column, column + 1)
    return Resampled(scores.values[:, chosen], scores.draws[:, :, chosen], scores.samples)


def _hole(troubles: list[tuple[str, str]], planned: int) -> str:
    parts = []
    for word in dict.fromkeys(word for word, _ in troubles):
        details = [detail for kind, detail in troubles if kind == word]
        parts.append(f"{len(details)} of {planned} seeds {word} ({'; '.join(details)})")
    return ", ".join(parts)
