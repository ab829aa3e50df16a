"""Pictures of the course of a training. Needs matplotlib."""

from __future__ import annotations

import math
from textwrap import fill
from typing import TYPE_CHECKING

import pandas as pd

from ..tables.accuracy import task_label
from ..tables.course import TERM, is_summary_epoch
from .mechanism import data_label, family_of, interval_line, legend_beside, member_of, plain_panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ACROSS = 3


def course_by_epoch(rows: pd.DataFrame) -> Figure:
    """The loss terms of one method and what it tells of its training, epoch by epoch; bands are a deviation over seeds.

    A panel for each term, and for the quantities whose names begin alike, such as the path of each encoder.

    Args:
        rows: of one method, of ``tables.course.course``.

    Raises:
        ValueError: there are fewer than two epochs.
        ModuleNotFoundError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    rows = rows.loc[[not is_summary_epoch(str(name)) for name in rows["condition"]]]
    if len(set(rows["epoch"])) < 2:
        raise ValueError("there are fewer than two epochs")
    families: dict[str, list[str]] = {}
    for quantity in dict.fromkeys(rows["quantity"]):
        family = quantity if quantity.startswith(TERM) else family_of(quantity)
        families.setdefault(family, []).append(quantity)
    down = math.ceil(len(families) / _ACROSS)
    across = min(_ACROSS, len(families))
    figure = Figure(figsize=(3.3 * across + 1.0, 2.0 * down + 1.0), layout="constrained")
    axes = list(figure.subplots(down, across, squeeze=False, sharex=True).flat)
    for place, (family, quantities) in enumerate(families.items()):
        axis = axes[place]
        for style, quantity in enumerate(quantities):
            own = rows.loc[rows["quantity"] == quantity]
            sd = own["sd"].fillna(0)
            points = {
                float(epoch): (mean, mean - spread, mean + spread)
                for epoch, mean, spread in zip(own["epoch"], own["mean"], sd, strict=True)
            }
            interval_line(axis, points, style, member_of(quantity))
        plain_panel(axis)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_title(fill(family, 30), fontsize=8)
        if place + across >= len(families):
            axis.set_xlabel("epoch", fontsize=8)
            axis.tick_params(labelbottom=True)
        if len(quantities) > 1:
            legend_beside(axis)
    for axis in axes[len(families) :]:
        axis.set_visible(False)
    first = rows.iloc[0]
    figure.suptitle(
        f"Training of {first['method']} ({data_label(first['data'])}), n = {first['n']}, mean and standard deviation over seeds\n"
        f"{task_label(str(first['task']))}; {first['modalities']}; {first['protocol']}",
        fontsize=10,
    )
    return figure
