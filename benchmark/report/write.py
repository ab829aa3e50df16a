"""Leaderboards on the terminal and in files."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
from rich.console import Console

from ...leaderboards.plots import figure as plots
from ...leaderboards.render import page
from ...leaderboards.render import text as render
from ..core.errors import UsageError, nearest
from .boards import BOARDS
from .console import print_faults, print_table
from .export_page import page_tables
from .results import Filter
from .tables import tables_of

#: Columns that name a row, at the beginning of every table.
NAMES = (*render.KEYS, "method", "n", "metric")
#: With more blocks no picture is written beside the tables.
MOST_PANELS = 12
#: Of more holes only the first are printed.
MOST_HOLES = 30
FORMATS = ("terminal", "csv", "md", "latex", "html")


def write_leaderboards(
    store: Path,
    folder: Path,
    chosen: Filter,
    what: str | None,
    formats: Sequence[str],
    out: Console,
    reference: str = "",
) -> tuple[bool, list[Path]]:
    """Prints the tables and writes them in the asked formats; whether nothing lacks, and the files.

    Raises:
        UsageError: an unknown table or format, no store, or nothing in it was chosen.
    """
    for name in formats:
        if name not in FORMATS:
            raise UsageError(f"unknown format {name!r}: {nearest(name, FORMATS)}")
    tables = tables_of(store, chosen, what, out, reference)
    made = tables.frames
    files: list[Path] = []
    for name, frame in made.items():
        board = BOARDS[name]
        if board.plain:
            files += _write_plain(name, frame, folder, formats, out)
            continue
        kept = [name for name in frame["condition"].unique() if board.shown(name)]
        short = frame.loc[frame["condition"].isin(kept)]
        if "terminal" in formats:
            print_table(out, render.title(frame, board.subject), for_terminal(short, board.across), NAMES)
        if "csv" in formats:
            files.append(tables.write_csv(name, folder))
        if "md" in formats:
            files.append(render.write_markdown(short, folder, name, board.subject, board.across))
        if "latex" in formats:
            from ...leaderboards.render.latex import write_latex

            files.append(write_latex(short, folder, name, board.subject, board.across))
    if "html" in formats:
        files.append(page.write_page(folder, page_tables(made), version("mmbench")))
    judged = {name: frame for name, frame in made.items() if not BOARDS[name].plain}
    if "missing" in made and "csv" in formats and find_spec("matplotlib") and _drawable(made["missing"]):
        files.append(plots.write_missing_modalities(made["missing"], folder))
    holes = list(dict.fromkeys(hole for frame in judged.values() for hole in render.holes(frame)))
    for note in dict.fromkeys(note for frame in judged.values() for note in render.conventions(frame)):
        out.print(note, style="dim", markup=False, highlight=False)
    for hole in holes[:MOST_HOLES]:
        out.print(hole, style="yellow", markup=False, highlight=False)
    if len(holes) > MOST_HOLES:
        more = f"{render.HOLE} {len(holes) - MOST_HOLES} more: the column 'hole' of the CSV files says why"
        out.print(more, style="yellow", markup=False, highlight=False)
    for file in files:
        out.print(f"wrote {file}", markup=False, highlight=False, soft_wrap=True)
    print_faults(out, tables.faults)
    return tables.complete, files


def _drawable(frame: pd.DataFrame) -> bool:
    """Whether a picture with a panel for each block can be read."""
    return len(frame.groupby(list(render.KEYS), sort=False)) <= MOST_PANELS


def _write_plain(
    name: str, frame: pd.DataFrame, folder: Path, formats: Sequence[str], out: Console
) -> list[Path]:
    """Prints and writes a board with columns of its own; the files."""
    from ...leaderboards.render import plain
    from ...leaderboards.tables.comparisons import notes

    board = BOARDS[name]
    told = notes(name, frame) if board.source else []
    files: list[Path] = []
    if "terminal" in formats:
        print_table(out, board.subject, plain.texts(frame), (*NAMES, "best", "other"))
        for note in told:
            out.print(note, style="dim", markup=False, highlight=False)
        out.print()
    if "csv" in formats:
        files.append(plain.write_csv(frame, folder, name))
    writers = {"md": (plain.markdown, ".md"), "latex": (plain.latex, ".tex")}
    for made, suffix in (writers[kind] for kind in formats if kind in writers):
        path = folder / render.file_name(frame, name, suffix)
        files.append(render.write_text(path, made(frame, board.subject, told)))
    return files


def for_terminal(frame: pd.DataFrame, across: render.Across) -> pd.DataFrame:
    """The table with the interval of its first column only, in a column of its own; the files have all."""
    table = render.wide(frame, across, intervals=False)
    first = next(name for name in table if name not in NAMES)
    intervals = render.wide(frame, across)[first].str.extract(r"(\[.*\])", expand=False).fillna("")
    table.insert(int(table.columns.get_indexer([first])[0]) + 1, "95 %", intervals)
    return table
