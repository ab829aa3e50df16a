"""Pictures of robustness: curves over severities and rates, and the reliability surface. Needs matplotlib."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..labels import CLEAN, KEYS
from ..render.notes import title
from ..render.text import records
from ..tables.accuracy import task_label
from ..tables.robustness import GRID, RATES, SEVERITIES, VOLUME, reliability_point
from .figure import MOST_LINES, Dash, Drawing, Drawings, dashes_of, stem_of, styles
from .look import NATURAL, Look
from .panels import Band, Panel, panel_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What of a row is drawn or said of it.
_DRAWN = ("metric", "unit", "direction", "mean", "low", "high")
# A panel as it is asked for: its title, the values along its axis, and the condition at a value.
Asked = tuple[str, Sequence[float], Callable[[float], str]]


def degradation(frame: pd.DataFrame, look: Look = NATURAL) -> Figure:
    """The main metric against severity: one panel for each corruption and modality and one for their mean, a line
    with its 95 % interval for each method.

    Args:
        frame: the rows of one block (task, modalities, protocol and data) of what ``robustness`` gave.
        look: says how large it is.

    Raises:
        ValueError: no corruption of five severities was tested, or none has a value.
    """
    kinds = sorted(
        {match[1] for name in frame["condition"] if (match := re.fullmatch(r"([^@]+:[^@]+)@5", name))}
    )
    if not kinds:
        raise ValueError("no corruption was tested: run with --corruptions features")
    panels: list[Asked] = [("mean of all", SEVERITIES, lambda s: f"mean_severity@{s:.0f}")]
    for kind in kinds:
        panels.append((kind.replace(":", ", "), SEVERITIES, lambda s, kind=kind: f"{kind}@{s:.0f}"))
    return _curves(frame, panels, "severity", "Under corruption", look)


def missing_rates(frame: pd.DataFrame, look: Look = NATURAL) -> Figure:
    """The main metric against the share of modalities, or of frames, that is missing; as ``degradation``.

    Raises:
        ValueError: no missing rate was tested, or none has a value.
    """
    tested = set(frame["condition"])
    panels: list[Asked] = [
        (kind.replace("-", " "), rates, lambda rate, kind=kind: f"{kind}@{rate:.1f}")
        for kind, rates in RATES.items()
        if f"{kind}@{rates[0]:.1f}" in tested
    ]
    if not panels:
        raise ValueError("no missing rate was tested: run with --corruptions missing-rates")
    return _curves(frame, panels, "missing rate", "At missing rates", look)


def reliability_surface(frame: pd.DataFrame, look: Look = NATURAL) -> Figure:
    """The main metric over noise and missing rate: one panel a row of the table, its volume in the title.

    Args:
        frame: what ``robustness`` gave.
        look: says how large it is.

    Raises:
        ValueError: the grid was not tested, or not the whole of it by any method.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    surfaces: list[tuple[tuple[str, ...], np.ndarray, dict[str, Any]]] = []
    tested = VOLUME in set(frame["condition"])
    for keys, rows in _groups(frame).items() if tested else ():
        volume = rows.get(VOLUME)
        if volume is None or math.isnan(volume["mean"]):
            continue
        scale = _scale(volume)
        heights = [[scale * rows[reliability_point(x, y)]["mean"] for x in GRID] for y in GRID]
        surfaces.append(((task_label(keys[0]), *keys[1:]), np.array(heights), volume))
    if not surfaces:
        raise ValueError("the reliability grid was not tested: run with --corruptions reliability")
    across = min(3, len(surfaces))
    width = look.room(max(7.5, 3.6 * across + 1.2))
    across = min(across, max(1, int(width / 2.2)))
    down = math.ceil(len(surfaces) / across)
    figure = Figure(figsize=(width, look.height_room(4.0 * down + 0.6)), layout="constrained")
    figure.set_layout_engine("constrained", h_pad=0.12)
    axes = list(figure.subplots(down, across, squeeze=False).flat)
    low = min(float(heights.min()) for _, heights, _ in surfaces)
    high = max(float(heights.max()) for _, heights, _ in surfaces)
    levels = MaxNLocator(8).tick_values(low, high)
    image = None
    shared, names = _shared_names([keys for keys, _, _ in surfaces])
    for number, (axis, name, (_, heights, volume)) in enumerate(zip(axes, names, surfaces, strict=False)):
        image = axis.imshow(heights, origin="lower", extent=(-0.05, 0.95, -0.05, 0.95), vmin=low, vmax=high)
        # The same levels everywhere: with its own, a flat surface would show nothing but its noise.
        within = [level for level in levels if heights.min() < level < heights.max()]
        if within:
            lines = axis.contour(GRID, GRID, heights, levels=within, colors="white", linewidths=0.7)
            axis.clabel(lines, fontsize=7)
        axis.set_title(f"{name}\nvolume {_scale(volume) * volume['mean']:#.3g}", fontsize=8)
        axis.set_xlabel("noise, in deviations", fontsize=8)
        if number % across == 0:
            axis.set_ylabel("missing rate of frames", fontsize=8)
        axis.tick_params(labelsize=7)
    for axis in axes[len(surfaces) :]:
        axis.set_visible(False)
    if image is not None:
        figure.colorbar(image, ax=axes, label=_label(surfaces[0][2]), shrink=0.8)
    # A surface is of means: it shows no interval.
    shown = frame.loc[frame["condition"] == VOLUME].assign(interval="none")
    figure.suptitle("\n".join([title(shown, "Reliability surface"), *shared]), fontsize=10)
    return figure


