"""How large pictures are, and their letters and lines: for a paper, a projector, or as they were laid out."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from textwrap import fill
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox, BboxBase


@dataclass(frozen=True)
class Look:
    """How a picture looks.

    Attributes:
        width: inches; None for as wide as it was laid out.
        height: inches; None for as high as it was laid out.
        letters: factor of the sizes of all texts, which are 7 to 11 points.
        largest: points of the largest text, before that factor; None for as large as it was laid out.
        lines: factor of the widths of all lines and of the sizes of all markers.
    """

    width: float | None = None
    height: float | None = None
    letters: float = 1.0
    lines: float = 1.0
    largest: float | None = None

    def room(self, natural: float) -> float:
        """The width that a layout has, in inches of a picture with letters of their own size.

        Args:
            natural: what it takes where no width is asked for.
        """
        return natural if self.width is None else self.width / self.letters

    def height_room(self, natural: float) -> float:
        """The height that a layout has, as ``room``."""
        return natural if self.height is None else self.height / self.letters

    def sized(self, width: float, height: float) -> Look:
        """The same in another size, in inches."""
        return replace(self, width=width, height=height)


#: As pictures were laid out.
NATURAL = Look()
#: Two-column papers have a text of about 7 inches and captions of 8 to 9 points; a slide of 16:9 is 13.33 x 7.5 inches.
STYLES = {
    "paper": Look(width=7.0, lines=0.8, largest=8.0),
    "slide": Look(width=13.33, height=7.5, letters=1.8, lines=1.8),
}


#: Inches of the smallest panel that can be read, before ``letters``; and points that texts may overlap.
_LEAST_WIDTH, _LEAST_HEIGHT, _OVERLAP = 0.6, 0.3, 2.0
#: The width of a letter as a share of its size.
_LETTER = 0.55


def dress(figure: Figure, look: Look) -> None:
    """Gives a figure its size, and its letters and lines theirs. One whose look is ``NATURAL`` is left as it is.

    Args:
        figure: laid out in ``look.room``.
        look: how it shall look.

    Raises:
        ValueError: the size does not hold it.
    """
    if look == NATURAL:
        return
    width, height = (side * look.letters for side in figure.get_size_inches())
    figure.set_size_inches(look.width or width, look.height or height)
    title = getattr(figure, "_suptitle", None)
    if title is not None:
        title.set_wrap(True)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        figure.draw_without_rendering()  # makes the ticks
        _scale_artists(figure, look)
        figure.draw_without_rendering()
        _wrap_titles(figure)
        said.clear()
        figure.draw_without_rendering()
    if any("collapsed" in str(one.message) for one in said) or _is_crowded(figure, look):
        width, height = figure.get_size_inches()
        raise ValueError(
            f"{width:.3g} x {height:.3g} inches do not hold it: ask for a larger --size, or for fewer tasks or methods"
        )


def _scale_artists(figure: Figure, look: Look) -> None:
    from matplotlib.collections import Collection
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

    size = lambda points: look.letters * min(points, look.largest or points)  # noqa: E731
    ticks = [(axis, _tick_sizes(axis)) for axis in _axes_of(figure)]
    for text in figure.findobj(Text):
        text.set_fontsize(size(text.get_fontsize()))  # type: ignore[attr-defined]
    for line in figure.findobj(Line2D):
        line.set_linewidth(line.get_linewidth() * look.lines)  # type: ignore[attr-defined]
        line.set_markersize(line.get_markersize() * look.lines)  # type: ignore[attr-defined]
    for lines in figure.findobj(Collection):
        lines.set_linewidth([width * look.lines for width in lines.get_linewidth()])  # type: ignore[attr-defined]
    # Ticks that a picture of another size gets are made of these.
    for axis, (letters, length, width) in ticks:
        axis.set_tick_params(labelsize=size(letters), length=length * look.letters, width=width * look.lines)


def _wrap_titles(figure: Figure) -> None:
    """Titles and labels of panels in lines no longer than the panel is wide."""
    for axes in _panels(figure):
        width = axes.get_window_extent().width / figure.dpi
        for text in (axes.title, axes.xaxis.label):
            most = max(8, int(width * 72 / (_LETTER * float(text.get_fontsize()))))
            lines = text.get_text().splitlines()
            if any(len(line) > most for line in lines):
                text.set_text("\n".join(fill(line, most, break_long_words=False) for line in lines))


def _is_crowded(figure: Figure, look: Look) -> bool:
    """Whether a panel is too small to be read, a text leaves the picture, or titles or labels of panels overlap."""
    points = figure.dpi / 72
    least = (_LEAST_WIDTH * look.letters * figure.dpi, _LEAST_HEIGHT * look.letters * figure.dpi)
    whole = figure.bbox.padded(_OVERLAP * points)
    words: list[Bbox] = []
    for axes in _panels(figure):
        box = axes.get_window_extent()
        if box.width < least[0] or box.height < least[1]:
            return True
        own = [axes.title, axes.xaxis.label, axes.yaxis.label]
        words += [text.get_window_extent() for text in own if text.get_text() and text.get_visible()]
        beside = [*axes.texts, *filter(None, [axes.get_legend()])]
        if any(not _holds(whole, one.get_window_extent()) for one in beside):
            return True
    if any(not _holds(whole, box) for box in [*words, *(one.get_window_extent() for one in figure.legends)]):
        return True
    inner = [box.padded(-_OVERLAP * points) for box in words]
    return any(one.overlaps(other) for place, one in enumerate(inner) for other in inner[:place])


def _holds(whole: BboxBase, box: BboxBase) -> bool:
    return whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0 and box.y1 <= whole.y1


def _panels(figure: Figure) -> list[Axes]:
    """The visible ones, without scales of colours."""
    return [axes for axes in figure.axes if axes.get_visible() and axes.get_label() != "<colorbar>"]


def _axes_of(figure: Figure) -> Iterator[Axis]:
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_major_ticks():
                yield axis


def _tick_sizes(axis: Axis) -> tuple[float, float, float]:
    """Points: letters, length and width of the ticks of an axis."""
    tick = axis.get_major_ticks()[0]
    return (
        float(tick.label1.get_fontsize()),
        tick.tick1line.get_markersize(),
        tick.tick1line.get_markeredgewidth(),
    )
