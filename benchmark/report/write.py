"""Leaderboards on the terminal and in files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

from ...leaderboards.catalog import Table
from ...leaderboards.labels import KEYS, REAL, WARNINGS, Across
from ...leaderboards.plots import figure as plots
from ...leaderboards.render import notes as table_notes
from ...leaderboards.render import page, summary
from ...leaderboards.render.files import file_name, write_text
from ...leaderboards.render.markdown import write_markdown
from ...leaderboards.render.plain import write_plain_csv
from ...leaderboards.render.text import HOLE, UNVERIFIED, wide
from ...leaderboards.tables.accuracy import data_label
from ..core.errors import UsageError, nearest
from ..core.strings import counted
from .console import print_faults, print_table
from .export_page import page_tables
from .results import Filter
from .table_layout import layout_of
from .tables import tables_of
from .view import AS_MADE, View, sorted_rows

#: Columns that name a row, at the beginning of every table.
NAMES = (*KEYS, "method", "n", "metric")
#: Those of tables that are not of scores.
PLAIN_NAMES = ("best", "other", "diagnostic", "condition", "ensemble", "label")
#: With more blocks no picture is written beside the tables.
MOST_PANELS = 12
#: Of more holes only the first are printed; beside a summary, fewer.
MOST_HOLES = 30
FEW_HOLES = 6
#: A summary has at most so many lines, titles and headings included, and of each panel at least so many methods.
MOST_LINES, FEWEST_METHODS = 48, 3
#: Columns that name a row of a summary.
SUMMARY_NAMES = ("method", "n")
#: More files than these are one line for each folder.
MOST_FILES = 4
FORMATS = ("terminal", "csv", "md", "latex", "html")


def write_leaderboards(
    store: Path,
    folder: Path,
    chosen: Filter,
    what: str | None,
    formats: Sequence[str],
    out: Console,
    reference: str = "",
    plugins: tuple[Path, ...] = (),
    view: View = AS_MADE,
) -> tuple[bool, list[Path]]:
    """Prints the tables and writes them as files.

    Where no table is named, one screen is printed that summarises all; the files hold all the same.

    Args:
        store: folder of the results.
        folder: where the files are written.
        chosen: of which jobs.
        what: which tables, as ``chosen_tables`` takes it.
        formats: any of ``FORMATS``.
        out: where it is printed.
        reference: the row that ``relative`` divides by; empty for the default.
        plugins: plug-in files that bring tables or metrics.
        view: how the tables are shown.

    Returns:
        Whether every result that the tables need is there and can be used; and the files.

    Raises:
        UsageError: an unknown table or format, no store, or nothing in it was chosen.
    """
    for name in formats:
        if name not in FORMATS:
            raise UsageError(f"unknown format {name!r}: {nearest(name, FORMATS)}")
    made = tables_of(store, chosen, what, out, reference, plugins, view)
    frames = view.shown(made.frames, made.declared)
    tables = replace(made, frames=frames)
    files: list[Path] = []
    panels = summary.panels(frames) if what is None and {"terminal", "csv"} & set(formats) else []
    shown = panels if "terminal" in formats else []
    if shown:
        print_summary(shown, out, view)
        formats = [name for name in formats if name != "terminal"]
    for name, frame in frames.items():
        table = tables.declared[name]
        if table.plain:
            files += _write_plain(
                table, sorted_rows(frame, view.sort), made.frames[name], folder, formats, out
            )
            continue
        conditions = [condition for condition in frame["condition"].unique() if table.shown(condition)]
        short = frame.loc[frame["condition"].isin(conditions)]
        if "terminal" in formats:
            print_table(
                out,
                table_notes.title(frame, table.title),
                for_terminal(short, table.across, view.sort),
                NAMES,
            )
        if "csv" in formats:
            files.append(tables.write_csv(name, folder))
        if "md" in formats:
            files.append(write_markdown(short, folder, name, table.title, table.across, sort=view.sort))
        if "latex" in formats:
            from ...leaderboards.render.latex import write_latex

            files.append(write_latex(short, folder, name, table.title, table.across, view.sort))
    if panels and "csv" in formats:
        files.append(write_plain_csv(summary.frame_of(panels), folder, "summary"))
    if "html" in formats:
        files.append(page.write_page(folder, page_tables(tables), version("mmbench")))
    scored = [frame for name, frame in frames.items() if not tables.declared[name].plain]
    if "missing" in frames and "csv" in formats and find_spec("matplotlib") and _drawable(frames["missing"]):
        figure = plots.missing_modalities(frames["missing"])
        drawing = plots.Drawing("missing", figure, frames["missing"])
        files += plots.write_drawings(iter([drawing]), folder, plots.PictureForm((".png",)))[0]
    if shown:
        _print_notes(
            _summary_notes(frames, shown),
            table_notes.holes(summary.main_rows(frames["accuracy"])),
            FEW_HOLES,
            out,
        )
    else:
        holes = list(dict.fromkeys(hole for frame in scored for hole in table_notes.holes(frame)))
        notes = list(dict.fromkeys(note for frame in scored for note in table_notes.conventions(frame)))
        _print_notes(notes, holes, MOST_HOLES, out)
    for name, why in tables.nothing.items():
        out.print(f"no table {name}: {why}", style="dim", markup=False, highlight=False)
    for said in _folders_of(files) if shown or len(files) > MOST_FILES else map(str, files):
        out.print(f"wrote {said}", markup=False, highlight=False, soft_wrap=True)
    print_faults(out, tables.faults)
    return made.complete, files


def print_summary(panels: Sequence[summary.Panel], out: Console, view: View = AS_MADE) -> None:
    """Prints as many panels and methods as a screen holds, and says how many more there are.

    Args:
        panels: of the store.
        out: where to.
        view: which columns are shown, and in which order.
    """
    texts = []
    for panel in panels:
        text = summary.rows_of(summary.sorted_panel(panel, view.sort))
        columns = view.headings(str(name) for name in panel.values)
        texts.append(text.loc[:, ["method", "n", *columns]])
    layouts = [layout_of(text, SUMMARY_NAMES, out.width) for text in texts]
    heights = [layout.row_lines for layout in layouts]
    # A panel has a title, headings for each of its parts, and an empty line behind it.
    around = [2 + layout.heading_lines for layout in layouts]
    fewest = np.cumsum(np.array(around) + FEWEST_METHODS * np.array(heights))
    fitting = max(1, int((fewest <= MOST_LINES).sum()))
    left = MOST_LINES - sum(around[:fitting])
    most = max(FEWEST_METHODS, int(left / sum(heights[:fitting])))
    for panel, text in zip(panels[:fitting], texts, strict=False):
        left_out = len(text) - most
        more = f" ({counted(left_out, 'more method')}: --what accuracy)" if left_out > 0 else ""
        shown = text.head(most)
        empty = [
            name for name in shown if (shown[name] == HOLE).all()
        ]  # only those that are left out have a value
        print_table(out, panel.title + more, shown.drop(columns=empty), SUMMARY_NAMES)
    if rest := len(panels) - fitting:
        out.print(
            f"{counted(rest, 'more set')} of comparable rows: --what accuracy", style="dim", highlight=False
        )


def _print_notes(notes: Sequence[str], holes: Sequence[str], most: int, out: Console) -> None:
    """Prints what a reader must know, and why there are holes: ``most`` of them."""
    for note in notes:
        out.print(note, style="dim", markup=False, highlight=False)
    for hole in holes[:most]:
        out.print(hole, style="yellow", markup=False, highlight=False)
    if len(holes) > most:
        more = f"{HOLE} {len(holes) - most} more: the column 'hole' of the CSV files says why"
        out.print(more, style="yellow", markup=False, highlight=False)


def _summary_notes(frames: Mapping[str, pd.DataFrame], panels: Sequence[summary.Panel]) -> list[str]:
    """What the figures and marks of a summary mean, and where more stands, a line each."""
    label = data_label(frames["accuracy"])
    stand_in = f"Rows with data '{label}' say nothing about the real dataset. " if label != REAL else ""
    stated = [f"{UNVERIFIED} unverified: stated elsewhere, not compared."]
    return [
        f"{stand_in}Means over n seeds, fractions in percent; {summary.BEST} best and {summary.SECOND} second by value "
        "alone.",
        f"Intervals, tests and what else there is: --what all, or one of {', '.join(frames)}.",
        *(stated if not all(all(panel.compared) for panel in panels) else []),
    ]


def _folders_of(files: Sequence[Path]) -> Iterator[str]:
    """What was written into each folder, in one line a folder."""
    for folder in dict.fromkeys(file.parent for file in files):
        names = [file.name for file in files if file.parent == folder]
        kinds = ", ".join(dict.fromkeys(Path(name).suffix.removeprefix(".") for name in names))
        yield f"{folder}/: {len(names)} files ({kinds})" if len(names) > 1 else str(folder / names[0])


def _drawable(frame: pd.DataFrame) -> bool:
    """Whether a picture with a panel for each block can be read."""
    return len(frame.groupby(list(KEYS), sort=False)) <= MOST_PANELS


def _write_plain(
    table: Table,
    frame: pd.DataFrame,
    whole: pd.DataFrame,
    folder: Path,
    formats: Sequence[str],
    out: Console,
) -> list[Path]:
    """Prints and writes a table with columns of its own; the files. Its notes are those of the whole frame, of which
    ``frame`` is what is shown."""
    from ...leaderboards.render import plain

    notes = table.notes_of(whole)
    short = table.shown_rows(frame)
    files: list[Path] = []
    if "terminal" in formats:
        beside = short.drop(columns=WARNINGS, errors="ignore")  # the notes have them with their rows
        print_table(out, table.title, plain.texts(beside), (*NAMES, *PLAIN_NAMES))
        for note in notes:
            out.print(note, style="dim", markup=False, highlight=False)
        if notes:
            out.print()
    if "csv" in formats:
        files.append(plain.write_plain_csv(frame, folder, table.name))
    writers = {"md": (plain.plain_markdown, ".md"), "latex": (plain.plain_latex, ".tex")}
    for write, suffix in (writers[kind] for kind in formats if kind in writers):
        path = folder / file_name(frame, table.name, suffix)
        files.append(write_text(path, write(short, table.title, notes)))
    return files


def for_terminal(frame: pd.DataFrame, across: Across, sort: str = "") -> pd.DataFrame:
    """The table with the interval of its first column only, in a column of its own; the files have all.

    Args:
        frame: tidy.
        across: what its columns are, as in ``render.text.wide``.
        sort: as in ``render.text.wide``.

    Returns:
        A frame of text.

    Raises:
        ValueError: as ``render.text.wide``.
    """
    text = wide(frame, across, intervals=False, sort=sort)
    first = next(name for name in text if name not in NAMES)
    intervals = wide(frame, across, sort=sort)[first].str.extract(r"(\[.*\])", expand=False).fillna("")
    text.insert(int(text.columns.get_indexer([first])[0]) + 1, "95 %", intervals)
    return text
