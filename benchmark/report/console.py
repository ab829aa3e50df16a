"""The terminal: where the command prints to, and how tables look there."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
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
    """Prints a table of texts. One that is wider than the terminal is printed in several parts.

    Args:
        out: where to.
        title: its title.
        frame: [rows, columns] of text.
        names: the columns that name a row; they begin every part, but those that say the same in every row
            are said once, below the title.
    """
    frame = frame.map(lambda cell: printable(str(cell)))  # before widths are measured
    same, keys, parts = _parts(frame, names, out.width)
    out.print(title, style="bold", markup=False, highlight=False)
    if same:
        facts = "; ".join(f"{name} {frame[name].iloc[0]}" for name in same)
        out.print(facts, style="italic", markup=False, highlight=False)
    for part in parts:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for name in [*keys, *part]:
            table.add_column(Text(name), overflow="fold")
        for _, row in frame.iterrows():
            table.add_row(*(Text(str(row[name])) for name in [*keys, *part]))
        out.print(table)
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


def parts_of(frame: pd.DataFrame, names: Collection[str], width: int) -> int:
    """In how many parts ``print_table`` prints a table.

    Args:
        frame: [rows, columns] of text.
        names: as ``print_table`` takes them.
        width: of the terminal.
    """
    return len(_parts(frame.map(lambda cell: printable(str(cell))), names, width)[2])


def _parts(
    frame: pd.DataFrame, names: Collection[str], width: int
) -> tuple[list[str], list[str], list[list[str]]]:
    """The names that all rows share, those that begin every part, and the columns of each part."""
    keys = [name for name in frame if name in names]
    same = [name for name in keys if len(set(frame[name])) == 1 and name not in ("method", "n")]
    keys = [name for name in keys if name not in same]
    widths = {name: max(map(cell_len, [name, *frame[name]])) + 2 for name in frame}
    parts: list[list[str]] = [[]]
    for name in [name for name in frame if name not in names]:
        taken = sum(widths[other] for other in [*keys, *parts[-1], name])
        if parts[-1] and taken > width:
            parts.append([])
        parts[-1].append(name)
    return same, keys, parts


def print_faults(out: Console, faults: Sequence[str]) -> None:
    """Prints one line for each job that cannot be read.

    Args:
        out: where to.
        faults: a line for each.
    """
    for fault in faults:
        out.print(f"— {fault}", style="yellow", markup=False, highlight=False, soft_wrap=True)
