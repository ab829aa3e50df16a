"""Tables as a paper prints them: booktabs and siunitx, no wider than a page of one or two columns.

They need ``\\usepackage{array,booktabs,siunitx}``. Widths are estimated from those of Computer Modern, as articles of
LaTeX have it; every font of papers is about as wide or narrower.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from ..labels import KEYS, REAL, Across
from ..tables.accuracy import condition_label, task_label
from .latex import escape_latex, with_engine
from .text import records, rows_to_show

Layout = Literal["one", "two"]
#: Points: of the text of ``article`` with one column; of a column of two, and of both, in its class and in IEEE's.
_ONE, _COLUMN, _BOTH = 340.0, 225.0, 465.0
#: Points at the size of ``\\footnotesize`` of ten points: of letters by their kind, of the space on both sides of a column.
_POINTS = {"narrow": 2.6, "wide": 7.2, "capital": 6.4, "other": 4.6}
_BETWEEN = 8.0
#: Points of a page of ``article``, of a line, and of the rules of a table with the space below it.
_HEIGHT, _LINE, _RULES = 520.0, 9.8, 16.0
#: How many lines of a whole page's width a caption has, at the most.
_CAPTION_LINES = 4
_CONTINUED = "(continued)"
#: Words of which the name of a metric is made, as papers print them.
_METRICS = {
    "mae": "MAE",
    "rmse": "RMSE",
    "corr": "Corr",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "aupr": "AUPR",
    "aurc": "AURC",
    "augrc": "AUGRC",
    "fpr95": "FPR95",
    "ece": "ECE",
    "ace": "ACE",
    "nll": "NLL",
    "crps": "CRPS",
    "map": "mAP",
    "mce": "mCE",
    "acc": "Acc",
    "f1": "F1",
    "mmdg": "MMDG",
    "sims": "SIMS",
    "ood": "OOD",
    "misd": "MisD",
    "ovr": "OvR",
    "brier": "Brier",
}


@dataclass(frozen=True)
class _Column:
    """A column of numbers.

    Attributes:
        head: its heading, escaped.
        cells: method -> cell.
        whole, decimals: digits before and after the point.
        spread: whether a deviation stands behind a mean.
    """

    head: str
    cells: Mapping[str, str]
    whole: int
    decimals: int
    spread: str

    @property
    def form(self) -> str:
        """The column for siunitx: numbers below each other by their points, with room for what follows them."""
        room = f",table-space-text-post={{{self.spread}}}" if self.spread else ""
        return f"S[table-format={self.whole}.{self.decimals}{room}]"

    @property
    def width(self) -> float:
        """In points, with the space around it."""
        number = (self.whole + self.decimals) * _POINTS["other"] + _POINTS["narrow"]
        spread = 0.8 * _width(_plain(self.spread)) + 3 if self.spread else 0
        return max(number + spread, _width(_plain(self.head))) + _BETWEEN


def metric_name(metric: str) -> str:
    """The name of a metric as papers print it: ``acc2_has0`` is ``Acc-2 has0``, ``balanced_accuracy`` ``Balanced accuracy``."""
    words = []
    for word in metric.split("_"):
        base, digits = re.fullmatch(r"(.*?)(\d*)", word).groups()  # type: ignore[union-attr]
        known = _METRICS.get(word) or _METRICS.get(base)
        words.append(f"{known}-{digits}" if known and digits and word not in _METRICS else known or word)
    text = " ".join(words)
    return text[:1].upper() + text[1:] if words[0] == metric.split("_")[0] else text


def paper_tables(
    frame: pd.DataFrame,
    subject: str,
    layout: Layout,
    across: Across = "metric",
    name: str = "table",
    names: Mapping[str, str] | None = None,
) -> str:
    """A table environment for each task, modality set, protocol and kind of data.

    Cells are means with a small standard deviation. The best is bold only where every other row is significantly
    worse, ``≈`` stands as the frame marks it. In a layout of two columns a table stands in one where it fits, else
    over both (``table*``); what is wider still is parted into tables below each other, and what is then higher than a page is continued
    in a further table. Columns without any value are left out.

    Args:
        frame: a tidy frame, such as ``tables.accuracy`` gives.
        subject: what the captions begin with.
        layout: columns of the paper's page.
        across: what the columns are: metrics, or conditions of the main metric.
        name: of the table, in the labels: ``tab:NAME-TASK``.
        names: label of a method -> how a paper writes it.

    Returns:
        The text, with a line feed at its end.

    Raises:
        ValueError: as ``text.wide``.
    """
    shown = rows_to_show(frame, across, None)
    blocks = [
        (tuple(str(rows[key].iloc[0]) for key in KEYS), rows)
        for _, rows in shown.groupby(list(KEYS), sort=False)
    ]
    labels = _labels(name, [keys for keys, _ in blocks])
    parts = [
        _table(keys, rows, subject, layout, across, label, names or {})
        for (keys, rows), label in zip(blocks, labels, strict=True)
    ]
    head = "% In the preamble: \\usepackage{array,booktabs,siunitx}\n"
    return with_engine(head + "\n".join(parts))


def _table(
    keys: tuple[str, ...],
    rows: pd.DataFrame,
    subject: str,
    layout: Layout,
    across: Across,
    label: str,
    names: Mapping[str, str],
) -> str:
    """The environment of one block; arguments as of ``paper_tables``."""
    told = rows.loc[rows["hole"] == "", across]
    if len(told):  # a column without any value says nothing
        rows = rows.loc[rows[across].isin(list(told))]
    columns = _columns(rows, across)
    methods = _ordered(rows)
    written = {method: escape_latex(names.get(method, method)) for method in methods}
    name_width = max(_width(_plain(text)) for text in ("Method", *written.values())) + _BETWEEN
    whole = name_width + sum(column.width for column in columns)
    limit = _ONE if layout == "one" else _COLUMN if whole <= _COLUMN else _BOTH
    form = "l"
    if name_width > 0.4 * limit:  # long names are broken
        name_width = 0.4 * limit
        form = rf">{{\raggedright\arraybackslash}}p{{{name_width - _BETWEEN:.0f}pt}}"
        written = {method: re.sub(r"(?<=[,=(])", r"\\allowbreak{}", text) for method, text in written.items()}
    free = name_width - _BETWEEN
    lines = sum(math.ceil(_width(_plain(text)) / free) if form != "l" else 1 for text in written.values())
    environment = "table*" if layout == "two" and limit == _BOTH else "table"
    caption = _caption(keys, rows, subject, across, names)
    above = _CAPTION_LINES * _LINE * _BOTH / (_COLUMN if limit == _COLUMN else _BOTH)
    floats: list[str] = []
    for parts in _paged(_parted(columns, limit - name_width), (lines + 1) * _LINE + _RULES, _HEIGHT - above):
        text = [
            rf"\begin{{{environment}}}[t]",
            r"\centering",
            r"\footnotesize",
            r"\setlength{\tabcolsep}{4pt}",
        ]
        text += [r"\setlength{\abovetopsep}{4pt}", r"\sisetup{detect-weight=true,mode=text}"]
        if floats:
            text += [r"\addtocounter{table}{-1}", rf"\caption{{{_CONTINUED}}}"]
        else:
            text += [rf"\caption{{{caption}}}", rf"\label{{{label}}}"]
        for place, part in enumerate(parts):
            if place:
                text += ["", r"\medskip"]
            cells = pd.DataFrame({column.head: column.cells for column in part}, index=methods).fillna("")
            cells.insert(0, "Method", [written[method] for method in methods])
            tabular = cells.style.hide(axis="index").to_latex(
                column_format=f"@{{}}{form}{''.join(column.form for column in part)}@{{}}",
                hrules=True,
                siunitx=True,
            )
            text.append(tabular.rstrip("\n"))
        floats.append("\n".join([*text, rf"\end{{{environment}}}"]) + "\n")
    return "\n".join(floats)


def _paged(parts: Sequence[list[_Column]], height: float, limit: float) -> list[list[list[_Column]]]:
    """The parts in groups that fit a height, at least one in each: no table is higher than a page.

    Args:
        parts: columns that stand beside each other.
        height: of a part, in points.
        limit: of what stands below each other, in points.
    """
    most = max(1, int(limit // height))
    return [list(parts[place : place + most]) for place in range(0, len(parts), most)]


def _ordered(rows: pd.DataFrame) -> list[str]:
    """The methods, the best by the first column first, those without a value last."""
    first = rows.drop_duplicates("method")
    sign = -1 if first["direction"].iloc[0] == "higher" else 1
    order = (sign * first["mean"]).fillna(math.inf).to_numpy().argsort(kind="stable")
    return [str(first["method"].iloc[place]) for place in order]


def _columns(rows: pd.DataFrame, across: Across) -> list[_Column]:
    columns = []
    for value in dict.fromkeys(rows[across]):
        own = records(rows.loc[rows[across] == value])
        unit, higher = own[0]["unit"], own[0]["direction"] == "higher"
        scale, decimals = (100.0, 1) if unit == "fraction" else (1.0, 3)
        word = metric_name(str(value)) if across == "metric" else condition_label(str(value))
        arrow = f" {'↑' if higher else '↓'}" if across == "metric" else ""
        known = [row for row in own if not row["hole"] and not math.isnan(row["mean"])]
        texts = [f"{scale * row['mean']:.{decimals}f}" for row in known]
        spreads = {
            row["method"]: rf"\scriptsize\,$\pm$\,{scale * row['sd']:.{decimals}f}"
            for row in known
            if not math.isnan(row["sd"])
        }
        marks = {row["method"]: r"\,$\approx$" for row in known if row["mark"] == "tied"}
        posts = {
            row["method"]: spreads.get(row["method"], "") + marks.get(row["method"], "") for row in known
        }
        cells = dict.fromkeys((row["method"] for row in own), "{--}")
        for row, text in zip(known, texts, strict=True):
            bold = r"\bfseries " if row["mark"] == "best" else ""
            post = posts[row["method"]]
            cells[row["method"]] = bold + text + (f" {{{post}}}" if post else "")
        whole = max((len(text.partition(".")[0]) for text in texts), default=1)
        columns.append(
            _Column(
                escape_latex(word + arrow), cells, whole, decimals, max(posts.values(), key=len, default="")
            )
        )
    return columns


def _parted(columns: Sequence[_Column], limit: float) -> list[list[_Column]]:
    """The columns in parts that fit a width in points, at least one in each."""
    parts: list[list[_Column]] = [[]]
    for column in columns:
        if parts[-1] and sum(one.width for one in (*parts[-1], column)) > limit:
            parts.append([])
        parts[-1].append(column)
    return parts


def _caption(
    keys: tuple[str, ...], rows: pd.DataFrame, subject: str, across: Across, names: Mapping[str, str]
) -> str:
    """What stands in the table: of which task, modalities, rules, metric, seeds and data, and what marks mean."""
    task, modalities, protocol, data = keys
    first = rows.iloc[0]
    where = f"{subject} on {task_label(task)} ({modalities.replace('+', ', ')}; protocol {protocol})"
    if across == "condition":
        better = "higher" if first["direction"] == "higher" else "lower"
        where += f": {metric_name(str(first['metric']))}, {better} is better"
    percent = "" if set(rows["unit"]) != {"fraction"} else ", in %"
    words = [f"{where}{percent}."]
    if data != REAL:
        words.append(f"Data: a {data}, which says nothing about the real dataset.")
    known = rows.loc[rows["hole"] == ""]
    counts = sorted(set(known["n"].tolist()))
    if counts == [1]:
        words.append("One seed.")
    elif counts:
        over = "folds" if any(str(kind).startswith("folds") for kind in known["interval"]) else "seeds"
        words.append(f"Mean ± standard deviation over {'/'.join(map(str, counts))} {over}.")
    marks = set(rows["mark"])
    if "best" in marks:
        words.append("Bold: every other row is significantly worse (paired, Holm, 5 %).")
    if "tied" in marks:
        words.append("≈: the best, or not told apart from it.")
    lacking = [names.get(one, one) for one in dict.fromkeys(rows.loc[rows["hole"] != "", "method"])]
    if lacking:
        words.append(
            f"–: no value, as seeds are not done or the metric does not apply: {', '.join(lacking)}."
        )
    return escape_latex(" ".join(words))


def _labels(name: str, blocks: Sequence[tuple[str, ...]]) -> list[str]:
    """A label for each block, of letters and digits: ``tab:accuracy-mosi-text-audio``; numbered where two are the same."""
    labels: list[str] = []
    for task, modalities, *_ in blocks:
        words = re.sub(r"[^a-z0-9]+", "-", f"{name}-{task}-{modalities}".lower()).strip("-")
        number = sum(re.sub(r"--\d+$", "", other) == f"tab:{words}" for other in labels)
        labels.append(f"tab:{words}--{number + 1}" if number else f"tab:{words}")
    return labels


def _plain(text: str) -> str:
    """What is printed of a text of LaTeX, about."""
    text = re.sub(r"\\(?:scriptsize|bfseries|,)", "", text)
    text = re.sub(r"\$\\[a-z]+\$", "M", text)  # a sign
    return re.sub(r"\\text[a-z]+\{\}|\\([&%$#_{}])", lambda match: match[1] or "M", text)


def _width(text: str) -> float:
    """Points of a text, about."""
    points = 0.0
    for letter in text:
        kind = (
            "wide"
            if letter in "mwMW@%" or ord(letter) > 0x2E80
            else "narrow"
            if letter in "ijlI.,;:|'!()[] -"
            else "capital"
            if letter.isupper()
            else "other"
        )
        points += _POINTS[kind]
    return points
