"""Options that the commands which make tables share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...leaderboards.catalog import TABLES

Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", help="A file that brings tables or metrics; can be given several times."),
]
What = Annotated[
    str | None,
    typer.Option(
        help="Which tables, joined by commas; by default all that there is data for. "
        + "; ".join(f"{table.name}: {table.title}" for table in TABLES.values())
        + ".",
    ),
]