def _shared_names(groups: Sequence[tuple[str, ...]]) -> tuple[list[str], list[str]]:
    """What panels have in common, to be said once, and what is said of each.

    Args:
        groups: of each panel: the values of ``KEYS``, then its method.

    Returns:
        A line for the title of the picture, where there is one; the name of each panel. Data that all share are left out: the
        title has them.
    """
    same = [place for place in range(len(KEYS)) if len({group[place] for group in groups}) == 1]
    words = "; ".join(groups[0][place] for place in same if KEYS[place] != "data")
    own = [[group[place] for place in range(len(KEYS)) if place not in same] for group in groups]
    names = [
        "\n".join([group[-1], *([", ".join(those)] if those else [])])
        for group, those in zip(groups, own, strict=True)
    ]
    return [words] if words else [], names


# A picture a block: the panels of several would not fit on a page.
CURVES: dict[str, Callable[[pd.DataFrame, Look], Figure]] = {
    "degradation": degradation,
    "missing-rates": missing_rates,
}


def curve_pictures(frame: pd.DataFrame, stem: str, look: Look = NATURAL) -> Drawings:
    """The curves of every block; with several blocks, their names say which.

    Args:
        frame: what ``robustness`` gave.
        stem: which, a key of ``CURVES``.
        look: says how large they are.

    Yields:
        Pictures, and why others are not drawn.
    """
    blocks = {
        tuple(str(rows[name].iloc[0]) for name in KEYS): rows
        for _, rows in frame.groupby(list(KEYS), sort=False, dropna=False)
    }
    drawn: dict[tuple[str, ...], Figure] = {}
    lacking: dict[tuple[str, ...], str] = {}
    for block, rows in blocks.items():
        try:
            drawn[block] = CURVES[stem](rows, look)
        except ValueError as error:
            lacking[block] = str(error)
    for name, (block, figure) in zip(_names(stem, list(drawn)), drawn.items(), strict=True):
        yield Drawing(name, figure, blocks[block])
    if drawn:
        yield from (f"{stem} of {', '.join(block)}: {reason}" for block, reason in lacking.items())
    else:
        yield from dict.fromkeys(lacking.values())


def surface_pictures(frame: pd.DataFrame, look: Look = NATURAL) -> Drawings:
    """``reliability_surface`` as one picture, or why it is not drawn; arguments as of it."""
    try:
        yield Drawing("reliability", reliability_surface(frame, look), frame)
    except ValueError as error:
        yield str(error)


def _names(stem: str, blocks: Sequence[tuple[str, ...]]) -> list[str]:
    """A name for each block, of what tells it from the others: ``"degradation-text+audio"``."""
    differing = [place for place, values in enumerate(zip(*blocks, strict=True)) if len(set(values)) > 1]
    names = [stem_of([stem, *(block[place] for place in differing)]) for block in blocks]
    # Some file systems take names for the same that differ in case or in how an accent is encoded.
    if len({unicodedata.normalize("NFKC", name).casefold() for name in names}) < len(names):
        return [f"{name}-{number}" for number, name in enumerate(names, start=1)]
    return names


