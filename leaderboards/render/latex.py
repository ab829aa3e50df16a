"""Tables for papers: LaTeX with booktabs. Needs ``\\usepackage{booktabs}``; XeLaTeX or LuaLaTeX for other scripts."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from ..labels import KEYS, MARGIN, Across
from .files import file_name, write_text
from .notes import holes, title
from .text import records, rows_to_show, shown_mark, wide

# Characters of a row, with two between columns, that fit 17 cm in a small font of ten points.
_WIDTH = 100
#: Metric -> what papers print above its column, which leaves room for those beside it.
_PRINTED = {
    "balanced_accuracy": "bal. accuracy",
    "auroc_ovr": "AUROC",
    "auprc_ovr": "AUPRC",
    "f1_macro_labels": "macro F1",
    "f1_micro_labels": "micro F1",
    "f1_weighted_labels": "weighted F1",
    "f1_samples": "samples F1",
    "map_labels": "mAP",
    "subset_accuracy": "subset acc.",
}

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "≈": r"$\approx$",
    "—": "--",
    "…": r"\dots{}",
    "→": r"$\rightarrow$",
    "†": r"$\dagger$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
}


#: Pairs that LaTeX's fonts would print as one other character.
_LIGATURES = {"--", "''", "``", "?`", "!`", ",,"}
_BEYOND_LATIN_1 = (
    "% This table has characters beyond Latin-1, as they are in the names: compile it with XeLaTeX or LuaLaTeX and a "
    "font that has them (fontspec, \\setmainfont).\n"
)


def escape_latex(text: str) -> str:
    """Text that LaTeX prints as it is.

    Characters of every script stay: pdfLaTeX knows those of Latin-1, XeLaTeX and LuaLaTeX all that the font has.
    Those that no font prints (control characters, halves of surrogate pairs) become their code point, ``U+0007``.
    """
    line = " ".join(text.split())
    escaped: list[str] = []
    for before, character in zip(" " + line, line, strict=False):
        if before + character in _LIGATURES:
            escaped.append("{}")
        if unicodedata.category(character) in ("Cc", "Cs"):
            escaped.append(f"U+{ord(character):04X}")
        else:
            escaped.append(_SPECIAL.get(character, character))
    return "".join(escaped)


def with_engine(text: str) -> str:
    """A table, below a comment that says which LaTeX it needs where that is not any."""
    return _BEYOND_LATIN_1 + text if any(ord(character) > 255 for character in text) else text


def latex(frame: pd.DataFrame, subject: str, across: Across = "metric", sort: str = "") -> str:
    """A table environment: a block of rows for each task, modality set, protocol and data.

    The best of a block is bold only where every other row is significantly worse; the second best by mean is
    underlined. Intervals stand in the CSV; the caption says n, what they are over, what is synthetic, and the
    reason of every hole. What is wider than a page is parted into tables below each other.

    Args:
        frame: a tidy frame, such as ``tables.accuracy`` gives.
        subject: what the caption begins with.
        across: what the columns are, as in ``text.wide``.
        sort: as in ``text.wide``.

    Returns:
        The text, with a line feed at its end.

    Raises:
        ValueError: as ``wide``.
    """
    chosen = rows_to_show(frame, across, None)
    table = wide(frame, across, intervals=False, best="\x01{}\x02", sort=sort)
    if across == "metric":
        table = table.rename(columns=_printed)
    columns = [str(name) for name in table if name not in KEYS]
    words = {"method", "metric"}
    lines = [r"\begin{table}[t]", r"\centering", r"\small"]
    lines.append(rf"\caption{{{escape_latex(_caption(chosen, subject))}}}")
    lower = across == "condition" and set(chosen["direction"]) == {"lower"}
    blocks: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for record in table.to_dict("records"):
        row = {str(name): str(cell) for name, cell in record.items()}
        blocks.setdefault(tuple(row[name] for name in KEYS), []).append(row)
    named = [name for name in columns if name in {*words, "n"}]
    widths = {name: max(map(len, [name, *map(str, table[name])])) + 2 for name in columns}
    for place, values in enumerate(parts([name for name in columns if name not in named], named, widths)):
        if place:
            lines += ["", r"\medskip"]
        shape = "".join("l" if name in words else "r" for name in [*named, *values])
        lines += [rf"\begin{{tabular}}{{{shape}}}", r"\toprule"]
        lines.append(_row(escape_latex(name) for name in [*named, *values]))
        for keys, rows in blocks.items():
            lines.append(r"\midrule")
            title_of = escape_latex("; ".join(keys))
            lines.append(rf"\multicolumn{{{len(shape)}}}{{l}}{{\emph{{{title_of}}}}} \\")
            seconds = {name: _second([row[name] for row in rows], lower or "↓" in name) for name in values}
            for index, row in enumerate(rows):
                lines.append(_row(_cell(row[name], seconds.get(name) == index) for name in [*named, *values]))
        lines += [r"\bottomrule", r"\end{tabular}"]
    return with_engine("\n".join([*lines, r"\end{table}"]) + "\n")


def _printed(column: str) -> str:
    """The head of a column of a metric, such as ``accuracy % ↑``, as papers print it."""
    name, space, unit = column.partition(" ")
    return _PRINTED.get(name, name) + space + unit


def parts(values: Sequence[str], named: Sequence[str], widths: Mapping[str, int]) -> list[list[str]]:
    """The columns of values in parts that fit a page below each other, each with the names of its rows.

    Args:
        values: names of columns.
        named: names of the columns that say what a row is.
        widths: of all of them, in characters.
    """
    page_parts: list[list[str]] = [[]]
    for name in values:
        if page_parts[-1] and sum(widths[other] for other in [*named, *page_parts[-1], name]) > _WIDTH:
            page_parts.append([])
        page_parts[-1].append(name)
    return page_parts


def write_latex(
    frame: pd.DataFrame, folder: Path, stem: str, subject: str, across: Across = "metric", sort: str = ""
) -> Path:
    """Writes ``latex(...)`` to a folder, under a name that says so where data are synthetic.

    Args:
        frame: as of ``latex``.
        folder: made where it does not exist.
        stem: the name of the file without its suffix.
        subject: as of ``latex``.
        across: as of ``latex``.
        sort: as of ``latex``.

    Returns:
        The path of the file.

    Raises:
        ValueError: as ``latex``.
        OSError: it cannot be written.
    """
    return write_text(folder / file_name(frame, stem, ".tex"), latex(frame, subject, across, sort))


def _caption(frame: pd.DataFrame, subject: str) -> str:
    marks = (
        "Bold: every other row of the block is significantly worse (paired, Holm, 5 %); underlined: second."
    )
    shown = {shown_mark(row) for row in records(frame)}
    tied = (
        f" ≈: the same as the best within {100 * MARGIN:g} % (equivalence test, 5 %)."
        if "tied" in shown
        else ""
    )
    gone = " ".join(f"{hole}." for hole in holes(frame)[:5])
    over = " or ".join(
        sorted({"folds" if kind.startswith("folds") else "seeds" for kind in frame["interval"] if kind})
        or ["seeds"]
    )
    return f"{title(frame, subject)}. Mean ± standard deviation over {over}. {marks}{tied} {gone}".strip()


def _cell(text: str, second: bool) -> str:
    escaped = escape_latex(text.replace("\x01", "").replace("\x02", ""))
    if "\x01" in text:
        return rf"\textbf{{{escaped}}}"
    return rf"\underline{{{escaped}}}" if second and escaped else escaped


def _second(cells: Sequence[str], lower_is_better: bool) -> int | None:
    """The row with the second best mean of a column, where there are at least three."""
    values = [_mean(cell) for cell in cells]
    known = sorted((value for value in values if not math.isnan(value)), reverse=not lower_is_better)
    if len(known) < 3 or known[0] == known[1]:
        return None
    return values.index(known[1])


def _mean(cell: str) -> float:
    match = re.match(r"\x01?(-?[0-9.]+)", cell)
    return float(match[1]) if match else math.nan


def _row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"
