"""The leaderboards by name: which table answers what, and in which formats it is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module

import pandas as pd

from ...leaderboards.render import text as render
from ...leaderboards.tables.results import Result
from ..core.errors import UsageError, nearest


@dataclass(frozen=True)
class Board:
    """A leaderboard.

    Attributes:
        subject: what its title begins with.
        across: what its columns are.
        made_by: ``module:function`` in ``leaderboards.tables`` that makes its tidy frame from results.
        shown: which conditions are printed; the CSV has all.
        there: whether results hold what it needs; asked by name, it is made all the same.
        against_reference: whether it divides by a reference run, which can be named.
        source: the board whose frame it is made from, instead of results.
        plain: whether its frame has columns of its own, and not those of ``tables.COLUMNS``.
        bounds: whether upper bounds have a row in it.
    """

    subject: str
    across: render.Across
    made_by: str
    there: Callable[[list[Result]], bool] = lambda found: True
    shown: Callable[[str], bool] = lambda condition: True
    against_reference: bool = False
    source: str = ""
    plain: bool = False
    bounds: bool = False

    def make(self, found: list[Result] | pd.DataFrame, reference: str = "") -> pd.DataFrame:
        """Its tidy frame. Raises ValueError where the results hold nothing for it."""
        module, _, function = self.made_by.partition(":")
        options = {"reference": reference} if self.against_reference else {}
        return getattr(import_module(f"mmbench.leaderboards.tables.{module}"), function)(found, **options)


def is_summary(condition: str) -> bool:
    """Whether a condition of the robustness table is printed."""
    from ...leaderboards.tables.robustness import is_summary as summary

    return summary(condition)


BOARDS: dict[str, Board] = {
    "accuracy": Board("Accuracy on complete test data", "metric", "accuracy:accuracy", bounds=True),
    "gap": Board(
        "Share of the gap from ERM to the oracle that is closed",
        "metric",
        "gap:gap",
        there=lambda found: any(result.bound for result in found),
        bounds=True,
    ),
    "missing": Board(
        "Missing modalities at test time",
        "condition",
        "accuracy:missing",
        lambda found: any("+" in result.modalities for result in found),
    ),
    "robustness": Board(
        "Robustness to corruption",
        "condition",
        "robustness:robustness",
        there=lambda found: any(result.damaged for result in found),
        shown=is_summary,
    ),
    "relative": Board(
        "Robustness in relation to clean data and to a reference run",
        "metric",
        "relative:relative",
        there=lambda found: any(result.damaged for result in found),
        against_reference=True,
    ),
    "misd": Board("Misclassification detection", "metric", "trust:misclassification"),
    "ood": Board(
        "OOD detection",
        "condition",
        "trust:ood",
        lambda found: any(result.features is not None for result in found),
    ),
    "calibration": Board("Calibration", "metric", "trust:calibration"),
    "cost": Board("Cost", "metric", "cost:cost"),
    "audit": Board("Audit", "metric", "cost:audit", plain=True, bounds=True),
    "ranks": Board(
        "Average ranks over tasks",
        "metric",
        "comparisons:ranks",
        there=lambda found: several(found, tasks=2),
        source="accuracy",
        plain=True,
    ),
    "comparisons": Board(
        "Pairs of methods over tasks",
        "metric",
        "comparisons:comparisons",
        there=lambda found: several(found, tasks=2),
        source="accuracy",
        plain=True,
    ),
    "seeds": Board(
        "Seeds needed to tell a method from the best",
        "metric",
        "comparisons:seeds",
        there=lambda found: several(found, tasks=1),
        source="accuracy",
        plain=True,
    ),
}


def several(found: list[Result], tasks: int) -> bool:
    """Whether two methods were done on as many tasks with the same modalities, protocol and kind of data."""
    rows: dict[tuple, dict[tuple, bool]] = {}
    for r in found:
        row = rows.setdefault((r.protocol, r.synthetic, r.task, r.modalities), {})
        row[r.method, r.draw] = row.get((r.method, r.draw), True) and r.state == "done"
    whole = Counter(key[:2] for key, row in rows.items() if sum(row.values()) > 1)
    return any(count >= tasks for count in whole.values())


def chosen_boards(text: str | None, found: list[Result]) -> list[str]:
    """The leaderboards that ``--what`` names; by default all that the results have data for.

    Raises:
        UsageError: an unknown name.
    """
    names = named_boards(text)
    return [name for name, board in BOARDS.items() if board.there(found)] if names is None else list(names)


def named_boards(text: str | None) -> tuple[str, ...] | None:
    """The leaderboards that ``--what`` names; None where it names none or all.

    Raises:
        UsageError: an unknown name.
    """
    names = tuple(name.strip() for name in (text or "").split(",") if name.strip())
    for name in names:
        if name not in BOARDS and name != "all":
            raise UsageError(f"unknown leaderboard {name!r}: {nearest(name, BOARDS)}")
    return None if not names or "all" in names else names


def frames(
    names: Sequence[str], found: list[Result], reference: str = ""
) -> Iterator[tuple[str, pd.DataFrame]]:
    """The tidy frame of each leaderboard.

    Raises:
        UsageError: the results hold nothing for one.
    """
    made: dict[str, pd.DataFrame] = {}
    fair = [result for result in found if not result.bound]
    for name in names:
        board = BOARDS[name]
        try:
            for one in filter(None, (board.source, name)):
                if one not in made:
                    source = BOARDS[one].source
                    results = found if BOARDS[one].bounds else fair
                    made[one] = BOARDS[one].make(made[source] if source else results, reference)
            yield name, made[name]
        except ValueError as error:
            raise UsageError(f"leaderboard {name}: {error}") from None


def is_complete(made: Mapping[str, pd.DataFrame]) -> bool:
    """Whether the results that the tables need are all there and can be used. In accuracy and missing every
    hole counts; elsewhere a measure that is undefined for whole results does not."""
    return not any(_lacks(name, frame) for name, frame in made.items() if not BOARDS[name].plain)


def _lacks(name: str, frame: pd.DataFrame) -> bool:
    gone = (frame["hole"] != "") & ((frame["n"] < frame["n_planned"]) | (name in ("accuracy", "missing")))
    return bool(gone.any())
