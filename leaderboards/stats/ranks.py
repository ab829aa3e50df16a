"""Methods over many tasks: average ranks, Friedman's test, Wilcoxon's test of every pair with Holm.

After Demsar (2006, Statistical comparisons of classifiers over multiple data sets), with pairs told apart by
Wilcoxon and Holm and not by Nemenyi (Benavoli, Corani, Mangili 2016: what Nemenyi says of two methods depends
on which others stand beside them).

Enough tasks: with n tasks, Wilcoxon's smallest two-sided p is 2 / 2^n, where one method wins on all. With m
pairs, Holm multiplies the smallest p by m. Unless 2 m / 2^n < 0.05, no result whatever could tell any pair
apart, and there is nothing to draw. Three methods need 7 tasks, five need 9.

Limits: tasks count as independent. Tasks that share a dataset are not quite that, and p is then too small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from .intervals import holm

ALPHA = 0.05
#: Differences smaller than this are rounding, not order.
DECIMALS = 12


@dataclass(frozen=True)
class Ranking:
    """Methods compared over tasks.

    Attributes:
        ranks: [methods], average rank over tasks; 1 is the best; NaN without a task.
        wins: [methods], tasks on which the method has the best value, alone or not.
        tasks: number of tasks.
        friedman: p of Friedman's test that all have the same average rank; NaN for fewer than three methods
            or tasks, or where all are tied on every task.
        pairs: the pairs (row, column) of methods.
        p: [pairs], Wilcoxon's exact signed-rank test over tasks, two-sided; NaN without a task.
        p_holm: [pairs], corrected for all pairs.
        critical_difference: of average ranks, by Nemenyi at 5 %; NaN without a task.
        needed: how many tasks it takes before any pair could be told apart.
    """

    ranks: np.ndarray
    wins: np.ndarray
    tasks: int
    friedman: float
    pairs: tuple[tuple[int, int], ...]
    p: np.ndarray
    p_holm: np.ndarray
    critical_difference: float
    needed: int

    @property
    def enough(self) -> bool:
        """Whether the tasks are enough to tell any pair apart."""
        return self.tasks >= self.needed

    @property
    def different(self) -> np.ndarray:
        """[methods, methods]: which pairs are told apart, p_holm < 0.05."""
        out = np.zeros((len(self.ranks), len(self.ranks)), dtype=bool)
        for (row, column), p in zip(self.pairs, self.p_holm, strict=True):
            out[row, column] = out[column, row] = p < ALPHA
        return out

    @property
    def cliques(self) -> list[tuple[int, ...]]:
        """The largest sets, of two or more methods, of which no two are told apart; each by rank."""
        alike = ~self.different
        np.fill_diagonal(alike, False)
        cliques = [tuple(sorted(c, key=lambda m: (self.ranks[m], m))) for c in _cliques(alike) if len(c) > 1]
        return sorted(cliques, key=lambda clique: [float(self.ranks[method]) for method in clique])


def rank(values: ArrayLike) -> Ranking:
    """Ranks methods over tasks and tests every pair.

    Args:
        values: [tasks, methods], finite; higher is better. Equal values share the mean of their ranks.

    Returns:
        The ranking.

    Raises:
        ValueError: not a matrix of at least two methods, or a value that is not finite.
    """
    table = np.round(np.asarray(values, dtype=np.float64), DECIMALS)
    if table.ndim != 2 or table.shape[1] < 2:
        raise ValueError(f"values have shape {table.shape}, expected [tasks, methods] of two methods or more")
    if not np.isfinite(table).all():
        raise ValueError("a method has no value on a task: leave the task out")
    from scipy.stats import friedmanchisquare, rankdata

    tasks, methods = table.shape
    pairs = tuple(combinations(range(methods), 2))
    friedman = math.nan
    if tasks > 2 and methods > 2 and (table != table[:, :1]).any():
        friedman = float(friedmanchisquare(*table.T).pvalue)
    p = np.array([signed_rank_p(table[:, a] - table[:, b]) if tasks else math.nan for a, b in pairs])
    return Ranking(
        ranks=rankdata(-table, axis=1).mean(axis=0) if tasks else np.full(methods, math.nan),
        wins=(table == table.max(axis=1, keepdims=True)).sum(axis=0),
        tasks=tasks,
        friedman=friedman,
        pairs=pairs,
        p=p,
        p_holm=holm(p),
        critical_difference=critical_difference(methods, tasks) if tasks else math.nan,
        needed=tasks_needed(len(pairs)),
    )


def signed_rank_p(differences: ArrayLike) -> float:
    """Wilcoxon's signed-rank test that differences [n] are symmetric about 0: exact two-sided p.

    Exact with ties too: over all 2^n signs of the ranks at hand. Zeros are ranked with the others and then
    dropped (Pratt 1959), so that they count against a difference. 1 where all are zero.

    Raises:
        ValueError: no difference, or one that is not finite.
    """
    from scipy.stats import rankdata

    d = np.round(np.asarray(differences, dtype=np.float64), DECIMALS)
    if d.ndim != 1 or d.size == 0 or not np.isfinite(d).all():
        raise ValueError(f"expected finite differences [n], got an array of shape {d.shape}")
    doubled = np.round(2 * rankdata(np.abs(d))).astype(np.int64)  # ties have halves
    doubled, up = doubled[d != 0], d[d != 0] > 0
    share = np.zeros(int(doubled.sum()) + 1)  # of all signs: how many give this sum of positive ranks
    share[0] = 1.0
    for step in doubled:
        share[step:] = (share[step:] + share[:-step]) / 2
        share[:step] /= 2
    seen = int(doubled[up].sum())
    return float(min(1.0, 2 * min(share[: seen + 1].sum(), share[seen:].sum())))


def tasks_needed(pairs: int, alpha: float = ALPHA) -> int:
    """How many tasks it takes to tell any pair apart, by Wilcoxon and Holm: the smallest n with 2 pairs / 2^n
    < alpha.

    Args:
        pairs: number of pairs that are compared.
        alpha: significance level, in (0, 1).
    """
    n = 1
    while 2 * pairs / 2**n >= alpha:
        n += 1
    return n


def critical_difference(methods: int, tasks: int, alpha: float = ALPHA) -> float:
    """Nemenyi's: average ranks that are further apart than this differ (Demsar 2006, section 3.2.2).

    Args:
        methods: how many are ranked, at least 2.
        tasks: on how many tasks, at least 1.
        alpha: significance level, in (0, 1).

    Returns:
        In ranks.
    """
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - alpha, methods, np.inf)) / math.sqrt(2)
    return q * math.sqrt(methods * (methods + 1) / (6 * tasks))


def _cliques(alike: np.ndarray) -> list[set[int]]:
    """All maximal cliques of a graph [n, n] (Bron and Kerbosch 1973, with a pivot)."""
    near = [set(map(int, np.flatnonzero(row))) for row in alike]
    out: list[set[int]] = []

    def grow(clique: set[int], open_: set[int], closed: set[int]) -> None:
        if not open_ and not closed:
            out.append(clique)
            return
        pivot = max(open_ | closed, key=lambda node: len(near[node] & open_))
        for node in sorted(open_ - near[pivot]):
            grow(clique | {node}, open_ & near[node], closed & near[node])
            open_, closed = open_ - {node}, closed | {node}

    grow(set(), set(range(len(near))), set())
    return out
