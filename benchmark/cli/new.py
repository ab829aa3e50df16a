"""``mmbench new``: a plug-in file to begin with."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..report.console import console


class New(StrEnum):
    """The kinds of which there is a skeleton."""

    METHOD = "method"
    DATASET = "dataset"
    CORRUPTION = "corruption"
    ENCODER = "encoder"
    METRIC = "metric"
    TABLE = "table"
    LAUNCHER = "launcher"
    SEGMENTER = "segmenter"


def new(
    kind: Annotated[
        New, typer.Argument(help="method, dataset, corruption, encoder, metric, table, launcher or segmenter")
    ],
    name: Annotated[str, typer.Argument(help="its name: letters, digits and _")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the files.")] = Path("."),
) -> None:
    """Write a plug-in file with a small example that works, and its test. Comments say where to change what.

    Examples:

    mmbench new method my_method

    mmbench new encoder my_encoder --out plugins
    """
    from ..check.skeleton import write_skeleton

    printer = console()
    files = write_skeleton(kind.value, name, out.expanduser())
    for file in files:
        printer.print(f"wrote {file}", markup=False, highlight=False, soft_wrap=True)
    printer.print(
        f"check it: mmbench check {kind.value} {name} --plugin {files[0]}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
