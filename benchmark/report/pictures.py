"""Every picture that results have data for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ...datasets.libraries import LibraryError, import_guard
from ...leaderboards.catalog import TABLES
from ...leaderboards.tables.results import Result
from ..core.errors import UsageError, nearest
from .view import AS_MADE, View

if TYPE_CHECKING:
    from ...leaderboards.plots.figure import PictureForm


#: The name of the picture that is drawn only where it is asked for: one of every training.
LEARNING_CURVES = "learning-curves"


#: The kinds of files that pictures are written as.
PICTURE_FORMATS = ("png", "pdf", "svg")


def picture_form(formats: Sequence[str]) -> PictureForm:
    """How pictures are written that are asked for as some of ``PICTURE_FORMATS``; UsageError where one is none of them, or
    none is asked for."""
    from ...leaderboards.plots.figure import PictureForm

    for name in formats:
        if name not in PICTURE_FORMATS:
            raise UsageError(f"unknown format {name!r}: {nearest(name, PICTURE_FORMATS)}")
    if not formats:
        raise UsageError(f"--format names no format: any of {','.join(PICTURE_FORMATS)}")
    return PictureForm(tuple(f".{name}" for name in dict.fromkeys(formats)))


def draw_learning_curves(
    results: list[Result], folder: Path, form: PictureForm | None = None
) -> tuple[list[Path], list[str]]:
    """Draws the metric that selects epochs, epoch by epoch, a panel for each method.

    Args:
        results: one a job.
        folder: where to, made if need be.
        form: how they are written; by default as PNG and PDF.

    Returns:
        The files, and why other pictures are not drawn.

    Raises:
        OSError: one cannot be written.
        LibraryError: matplotlib is not installed.
    """
    from ...leaderboards.plots import figure, training

    with import_guard("matplotlib", "drawing pictures"):
        import matplotlib.figure  # noqa: F401 (whether it can be imported)
    try:
        frame = TABLES["training"].make(results)
    except ValueError as error:
        return [], [str(error)]
    return training.write_learning_curves(frame, folder, form or figure.FILES)


def write_pictures(
    results: list[Result],
    folder: Path,
    frames: Mapping[str, pd.DataFrame] | None = None,
    form: PictureForm | None = None,
    view: View = AS_MADE,
) -> tuple[list[Path], list[str]]:
    """Draws what there is data for.

    Args:
        results: one a job.
        folder: where to, made if need be.
        frames: tables of these results that are made already, by name; the others are made.
        form: how they are written; by default as PNG and PDF.
        view: which metric leads, and how many methods are drawn.

    Returns:
        The files, and why other pictures are not drawn.

    Raises:
        OSError: one cannot be written.
    """
    from ...leaderboards.plots import course, curves, diagrams, forest
    from ...leaderboards.plots import figure as plots
    from ...leaderboards.plots import mechanism as mechanism_plots
    from ...leaderboards.tables import mechanism, risk_coverage

    try:
        with import_guard("matplotlib", "drawing pictures"):
            import matplotlib.figure  # noqa: F401 (whether it can be imported; the plots import it themselves)
    except LibraryError as error:
        return [], [str(error)]
    if not results:
        return [], ["there are no predictions"]
    ready, form = dict(frames or {}), form or plots.FILES
    frame = view.leads(ready["accuracy"] if "accuracy" in ready else TABLES["accuracy"].make(results))
    results = view.top_results(results, frame)

    @cache
    def frame_of(name: str) -> pd.DataFrame:
        made = ready[name] if name in ready else TABLES[name].make(results)
        return view.top_rows(view.leads(made), frame)

    files: list[Path] = []
    reasons: list[str] = []
    try:
        missing = frame_of("missing")
        if len(set(missing["method"])) > plots.MOST_LINES:
            files += forest.write_missing_by_method(missing, folder, form)
        else:
            files += plots.write_figure(plots.missing_modalities(missing), missing, folder, "missing", form)
    except ValueError as error:
        reasons.append(str(error))
    try:
        drawn, lacking = curves.write_robustness_pictures(frame_of("robustness"), folder, form)
        files += drawn
        reasons += lacking
    except ValueError as error:
        reasons.append(str(error))
    if any(result.diagnostics is not None for result in results):
        try:
            scored = mechanism.scored_groups([result for result in results if not result.bound])
            drawn, lacking = mechanism_plots.write_mechanism_pictures(scored, folder, form)
            files += drawn
            reasons += lacking
            for word, name, draw in (
                ("agreement", "mechanism", mechanism_plots.correlations),
                ("course", "course", course.course_by_epoch),
            ):
                drawn, lacking = mechanism_plots.write_each(frame_of(name), draw, word, folder, form)
                files += drawn
                reasons += lacking
        except ValueError as error:
            reasons.append(str(error))
    frame = view.top_rows(frame, frame)
    try:
        figure, short = diagrams.critical_differences(frame)
        files += plots.write_figure(figure, frame, folder, "critical-difference", form)
        reasons += short
    except ValueError as error:
        reasons.append(str(error))
    lines, lacking = risk_coverage.curves(result for result in results if not result.bound)
    reasons += lacking
    try:
        figure = diagrams.risk_coverages(lines)
        data = pd.DataFrame({"data": [curve.block[-1] for curve in lines]})
        files += plots.write_figure(figure, data, folder, "risk-coverage", form)
    except ValueError as error:
        reasons.append(str(error))
    return files, reasons
