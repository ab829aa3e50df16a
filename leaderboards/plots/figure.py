"""Pictures of tables. matplotlib is loaded when a picture is drawn, without its global state or a display."""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from ..labels import AVERAGE, CLEAN
from ..render.files import DOTS, file_name, save_figure
from ..render.notes import holes, title
from ..render.text import records
from ..tables.accuracy import condition_label, task_label
from .look import NATURAL, Look, dress

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by colour-blind readers; with the shapes, 7 * 9 methods differ.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
SHAPES = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
# Kinds of lines, as matplotlib names them.
Dash = Literal["-", "--", ":", "-."]


def styles(names: Iterable[str]) -> dict[str, int]:
    """The places of methods among the colours and shapes.

    A method's place follows from its name, and from the names beside it only where they would look alike: it is the same
    whatever the order, the ranks and the task. erm has the first colour. Of seven methods all colours differ, and of 63 all
    pairs of colour and shape.

    Args:
        names: as legends have them.

    Returns:
        Name -> place: of colour ``place % len(COLOURS)`` and shape ``place % len(SHAPES)``.
    """
    places: dict[str, int] = {}
    for name in sorted(set(names), key=lambda name: (name != "erm", name)):
        wanted = 0 if name == "erm" else zlib.crc32(name.encode())
        colours = Counter(place % len(COLOURS) for place in places.values())
        least = min(colours[colour] for colour in range(len(COLOURS)))
        # 7 colours and 9 shapes have no common divisor: every pair of them is one of 63 places.
        tried = [(wanted + step) % (len(COLOURS) * len(SHAPES)) for step in range(len(COLOURS) * len(SHAPES))]
        free = [place for place in tried if place not in places.values()] or tried
        places[name] = next((place for place in free if colours[place % len(COLOURS)] == least), free[0])
    return places


def dashes_of(names: Iterable[str], places: Mapping[str, int]) -> dict[str, Dash]:
    """A kind of line for each method of a picture: another for each of those that have the same colour.

    Args:
        names: of the methods that are drawn.
        places: what ``styles`` gave of all methods.

    Returns:
        Name -> kind of line, as matplotlib names it.
    """
    kinds: tuple[Dash, ...] = ("-", "--", ":", "-.")
    used: Counter[int] = Counter()
    dashes: dict[str, Dash] = {}
    for name in sorted(set(names), key=lambda name: (name != "erm", name)):
        colour = places[name] % len(COLOURS)
        dashes[name] = kinds[used[colour] % len(kinds)]
        used[colour] += 1
    return dashes


def missing_modalities(frame: pd.DataFrame, metric: str | None = None, look: Look = NATURAL) -> Figure:
    """Draws what each method is worth as modalities go missing.

    One panel for each task, modality set, protocol and data; conditions from left to right; a method is a
    shape of one colour at its mean, with its 95 % interval. A hole is a cross at the foot of the panel, where
    its value would stand.

    Args:
        frame: what ``missing`` gave.
        metric: which metric; None for each panel's main one, the frame's first.
        look: says how wide it is.

    Returns:
        The figure; ``figure.savefig(path)`` writes it.

    Raises:
        ValueError: the frame has no rows for the metric.
        ModuleNotFoundError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    if metric is not None:
        frame = frame.loc[frame["metric"] == metric]
    if frame.empty:
        raise ValueError("the table has no rows" + (f" for metric {metric}" if metric else ""))
    panels: list[pd.DataFrame] = []
    for _, rows in frame.groupby(["task", "modalities", "protocol", "data"], sort=False):
        panels.append(rows.loc[rows["metric"] == rows["metric"].iloc[0]])
    methods = styles(frame["method"])
    across = min(2, len(panels))
    most = max(len(set(rows["condition"])) for rows in panels)
    width = look.room(max(7.5, across * max(5.0, 0.95 * most) + 1))
    across = min(across, max(1, int(width / 5)))
    down = math.ceil(len(panels) / across)
    figure = Figure(figsize=(width, look.height_room(4.2 * down + 1)), layout="constrained")
    axes: list[Axes] = list(figure.subplots(down, across, squeeze=False).flat)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    axes = axes[: len(panels)]
    for axis, rows in zip(axes, panels, strict=True):
        _panel(axis, rows, methods, (width - 1) / across / most < 0.75)
    handles, labels = axes[0].get_legend_handles_labels()
    for axis in axes[1:]:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            if label not in labels:
                handles.append(handle)
                labels.append(label)
    entry = 0.6 + 0.09 * max(map(len, labels), default=0)
    columns = max(1, min(6, len(labels), int(width / entry)))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)
    shown = pd.concat(panels)
    gone = "\n× at the foot: no value, the table says why" if holes(shown) else ""
    figure.suptitle(title(shown, "Missing modalities") + gone, fontsize=11)
    return figure


#: Of more methods, curves are drawn of erm and the best: more lines in a panel cannot be told apart.
MOST_LINES = 8


@dataclass(frozen=True)
class PictureForm:
    """How pictures are written.

    Attributes:
        kinds: the kinds of files: ``".png"``, ``".pdf"``.
        dots: an inch, of a PNG file.
        colours: in the palette of a PNG file; None for all.
        look: how large it is, and its letters and lines.
    """

    kinds: tuple[str, ...] = (".png", ".pdf")
    dots: int = DOTS
    colours: int | None = None
    look: Look = NATURAL


#: For print and slides.
FILES = PictureForm()


@dataclass(frozen=True)
class Drawing:
    """A picture that is drawn, and not yet written.

    Attributes:
        stem: how the names of its files begin.
        figure: it.
        data: its column ``data`` says of which data it is.
    """

    stem: str
    figure: Figure
    data: pd.DataFrame


#: Pictures one after the other, and why others are not drawn.
Drawings = Iterator[Drawing | str]


def dressed(drawings: Drawings, look: Look) -> Drawings:
    """The pictures in a look; those that their size does not hold are not drawn.

    Args:
        drawings: laid out for it.
        look: how they shall look.
    """
    for one in drawings:
        if isinstance(one, Drawing):
            try:
                dress(one.figure, look)
            except ValueError as error:
                yield f"{one.stem}: {error}"
                continue
        yield one


def write_drawings(
    drawings: Drawings, folder: Path, form: PictureForm = FILES
) -> tuple[list[Path], list[str]]:
    """Writes pictures, each under a name that says so where its data are synthetic, before the next is drawn. The second of one
    stem has a 2 behind it, as names of datasets may differ in signs that files cannot have.

    Args:
        drawings: the pictures, laid out for the look of the form.
        folder: where to, made if need be.
        form: how they are written.

    Returns:
        The files, and why others are not drawn, each reason once.

    Raises:
        OSError: one cannot be written.
    """
    files: list[Path] = []
    reasons: dict[str, None] = {}
    stems: Counter[str] = Counter()
    for one in dressed(drawings, form.look):
        if isinstance(one, str):
            reasons[one] = None
            continue
        folder.mkdir(parents=True, exist_ok=True)
        stems[one.stem] += 1
        stem = one.stem if stems[one.stem] == 1 else f"{one.stem}-{stems[one.stem]}"
        for suffix in form.kinds:
            path = folder / file_name(one.data, stem, suffix)
            files.append(save_figure(path, one.figure, form.dots, form.colours))
    return files, list(reasons)


def stem_of(words: Iterable[str]) -> str:
    """The stem of a file's name, of words that may hold anything: ``"mechanism-ebmc-width-64"``."""
    return "-".join(re.sub(r"[^\w+]+", "-", word).strip("-") for word in words)


