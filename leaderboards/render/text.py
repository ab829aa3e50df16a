"""Tables for people: strings in rows, Markdown, and CSV files. Rounding happens here and nowhere else."""

from __future__ import annotations

import io
import math
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..labels import (
    CLEAN,
    FOLDS,
    KEYS,
    OTHERS_SEEDS,
    OWN,
    REAL,
    SYNTHETIC,
    UPPER_BOUND,
    Across,
    count_of,
    rounded,
)
from ..tables.accuracy import condition_label, data_label
from .fonts import show_every_script

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HOLE = "—"
TIED = "≈"
UNVERIFIED = "†"
#: Dots an inch of a picture.
DOTS = 150


def wide(
    frame: pd.DataFrame,
    across: Across = "metric",
    metric: str | None = None,
    intervals: bool = True,
    best: str = "{} *",
) -> pd.DataFrame:
    """One row a method, one column a metric or a condition, cells as text: ``"81.3 ± 0.6 [79.0, 83.4]"``.

    Fractions are printed as percent with one decimal, anything else with three. A hole is ``—``; a metric
    that does not judge a row's task is empty. The best of a block (same task, modalities, protocol and data)
    is marked only where every other row is significantly worse; otherwise it and those not told apart from it
    carry ``≈``. Within a block rows are sorted by the first column, best first, holes last.

    Args:
        frame: what ``accuracy`` or ``missing`` gave.
        across: ``"metric"`` (of clean data) or ``"condition"`` (of one metric).
        metric: which metric, for ``"condition"``; None for each row's main one, which is the frame's first.
        intervals: whether cells show the 95 % interval.
        best: how the best cell is marked, ``{}`` being its mean and standard deviation.

    Returns:
        A frame of strings: task, modalities, protocol, data, method, n (``"4 of 5"`` where seeds are
        missing), for ``"condition"`` the metric, and one column a metric or condition.

    Raises:
        ValueError: nothing in the frame fits, or ``across`` is neither.
    """
    rows = records(rows_to_show(frame, across, metric))
    by_metric = across == "metric"
    headings = {row[across]: heading(row) if by_metric else condition_label(row[across]) for row in rows}
    draws: dict[tuple, set[int]] = {}
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        key = tuple(row[name] for name in (*KEYS, "method"))
        draws.setdefault(key, set()).add(row["draw"])
        groups.setdefault((*key, row["draw"]), []).append(row)
    blocks: dict[tuple, list[tuple[tuple, dict[str, str]]]] = {}
    for (*key, draw), cells in groups.items():
        line: dict[str, str] = {str(n): str(v) for n, v in zip((*KEYS, "method"), key, strict=True)}
        if len(draws[tuple(key)]) > 1:
            line["method"] += f" (draw {draw})"
        line["n"] = count_text(cells)
        if not by_metric:
            line["metric"] = heading(cells[0])
        line |= dict.fromkeys(headings.values(), "")
        line |= {headings[row[across]]: cell_text(row, intervals, best) for row in cells}
        mean, sign = cells[0]["mean"], -1 if cells[0]["direction"] == "higher" else 1
        order = (1, 0.0) if math.isnan(mean) else (0, sign * mean)
        blocks.setdefault(tuple(key[:-1]), []).append((order, line))
    lines = [line for block in blocks.values() for _, line in sorted(block, key=lambda item: item[0])]
    return pd.DataFrame(lines).astype("str")


def title(frame: pd.DataFrame, subject: str) -> str:
    """A title that names the data, n, and what the interval is over.

    Args:
        frame: a tidy frame, such as ``tables.accuracy`` gives.
        subject: what the title begins with.
    """
    whole = frame.loc[frame["hole"] == ""]
    divided = whole[FOLDS] != "" if FOLDS in whole else pd.Series(False, index=whole.index)
    counts = sorted(whole.loc[~divided, "n"].unique().tolist())
    parts = ["1 seed" if counts == [1] else "/".join(map(str, counts)) + " seeds"] if counts else []
    if divided.any():
        parts += dict.fromkeys(
            count_text([row]) for row in records(whole.loc[divided].drop_duplicates([*KEYS, "method"]))
        )
    n = "n = " + ", ".join(parts) if parts else "no seed complete"
    kinds = [kind for kind in frame["interval"].unique() if kind not in ("", "none")]
    over = f", 95 % interval over {' or '.join(kinds)}" if kinds else ""
    label = data_label(frame)
    return f"{subject} ({'real data' if label == REAL else label}), {n}{over}"


