"""The numbers of a block: all its rows, conditions and metrics at once.

A benchmark has thousands of rows with a hundred conditions each. What is computed for one cell is a few hundred
numbers, so that cells stand side by side in one array, and each step is taken for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..labels import CLEAN, MARGIN
from ..metrics.base import Metric
from ..stats.bootstrap import Resampled
from ..stats.intervals import holm, moderated_interval, moderated_p
from ..stats.seed_variance import SeedPrior, Variation, seed_prior, variation_of
from .cells import Cell, Group

# Rows differ where the p of their difference, corrected by Holm for the rows of their block, is below this.
ALPHA = 0.05


@dataclass(frozen=True)
class Numbers:
    """What a table says of a block; arrays are [rows, conditions, metrics], NaN where there is nothing.

    Attributes:
        conditions: their names.
        metrics: of all rows.
        values: the value of each seed, in a list; None in a hole.
        mean, sd: over seeds; of cross-validation over folds, of the means over seeds of each.
        low, high: of the 95 % interval.
        shared: whether that of a single seed has the variance of other methods' seeds in it.
        drop, drop_low, drop_high: what is lost against clean data, and its interval.
        best: whether the row has the best mean.
        p: Holm-corrected p of the difference from the best; NaN for the best itself and where there was no
            comparison.
        mark: ``"best"`` (every other row that has a value is significantly worse), ``"tied"`` (the best, or
            not significantly different from it) or ``""``.
        near: whether a tied row is shown to be within ``MARGIN`` of the best: the interval at 90 % of their difference
            lies inside, which is the pair of one-sided tests at 5 % (Schuirmann 1987, Journal of Pharmacokinetics and
            Biopharmaceutics 15, 657); of the best, whether such a row is there.
    """

    conditions: tuple[str, ...]
    metrics: tuple[Metric, ...]
    values: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    low: np.ndarray
    high: np.ndarray
    shared: np.ndarray
    drop: np.ndarray
    drop_low: np.ndarray
    drop_high: np.ndarray
    best: np.ndarray
    p: np.ndarray
    mark: np.ndarray
    near: np.ndarray


def numbers_of(groups: Sequence[Group], cells: Sequence[dict[str, Cell]]) -> Numbers:
    """Computes the numbers of one block.

    A row is compared with the best only if both have the same seeds and samples; otherwise its p is NaN, and
    nothing in the column is marked as the one best. With fewer than two rows that have a value, nothing is
    marked.

    Args:
        groups: the rows of the block.
        cells: of each row, condition -> cell; all with the same conditions.
    """
    conditions = tuple(cells[0])
    metrics = tuple({metric.name: metric for group in groups for metric in group.metrics}.values())
    shape = (len(groups), len(conditions), len(metrics))
    out = {name: np.full(shape, np.nan) for name in _FIELDS}
    values = np.full(shape, None, dtype=object)
    stacks = _stacks(groups, cells, conditions, metrics, finest=True)
    sign = np.array([1.0 if metric.direction == "higher" else -1.0 for metric in metrics])
    variations = [variation_of(stack.scores) for stack in stacks]
    votes = np.array([group.is_vote for group in groups])
    spread = _Spread(shape, [(stack.at, own) for stack, own in zip(stacks, variations, strict=True)], votes)
    shared = np.zeros(shape, dtype=bool)
    for stack, own in zip(stacks, variations, strict=True):
        prior = spread.prior(stack.at, own)
        shared[stack.at] = prior.shared & (own.seeds == 1)
        _describe(stack, moderated_interval(own, prior), metrics, out, values)
    if CLEAN in conditions:
        coarse = any(one.scores and one.scores.finer for row in cells for one in row.values())
        paired = _stacks(groups, cells, conditions, metrics) if coarse else stacks
        _drop(paired, shape, conditions.index(CLEAN), sign, votes, out)
    means = out["mean"] * sign
    has_value = np.isfinite(means)
    several = has_value.sum(axis=0) > 1
    best = has_value & (means == np.max(means, axis=0, initial=-np.inf, where=has_value))
    p, near = np.full(shape, np.nan), np.zeros(shape, dtype=bool)
    for stack in stacks:
        _, names, measures = stack.at
        first = np.argmax(best, axis=0)[names, measures]
        compared = has_value[stack.at] & ~best[stack.at] & several[names, measures]
        columns, difference = stack.from_others((first, names, measures), compared)
        if len(columns):
            at_method, at_condition, at_metric = (index[columns] for index in stack.at)
            at = at_method, at_condition, at_metric
            own = variation_of(difference)
            prior = spread.prior(at, own, against=first[columns])
            p[at] = moderated_p(own, prior)
            most = MARGIN * np.abs(out["mean"][first[columns], at_condition, at_metric])
            near[at] = np.all(
                [np.abs(end) <= most for end in moderated_interval(own, prior, 1 - 2 * ALPHA)], axis=0
            )
    p = holm(p)
    others = has_value & ~best
    alone = (best.sum(axis=0) == 1) & np.all(~others | (p < ALPHA), axis=0)
    tied = best | (others & (p >= ALPHA))
    mark = np.where(several & alone & best, "best", np.where(several & ~alone & tied, "tied", ""))
    near &= (mark == "tied") & ~best
    near |= best & (mark == "tied") & (near.any(axis=0) | (best.sum(axis=0) > 1))
    return Numbers(conditions, metrics, values, **out, shared=shared, best=best, p=p, mark=mark, near=near)


_FIELDS = ("mean", "sd", "low", "high", "drop", "drop_low", "drop_high")
#: Rows, conditions and metrics of some columns, [columns] each.
Places = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class _Stack:
    """Scores side by side that have as many seeds, samples and resamples.

    Attributes:
        at: the place of each column in the block.
        scores: of all columns, as if they were metrics.
        column: [rows, conditions, metrics], the column that stands there; -1 where none does.
        seeds: [rows], a number for each set of seeds.
        of: [rows, conditions], a number for each set of samples.
    """

    at: Places
    scores: Resampled
    column: np.ndarray
    seeds: np.ndarray
    of: np.ndarray

    def from_others(self, others: Places, wanted: np.ndarray) -> tuple[np.ndarray, Resampled]:
        """The columns that are asked and can be paired with what stands at ``others``; that minus them."""
        theirs = self.column[others]
        rows, conditions, _ = self.at
        paired = wanted & (theirs >= 0) & (self.seeds[others[0]] == self.seeds[rows])
        paired &= self.of[others[0], others[1]] == self.of[rows, conditions]
        mine = np.flatnonzero(paired)
        theirs, scores = theirs[mine], self.scores
        difference = Resampled(
            scores.values[:, theirs] - scores.values[:, mine],
            scores.draws[:, :, theirs] - scores.draws[:, :, mine],
            scores.samples,
            folds=scores.folds,
            one_test=scores.one_test,
        )
        return mine, difference


class _Spread:
    """The variances over seeds of a block, of which those of other rows tell something of each row's.

    Args:
        shape: rows, conditions and metrics of the block.
        variations: the places of some columns, and how these vary.
        votes: [rows], which are ensembles: they vary less than networks, so that neither tells of the other.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        variations: Sequence[tuple[Places, Variation]],
        votes: np.ndarray,
    ) -> None:
        self._votes = votes
        self._between, self._together = np.zeros(shape), np.zeros(shape)
        self._degrees = np.zeros(shape, dtype=np.int64)
        for at, own in variations:
            degrees = np.where(own.defined & own.varies & ~votes[at[0]], own.seeds - 1, 0)
            self._degrees[at] = degrees
            self._between[at], self._together[at] = degrees * own.between, degrees * own.together

    def prior(self, at: Places, own: Variation, against: np.ndarray | None = None) -> SeedPrior:
        """What the other rows of each column say of its variance over seeds.

        Args:
            at: the places of some columns.
            own: how these vary; of a difference, how that does.
            against: [columns], of differences the row that is subtracted: neither row has a say, and the variance is
                that of two methods whose seeds are independent.
        """
        rows, conditions, metrics = at
        alone = self._votes[rows] if against is None else self._votes[rows] | self._votes[against]
        sums = []
        for each in (self._between, self._together, self._degrees):
            others = each.sum(axis=0)[conditions, metrics] - each[at]
            others = others if against is None else others - each[against, conditions, metrics]
            sums.append(np.where(alone, 0, others))
        networks = 1 if against is None else 2
        between, together, degrees = sums
        return seed_prior(own, networks * between, networks * together, degrees)