def _panel(axis: Axes, rows: pd.DataFrame, methods: Mapping[str, int], narrow: bool) -> None:
    """The conditions of a narrow panel are written upwards."""
    from matplotlib.collections import LineCollection

    conditions = list(dict.fromkeys(rows["condition"]))
    first = rows.iloc[0]
    scale = 100 if first["unit"] == "fraction" else 1
    lines: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in records(rows.loc[:, ["method", "draw", "condition", "mean", "low", "high"]]):
        lines.setdefault((row["method"], row["draw"]), []).append(row)
    step = 0.7 / max(1, len(lines))
    for place, ((method, draw), mine) in enumerate(lines.items()):
        several = sum(name == method for name, _ in lines) > 1
        style = methods[method]
        colour, shape = COLOURS[style % len(COLOURS)], SHAPES[(style + draw) % len(SHAPES)]
        offset = (place - (len(lines) - 1) / 2) * step
        label = f"{method} (draw {draw})" if several else method
        placed = [(conditions.index(row["condition"]) + offset, row) for row in mine]
        known = [(x, row) for x, row in placed if not math.isnan(row["mean"])]
        lacking = [x for x, row in placed if math.isnan(row["mean"])]
        spans = [[(x, scale * row[end]) for end in ("low", "high")] for x, row in known]
        spans = [span for span in spans if not math.isnan(span[0][1])]
        if spans:
            axis.add_collection(LineCollection(spans, colors=colour, linewidths=1.6))
        if known:
            values = [scale * row["mean"] for _, row in known]
            axis.plot([x for x, _ in known], values, shape, color=colour, markersize=5, label=label)
        if lacking:
            foot, label = axis.get_xaxis_transform(), "_nolegend_" if known else label
            axis.plot(lacking, [0.02] * len(lacking), "x", color=colour, transform=foot, label=label)
    for x, name in enumerate(conditions[1:], start=1):
        heavy = CLEAN in conditions and (conditions[x - 1] == CLEAN or name == AVERAGE)
        axis.axvline(x - 0.5, color="0.6" if heavy else "0.9", linewidth=0.8, zorder=0)
    labels = [condition_label(name).replace(", ", ",\n").replace(" of ", "\nof ") for name in conditions]
    axis.set_xticks(range(len(conditions)), labels, rotation=90 if narrow else 0)
    axis.tick_params(axis="x", labelsize=8, length=0)
    axis.grid(axis="y", color="0.9", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    better = "higher is better" if first["direction"] == "higher" else "lower is better"
    axis.set_ylabel(f"{first['metric']}{' in %' if scale == 100 else ''} ({better})")
    where = fill(f"{task_label(first['task'])}, {first['protocol']}", 70)
    axis.set_title(f"{where}\n{first['modalities']}; {first['data']}", fontsize=9)
