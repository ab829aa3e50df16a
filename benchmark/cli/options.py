"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from ..core.strings import as_list

Root = Annotated[
    Path | None, typer.Option("--data-root", help="Folder of the datasets; else $MMBENCH_DATA, else ./data.")
]
Given = Annotated[Path | None, typer.Option("--data", help="Where this dataset lies: a file or a folder.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object, for programs, and nothing else.")
]
PLUGIN_HELP = (
    "A Python file that brings methods, datasets, corruptions, encoders, metrics, tables, launchers or segmenters; "
    "several separated by commas, or the option again."
)
Plugins = Annotated[list[str] | None, typer.Option("--plugin", metavar="FILE.py", help=PLUGIN_HELP)]


def plugin_files(given: Iterable[str] | None) -> tuple[Path, ...]:
    """The files that ``--plugin`` names, each once."""
    names = (name for text in given or () for name in as_list(text))
    return tuple(dict.fromkeys(Path(name).expanduser() for name in names))
