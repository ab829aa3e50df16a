"""Pictures of the inner quantities of methods: under damage, beside errors, and in training. Needs matplotlib."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from textwrap import fill
from typing import TYPE_CHECKING

import pandas as pd

from ..labels import CLEAN, KEYS, REAL, SYNTHETIC
from ..tables.accuracy import task_label
from ..tables.diagnostic_scores import AXES, MEAN, Damage, name_of
from ..tables.mechanism import Scored, estimate, is_summary, severity_mean
from ..tables.robustness import SEVERITIES
from .figure import COLOURS, SHAPES, Drawing, Drawings, stem_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Column:
    """A column of panels: what the diagnostics are drawn against.

    Attributes:
        title: what is damaged.
        axis: what the levels are.
        kinds: of damage, over which a mean is taken.
        levels: 0 for clean data, and those of every kind.
    """

    title: str
    axis: str
    kinds: tuple[Damage, ...]
    levels: tuple[float, ...]


def columns_of(scored: Scored) -> list[Column]:
    """One for each modality that was damaged at five severities, and one for each axis of the reliability grid."""
    severities = tuple(map(float, SEVERITIES))
    columns = []
    for name in scored.broken:
        kinds = scored.damages_of(name)
        if all(set(one.levels) == set(severities) for one in kinds):
            title = f"{name} damaged: {_kinds(kinds)}"
            columns.append(Column(title, "severity (0: clean)", tuple(kinds), (0.0, *severities)))
    titles = dict(zip(AXES, ("noise on all modalities", "frames missing from all modalities"), strict=True))
    for one in scored.damages:
        if one.name in AXES and len(one.levels) > 1:
            columns.append(
                Column(
                    titles[one.name],
                    f"reliability grid, {one.name.partition(':')[2]}",
                    (one,),
                    (0.0, *one.levels),
                )
            )
    return columns


def diagnostics_by_severity(scored: Scored) -> Figure:
    """The diagnostics of one method against severity, with their 95 % intervals over seeds and samples.

    A column of panels for each modality that was damaged, the mean over the kinds of damage to it, and for each axis of the
    reliability grid; a row for the diagnostics whose names begin alike, such as the trust in each modality, on one scale.

    Args:
        scored: the diagnostics, of ``tables.mechanism.scored_groups``.

    Raises:
        ValueError: they were kept under no damage of several severities, or have no value.
        ModuleNotFoundError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    columns = columns_of(scored)
    if not columns:
        raise ValueError(
            "no damage of five severities: run with --corruptions features (or reliability) and --diagnostics"
        )
    families: dict[str, list[str]] = {}
    for diagnostic in scored.diagnostics:
        if math.isnan(estimate(scored.cells[name_of(MEAN, diagnostic, CLEAN)])[0]):
            continue
        families.setdefault(family_of(diagnostic), []).append(diagnostic)
    if not families:
        raise ValueError("the diagnostics have no value: the table says why")
    down, across = len(families), len(columns)
    figure = Figure(figsize=(max(7.0, 3.4 * across + 1.8), 1.9 * down + 1.2), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False, sharey="row", sharex="col")
    for row, (family, diagnostics) in enumerate(families.items()):
        for place, column in enumerate(columns):
            axis: Axes = axes[row][place]
            for style, diagnostic in enumerate(diagnostics):
                interval_line(axis, _points(scored, diagnostic, column), style, member_of(diagnostic))
            plain_panel(axis)
            axis.set_xticks(column.levels if len(column.levels) <= 6 else (0, 0.3, 0.6, 0.9))
            if row == 0:
                axis.set_title(column.title, fontsize=8)
            if row == down - 1:
                axis.set_xlabel(column.axis, fontsize=8)
        axes[row][0].set_ylabel(fill(family, 18), fontsize=8)
        if len(diagnostics) > 1:
            legend_beside(axes[row][-1])
    block, seeds = scored.group.block, len(scored.group.results)
    data = data_label(SYNTHETIC if block.synthetic else REAL)
    figure.suptitle(
        f"Diagnostics of {_method(scored)} under damage ({data}), n = {seeds} seed{'s'[: seeds != 1]}, 95 % interval\n"
        f"{task_label(block.task)}; {block.modalities}; {block.protocol}",
        fontsize=10,
    )
    return figure


#: Panels of ``correlations``: columns of the table, and what is written above them.
_PANELS = {
    "rho_severity": "with severity (Spearman)",
    "rho_error": "with the error (Spearman)",
    "own_minus_other": "own modality damaged\nminus another",
}


