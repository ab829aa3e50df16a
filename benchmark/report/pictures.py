"""Every picture that results have data for."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ...datasets.libraries import LibraryError, import_guard
from ...leaderboards.catalog import TABLES
from ...leaderboards.tables.results import Result


def write_pictures(results: list[Result], folder: Path) -> tuple[list[Path], list[str]]:
    """Draws what there is data for, as PNG and PDF.

    Args:
        results: one a job.
        folder: where to, made if need be.

    Returns:
        The files, and why other pictures are not drawn.

    Raises:
        OSError: one cannot be written.
    """
    from ...leaderboards.plots import curves, diagrams
    from ...leaderboards.plots import figure as plots
    from ...leaderboards.tables import risk_coverage

    try:
        with import_guard("matplotlib", "drawing pictures"):
            import matplotlib.figure  # noqa: F401 (whether it can be imported; the plots import it themselves)
    except LibraryError as error:
        return [], [str(error)]
    if not results:
        return [], ["there are no predictions"]
    files: list[Path] = []
    reasons: list[str] = []
    try:
        files.append(plots.write_missing_modalities(TABLES["missing"].make(results), folder))
    except ValueError as error:
        reasons.append(str(error))
    try:
        drawn, lacking = curves.write_robustness_pictures(TABLES["robustness"].make(results), folder)
        files += drawn
        reasons += lacking
    except ValueError as error:
        reasons.append(str(error))
    frame = TABLES["accuracy"].make(results)
    try:
        figure, short = diagrams.critical_differences(frame)
        files += diagrams.write_figure(figure, frame, folder, "critical-difference")
        reasons += short
    except ValueError as error:
        reasons.append(str(error))
    lines, lacking = risk_coverage.curves(result for result in results if not result.bound)
    reasons += lacking
    try:
        figure = diagrams.risk_coverages(lines)
        data = pd.DataFrame({"data": [curve.block[-1] for curve in lines]})
        files += diagrams.write_figure(figure, data, folder, "risk-coverage")
    except ValueError as error:
        reasons.append(str(error))
    return files, reasons