def notes(frame: pd.DataFrame) -> list[str]:
    """What a reader must know beside the cells: data, what figures and marks mean, every hole's reason."""
    return [*conventions(frame), *holes(frame)]


def conventions(frame: pd.DataFrame) -> list[str]:
    """What the data are, and what figures and marks mean."""
    marks = set(frame["mark"].unique())
    out = []
    if data_label(frame) != REAL:
        out.append(f"Rows with data '{SYNTHETIC}' say nothing about the real dataset.")
    kinds = set(frame["interval"].unique())
    if kinds - {"folds", ""} or "folds" not in kinds:
        out.append(
            "mean ± standard deviation (ddof = 1) over n seeds [95 % interval over what the title names]; "
            "fractions in percent."
        )
    if "folds" in kinds:
        out.append(
            "folds: mean ± standard deviation (ddof = 1) over the folds of cross-validation, each a mean over its seeds; every "
            "metric is that of a fold's own test samples (--what folds also pools the samples). Interval and comparisons "
            "by Student's t over folds, paired, with the variance corrected for folds that share training samples, "
            "(1/k + 1/(k - 1)) s² (Nadeau and Bengio 2003); fractions in percent."
        )
    if "seeds+samples" in kinds:
        out.append(
            "seeds+samples: the variance over the n seeds is moderated by that of the other methods of the same task, "
            "modalities, protocol and data (Smyth 2004), and by a weak prior."
        )
    if any(protocol.endswith(UPPER_BOUND) for protocol in frame["protocol"].unique()):
        out.append(
            "Rows of an upper bound (trained on the target's own training part, tested on the same samples) see the "
            "target and are never compared with others."
        )
    if "unverified" in marks:
        out.append(
            f"{UNVERIFIED} unverified: stated elsewhere and not rescored to the same number from predictions; "
            "not compared."
        )
    if marks & {"best", "tied"}:
        out.append(
            "Marked best: every other row of the same task, modalities, protocol and data that has a "
            f"value is significantly worse (paired by seed and sample, Holm, 5 %). {TIED}: best, or not "
            "told apart from it. A row with other seeds or samples than the best is not compared with it, "
            "and then none is marked best."
        )
    if OTHERS_SEEDS in kinds:
        out.append(
            f"{OTHERS_SEEDS}: of one seed, with the variance over seeds that the other methods of the same task, "
            "modalities, protocol and data have."
        )
    if "samples" in kinds:
        out.append(
            "samples: of one seed, where no method beside it has several. Intervals and comparisons speak of that "
            "trained network, not of its method."
        )
    return out


def holes(frame: pd.DataFrame) -> list[str]:
    """One line a hole and reason: ``"— erm on mosi (text, fair; real): 1 of 5 seeds failed (...)"``."""
    gone_rows = frame["hole"].ne("").to_numpy()
    if not gone_rows.any():
        return []
    names = [*KEYS, "method", "draw"]
    without = frame.loc[gone_rows, [*names, "metric", "condition", "hole"]]
    total = frame.groupby(names, sort=False).size().to_dict()
    gone: dict[tuple[tuple, str], dict[str, list[str]]] = {}
    for row in records(without):
        place = f"{row['metric']}, {condition_label(row['condition'])}"
        # What lacks under each of many conditions is said once.
        same = re.sub(r"under [^;)]+(?=[;)])", "under these", row["hole"])
        places_of = gone.setdefault((tuple(row[name] for name in names), same), {})
        places_of.setdefault(row["hole"], []).append(place)
    lines = []
    for (where, same), places_of in gone.items():
        places = [place for each in places_of.values() for place in each]
        reason = same if len(places_of) > 1 else next(iter(places_of))
        task, modalities, protocol, data, method, draw = where
        given = f"{modalities}, {protocol}{f', draw {draw}' if draw else ''}; {data}"
        some = "; ".join(places[:3]) + ("; …" if len(places) > 3 else "")
        which = "" if len(places) == total[where] else f" [{some}]"
        lines.append(f"{HOLE} {method} on {task} ({given}){which}: {reason}")
    return lines


