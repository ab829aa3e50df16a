"""Pictures of the inner quantities of methods under damage. Needs matplotlib."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

import pandas as pd

from ..labels import CLEAN, REAL, SYNTHETIC
from ..tables.accuracy import task_label
from ..tables.diagnostic_scores import MEAN, name_of
from ..tables.mechanism import Scored, estimate, severity_mean
from ..tables.robustness import SEVERITIES
from .figure import COLOURS, FILES, SHAPES, PictureForm, stem_of, write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def diagnostics_by_severity(scored: Scored) -> Figure:
    """The diagnostics of one method against severity, with their 95 % intervals over seeds and samples.

    A column of panels for each modality that was damaged, the mean over the kinds of damage to it; a row for the
    diagnostics whose names begin alike, such as the trust in each modality, on one scale.

    Args:
        scored: the diagnostics, of ``tables.mechanism.scored_groups``.

    Raises:
        ValueError: they were kept under no damage of five severities, or have no value.
        ModuleNotFoundError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    broken = [name for name in scored.broken if _levels(scored, name)]
    if not broken:
        raise ValueError("no damage of five severities: run with --corruptions features and --diagnostics")
    families: dict[str, list[str]] = {}
    for diagnostic in scored.diagnostics:
        if math.isnan(estimate(scored.cells[name_of(MEAN, diagnostic, CLEAN)])[0]):
            continue
        families.setdefault(_family(diagnostic), []).append(diagnostic)
    lines = {name: _lines(scored, name, broken) for name in families}
    if not families:
        raise ValueError("the diagnostics have no value: the table says why")
    down, across = len(families), len(broken)
    figure = Figure(figsize=(max(7.0, 3.4 * across + 1.8), 1.9 * down + 1.2), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False, sharey="row", sharex=True)
    for row, (family, diagnostics) in enumerate(families.items()):
        for column, modality in enumerate(broken):
            axis: Axes = axes[row][column]
            for style, diagnostic in enumerate(diagnostics):
                _line(axis, lines[family][diagnostic, modality], style, _label(diagnostic))
            axis.grid(color="0.9", linewidth=0.6)
            axis.spines[["top", "right"]].set_visible(False)
            axis.tick_params(labelsize=7)
            axis.set_xticks([0, *SEVERITIES])
            if row == 0:
                axis.set_title(f"{modality} damaged: {_kinds(scored, modality)}", fontsize=8)
            if row == down - 1:
                axis.set_xlabel("severity (0: clean)", fontsize=8)
        axes[row][0].set_ylabel(fill(family, 18), fontsize=8)
        if len(diagnostics) > 1:
            axes[row][-1].legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    block, seeds = scored.group.block, len(scored.group.results)
    data = SYNTHETIC if block.synthetic else f"{REAL} data"
    figure.suptitle(
        f"Diagnostics of {_method(scored)} under damage ({data}), n = {seeds} seed{'s'[: seeds != 1]}, 95 % interval\n"
        f"{task_label(block.task)}; {block.modalities}; {block.protocol}",
        fontsize=10,
    )
    return figure


def write_mechanism_pictures(
    every: Sequence[Scored], folder: Path, form: PictureForm = FILES
) -> tuple[list[Path], list[str]]:
    """Writes a picture for each method of each block whose diagnostics were kept under damage.

    Args:
        every: of ``tables.mechanism.scored_groups``.
        folder: where to, made if need be.
        form: how they are written.

    Returns:
        The files, and why others are not drawn.

    Raises:
        OSError: one cannot be written.
    """
    files: list[Path] = []
    reasons: dict[str, None] = {}
    stems: dict[str, int] = {}
    for scored in every:
        try:
            figure = diagnostics_by_severity(scored)
        except ValueError as error:
            reasons[f"mechanism of {_method(scored)}: {error}"] = None
            continue
        blocks = {one.group.block for one in every}
        words = [_method(scored)]
        if len(blocks) > 1:
            words += [scored.group.block.task, scored.group.block.modalities, scored.group.block.protocol]
        stem = stem_of(["mechanism", *words])
        stems[stem] = stems.get(stem, 0) + 1
        if stems[stem] > 1:
            stem = f"{stem}-{stems[stem]}"
        data = pd.DataFrame({"data": [SYNTHETIC if scored.group.block.synthetic else REAL]})
        files += write_figure(figure, data, folder, stem, form)
    return files, list(reasons)


#: Severity -> mean, low and high end of its interval.
Line = Mapping[float, tuple[float, float, float]]


def _levels(scored: Scored, modality: str) -> bool:
    """Whether all damages to a modality have five severities."""
    return all(set(one.levels) == set(map(float, SEVERITIES)) for one in scored.damages_of(modality))


def _lines(scored: Scored, family: str, broken: Sequence[str]) -> dict[tuple[str, str], Line]:
    """Diagnostic and damaged modality -> line, of the diagnostics of a family."""
    found: dict[tuple[str, str], Line] = {}
    for diagnostic in scored.diagnostics:
        for modality in broken if _family(diagnostic) == family else ():
            kinds = scored.damages_of(modality)
            points = {0.0: estimate(scored.cells[name_of(MEAN, diagnostic, CLEAN)])}
            for level in map(float, SEVERITIES):
                points[level] = estimate(severity_mean(scored, diagnostic, kinds, level))
            found[diagnostic, modality] = points
    return found


def _line(axis: Axes, points: Line, style: int, label: str) -> None:
    known = {level: values for level, values in points.items() if not math.isnan(values[0])}
    colour = COLOURS[style % len(COLOURS)]
    levels = list(known)
    mean, low, high = ([values[place] for values in known.values()] for place in range(3))
    axis.fill_between(levels, low, high, color=colour, alpha=0.15, linewidth=0)
    axis.plot(
        levels,
        mean,
        color=colour,
        marker=SHAPES[style % len(SHAPES)],
        markersize=3,
        linewidth=1.2,
        label=label,
    )


def _family(diagnostic: str) -> str:
    """What the name of a diagnostic shares with those of other modalities."""
    return diagnostic.rpartition("/")[0] or diagnostic


def _label(diagnostic: str) -> str:
    return diagnostic.rpartition("/")[2]


def _method(scored: Scored) -> str:
    group = scored.group
    return f"{group.method} (draw {group.draw})" if group.draw else group.method


def _kinds(scored: Scored, modality: str) -> str:
    kinds = [one.kind for one in scored.damages_of(modality)]
    return kinds[0] if len(kinds) == 1 else f"mean of {len(kinds)} kinds"