def correlations(rows: pd.DataFrame) -> Figure:
    """How the diagnostics of one method go with severity and with the error of the answer, and how far each falls where its
    own modality is damaged more than where another is; with 95 % intervals.

    Args:
        rows: of one method, of ``tables.mechanism.mechanism``.

    Raises:
        ValueError: none of these is known.
        ModuleNotFoundError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    rows = rows.loc[[is_summary(str(name)) for name in rows["condition"]]]
    known = rows.loc[rows[list(_PANELS)].notna().any(axis=1)]
    if known.empty:
        raise ValueError("no correlation of its diagnostics is known")
    diagnostics, conditions = (
        list(dict.fromkeys(known["diagnostic"])),
        list(dict.fromkeys(known["condition"])),
    )
    figure = Figure(
        figsize=(10.5, max(2.6, 0.16 * len(diagnostics) * (len(conditions) + 1) + 1.4)), layout="constrained"
    )
    axes = figure.subplots(1, len(_PANELS), squeeze=False, sharey=True)[0]
    step = 0.8 / len(conditions)
    for axis, (column, title) in zip(axes, _PANELS.items(), strict=True):
        for style, condition in enumerate(conditions):
            own = known.loc[(known["condition"] == condition) & known[column].notna()]
            heights = [
                diagnostics.index(name) + step * (style - (len(conditions) - 1) / 2)
                for name in own["diagnostic"]
            ]
            low, high = own[column] - own[f"{column}_low"], own[f"{column}_high"] - own[column]
            axis.errorbar(
                own[column],
                heights,
                xerr=[low.clip(lower=0).fillna(0), high.clip(lower=0).fillna(0)],
                fmt=SHAPES[style % len(SHAPES)],
                color=COLOURS[style % len(COLOURS)],
                markersize=3.5,
                linewidth=1,
                label=condition,
            )
        plain_panel(axis)
        axis.axvline(0, color="0.4", linewidth=0.8)
        axis.set_title(title, fontsize=8)
        if column.startswith("rho"):
            axis.set_xlim(-1.05, 1.05)
    axes[0].set_yticks(range(len(diagnostics)), diagnostics, fontsize=7)
    axes[0].set_ylim(len(diagnostics) - 0.4, -0.6)
    legend_beside(axes[1], axes[-1])
    first = known.iloc[0]
    figure.suptitle(
        f"Diagnostics of {first['method']}: agreement with damage and with errors ({data_label(first['data'])}), n = {first['n']}, "
        f"95 % interval\n{task_label(str(first['task']))}; {first['modalities']}; {first['protocol']}",
        fontsize=10,
    )
    return figure


def data_label(data: str) -> str:
    """What the column ``data`` says, as a title has it."""
    return f"{REAL} data" if data == REAL else data


def plain_panel(axis: Axes) -> None:
    """A faint grid, no box, small ticks."""
    axis.grid(color="0.9", linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=7)


def legend_beside(axis: Axes, place: Axes | None = None) -> None:
    """A legend to the right of a panel.

    Args:
        axis: whose lines are named.
        place: beside which it stands; by default the same.
    """
    handles, labels = axis.get_legend_handles_labels()
    (place or axis).legend(
        handles, labels, fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5)
    )


def mechanism_pictures(every: Sequence[Scored]) -> Drawings:
    """A picture for each method of each block whose diagnostics were kept under damage.

    Args:
        every: of ``tables.mechanism.scored_groups``.

    Yields:
        Pictures, and why others are not drawn.
    """
    several = len({one.group.block for one in every}) > 1
    pictures = []
    for scored in every:
        block = scored.group.block
        places = (block.task, block.modalities, block.protocol) if several else ()
        data = pd.DataFrame({"data": [SYNTHETIC if block.synthetic else REAL]})
        pictures.append(_Named(_method(scored), places, partial(diagnostics_by_severity, scored), data))
    return _drawn(pictures, "mechanism")


def pictures_of_each(frame: pd.DataFrame, draw: Callable[[pd.DataFrame], Figure], word: str) -> Drawings:
    """A picture for each method of each block of a frame.

    Args:
        frame: with the columns task, modalities, protocol, data and method.
        draw: the rows of a method -> its picture; ValueError where there is nothing to draw.
        word: how the names begin.

    Yields:
        Pictures, and why others are not drawn.
    """
    several = len(frame[list(KEYS)].drop_duplicates()) > 1
    pictures = []
    for _, rows in frame.groupby([*KEYS, "method"], sort=False):
        task, modalities, protocol, method = (
            str(rows[name].iloc[0]) for name in ("task", "modalities", "protocol", "method")
        )
        places = (task, modalities, protocol) if several else ()
        pictures.append(_Named(method, places, partial(draw, rows), rows))
    return _drawn(pictures, word)


@dataclass(frozen=True)
class _Named:
    """A picture of one method.

    Attributes:
        method: its label.
        places: task, modalities and protocol, where there are several blocks.
        draw: makes the picture; ValueError where there is nothing to draw.
        data: a frame whose column ``data`` says what the data are.
    """

    method: str
    places: tuple[str, ...]
    draw: Callable[[], Figure]
    data: pd.DataFrame


def _drawn(pictures: Sequence[_Named], word: str) -> Drawings:
    """Pictures whose names begin with a word, each name once; and why others are not drawn."""
    stems: dict[str, int] = {}
    for one in pictures:
        try:
            figure = one.draw()
        except ValueError as error:
            yield f"{word} of {one.method}: {error}"
            continue
        stem = stem_of([word, one.method, *one.places])
        stems[stem] = stems.get(stem, 0) + 1
        if stems[stem] > 1:
            stem = f"{stem}-{stems[stem]}"
        yield Drawing(stem, figure, one.data)


#: Level -> mean, low and high end of its interval.
Line = Mapping[float, tuple[float, float, float]]


def _points(scored: Scored, diagnostic: str, column: Column) -> Line:
    points = {0.0: estimate(scored.cells[name_of(MEAN, diagnostic, CLEAN)])}
    for level in column.levels[1:]:
        points[level] = estimate(severity_mean(scored, diagnostic, column.kinds, level))
    return points


def interval_line(axis: Axes, points: Line, style: int, label: str) -> None:
    """Draws a line with its interval as a band.

    Args:
        axis: the panel.
        points: its points; those that are not known are left out.
        style: number of its colour and shape.
        label: in the legend.
    """
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


def family_of(diagnostic: str) -> str:
    """What the name of a diagnostic shares with those of other modalities."""
    return diagnostic.rpartition("/")[0] or diagnostic


def member_of(diagnostic: str) -> str:
    """What is its own: the name of a modality, or all of it."""
    return diagnostic.rpartition("/")[2]


def _method(scored: Scored) -> str:
    group = scored.group
    return f"{group.method} (draw {group.draw})" if group.draw else group.method


def _kinds(damages: Sequence[Damage]) -> str:
    return damages[0].kind if len(damages) == 1 else f"mean of {len(damages)} kinds"
