"""The terminal: where the command prints to, and how tables look there."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from ..core.strings import printable

if TYPE_CHECKING:
    import pandas as pd


class SafeConsole(Console):
    """A console that prints what is printable of names, titles and reasons that may be somebody else's."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """The segments of a renderable; those that are its own control codes stay as they are.

        Args:
            renderable: what is printed.
            options: as rich's; None for those of the console.

        Returns:
            Segments of text and style.
        """
        for segment in super().render(renderable, options):
            if segment.control is None and not segment.text.isprintable():
                yield Segment(printable(segment.text), segment.style)
            else:
                yield segment


def console(record: bool = False) -> Console:
    """Standard output; as wide as its content where it is no terminal, so that logs are not folded.

    Args:
        record: whether what is printed can be had again.
    """
    terminal = SafeConsole(record=record)
    if terminal.is_terminal or "COLUMNS" in os.environ:
        return terminal
    return SafeConsole(width=200, record=record)


def print_table(out: Console, title: str, frame: pd.DataFrame, names: Collection[str]) -> None:
    """Prints a table of texts. One that is wider than the terminal has broken headings, and is printed in several parts where that
    does not do.

    Args:
        out: where to.
        title: its title.
        frame: [rows, columns] of text.
        names: the columns that name a row; they begin every part. What is the same in every row is said once, below the
            title, and columns and rows without a value below the table.
    """
    from .table_layout import layout_of  # brings pandas, which most commands do not need

    layout = layout_of(frame, names, out.width)
    out.print(title, style="bold", markup=False, highlight=False)
    if layout.facts:
        facts = "; ".join(f"{name} {value}" for name, value in layout.facts)
        out.print(facts, style="italic", markup=False, highlight=False)
    for part in layout.parts:
        shown = [*layout.keys, *part]
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for name in shown:
            table.add_column(Text(layout.headings[name]), overflow="fold")
        for row in layout.rows[shown].itertuples(index=False):
            table.add_row(*map(Text, row))
        out.print(table)
    for what, lacking in (("columns", layout.without), ("rows", layout.empty)):
        if lacking:
            out.print(
                f"{what} without a value: {', '.join(lacking)}", style="dim", markup=False, highlight=False
            )
    out.print()


def borderless(*headings: str, columns: int = 0, padding: tuple[int, int, int, int] = (0, 2, 0, 2)) -> Table:
    """A table without lines whose first column, the names, is never broken, and whose others are broken and never cut.

    Args:
        headings: of its columns.
        columns: how many it has, where they have no headings.
        padding: of every cell: above, right, below, left.
    """
    table = Table(box=None, padding=padding, header_style="bold", show_header=bool(headings))
    for place, heading in enumerate(headings or [""] * columns):
        table.add_column(heading, overflow="fold", no_wrap=place == 0)
    return table


def print_faults(out: Console, faults: Sequence[str]) -> None:
    """Prints one line for each job that cannot be read.

    Args:
        out: where to.
        faults: a line for each.
    """
    for fault in faults:
        out.print(f"— {fault}", style="yellow", markup=False, highlight=False, soft_wrap=True)
