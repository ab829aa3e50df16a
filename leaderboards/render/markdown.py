"""Tables as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ..labels import KEYS, Across
from .files import file_name, write_text
from .notes import notes, title
from .text import records, rows_to_show, wide


def markdown(
    frame: pd.DataFrame,
    subject: str,
    across: Across = "metric",
    metric: str | None = None,
    intervals: bool = True,
    sort: str = "",
) -> str:
    """A Markdown section: title, table (the best in bold, where ``wide`` marks one) and notes.

    Args:
        frame: what ``accuracy`` or ``missing`` gave.
        subject: what the title begins with.
        across: as in ``wide``.
        metric: as in ``wide``.
        intervals: as in ``wide``.
        sort: as in ``wide``.

    Returns:
        The text, with a line feed at its end.

    Raises:
        ValueError: as ``wide``.
    """
    rows_shown = rows_to_show(frame, across, metric)
    table = wide(frame, across, metric, intervals, best="**{}**", sort=sort)
    text = {*KEYS, "method", "metric"}
    lines = [f"## {escape_markdown(title(rows_shown, subject))}", ""]
    lines.append(_markdown_row(map(escape_markdown, table)))
    lines.append(_markdown_row("---" if name in text else "---:" for name in table))
    for row in records(table):
        lines.append(
            _markdown_row(escape_markdown(cell) if name in text else cell for name, cell in row.items())
        )
    lines += ["", *(f"- {escape_markdown(note)}" for note in notes(rows_shown))]
    return "\n".join(lines) + "\n"


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is, on one line, inside a table cell."""
    return re.sub(r"([\\|`*<]|(?<=\])\()", r"\\\1", " ".join(text.split()))


def write_markdown(
    frame: pd.DataFrame,
    folder: Path,
    stem: str,
    subject: str,
    across: Across = "metric",
    metric: str | None = None,
    sort: str = "",
) -> Path:
    """Writes ``markdown(...)`` to a folder, under the name of ``file_name``.

    Args:
        frame: as of ``markdown``.
        folder: made where it does not exist.
        stem: the name of the file without its suffix.
        subject: as of ``markdown``.
        across: as of ``markdown``.
        metric: as of ``markdown``.
        sort: as of ``markdown``.

    Returns:
        The path of the file.

    Raises:
        ValueError: as ``markdown``.
        OSError: it cannot be written.
    """
    text = markdown(frame, subject, across, metric, sort=sort)
    return write_text(folder / file_name(frame, stem, ".md"), text)


def _markdown_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
