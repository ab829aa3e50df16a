"""How the rows of a block stand to the best of them, for all its conditions and metrics at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .metric import Metric
from .scoring import Cell, Group
from .statistics import Resampled, holm, p_value

# Rows differ where the p of their difference, corrected by Holm for the rows of their block, is below this.
ALPHA = 0.05

#: A condition and a metric.
Column = tuple[str, str]


@dataclass(frozen=True)
class Comparison:
    """Rows by columns; a column is a condition and a metric.

    Attributes:
        place: column -> its index.
        best: [rows, columns], whether the row has the best mean.
        p: [rows, columns], Holm-corrected p of the difference from the best; NaN for the best itself and
            where there was no comparison.
        mark: [rows, columns], ``"best"`` (every other row that has a value is significantly worse),
            ``"tied"`` (the best, or not significantly different from it) or ``""``.
    """

    place: dict[Column, int]
    best: np.ndarray
    p: np.ndarray
    mark: np.ndarray


def compare(groups: Sequence[Group], cells: Sequence[dict[str, Cell]]) -> Comparison:
    """Compares the rows of a block with the best of them, column by column.

    A row is compared with the best only if both have the same seeds and samples; otherwise its p is NaN, and
    nothing in the column is marked as the one best. With fewer than two rows that have a value, nothing is
    marked.

    Args:
        groups: the rows of one block.
        cells: of each row, condition -> cell.
    """
    metrics: dict[str, Metric] = {metric.name: metric for group in groups for metric in group.metrics}
    conditions = dict.fromkeys(name for row in cells for name in row)
    place = {(c, m): i for i, (c, m) in enumerate((c, m) for c in conditions for m in metrics)}
    sign = np.array([1.0 if metric.direction == "higher" else -1.0 for metric in metrics.values()])
    rows = [_Row(group, row, place) for group, row in zip(groups, cells, strict=True)]
    means = np.stack([row.means for row in rows]) * np.tile(sign, len(conditions))
    there = np.isfinite(means)
    several = there.sum(axis=0) > 1
    highest = np.max(means, axis=0, initial=-np.inf, where=there)
    best = there & (means == highest)
    first = np.argmax(best, axis=0)
    p = np.full(means.shape, np.nan)
    for index, row in enumerate(rows):
        asked = there[index] & ~best[index] & several
        for other in np.unique(first[asked]):
            _compare_with(row, rows[other], asked & (first == other), p[index])
    p = holm(p)
    others = there & ~best
    alone = (best.sum(axis=0) == 1) & np.all(~others | (p < ALPHA), axis=0)
    tied = best | (others & (p >= ALPHA))
    mark = np.where(several & alone & best, "best", np.where(several & ~alone & tied, "tied", ""))
    return Comparison(place, best, p, mark)


class _Row:
    """The cells of a group side by side."""

    def __init__(self, group: Group, cells: dict[str, Cell], place: dict[Column, int]) -> None:
        self.seeds = group.seeds
        self.means = np.full(len(place), np.nan)
        #: column -> which block of draws, and where in it; -1 where there is none
        self.block, self.inside = np.full(len(place), -1), np.zeros(len(place), dtype=np.int64)
        self.of = np.full(len(place), "", dtype=object)
        self.blocks: list[Resampled] = []
        first = {metric.name: index for index, metric in enumerate(group.metrics)}
        for names in by_shape(cells):
            scores = [cells[name].scores for name in names]
            self.blocks.append(joined([score for score in scores if score is not None]))
            for order, name in enumerate(names):
                for metric, index in first.items():
                    column = place[name, metric]
                    self.block[column] = len(self.blocks) - 1
                    self.inside[column] = order * len(first) + index
                    self.of[column] = cells[name].of
        for index, block in enumerate(self.blocks):
            chosen = self.block == index
            self.means[chosen] = block.values.mean(axis=0)[self.inside[chosen]]


def by_shape(cells: dict[str, Cell]) -> list[list[str]]:
    """Conditions that can stand side by side: as many samples, and as many resamples of them."""
    found: dict[tuple[int, tuple[int, ...]], list[str]] = {}
    for name, cell in cells.items():
        if cell.scores is not None:
            found.setdefault((cell.scores.samples, cell.scores.draws.shape), []).append(name)
    return list(found.values())


def joined(scores: Sequence[Resampled]) -> Resampled:
    """Scores side by side: as if all were metrics of the same samples."""
    values = np.concatenate([score.values for score in scores], axis=1)
    return Resampled(values, np.concatenate([score.draws for score in scores], axis=2), scores[0].samples)


def _compare_with(row: _Row, best: _Row, asked: np.ndarray, p: np.ndarray) -> None:
    """Writes the p of the differences in the columns that are asked and comparable."""
    if row.seeds != best.seeds:
        return
    asked = asked & (row.of == best.of)
    for one in np.unique(row.block[asked]):
        for two in np.unique(best.block[asked]):
            columns = np.flatnonzero(asked & (row.block == one) & (best.block == two))
            mine, its = row.blocks[one], best.blocks[two]
            if len(columns) and mine.draws.shape[0] == its.draws.shape[0]:
                difference = _chosen(its, best.inside[columns]).minus(_chosen(mine, row.inside[columns]))
                p[columns] = p_value(difference)


def _chosen(scores: Resampled, columns: np.ndarray) -> Resampled:
    return Resampled(scores.values[:, columns], scores.draws[:, :, columns], scores.samples)
