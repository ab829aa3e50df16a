"""The option that the commands which make tables share."""

from __future__ import annotations

from typing import Annotated

import typer

from ...leaderboards.catalog import TABLES
from .completion import COMPLETIONS

What = Annotated[
    str | None,
    typer.Option(
        help="Which tables, joined by commas; by default a summary is printed and all that there is data for are written; "
        "all: print every one. "
        + "; ".join(f"{table.name}: {table.title}" for table in TABLES.values())
        + ".",
        autocompletion=COMPLETIONS["what"],
    ),
]
