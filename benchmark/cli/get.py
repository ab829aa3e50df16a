"""``mmbench data get``: downloads what may be downloaded, and says what to do by hand for all else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import UsageError
from ..core.locate import root_from
from ..core.registry import find
from .options import Plugins, Root, plugin_files

if TYPE_CHECKING:
    from ...datasets.download import Progress
    from ...datasets.sources import Source


def get(
    name: Annotated[str, typer.Argument(help="a dataset")],
    data_root: Root = None,
    mirror: Annotated[
        str, typer.Option("--from", help="The address of a mirror that holds the same files below it.")
    ] = "",
    accept: Annotated[
        bool, typer.Option("--accept-licence", help="Accept the licence without being asked.")
    ] = False,
    plugin: Plugins = None,
) -> None:
    """Download a dataset from its official address: the licence is shown and asked, an interrupted download goes on, and
    checksums are compared. Where terms forbid it, say what to do by hand.

    Example: mmbench data get physionet2012 --data-root data
    """
    from ...datasets.download import download
    from ...datasets.sources import SOURCES
    from ..report.console import console

    dataset = find("dataset", name, plugin_files(plugin)).load()()
    source = SOURCES.get(dataset.name)
    folder = root_from(data_root) / dataset.name
    if source is None or not source.base:
        raise UsageError(
            f"{dataset.name} is not downloaded by a program: {_by_hand(dataset, source, folder)}"
        )
    out = console()
    size = sum(file.size for file in source.files) / 1e6
    out.print(
        f"{dataset.title}: about {size:.0f} MB from {mirror or source.base}", markup=False, soft_wrap=True
    )
    out.print(f"licence: {source.licence}, {source.licence_address}", markup=False, soft_wrap=True)
    out.print(f"please cite: {source.citation}", markup=False, soft_wrap=True)
    _accepted(accept)
    places = download(source, folder, mirror, _shown(out.is_terminal))
    for place in places:
        out.print(f"wrote {place}", markup=False, highlight=False, soft_wrap=True)
    out.print(
        f"look at it with: mmbench data info {dataset.name} --data-root {folder.parent}", soft_wrap=True
    )


def _by_hand(dataset: object, source: Source | None, folder: Path) -> str:
    """What to do, in one line."""
    if source is None:
        known = getattr(dataset, "how_to_get", "") or getattr(dataset, "homepage", "")
        return f"{known}; put it into {folder}"
    files = " or ".join(getattr(dataset, "patterns", ())) or "its files"
    return f"{source.by_hand.format(files=files, folder=folder)}. Licence: {source.licence} ({source.licence_address})"


def _accepted(accept: bool) -> None:
    """Asks whether the licence is accepted. Raises UsageError where nobody can be asked, or who is says no."""
    if accept:
        return
    if not sys.stdin.isatty():
        raise UsageError("nobody is here to accept the licence: read it, then add --accept-licence")
    if not typer.confirm("Do you accept this licence?"):
        raise UsageError("the licence was not accepted: nothing was downloaded")


def _shown(terminal: bool) -> Progress | None:
    """Shows the progress of a download on a terminal, in one line."""
    if not terminal:
        return None

    def show(name: str, have: int, total: int) -> None:
        share = f" of {total / 1e6:.1f}" if total else ""
        typer.echo(f"\r{name}: {have / 1e6:.1f}{share} MB", nl=bool(total) and have >= total, err=True)

    return show