def _stacks(
    groups: Sequence[Group],
    cells: Sequence[dict[str, Cell]],
    conditions: Sequence[str],
    metrics: Sequence[Metric],
    finest: bool = False,
) -> list[_Stack]:
    """The scores of a block, side by side; of each cell those on the most resamples where ``finest``."""
    shape = (len(groups), len(conditions), len(metrics))
    known: dict[object, int] = {}
    seeds = np.array([known.setdefault(group.networks, len(known)) for group in groups])
    of = np.array([[known.setdefault(row[name].of, len(known)) for name in conditions] for row in cells])
    place = {metric.name: index for index, metric in enumerate(metrics)}
    own = [np.array([place[metric.name] for metric in group.metrics]) for group in groups]
    alike: dict[tuple, list[tuple[int, int, Resampled]]] = {}
    for r, row in enumerate(cells):
        for c, cell in enumerate(row.values()):
            scores = cell.scores
            if scores is not None:
                scores = scores.finer or scores if finest else scores
                key = (len(scores.values), len(scores.draws), scores.samples, scores.folds, scores.one_test)
                alike.setdefault(key, []).append((r, c, scores))
    stacks = []
    for (_, _, samples, folds, one_test), members in alike.items():
        width = [len(own[r]) for r, _, _ in members]
        at = (
            np.repeat([r for r, _, _ in members], width),
            np.repeat([c for _, c, _ in members], width),
            np.concatenate([own[r] for r, _, _ in members]),
        )
        column = np.full(shape, -1)
        column[at] = np.arange(len(at[0]))
        scores = Resampled(
            np.concatenate([scores.values for _, _, scores in members], axis=1),
            np.concatenate([scores.draws for _, _, scores in members], axis=2),
            samples,
            folds=folds,
            one_test=one_test,
        )
        stacks.append(_Stack(at, scores, column, seeds, of))
    return stacks


