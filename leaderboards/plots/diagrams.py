"""Pictures of comparisons: critical-difference diagrams and risk-coverage curves. Needs matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..labels import OWN, counted
from ..render.plain import p_text
from ..stats.ranks import Ranking
from ..tables.accuracy import task_label
from ..tables.comparisons import rankings, shortage
from ..tables.risk_coverage import Curve
from ..tables.seed_scores import ComparableMethods
from .figure import COLOURS, MOST_LINES, Drawing, Drawings, dashes_of, styles
from .look import NATURAL, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def critical_differences(frame: pd.DataFrame) -> tuple[Figure, list[str]]:
    """Draws average ranks on a line, one panel a field; a bar joins methods that are not told apart.

    After Demsar (2006), with bars by Wilcoxon and Holm (Benavoli et al. 2016): each is a largest set of methods
    of which no two differ, with a dot at each member. Nemenyi's critical difference is drawn as a measure.

    Args:
        frame: what ``tables.accuracy`` gave.

    Returns:
        The figure, and why fields without enough tasks are not in it.

    Raises:
        ValueError: no field has enough tasks; the message says how many it takes.
    """
    from matplotlib.figure import Figure

    ranked = rankings(frame)
    drawn = [(field, ranking) for field, ranking in ranked if ranking.enough]
    reasons = [
        f"critical differences ({field.protocol}; {field.data}; {field.metric}): {shortage(field, ranking)}"
        for field, ranking in ranked
        if not ranking.enough
    ]
    if not drawn:
        reason = "; ".join(reasons) or "critical differences: no two methods have a value on one task"
        raise ValueError(reason)
    heights = [1.5 + 0.26 * math.ceil(len(f.methods) / 2) + 0.13 * len(r.cliques) for f, r in drawn]
    figure = Figure(figsize=(8.5, sum(heights)), layout="constrained")
    axes = figure.subplots(len(drawn), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, (field, ranking), height in zip(axes, drawn, heights, strict=True):
        _ranks(axis, field, ranking, height)
    figure.suptitle("Average ranks over tasks; a bar joins methods that are not told apart", fontsize=10)
    return figure, reasons


def _ranks(axis: Axes, field: ComparableMethods, ranking: Ranking, height: float) -> None:
    """One panel. Heights are inches below the line, so that text never overlaps."""
    count = len(field.methods)
    order = list(np.argsort(ranking.ranks, kind="stable"))
    left = order[: math.ceil(count / 2)]
    width = (count - 1) * 0.42
    axis.set_xlim(1 - width, count + width)
    axis.set_ylim(-(height - 0.95), 0.55)
    axis.axis("off")
    axis.hlines(0, 1, count, color="black", linewidth=1)
    for tick in range(1, count + 1):
        axis.vlines(tick, 0, 0.06, color="black", linewidth=1)
        axis.text(tick, 0.09, str(tick), ha="center", va="bottom", fontsize=8)
    bars, over = 0.14, 0.006 * count
    for clique in ranking.cliques:
        ends = ranking.ranks[list(clique)]
        axis.hlines(-bars, ends.min() - over, ends.max() + over, color="0.35", linewidth=3.2)
        axis.plot(ends, [-bars] * len(ends), linestyle="none", marker="o", markersize=4, color="black")
        bars += 0.13
    places = styles(field.methods)
    for side, members in ((-1, left), (1, order[: len(left) - 1 : -1])):
        for place, method in enumerate(members):
            y = -(bars + 0.1 + 0.26 * place)
            x, colour = float(ranking.ranks[method]), COLOURS[places[field.methods[method]] % len(COLOURS)]
            end = 1 - 0.05 * width if side < 0 else count + 0.05 * width
            axis.plot([x, x, end], [0, y, y], color=colour, linewidth=1)
            label = f"{field.methods[method]}  {x:.2f}" if side < 0 else f"{x:.2f}  {field.methods[method]}"
            axis.text(
                end + side * 0.02 * count,
                y,
                label,
                ha="right" if side < 0 else "left",
                va="center",
                fontsize=8,
            )
    cd = ranking.critical_difference
    if cd < count - 1:
        axis.plot([1, 1 + cd], [0.42, 0.42], color="0.5", linewidth=1, marker="|", markersize=6)
        axis.text(
            1 + cd, 0.42, f"  Nemenyi's critical difference {cd:.2f}", va="center", fontsize=7, color="0.35"
        )
    friedman = "" if math.isnan(ranking.friedman) else f", Friedman p {p_text(ranking.friedman)}"
    left_out = f", {counted(len(field.left_out), 'task')} left out" if field.left_out else ""
    axis.set_title(
        f"{field.protocol}; {field.data}; {field.metric}\n{counted(ranking.tasks, 'task')}{left_out}, Wilcoxon with Holm at 5 %"
        f"{friedman}",
        fontsize=8,
    )


def risk_coverages(curves: Sequence[Curve], look: Look = NATURAL) -> Figure:
    """Draws the mean loss of the most confident answers against their share, one panel a task.

    A line is the mean over seeds, its band one standard deviation (ddof = 1); the legend has the area under it,
    AURC. Dots at the right end are what the loss is if nothing is rejected. Of more than ``MOST_LINES`` methods a panel
    has erm and those with the smallest AURC, and says so.

    Args:
        curves: what ``risk_coverage.curves`` gave.
        look: says how large it is.

    Raises:
        ValueError: there is none.
    """
    from matplotlib.figure import Figure

    if not curves:
        raise ValueError("risk-coverage curves: no method has a confidence and all its seeds done")
    panels: dict[tuple[str, ...], list[Curve]] = {}
    usual = {curve.block: curve.confidence for curve in curves if not curve.confidence.startswith(OWN)}
    for curve in curves:  # a confidence of a method's own beside that which all have
        panels.setdefault((*curve.block, usual.get(curve.block, curve.confidence)), []).append(curve)
    places = styles(curve.method for curve in curves)
    across = min(3, len(panels))
    width = look.room(max(6.0, 3.8 * across))
    across = min(across, max(1, int(width / 3.0)))
    down = math.ceil(len(panels) / across)
    height = look.height_room(3.4 * down + 0.6)
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = list(figure.subplots(down, across, squeeze=False).flat)
    for axis, (names, members) in zip(axes, panels.items(), strict=False):
        scale = 100 if members[0].loss == "error" else 1
        ranked = sorted(members, key=lambda curve: (curve.method.partition("(")[0] != "erm", curve.aurc))
        chosen = {id(curve) for curve in ranked[:MOST_LINES]}
        dashes = dashes_of([curve.method for curve in members if id(curve) in chosen], places)
        for curve in [curve for curve in members if id(curve) in chosen]:
            colour, dash = COLOURS[places[curve.method] % len(COLOURS)], dashes[curve.method]
            mean = scale * curve.risk.mean(axis=0)
            if len(curve.risk) > 1:
                band = scale * curve.risk.std(axis=0, ddof=1)
                most = 100 if scale == 100 else None  # an error rate has no more, whatever its deviation
                low, high = np.clip(mean - band, 0, None), np.clip(mean + band, None, most)
                axis.fill_between(curve.coverage, low, high, color=colour, alpha=0.15, linewidth=0)
            label = f"{curve.method}: {curve.aurc:.4f} (n = {len(curve.risk)})"
            axis.plot(curve.coverage, mean, dash, color=colour, linewidth=1.2, label=label)
            axis.plot(1, mean[-1], "o", color=colour, markersize=3, clip_on=False)
        task, modalities, protocol, data, confidence = names
        where = fill(f"{task_label(task)}, {protocol}", 60)
        some = f" ({len(chosen)} of {len(members)} methods)" if len(chosen) < len(members) else ""
        axis.set_title(f"{where}\n{modalities}; {data}\nconfidence: {confidence}{some}", fontsize=8)
        axis.set_xlabel("coverage: share of answers kept, surest first", fontsize=8)
        axis.set_ylabel(
            "error in % (lower is better)" if scale == 100 else "absolute error (lower is better)", fontsize=8
        )
        axis.set_xlim(0, 1)
        axis.set_ylim(bottom=0)
        axis.grid(color="0.9", linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=7)
        longest = max(len(label) for label in axis.get_legend_handles_labels()[1])
        inside = look.width is None or 0.5 + 0.075 * longest < 0.6 * (width / across - 0.7)
        under = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.55 / max(1.0, height / down - 1.2))}
        place = {} if inside else under
        axis.legend(title="AURC", fontsize=7, title_fontsize=7, frameon=False, **place)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    figure.suptitle("Risk and coverage; line and band: mean ± standard deviation over n seeds", fontsize=10)
    return figure


def rank_pictures(frame: pd.DataFrame) -> Drawings:
    """``critical_differences`` as one picture, and why fields are not in it.

    Args:
        frame: what ``tables.accuracy`` gave.
    """
    try:
        figure, reasons = critical_differences(frame)
    except ValueError as error:
        yield str(error)
        return
    yield Drawing("critical-difference", figure, frame)
    yield from reasons


def risk_pictures(curves: Sequence[Curve], look: Look = NATURAL) -> Drawings:
    """``risk_coverages`` as one picture, or why it is not drawn; arguments as of it."""
    try:
        figure = risk_coverages(curves, look)
    except ValueError as error:
        yield str(error)
        return
    yield Drawing("risk-coverage", figure, pd.DataFrame({"data": [curve.block[-1] for curve in curves]}))
