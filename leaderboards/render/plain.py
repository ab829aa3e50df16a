"""Tables that are not of the form of ``tables.COLUMNS``: as text, Markdown and LaTeX. Rounding happens here."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from ..labels import KEYS
from .files import file_name, write_text
from .latex import escape_latex, parts, with_engine
from .markdown import escape_markdown
from .text import HOLE

#: What is smaller is no value of a table, but what is left of two equal ones by the rounding of sums.
_ROUNDING = 1e-12
#: Columns that say what a row is, in the order in which tables have them.
_NAMED = ("method", "other", "best")


def texts(frame: pd.DataFrame) -> pd.DataFrame:
    """Every cell as text: p-values with three decimals, other fractions with four significant figures; ``—``
    where there is no number. ``NAME_low`` and ``NAME_high`` beside ``NAME`` are its interval. A column that is empty
    everywhere is left out, and so is ``note``."""
    frame = _with_intervals(frame)
    cells = {
        str(name): [_text(str(name), value) for value in frame[name]] for name in frame if name != "note"
    }
    return pd.DataFrame({name: column for name, column in cells.items() if any(column)}).astype("str")


def _with_intervals(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with each interval in the text of the column that it is of."""
    ends = [name for name in frame if {f"{name}_low", f"{name}_high"} <= set(frame)]
    if not ends:
        return frame
    shown = frame.drop(columns=[f"{name}{end}" for name in ends for end in ("_low", "_high")])
    for name in ends:
        rows = zip(frame[name], frame[f"{name}_low"], frame[f"{name}_high"], strict=True)
        shown[name] = [
            "" if math.isnan(value) else f"{_text(name, value)} [{_text(name, low)}, {_text(name, high)}]"
            for value, low, high in rows
        ]
    return shown


def plain_markdown(frame: pd.DataFrame, subject: str, notes: Sequence[str] = ()) -> str:
    """A Markdown section: title, table and notes, with a line feed at its end.

    Args:
        frame: any frame; its cells are written as ``texts`` says.
        subject: the title.
        notes: lines below the table.
    """
    table = texts(frame)
    lines = [f"## {escape_markdown(subject)}", "", _row(map(escape_markdown, table))]
    lines.append(_row("---:" if _is_number(frame, name) else "---" for name in table))
    lines += [_row(escape_markdown(str(cell)) for cell in row) for row in table.itertuples(index=False)]
    if notes:
        lines += ["", *(f"- {escape_markdown(note)}" for note in notes)]
    return "\n".join(lines) + "\n"


def plain_latex(frame: pd.DataFrame, subject: str, notes: Sequence[str] = ()) -> str:
    """A table environment with booktabs.

    Subject, notes and words that are the same in every row are its caption. What is wider than a page is
    parted into tables below each other, each with the names of its rows.

    Args:
        frame: any frame; its cells are written as ``texts`` says.
        subject: what the caption begins with.
        notes: sentences at the end of the caption; escaped here, as the subject is.

    Returns:
        The text, with a line feed at its end.
    """
    table = texts(frame)
    names = list(table)
    named = [name for name in _NAMED if name in names] or names[:1]
    words = [name for name in names if name not in named and not _is_number(frame, name)]
    same = [name for name in words if len(set(table[name])) == 1 and (len(table) > 1 or name in KEYS)]
    if len(named) + len(same) == len(names):
        same = []
    constant = "; ".join(f"{name} {table[name].iloc[0]}" for name in same)
    caption = " ".join([f"{subject}.", *([f"{constant}."] if constant else []), *notes])
    lines = [r"\begin{table}[t]", r"\centering", r"\small", rf"\caption{{{escape_latex(caption)}}}"]
    widths = {name: max(map(len, [name, *table[name]])) + 2 for name in names}
    values = [name for name in names if name not in {*named, *same}]
    for place, part in enumerate(parts(values, named, widths)):
        columns = [*named, *part]
        align = "".join("r" if _is_number(frame, name) else "l" for name in columns)
        lines += ["", r"\medskip"] if place else []
        lines += [rf"\begin{{tabular}}{{{align}}}", r"\toprule", _latex_row(columns), r"\midrule"]
        lines += [_latex_row(row) for row in table[columns].itertuples(index=False)]
        lines += [r"\bottomrule", r"\end{tabular}"]
    return with_engine("\n".join([*lines, r"\end{table}"]) + "\n")


def write_plain_csv(frame: pd.DataFrame, folder: Path, stem: str) -> Path:
    """Writes a frame at full precision, a number that is missing as nothing.

    Text that a spreadsheet would take for a formula gets a ``'`` in front, as in ``csv_files.write_csv``.

    Args:
        frame: any frame with a column ``data``.
        folder: made where it does not exist.
        stem: the name of the file without its suffix.

    Returns:
        The path of the file.

    Raises:
        OSError: it cannot be written.
    """
    safe = frame.copy()
    for name in frame:
        if not _is_number(frame, str(name)):
            safe[name] = [re.sub(r"^(?='*[=+\-@\t\r])", "'", str(text)) for text in frame[name]]
    return write_text(folder / file_name(frame, stem, ".csv"), safe.to_csv(index=False, lineterminator="\n"))


def p_text(p: float) -> str:
    """A p-value for people: ``0.031``, ``< 0.001``."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _text(name: str, value: object) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return HOLE
    if isinstance(value, numbers.Integral) or not isinstance(value, float):
        return str(value)
    is_p = name == "p" or name.startswith("p_") or name.endswith("_p")
    if is_p:
        return p_text(value)
    return "0" if abs(value) < _ROUNDING else f"{value:.4g}"


def _is_number(frame: pd.DataFrame, name: str) -> bool:
    return bool(pd.api.types.is_numeric_dtype(frame[name].dtype))


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _latex_row(cells: Iterable[object]) -> str:
    return " & ".join(escape_latex(str(cell)) for cell in cells) + r" \\"
