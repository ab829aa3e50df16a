"""The leaderboards of a store, with rows from elsewhere, and what could not be read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..leaderboards.results import Result
from . import external
from .boards import chosen_boards, frames, is_complete
from .errors import UsageError
from .launch import store_at
from .scores import Filter, readable


@dataclass(frozen=True)
class Tables:
    """What was made of a store.

    Attributes:
        frames: leaderboard -> its tidy frame.
        faults: one line for each folder that could not be read.
        results: what the frames were made of.
    """

    frames: dict[str, pd.DataFrame]
    faults: list[str]
    results: list[Result]

    @property
    def complete(self) -> bool:
        """Whether nothing lacks."""
        return not self.faults and is_complete(self.frames)


def tables_of(store: Path, chosen: Filter, what: str | None, reference: str = "") -> Tables:
    """Makes the leaderboards that are asked for.

    Args:
        store: folder of the results.
        chosen: of which jobs.
        what: which leaderboards, as ``chosen_boards`` takes it.
        reference: the row that ``relative`` divides by; empty for the default.

    Raises:
        UsageError: an unknown leaderboard, no store, or nothing in it was chosen.
    """
    outside = external.accuracy_rows(store_at(store), chosen)
    try:
        found, faults = readable(store, chosen)
    except UsageError:
        if not outside:
            raise
        found, faults = [], []
    made = dict(frames(chosen_boards(what, found), found, reference)) if found else {}
    if "accuracy" in made or not found:
        made["accuracy"] = external.joined(made.get("accuracy"), outside)
    return Tables(made, faults, found)
