"""The leaderboards of a store, with rows from elsewhere, and what could not be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd
from rich.console import Console

from ...leaderboards.catalog import TABLES, Table
from ...leaderboards.render import csv_files
from ...leaderboards.render.files import file_name, write_parts
from ..core.errors import UsageError
from ..store.reader import store_at
from ..store.store import Store
from . import external_rows as external
from .block_cache import blocks_of
from .block_files import CsvFile, csv_file, join_frames
from .chosen_tables import (
    chosen_frames,
    is_complete,
    known_tables,
    named_tables,
    use_metrics,
)
from .parallel import MANY, tabled
from .results import Filter, readable
from .view import AS_MADE, View


@dataclass(frozen=True)
class Tables:
    """What was made of a store.

    Attributes:
        frames: leaderboard -> its tidy frame.
        faults: one line for each folder that could not be read.
        declared: leaderboard -> its declaration.
        files: leaderboard -> its CSV file, where that is made already.
        nothing: leaderboard -> why there is none, where nobody named it and yet its results seemed to be there.
    """

    frames: dict[str, pd.DataFrame]
    faults: list[str]
    declared: Mapping[str, Table] = field(default_factory=lambda: TABLES)
    files: Mapping[str, CsvFile] = field(default_factory=dict)
    nothing: Mapping[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether nothing lacks."""
        return not self.faults and is_complete(self.frames, self.declared)

    def write_csv(self, name: str, folder: Path) -> Path:
        """Writes a leaderboard as a CSV file.

        Args:
            name: of the leaderboard.
            folder: where to.

        Returns:
            Its path.

        Raises:
            OSError: it cannot be written.
        """
        frame, file = self.frames[name], self.files.get(name)
        if file is None:
            return csv_files.write_csv(frame, folder, name)
        return write_parts(folder / file_name(frame, name, ".csv"), file.parts())


def tables_of(
    path: Path,
    chosen: Filter,
    what: str | None,
    out: Console,
    reference: str = "",
    plugins: tuple[Path, ...] = (),
    view: View = AS_MADE,
) -> Tables:
    """Makes the leaderboards that are asked for.

    Args:
        path: folder of the results.
        chosen: of which jobs.
        what: which leaderboards, as ``chosen_tables`` takes it.
        out: where progress is shown.
        reference: the row that ``relative`` divides by; empty for the default.
        plugins: plug-in files that bring tables or metrics.
        view: which metric leads.

    Returns:
        Their frames, in the order in which they are printed.

    Raises:
        UsageError: an unknown leaderboard, no store, or nothing in it was chosen.
    """
    store = store_at(path)
    use_metrics(plugins)
    outside = external.accuracy_rows(store, chosen)
    try:
        own = _own_tables(store, chosen, what, out, reference, plugins, view)
    except UsageError:
        if not outside:
            raise
        own = Tables({}, [], known_tables(plugins))
    if own.frames and "accuracy" not in own.frames:
        return own
    together = external.with_external_rows(
        own.frames.get("accuracy"), outside
    )  # has a column more than its file
    others = {name: file for name, file in own.files.items() if name != "accuracy"}
    return replace(own, frames={**own.frames, "accuracy": together}, files=others)


def _own_tables(
    store: Store,
    chosen: Filter,
    what: str | None,
    out: Console,
    reference: str,
    plugins: tuple[Path, ...],
    view: View,
) -> Tables:
    blocks, tables = blocks_of(store), known_tables(plugins)
    if sum(len(block.jobs) for block in blocks if not block.over_tasks) < MANY or len(blocks) == 1:
        results, faults = readable(store.path, chosen)
        made, nothing = chosen_frames(what, results, reference, plugins, view)
        return Tables(made, faults, tables, nothing=nothing)
    with tabled(store, chosen, what, blocks, out, reference, plugins) as (files, faults, nothing):
        known = {name: view.leads(join_frames(parts)) for name, parts in files.items()}
        ready = {name: file for name, parts in files.items() if (file := csv_file(parts))}
    names = named_tables(what, plugins)
    for name, table in tables.items():
        if table.source in known and (names is None or name in names):
            known |= _derived(table, known[table.source], names is not None)
    shown = [name for name in tables if name in known and (names is None or name in names)]
    return Tables(
        {name: known[name] for name in shown}, faults, tables, ready if view.is_plain else {}, nothing
    )


def _derived(table: Table, source: pd.DataFrame, by_name: bool) -> dict[str, pd.DataFrame]:
    """A leaderboard that is made from another one's frame.

    Args:
        table: its declaration.
        source: the other frame.
        by_name: whether the user named it.

    Returns:
        Its name and frame; nothing where the other frame holds nothing for it and it was not named.
    """
    try:
        frame = table.make(source)
        return {} if frame.empty and not by_name else {table.name: frame}
    except ValueError as error:
        if by_name:
            raise UsageError(f"leaderboard {table.name}: {error}") from None
        return {}
