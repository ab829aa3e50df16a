"""The leaderboards of a store for a program: one JSON object."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from rich.console import Console

from ...leaderboards.render.text import records
from .results import Filter
from .tables import tables_of
from .view import AS_MADE, View


def tables_as_json(
    store: Path,
    chosen: Filter,
    what: str | None,
    reference: str = "",
    plugins: tuple[Path, ...] = (),
    view: View = AS_MADE,
) -> tuple[str, bool]:
    """The tables that are asked for, at full precision.

    Args:
        store: folder of the results.
        chosen: of which jobs.
        what: which tables, as ``chosen_tables`` takes it.
        reference: the row that ``relative`` divides by; empty for the default.
        plugins: plug-in files that bring tables or metrics.
        view: how the tables are shown.

    Returns:
        A JSON object, and whether every result that the tables need is there. ``tables`` holds for each its ``title`` and
        its ``rows``, one object a row, with null where there is no number; ``nothing`` why a table is not there;
        ``faults`` a line for each folder that cannot be read.

    Raises:
        UsageError: as ``tables_of``.
    """
    made = tables_of(store, chosen, what, Console(quiet=True), reference, plugins, view)
    shown = view.shown(made.frames, made.declared)
    tables = {
        name: {"title": made.declared[name].title, "rows": [_plain(row) for row in records(frame)]}
        for name, frame in shown.items()
    }
    about = {"store": str(store), "complete": made.complete, "tables": tables}
    return json.dumps(
        {**about, "nothing": dict(made.nothing), "faults": made.faults}, indent=1
    ), made.complete


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in row.items()}
