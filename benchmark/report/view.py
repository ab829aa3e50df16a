"""How tables of a store are shown: what leads, how many methods, which columns, in which order. Nothing is scored anew, and
marks and intervals stay those of all methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...leaderboards.catalog import Table
from ...leaderboards.labels import BY_NAME, KEYS, REAL, SYNTHETIC, is_tidy
from ..core.errors import UsageError, nearest

if TYPE_CHECKING:
    import pandas as pd

    from ...leaderboards.tables.results import Result

#: What tells the rows of a method apart.
_ROW = [*KEYS, "method", "draw"]
#: Columns that name a row of a table of its own form, and are always shown.
_NAMES = (*KEYS, "method", "draw", "n", "metric", "condition", "best", "other", "diagnostic", "ensemble")


@dataclass(frozen=True)
class View:
    """What of tables is shown, and how; by default all of it as it was made.

    Attributes:
        metric: which leads: it is the main one in every table that has it.
        top: so many methods of each set of comparable rows, the best by the main metric; 0 for all.
        sort: the column by which rows are ordered, ``method`` for their names; empty for the first.
        columns: the columns that are shown, or how their names begin; none for all.
    """

    metric: str = ""
    top: int = 0
    sort: str = ""
    columns: tuple[str, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether all is shown as it was made."""
        return self == AS_MADE

    def leads(self, frame: pd.DataFrame) -> pd.DataFrame:
        """A tidy frame with the rows of the leading metric before those of others; any other frame as it is.

        Args:
            frame: of any table.
        """
        if not self.metric or not is_tidy(frame) or self.metric not in set(frame["metric"]):
            return frame
        group = frame.groupby(_ROW, sort=False).ngroup()
        condition = frame.groupby([*_ROW, "condition"], sort=False).ngroup()
        order = frame[[]].assign(group=group, condition=condition, other=frame["metric"] != self.metric)
        places = order.sort_values(["group", "condition", "other"], kind="stable").index
        return frame.loc[places].reset_index(drop=True)

    def shown(
        self, frames: Mapping[str, pd.DataFrame], tables: Mapping[str, Table]
    ) -> dict[str, pd.DataFrame]:
        """The frames as they are shown.

        Args:
            frames: name -> frame, in which the leading metric leads already.
            tables: name -> declaration.

        Raises:
            UsageError: no table has a metric or a column of the names that were given.
        """
        if self.is_plain:
            return dict(frames)
        self._check(frames, tables)
        out = {}
        for name, frame in frames.items():
            frame = self.top_rows(frame, frames.get("accuracy", frame))
            if self.columns:
                frame = _narrowed(frame, tables[name], self.columns)
            out[name] = frame
        return out

    def top_rows(self, frame: pd.DataFrame, by: pd.DataFrame) -> pd.DataFrame:
        """The rows of the best methods of a tidy frame; any other frame as it is.

        Args:
            frame: of any table.
            by: the table that says which are best, by its first condition and metric; holes come last.
        """
        if not self.top or not (is_tidy(frame) and is_tidy(by)):
            return frame
        kept = _best(by, self.top)
        own = frame[_ROW].itertuples(index=False, name=None)
        return frame.loc[[one in kept for one in own]].reset_index(drop=True)

    def top_results(self, results: list[Result], by: pd.DataFrame) -> list[Result]:
        """The results of the best methods; as ``top_rows``."""
        if not self.top:
            return results
        kept = _best(by, self.top)
        return [one for one in results if _row_of(one) in kept]

    def headings(self, names: Iterable[str]) -> list[str]:
        """Of the headings of a summary those that are shown: all, where none has a name that was given."""
        names = list(names)
        return [name for name in names if _is_named(name, self.columns)] or names

    def _check(self, frames: Mapping[str, pd.DataFrame], tables: Mapping[str, Table]) -> None:
        metrics = dict.fromkeys(
            m for frame in frames.values() if is_tidy(frame) for m in frame["metric"].unique()
        )
        if self.metric and self.metric not in metrics:
            raise UsageError(f"--metric {self.metric!r}: no table has it: {nearest(self.metric, metrics)}")
        known = dict.fromkeys(c for name, frame in frames.items() for c in _columns_of(frame, tables[name]))
        for column in self.columns:
            if not any(_is_named(one, (column,)) for one in known):
                raise UsageError(f"--columns {column!r}: no table has it: {nearest(column, known)}")
        if self.sort and self.sort != BY_NAME and self.sort not in known:
            raise UsageError(
                f"--sort {self.sort!r}: no table has it: {nearest(self.sort, [BY_NAME, *known])}"
            )


#: All of it, as it was made.
AS_MADE = View()


def _columns_of(frame: pd.DataFrame, table: Table) -> list[str]:
    """What a table has as columns: metrics, conditions, or columns of its own."""
    if not is_tidy(frame):
        return [str(name) for name in frame if name not in _NAMES]
    return [str(name) for name in frame[table.across].unique()]


def _is_named(column: str, names: Iterable[str]) -> bool:
    return any(column.startswith(name) for name in names)


def _narrowed(frame: pd.DataFrame, table: Table, names: tuple[str, ...]) -> pd.DataFrame:
    """A frame with the columns of some names; whole where it has none of them."""
    wanted = [name for name in _columns_of(frame, table) if _is_named(name, names)]
    if not wanted:
        return frame
    if not is_tidy(frame):
        own = [n for n in frame if n in _NAMES or n in wanted or _ends(str(n), wanted)]
        return frame.drop(columns=[name for name in frame if name not in own])
    return frame.loc[frame[table.across].isin(wanted)].reset_index(drop=True)


def _ends(column: str, wanted: Iterable[str]) -> bool:
    """Whether a column holds an end of the interval of one that is shown."""
    return any(column in (f"{name}_low", f"{name}_high") for name in wanted)


def _best(frame: pd.DataFrame, top: int) -> set[tuple]:
    """What tells the best methods of each block apart from others."""
    first = frame.groupby(_ROW, sort=False).first().reset_index()
    key = first["mean"].where(first["direction"] == "lower", -first["mean"])
    ordered = first.assign(key=key).sort_values("key", kind="stable", na_position="last")
    best = ordered.groupby(list(KEYS), sort=False).head(top)[_ROW]
    return set(best.itertuples(index=False, name=None))


def _row_of(result: Result) -> tuple:
    data = SYNTHETIC if result.synthetic else REAL
    return (result.task, result.modalities, result.protocol, data, result.method, result.draw)


def sorted_rows(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """A table of its own form, ordered by a column, where it has it.

    Args:
        frame: not tidy.
        column: its name; empty for the order in which it was made.
    """
    return frame.sort_values(column, kind="stable") if column in frame else frame