def _groups(frame: pd.DataFrame) -> dict[tuple[str, ...], dict[str, dict[str, Any]]]:
    """Task, modalities, protocol, data, method -> condition -> row."""
    groups: dict[tuple[str, ...], dict[str, dict[str, Any]]] = {}
    for row in records(frame.loc[:, [*KEYS, "method", "draw", "condition", *_DRAWN]]):
        key = tuple(str(row[name]) for name in (*KEYS, "method"))
        if row["draw"]:
            key = (*key[:-1], f"{key[-1]} (draw {row['draw']})")
        groups.setdefault(key, {})[row["condition"]] = row
    return groups


def _curves(frame: pd.DataFrame, panels: Sequence[Asked], axis_name: str, subject: str, look: Look) -> Figure:
    every = _groups(frame)
    groups = _most_telling(every)
    blocks = list(dict.fromkeys(key[:-1] for key in groups))
    if len(blocks) > 1:
        raise ValueError(
            f"curves are drawn of one task, modality set, protocol and data, not of {len(blocks)}"
        )
    valued = {name for rows in groups.values() for name, row in rows.items() if not math.isnan(row["mean"])}
    panels = [panel for panel in panels if any(panel[2](value) in valued for value in panel[1])]
    if not panels:
        raise ValueError("no method has a value")
    places = styles(key[-1] for key in every)
    dashes = dashes_of((key[-1] for key in groups), places)
    drawn = [
        Panel(
            name,
            [
                band
                for key, rows in groups.items()
                if (band := _band(rows, values, condition, places[key[-1]], key[-1], dashes[key[-1]]))
            ],
        )
        for name, values, condition in panels
    ]
    of = title(frame.loc[frame["condition"] == CLEAN], subject)
    task, *rest = blocks[0][:-1]
    some = [f"erm and the best on clean data, {len(groups)} of {len(every)} methods"]
    words = [task_label(task), *rest, *(some if len(groups) < len(every) else [])]
    y_label = _label(next(iter(groups.values()))[CLEAN])
    return panel_figure(drawn, axis_name, y_label, f"{of}\n{'; '.join(words)}", look)


def _most_telling(
    groups: dict[tuple[str, ...], dict[str, dict[str, Any]]],
) -> dict[tuple[str, ...], dict[str, dict[str, Any]]]:
    """All methods, or erm and the best ``MOST_LINES`` - 1 others on clean data, in their order."""
    if len(groups) <= MOST_LINES:
        return groups

    def place(key: tuple[str, ...]) -> tuple[bool, float]:
        row = groups[key].get(CLEAN, {"mean": math.nan, "direction": "higher"})
        worse = row["mean"] if row["direction"] == "lower" else -row["mean"]
        return key[-1].partition("(")[0] != "erm", math.inf if math.isnan(worse) else worse

    chosen = set(sorted(groups, key=place)[:MOST_LINES])
    return {key: rows for key, rows in groups.items() if key in chosen}


def _band(
    rows: Mapping[str, dict[str, Any]],
    values: Sequence[float],
    condition: Callable[[float], str],
    style: int,
    label: str,
    dash: Dash,
) -> Band | None:
    """The curve of a method from clean data on, without points that have no value; None where none has."""
    points = [(0.0, CLEAN), *((float(value), condition(value)) for value in values)]
    known = [(x, rows[name]) for x, name in points if name in rows and not math.isnan(rows[name]["mean"])]
    if not known:
        return None
    scale = _scale(known[0][1])
    x = np.array([place for place, _ in known])
    mean, low, high = (scale * np.array([row[name] for _, row in known]) for name in ("mean", "low", "high"))
    return Band(label, style, x, mean, low, high, dash)


def _scale(row: dict[str, Any]) -> int:
    return 100 if row["unit"] == "fraction" else 1


def _label(row: dict[str, Any]) -> str:
    arrow = "higher is better" if row["direction"] == "higher" else "lower is better"
    return f"{row['metric']}{' in %' if _scale(row) == 100 else ''}\n({arrow})"
