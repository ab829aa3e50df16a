"""The leaderboards of a store, with rows from elsewhere, and what could not be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from rich.console import Console

from ...leaderboards.render import csv_files
from ...leaderboards.render import text as render
from ..core.errors import UsageError
from ..store.reader import store_at
from ..store.store import Store
from . import external_rows as external
from .block_cache import CsvFile, blocks_of, csv_file, joined
from .boards import BOARDS, chosen_boards, frames, is_complete, named_boards
from .parallel import MANY, tabled
from .results import Filter, readable


@dataclass(frozen=True)
class Tables:
    """What was made of a store.

    Attributes:
        frames: leaderboard -> its tidy frame.
        faults: one line for each folder that could not be read.
        files: leaderboard -> its CSV file, where that is made already.
    """

    frames: dict[str, pd.DataFrame]
    faults: list[str]
    files: Mapping[str, CsvFile] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether nothing lacks."""
        return not self.faults and is_complete(self.frames)

    def write_csv(self, name: str, folder: Path) -> Path:
        """Writes a leaderboard as a CSV file; its path."""
        frame, made = self.frames[name], self.files.get(name)
        if made is None:
            return csv_files.write_csv(frame, folder, name)
        return render.write_parts(folder / render.file_name(frame, name, ".csv"), made.parts())


def tables_of(path: Path, chosen: Filter, what: str | None, out: Console, reference: str = "") -> Tables:
    """Makes the leaderboards that are asked for.

    Args:
        path: folder of the results.
        chosen: of which jobs.
        what: which leaderboards, as ``chosen_boards`` takes it.
        out: where progress is shown.
        reference: the row that ``relative`` divides by; empty for the default.

    Raises:
        UsageError: an unknown leaderboard, no store, or nothing in it was chosen.
    """
    store = store_at(path)
    outside = external.accuracy_rows(store, chosen)
    try:
        made = _made(store, chosen, what, out, reference)
    except UsageError:
        if not outside:
            raise
        made = Tables({}, [])
    if made.frames and "accuracy" not in made.frames:
        return made
    together = external.joined(made.frames.get("accuracy"), outside)  # has a column more than its file
    others = {name: file for name, file in made.files.items() if name != "accuracy"}
    return Tables({**made.frames, "accuracy": together}, made.faults, others)


def _made(store: Store, chosen: Filter, what: str | None, out: Console, reference: str) -> Tables:
    found = blocks_of(store)
    if sum(len(block.jobs) for block in found) < MANY or len(found) == 1:
        results, faults = readable(store.path, chosen)
        return Tables(dict(frames(chosen_boards(what, results), results, reference)), faults)
    with tabled(store, chosen, what, found, out, reference) as (files, faults):
        made = {name: joined(held) for name, held in files.items()}
        ready = {name: file for name, held in files.items() if (file := csv_file(held))}
    names = named_boards(what)
    for name, board in BOARDS.items():
        if board.source in made and (names is None or name in names):
            made |= _derived(name, made[board.source], names is not None)
    asked = [name for name in BOARDS if name in made and (names is None or name in names)]
    return Tables({name: made[name] for name in asked}, faults, ready)


def _derived(name: str, source: pd.DataFrame, by_name: bool) -> dict[str, pd.DataFrame]:
    """A leaderboard that is made from another one's frame; none where that holds nothing for it."""
    try:
        made = BOARDS[name].make(source)
        return {} if made.empty and not by_name else {name: made}
    except ValueError as error:
        if by_name:
            raise UsageError(f"leaderboard {name}: {error}") from None
        return {}
