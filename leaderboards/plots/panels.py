"""Panels of one scale beside each other, laid out in inches and drawn with few artists.

matplotlib makes five artists of a tick, and measures all of them twice to lay a figure out: in a picture of twenty
panels that takes far longer than its curves. Here the frame of a panel is three collections and its numbers, and where
panels lie follows from the sizes of the texts between them. Needs matplotlib.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from .figure import COLOURS, SHAPES, Dash
from .look import NATURAL, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

#: Inches: of a panel without its texts, and of what lies beside, over, under and between panels.
_WIDTH, _HEIGHT = 2.2, 1.55
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.78, 0.12, 0.7, 0.46
_BETWEEN, _OVER = 0.28, 0.48
#: Of a line of the legend, and of a mark on an axis.
_LEGEND_LINE, _MARK = 0.22, 3.5 / 72
#: Of a line of the title, and of one of its letters.
_TITLE_LINE, _LETTER = 0.165, 0.078
#: Of the smallest panel that is drawn.
_LEAST_WIDTH, _LEAST_HEIGHT = 1.2, 0.7


@dataclass(frozen=True)
class Band:
    """A curve with its interval.

    Attributes:
        label: what the legend calls it.
        style: its place among the colours and shapes.
        x, mean, low, high: [points]; low and high are NaN where there is no interval.
        dash: the kind of its line, as matplotlib names it.
    """

    label: str
    style: int
    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    dash: Dash = "-"

    @property
    def colour(self) -> str:
        """Of its line and, lighter, of its interval."""
        return COLOURS[self.style % len(COLOURS)]


@dataclass(frozen=True)
class Panel:
    """The curves of a panel under its title."""

    title: str
    bands: Sequence[Band]


def panel_figure(
    panels: Sequence[Panel], x_label: str, y_label: str, title: str, look: Look = NATURAL
) -> Figure:
    """Draws panels, five in a row at the most, on one scale: in panels with their own, what damage does not touch would
    look as bad as what it breaks.

    Args:
        panels: one or more; a panel has a curve at least.
        x_label: what the panels of the lowest row are over.
        y_label: what the first panel of each row shows.
        title: over all of them, of two lines.
        look: says how large it is.

    Returns:
        The figure, with an ``Axes`` for each panel.

    Raises:
        ValueError: the size that was asked for does not hold so many panels.
    """
    from matplotlib.figure import Figure

    legend = list({band.label: band for panel in panels for band in panel.bands}.values())
    down = math.ceil(len(panels) / 5)
    across = math.ceil(len(panels) / down)
    width = look.room(max(7.5, _LEFT + across * _WIDTH + (across - 1) * _BETWEEN + _RIGHT))
    entry = 0.6 + 0.09 * max(len(band.label) for band in legend)
    columns = max(1, min(6, len(legend), int(width / entry)))
    foot = _BOTTOM + _LEGEND_LINE * math.ceil(len(legend) / columns)
    top = _TOP
    if look.width is not None:
        lines = [fill(line, int(width / _LETTER)) for line in title.splitlines()]
        title = "\n".join(lines)
        top += _TITLE_LINE * (title.count("\n") - 1)
        across = _columns(len(panels), width, look.height_room(math.inf) - top - foot)
        down = math.ceil(len(panels) / across)
    height = look.height_room(top + down * _HEIGHT + (down - 1) * _OVER + foot)
    panel_width = (width - _LEFT - _RIGHT - (across - 1) * _BETWEEN) / across
    panel_height = (height - top - foot - (down - 1) * _OVER) / down
    figure = Figure(figsize=(width, height))
    ends = [_padded(*_reach([band.x for band in panel.bands])) for panel in panels]
    low, high = _padded(*_reach([getattr(b, name) for p in panels for b in p.bands for name in _HEIGHTS]))
    for number, panel in enumerate(panels):
        row, column = divmod(number, across)
        left = _LEFT + column * (panel_width + _BETWEEN)
        bottom = height - top - row * (panel_height + _OVER) - panel_height
        axis = figure.add_axes((left / width, bottom / height, panel_width / width, panel_height / height))
        lowest = number + across >= len(panels)
        axis.set_xlim(*ends[number])
        axis.set_ylim(low, high)
        _draw_bands(axis, panel.bands)
        _draw_frame(axis, (panel_width, panel_height), lowest or len(set(ends)) > 1, column == 0)
        axis.set_title(panel.title, fontsize=8)
        if column == 0:
            at = (0.08 - _LEFT) / panel_width
            beside = axis.text(at, 0.5, y_label, transform=axis.transAxes, rotation=90, fontsize=8)
            beside.set(ha="left", va="center", multialignment="center")
        if lowest:
            axis.text(
                0.5,
                -0.24 / panel_height,
                x_label,
                transform=axis.transAxes,
                ha="center",
                va="top",
                fontsize=8,
            )
    figure.legend(
        handles=[_line(band) for band in legend],
        loc="lower center",
        ncols=columns,
        frameon=False,
        borderaxespad=0.1,
    )
    figure.suptitle(title, fontsize=10, y=1 - 0.08 / height, va="top")
    return figure


_HEIGHTS = ("mean", "low", "high")


def _columns(count: int, width: float, height: float) -> int:
    """How many panels stand in a row of a width, so that all have room in a height: the fewer, the wider is each.

    Raises:
        ValueError: there is no room for all.
    """
    fits = lambda least: max(1, int((width - _LEFT - _RIGHT + _BETWEEN) / (least + _BETWEEN)))  # noqa: E731
    fewest, most = min(count, 5, fits(0.8 * _WIDTH)), min(count, fits(_LEAST_WIDTH))
    for across in range(fewest, max(fewest, most) + 1):
        down = math.ceil(count / across)
        if (height - (down - 1) * _OVER) / down >= _LEAST_HEIGHT:
            return math.ceil(count / down)
    panels = f"{count} panel{'s'[: count != 1]}"
    raise ValueError(
        f"the size does not hold {panels}: ask for a larger --size, or for fewer tasks or methods"
    )


def _reach(values: Sequence[np.ndarray]) -> tuple[float, float]:
    """The least and the largest finite number."""
    known = np.concatenate(values)
    known = known[np.isfinite(known)]
    return float(known.min()), float(known.max())


def _padded(low: float, high: float) -> tuple[float, float]:
    """A twentieth more at either end."""
    more = 0.05 * (high - low) or 0.05 * abs(high) or 0.05
    return low - more, high + more


def _line(band: Band) -> Line2D:
    """With its markers."""
    from matplotlib.lines import Line2D

    return Line2D(
        band.x,
        band.mean,
        color=band.colour,
        linestyle=band.dash,
        marker=SHAPES[band.style % len(SHAPES)],
        markersize=3,
        linewidth=1.2,
        label=band.label,
    )


def _draw_bands(axis: Axes, bands: Sequence[Band]) -> None:
    """Intervals first, as one collection, then the lines."""
    from matplotlib.collections import PolyCollection

    outlines, colours = [], []
    for band in bands:
        known = np.isfinite(band.low) & np.isfinite(band.high)
        for points in _runs(known):
            x = band.x[points]
            outlines.append(
                np.column_stack(
                    [np.r_[x, x[::-1]], np.r_[band.low[points], band.high[points][::-1]]],
                )
            )
            colours.append(band.colour)
        axis.add_line(_line(band))
    axis.add_collection(
        PolyCollection(outlines, facecolors=colours, alpha=0.15, linewidths=0, zorder=1), autolim=False
    )


def _runs(known: np.ndarray) -> list[np.ndarray]:
    """The places of each stretch of True."""
    places = np.flatnonzero(known)
    return [run for run in np.split(places, np.flatnonzero(np.diff(places) > 1) + 1) if len(run)]


def _draw_frame(axis: Axes, size: tuple[float, float], x_numbers: bool, y_numbers: bool) -> None:
    """Grid and axes with their marks, and numbers where no other panel has the same, in the place of matplotlib's own."""
    from matplotlib.collections import LineCollection
    from matplotlib.ticker import NullLocator

    axis.set_axis_off()
    for own in (axis.xaxis, axis.yaxis):
        own.set_major_locator(NullLocator())
    (left, right), (low, high) = axis.get_xlim(), axis.get_ylim()
    across = _ticks(left, right, min(6, int(size[0] / 0.3)))
    up = _ticks(low, high, min(8, int(size[1] / 0.19)))
    grid = [[(x, low), (x, high)] for x, _ in across] + [[(left, y), (right, y)] for y, _ in up]
    axis.add_collection(LineCollection(grid, colors="0.9", linewidths=0.6, zorder=0.5), autolim=False)
    below, beside = (high - low) * _MARK / size[1], (right - left) * _MARK / size[0]
    marks = [[(x, low), (x, low - below)] for x, _ in across] + [
        [(left, y), (left - beside, y)] for y, _ in up
    ]
    edges = [[(left, high), (left, low), (right, low)]]
    axis.add_collection(
        LineCollection([*edges, *marks], colors="black", linewidths=0.8, zorder=2.5, clip_on=False),
        autolim=False,
    )
    for x, text in across if x_numbers else ():
        axis.text(x, low - 2 * below, text, ha="center", va="top", fontsize=7)
    for y, text in up if y_numbers else ():
        axis.text(left - 2 * beside, y, text, ha="right", va="center_baseline", fontsize=7)


def _ticks(low: float, high: float, most: int) -> list[tuple[float, str]]:
    """Round numbers within a range, and how they are written."""
    from matplotlib.ticker import MaxNLocator, ScalarFormatter

    places = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    places = [float(place) for place in places if low <= place <= high]
    written = ScalarFormatter()
    written.create_dummy_axis()
    if written.axis is not None:
        written.axis.set_view_interval(low, high)
    return list(zip(places, written.format_ticks(places), strict=True))
