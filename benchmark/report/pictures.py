"""Every picture of results, by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ...datasets.libraries import LibraryError, import_guard
from ...leaderboards.catalog import TABLES
from ...leaderboards.tables.results import Result
from ..core.errors import UsageError, nearest
from ..core.strings import as_list
from .view import AS_MADE, View

if TYPE_CHECKING:
    from ...leaderboards.plots.figure import Drawings, PictureForm
    from ...leaderboards.plots.look import Look


#: The name of the picture that is drawn only where it is asked for: one of every training.
LEARNING_CURVES = "learning-curves"

#: The kinds of files that pictures are written as.
PICTURE_FORMATS = ("png", "pdf", "svg")

#: Millimetres of an inch, and the least and largest side of a picture in inches.
_MM, _LEAST, _MOST = 25.4, 1.0, 60.0


def picture_look(size: str, style: str) -> Look:
    """How pictures look.

    Args:
        size: ``WIDTHxHEIGHT`` in inches, or in millimetres with ``mm`` behind it; empty for that of the style.
        style: one of ``leaderboards.plots.look.STYLES``; empty for pictures as they were laid out.

    Raises:
        UsageError: an unknown style, or no size.
    """
    from ...leaderboards.plots.look import NATURAL, STYLES

    if style and style not in STYLES:
        raise UsageError(f"--style {style!r}: {nearest(style, STYLES)}")
    look = STYLES[style] if style else NATURAL
    if not size:
        return look
    found = re.fullmatch(r"(\d+(?:\.\d+)?)x(\d+(?:\.\d+)?)(in|mm)?", size.replace(" ", ""))
    if found is None:
        raise UsageError(
            f"--size {size!r}: write WIDTHxHEIGHT in inches, such as 3.3x2.5, or in millimetres: 84x64mm"
        )
    width, height = (float(side) / (_MM if found[3] == "mm" else 1) for side in found.groups()[:2])
    if not all(_LEAST <= side <= _MOST for side in (width, height)):
        raise UsageError(f"--size {size!r}: each side is {_LEAST:g} to {_MOST:g} inches (25.4 mm an inch)")
    return look.sized(width, height)


def picture_form(formats: Sequence[str], size: str = "", style: str = "") -> PictureForm:
    """How pictures are written.

    Args:
        formats: some of ``PICTURE_FORMATS``.
        size: as ``picture_look`` takes it.
        style: as ``picture_look`` takes it.

    Raises:
        UsageError: an unknown format, or none; or as ``picture_look``.
    """
    from ...leaderboards.plots.figure import PictureForm

    for name in formats:
        if name not in PICTURE_FORMATS:
            raise UsageError(f"unknown format {name!r}: {nearest(name, PICTURE_FORMATS)}")
    if not formats:
        raise UsageError(f"--format names no format: any of {','.join(PICTURE_FORMATS)}")
    kinds = tuple(f".{name}" for name in dict.fromkeys(formats))
    return PictureForm(kinds, look=picture_look(size, style))


class Source:
    """What pictures are drawn from.

    Args:
        results: one a job.
        frames: tables of these results that are made already, by name; the others are made.
        view: which metric leads, and how many methods are drawn.
        look: says how large the pictures are.
    """

    def __init__(
        self, results: list[Result], frames: Mapping[str, pd.DataFrame], view: View, look: Look
    ) -> None:
        self.look = look
        self._made = dict(frames)
        self._view = view
        self._all = results
        # A Source lives as long as its pictures are drawn.
        self.frame = cache(self._frame)
        self.accuracy = cache(self._accuracy)

    @property
    def results(self) -> list[Result]:
        """Of the methods that are drawn."""
        return self._view.top_results(self._all, self.accuracy()) if self._view.top else self._all

    def _accuracy(self) -> pd.DataFrame:
        """Of all methods."""
        made = self._made.get("accuracy")
        return self._view.leads(TABLES["accuracy"].make(self._all) if made is None else made)

    def _frame(self, name: str) -> pd.DataFrame:
        """A table of the methods that are drawn; ValueError where there is nothing for it."""
        if name == "accuracy":
            return self._view.top_rows(self.accuracy(), self.accuracy())
        made = self._made[name] if name in self._made else TABLES[name].make(self.results)
        return self._view.top_rows(self._view.leads(made), self.accuracy())


def _missing(source: Source) -> Drawings:
    from ...leaderboards.plots import figure, forest

    frame = source.frame("missing")
    if len(set(frame["method"])) > figure.MOST_LINES:
        yield from forest.forest_pictures(frame, source.look)
    else:
        yield figure.Drawing("missing", figure.missing_modalities(frame, look=source.look), frame)


def _curves(stem: str) -> Callable[[Source], Drawings]:
    def drawings(source: Source) -> Drawings:
        from ...leaderboards.plots.curves import curve_pictures

        return curve_pictures(source.frame("robustness"), stem, source.look)

    return drawings


def _reliability(source: Source) -> Drawings:
    from ...leaderboards.plots.curves import surface_pictures

    return surface_pictures(source.frame("robustness"), source.look)


def _mechanism(source: Source) -> Drawings:
    from ...leaderboards.plots.mechanism import mechanism_pictures
    from ...leaderboards.tables.mechanism import scored_groups

    return mechanism_pictures(scored_groups([one for one in source.results if not one.bound]))


def _agreement(source: Source) -> Drawings:
    from ...leaderboards.plots.mechanism import correlations, pictures_of_each

    return pictures_of_each(source.frame("mechanism"), correlations, "agreement")


def _course(source: Source) -> Drawings:
    from ...leaderboards.plots.course import course_by_epoch
    from ...leaderboards.plots.mechanism import pictures_of_each

    return pictures_of_each(source.frame("course"), course_by_epoch, "course")


def _critical_difference(source: Source) -> Drawings:
    from ...leaderboards.plots.diagrams import rank_pictures

    return rank_pictures(source.frame("accuracy"))


def _risk_coverage(source: Source) -> Drawings:
    from ...leaderboards.plots.diagrams import risk_pictures
    from ...leaderboards.tables.risk_coverage import curves

    lines, lacking = curves(one for one in source.results if not one.bound)
    return chain(lacking, risk_pictures(lines, source.look))


def _learning_curves(source: Source) -> Drawings:
    from ...leaderboards.plots.training import training_pictures

    return training_pictures(source.frame("training"), source.look)


#: Name -> the pictures of it, and why others are not drawn; ValueError where there is nothing to draw them from.
PICTURES: dict[str, Callable[[Source], Drawings]] = {
    "missing": _missing,
    "degradation": _curves("degradation"),
    "missing-rates": _curves("missing-rates"),
    "reliability": _reliability,
    "mechanism": _mechanism,
    "agreement": _agreement,
    "course": _course,
    "critical-difference": _critical_difference,
    "risk-coverage": _risk_coverage,
    LEARNING_CURVES: _learning_curves,
}
#: Those that are drawn of diagnostics, which few networks keep: without any, none of them is missed.
_OF_DIAGNOSTICS = ("mechanism", "agreement", "course")


def chosen_pictures(which: str | Sequence[str]) -> list[str]:
    """The names of the pictures that were asked for; none where none was.

    Args:
        which: names, or one text with commas between them.

    Raises:
        UsageError: there is no picture of a name.
    """
    names = as_list(which if isinstance(which, str) else list(which))
    for name in names:
        if name not in PICTURES:
            raise UsageError(f"unknown picture {name!r}: {nearest(name, PICTURES)}")
    return names


def _drawings(results: list[Result], asked: Sequence[str], source: Source) -> Drawings:
    """Pictures one after the other, each drawn when it is asked for, and why others are not drawn: of the names, or all
    that there is data for but learning curves."""
    if not results:
        yield "there are no predictions"
        return
    kept = any(result.diagnostics is not None for result in results)
    for name in asked or PICTURES:
        if name in _OF_DIAGNOSTICS and not kept:
            if asked:
                yield f"{name}: no diagnostics were kept: run with --diagnostics"
        elif asked or name != LEARNING_CURVES:
            try:
                yield from PICTURES[name](source)
            except ValueError as error:
                yield str(error)


def write_pictures(
    results: list[Result],
    folder: Path,
    frames: Mapping[str, pd.DataFrame] | None = None,
    form: PictureForm | None = None,
    view: View = AS_MADE,
    which: str | Sequence[str] = "",
) -> tuple[list[Path], list[str]]:
    """Draws what there is data for.

    Args:
        results: one a job.
        folder: where to, made if need be.
        frames: tables of these results that are made already, by name; the others are made.
        form: how they are written; by default as PNG and PDF.
        view: which metric leads, and how many methods are drawn.
        which: as ``chosen_pictures`` takes it.

    Returns:
        The files, and why other pictures are not drawn.

    Raises:
        UsageError: there is no picture of a name.
        OSError: one cannot be written.
    """
    from ...leaderboards.plots.figure import FILES, write_drawings

    names = chosen_pictures(which)
    try:
        _require_matplotlib()
    except LibraryError as error:
        return [], [str(error)]
    form = form or FILES
    source = Source(results, frames or {}, view, form.look)
    return write_drawings(_drawings(results, names, source), folder, form)


def draw_pictures(
    results: list[Result], which: str | Sequence[str], look: Look, view: View = AS_MADE
) -> Drawings:
    """Pictures that are not written.

    Args:
        results: one a job.
        which: as ``chosen_pictures`` takes it.
        look: how they look.
        view: which metric leads, and how many methods are drawn.

    Returns:
        Pictures, and why others are not drawn.

    Raises:
        UsageError: there is no picture of a name.
        LibraryError: matplotlib is not installed.
    """
    from ...leaderboards.plots.figure import dressed

    names = chosen_pictures(which)
    _require_matplotlib()
    return dressed(_drawings(results, names, Source(results, {}, view, look)), look)


def _require_matplotlib() -> None:
    """Sees whether it can be imported; the plots import it themselves."""
    with import_guard("matplotlib", "drawing pictures"):
        import matplotlib.figure  # noqa: F401