def _describe(
    stack: _Stack,
    ends: tuple[np.ndarray, np.ndarray],
    metrics: Sequence[Metric],
    out: dict[str, np.ndarray],
    values: np.ndarray,
) -> None:
    """Writes each column's values, mean, standard deviation and interval."""
    single, own, (low, high) = stack.scores.values, stack.scores.by_fold, ends
    ranges = np.array([metric.range for metric in metrics])[stack.at[2]]
    numbers = {
        "mean": own.mean(axis=0),
        "sd": own.std(axis=0, ddof=1) if len(own) > 1 else np.full(own.shape[1], np.nan),
        "low": np.maximum(low, ranges[:, 0]),
        "high": np.minimum(high, ranges[:, 1]),
    }
    whole = np.all(np.isfinite(single), axis=0)
    for name, column in numbers.items():
        out[name][stack.at] = np.where(whole, column, np.nan)
    for place, seeds in zip(
        zip(*(index.tolist() for index in stack.at), strict=True), single.T.tolist(), strict=True
    ):
        values[place] = seeds


def _drop(
    stacks: Sequence[_Stack],
    shape: tuple[int, int, int],
    clean: int,
    sign: np.ndarray,
    votes: np.ndarray,
    out: dict[str, np.ndarray],
) -> None:
    """Writes what is lost against clean data, positive where worse, and the ends of its interval."""
    drops: list[tuple[Places, np.ndarray, Variation]] = []
    for stack in stacks:
        rows, conditions, metrics = stack.at
        others = (rows, np.full_like(conditions, clean), metrics)
        columns, difference = stack.from_others(others, np.ones(len(rows), dtype=bool))
        if len(columns):
            at = rows[columns], conditions[columns], metrics[columns]
            drops.append((at, difference.values.mean(axis=0), variation_of(difference)))
    spread = _Spread(shape, [(at, own) for at, _, own in drops], votes)
    for at, mean, own in drops:
        turned = sign[at[2]]
        one, other = (turned * end for end in moderated_interval(own, spread.prior(at, own)))
        out["drop"][at] = turned * mean
        out["drop_low"][at], out["drop_high"][at] = np.minimum(one, other), np.maximum(one, other)
