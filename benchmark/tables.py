"""The leaderboards of a store, with rows from elsewhere, and what could not be read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from rich.console import Console

from . import external
from .boards import chosen_boards, frames, is_complete
from .errors import UsageError
from .launch import store_at
from .parts import MANY, made_in_parts, parts_of
from .scores import Filter, readable
from .store import Store


@dataclass(frozen=True)
class Tables:
    """What was made of a store.

    Attributes:
        frames: leaderboard -> its tidy frame.
        faults: one line for each folder that could not be read.
    """

    frames: dict[str, pd.DataFrame]
    faults: list[str]

    @property
    def complete(self) -> bool:
        """Whether nothing lacks."""
        return not self.faults and is_complete(self.frames)


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
        made, faults = _made(store, chosen, what, out, reference)
    except UsageError:
        if not outside:
            raise
        made, faults = {}, []
    if "accuracy" in made or not made:
        made["accuracy"] = external.joined(made.get("accuracy"), outside)
    return Tables(made, faults)


def _made(
    store: Store, chosen: Filter, what: str | None, out: Console, reference: str
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    parts = parts_of(store)
    if sum(map(len, parts)) < MANY or len(parts) == 1:
        found, faults = readable(store.path, chosen)
        return dict(frames(chosen_boards(what, found), found, reference)), faults
    return made_in_parts(store, chosen, what, parts, out, reference)
