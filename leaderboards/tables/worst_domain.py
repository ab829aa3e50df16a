"""How a network fares in each domain of its test data, and in its worst."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np
import pandas as pd

from ..metrics.base import Metric
from .cells import Cell, Group
from .results import Result
from .score_sheet import SheetCache

WORST = "worst_domain"

Cells = dict[str, Cell]


def domain_cells(group: Group, conditions: Mapping[str, str], score: Callable[[Group], Cells]) -> Cells:
    """The main metric of a group in each domain of its test data, and in the worst of them.

    Each domain is scored, and its samples are resampled, on its own. The worst is found seed by seed and
    resample by resample: where domains are small or alike, it is partly luck, and the interval shows it.

    Args:
        group: with its main metric only.
        conditions: name of the worst's row -> condition, such as ``{"worst_domain": "clean"}``.
        score: the cells of a group.

    Returns:
        ``worst_domain`` and ``domain:NAME``, under each condition; nothing where the test has one domain, or a fold of
        it lacks one.
    """
    names = sorted({name for result in group.results for name in result.domains})
    if len(names) < 2:
        return {}
    if group.folds and any(set(result.domains) != set(names) for result in group.results if result.domains):
        return {}  # a fold without samples of a domain says nothing of it
    parts = {name: score(within(group, name)) for name in names}
    all_cells: Cells = {}
    for row, condition in conditions.items():
        cells = {name: part[condition] for name, part in parts.items() if condition in part}
        if cells:
            all_cells[row] = worst(cells, group.metrics[0])
            all_cells |= {row.replace(WORST, f"domain:{name}"): cell for name, cell in cells.items()}
    return all_cells


def within(group: Group, domain: str) -> Group:
    """The same networks, tested on the samples of one domain.

    Args:
        group: one row of a table.
        domain: its name; samples of other domains are left out of predictions and caches.
    """
    return replace(group, results=tuple(_only(result, domain) for result in group.results))


def _only(result: Result, domain: str) -> Result:
    def within(read: Callable[[], pd.DataFrame] | None) -> Callable[[], pd.DataFrame] | None:
        if read is None:
            return None

        def rows() -> pd.DataFrame:
            table = read()
            return table.loc[table["domain"] == domain]

        return rows

    return replace(
        result,
        predictions=within(result.predictions),
        further=within(result.further),
        cache=None if result.cache is None else DomainCache(result.cache, domain),
    )


@dataclass(frozen=True)
class DomainCache:
    """Stores the sheets of one domain beside those of the whole test split."""

    cache: SheetCache
    domain: str

    def reading(self, reads: frozenset[str], code: str = "") -> DomainCache:
        """As that of the whole split, of this domain.

        Args:
            reads: as of ``SheetCache.reading``.
            code: as of ``SheetCache.reading``.
        """
        return replace(self, cache=self.cache.reading(reads, code))

    def fingerprint(self) -> str:
        """As that of the whole split, with this domain."""
        return f"{self.cache.fingerprint()} {self.domain}"

    def read(self, file: str) -> bytes | None:
        """The stored sheet of this domain, or None."""
        return self.cache.read(self._file(file))

    def write(self, file: str, content: bytes) -> None:
        """Stores a sheet of this domain.

        Args:
            file: its name, as of ``sheet_file_name``.
            content: of the sheet.
        """
        self.cache.write(self._file(file), content)

    def _file(self, file: str) -> str:
        # What stands before the first hyphen names a sheet: others of the same name are taken for outdated.
        return f"domain_{blake2b(self.domain.encode(), digest_size=6).hexdigest()}_{file}"


def worst(cells: Mapping[str, Cell], metric: Metric) -> Cell:
    """The lowest (or, of errors, highest) value of the domains, for each seed and resample.

    Args:
        cells: name of a domain -> its cell, at least one.
        metric: the metric of the cells; its direction decides which value is the worst.

    Returns:
        A hole where any domain has one.
    """
    holes = dict.fromkeys(f"{name}: {cell.hole}" for name, cell in cells.items() if cell.hole)
    first = next(iter(cells.values()))
    scores = [cell.scores for cell in cells.values() if cell.scores is not None]
    if holes or len(scores) < len(cells):
        return Cell("; ".join(holes), min(cell.done for cell in cells.values()))
    lowest = np.min if metric.direction == "higher" else np.max
    together = replace(
        scores[0],
        values=lowest([score.values for score in scores], axis=0),
        draws=lowest([score.draws for score in scores], axis=0),
        samples=sum(score.samples for score in scores),
        finer=None,
    )
    return replace(first, scores=together, of=" ".join(cell.of for cell in cells.values()))