def markdown(
    frame: pd.DataFrame,
    subject: str,
    across: Across = "metric",
    metric: str | None = None,
    intervals: bool = True,
) -> str:
    """A Markdown section: title, table (the best in bold, where ``wide`` marks one) and notes.

    Args:
        frame: what ``accuracy`` or ``missing`` gave.
        subject: what the title begins with.
        across: as in ``wide``.
        metric: as in ``wide``.
        intervals: as in ``wide``.

    Returns:
        The text, with a line feed at its end.

    Raises:
        ValueError: as ``wide``.
    """
    rows_shown = rows_to_show(frame, across, metric)
    table = wide(frame, across, metric, intervals, best="**{}**")
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


def file_name(frame: pd.DataFrame, stem: str, suffix: str) -> str:
    """The name of a file that says so where data are synthetic.

    Args:
        frame: of which the column ``data`` is read.
        stem: what the name begins with.
        suffix: with its dot.

    Returns:
        ``"accuracy.csv"`` for real data, ``"accuracy-synthetic-stand-in.csv"`` where all of it is a stand-in,
        ``"accuracy-partly-synthetic-stand-in.csv"`` where some is.
    """
    label = data_label(frame)
    return f"{stem}{'' if label == REAL else '-' + label.replace(' ', '-')}{suffix}"


def write_markdown(
    frame: pd.DataFrame,
    folder: Path,
    stem: str,
    subject: str,
    across: Across = "metric",
    metric: str | None = None,
) -> Path:
    """Writes ``markdown(...)`` to a folder, under the name of ``file_name``.

    Args:
        frame: as of ``markdown``.
        folder: made where it does not exist.
        stem: the name of the file without its suffix.
        subject: as of ``markdown``.
        across: as of ``markdown``.
        metric: as of ``markdown``.

    Returns:
        The path of the file.

    Raises:
        ValueError: as ``markdown``.
        OSError: it cannot be written.
    """
    return write_text(folder / file_name(frame, stem, ".md"), markdown(frame, subject, across, metric))


def write_text(path: Path, text: str) -> Path:
    """Writes a file whole or not at all; its folder is made where it does not exist.

    Args:
        path: of the file.
        text: its content, written as UTF-8.

    Returns:
        The path.

    Raises:
        OSError: it cannot be written; the error names the file.
    """
    return write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> Path:
    """As ``write_text``.

    Args:
        path: of the file.
        content: all of it.

    Returns:
        The path.

    Raises:
        OSError: as ``write_text``.
    """
    return write_parts(path, [content])


def write_parts(path: Path, parts: Iterable[bytes]) -> Path:
    """As ``write_text``, piece by piece.

    Args:
        path: of the file.
        parts: its content, in order.

    Returns:
        The path.

    Raises:
        OSError: as ``write_text``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with naming(path):
        try:
            with draft.open("wb") as file:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    return path


def save_figure(path: Path, figure: Figure, dots: int = DOTS, colours: int | None = None) -> Path:
    """As ``write_text``, a figure in the format of the name.

    Args:
        path: where to; its suffix is the format.
        figure: what is drawn.
        dots: an inch.
        colours: of a PNG file: so many in a palette, which diagrams do not exceed by what can be seen, for a fifth of the
            size; None for all.

    Returns:
        The path.

    Raises:
        OSError: it cannot be written.
    """
    show_every_script(figure)
    content = io.BytesIO()
    if path.suffix == ".png":
        _save_png(content, figure, dots, colours)
    else:
        figure.savefig(content, dpi=dots, format=path.suffix.removeprefix("."))
    return write_bytes(path, content.getvalue())


def _save_png(file: io.BytesIO, figure: Figure, dots: int, colours: int | None) -> None:
    """Draws a figure once; ``savefig`` draws it a second time, to lay it out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    figure.set_dpi(dots)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.frombuffer(
        "RGBA", canvas.get_width_height(), bytes(canvas.buffer_rgba()), "raw", "RGBA", 0, 1
    ).convert("RGB")
    if colours is not None:
        picture = picture.quantize(colours, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    picture.save(file, "PNG", dpi=(dots, dots), optimize=colours is not None)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Raises an OSError of what is done inside, such as that of a full disk, as one that names a file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def rows_to_show(frame: pd.DataFrame, across: Across, metric: str | None) -> pd.DataFrame:
    """The rows of a frame that ``wide`` prints. A confidence of a method's own has a row beside that of the
    method, whose name says so.

    Args:
        frame: a tidy frame.
        across: as in ``wide``.
        metric: as in ``wide``; read where the columns are conditions.

    Returns:
        A part of the frame, in its order.

    Raises:
        ValueError: the frame has no such rows, or ``across`` is neither.
    """
    if across == "metric":
        # A table without clean rows (a confidence, an OOD score) shows each row's main condition, its first.
        first = frame.groupby([*KEYS, "method", "draw"])["condition"].transform("first")
        clean = (frame["condition"] == CLEAN).tolist()
        wanted = clean if any(clean) else (frame["condition"] == first).tolist()
        own = frame["condition"].str.startswith(OWN)
        if own.any():
            named = frame["method"].where(~own, frame["method"] + ", " + frame["condition"])
            return frame.assign(method=named).loc[own | pd.Series(wanted, index=frame.index)]
    elif across != "condition":
        raise ValueError(f"across is {across!r}, expected 'metric' or 'condition'")
    elif metric is not None:
        wanted = (frame["metric"] == metric).tolist()
    else:
        main = frame.groupby([*KEYS, "method", "draw"])["metric"].transform("first")
        wanted = (frame["metric"] == main).tolist()
    if not any(wanted):
        raise ValueError("the table has no such rows" + (f": metric {metric}" if metric else ""))
    return frame.loc[wanted]


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame, as ``DataFrame.to_dict("records")`` gives them, in a fifth of its time."""
    names = [str(name) for name in frame]
    columns = [_plain_values(frame.iloc[:, place]) for place in range(len(names))]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _plain_values(column: pd.Series) -> list[Any]:
    """The values of a column as Python has them, with None where a nullable type has none."""
    if isinstance(column.dtype, pd.StringDtype) or not pd.api.types.is_extension_array_dtype(column.dtype):
        return column.to_numpy().tolist()
    return [None if value is pd.NA else value for value in column.tolist()]


def _markdown_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def heading(row: dict) -> str:
    """A metric as the heading of its column: ``"acc7 % ↑"``."""
    percent = " %" if row["unit"] == "fraction" else ""
    return f"{row['metric']}{percent} {'↑' if row['direction'] == 'higher' else '↓'}"


def interval_text(row: dict) -> str:
    """The 95 % interval of a row, ``"[79.0, 83.4]"``; empty where there is none."""
    if math.isnan(row["low"]):
        return ""
    return f"[{rounded(row['low'], row['unit'])}, {rounded(row['high'], row['unit'])}]"


def cell_text(row: dict, intervals: bool, best: str) -> str:
    """A row of a tidy frame as a cell, as ``wide`` writes it.

    Args:
        row: column -> value.
        intervals: whether the 95 % interval stands behind the mean.
        best: as in ``wide``.
    """
    if row["hole"]:
        return HOLE
    text = rounded(row["mean"], row["unit"])
    if not math.isnan(row["sd"]):
        text += f" ± {rounded(row['sd'], row['unit'])}"
    if row["mark"] == "best":
        text = best.format(text)
    if row["mark"] == "unverified":
        text = f"{UNVERIFIED} {text}"
    if intervals and not math.isnan(row["low"]):
        text += f" {interval_text(row)}"
    return f"{text} {TIED}" if row["mark"] == "tied" else text


def count_text(rows: Sequence[dict]) -> str:
    """How many of the planned seeds or folds are there, as ``count_of`` writes it."""
    n, planned = min(row["n"] for row in rows), max(row["n_planned"] for row in rows)
    folds = set(str(rows[0].get(FOLDS, "")).split())
    return count_of(n, planned, len(folds), len(set(rows[0]["seeds"].split())))
