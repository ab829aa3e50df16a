"""Learning curves: the metric that selects epochs, epoch by epoch, a panel for each method. Needs matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..labels import KEYS
from ..tables.accuracy import task_label
from ..tables.training import TESTED, VALIDATION, VALIDATION_LOSS
from .figure import Drawing, Drawings, stem_of
from .look import NATURAL, Look
from .panels import Band, Panel, panel_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def learning_curves(rows: pd.DataFrame, look: Look = NATURAL) -> Figure:
    """The metric on source validation by epoch: the mean over seeds with the least and the largest as a band, as far as all
    seeds went, and a triangle at the epoch of each seed that is tested. All panels are on one scale.

    Args:
        rows: of one task, modality set, protocol and data, of ``tables.training.training``.
        look: says how large it is.

    Raises:
        ValueError: no network was trained for more than one epoch.
        ModuleNotFoundError: matplotlib is not installed.
    """
    rows = rows.loc[rows["quantity"].str.startswith(VALIDATION) & (rows["quantity"] != VALIDATION_LOSS)]
    panels: list[Panel] = []
    tested: list[pd.DataFrame] = []
    for method in dict.fromkeys(rows["method"]):
        own = rows.loc[rows["method"] == method]
        values = own.pivot_table(index="epoch", columns="job", values="value").dropna()
        if len(values) < 2:
            continue
        of_seeds = values.to_numpy(np.float64)
        x = np.asarray(values.index, np.float64)
        panels.append(
            Panel(
                str(method),
                [Band("mean over seeds", 0, x, of_seeds.mean(1), of_seeds.min(1), of_seeds.max(1))],
            )
        )
        tested.append(own.loc[(own["condition"] == TESTED) & own["epoch"].isin(x)])
    if not panels:
        raise ValueError("no network was trained for more than one epoch")
    first = rows.iloc[0]
    metric = str(first["quantity"]).removeprefix(VALIDATION)
    words = f"{task_label(str(first['task']))}; {first['modalities']}; {first['protocol']}"
    about = "band: least and largest of all seeds; triangles: tested epochs"
    figure = panel_figure(
        panels,
        "epoch",
        f"{metric}\non source validation",
        f"Learning curves ({first['data']}), {about}\n{words}",
        look,
    )
    for axis, points in zip(figure.axes, tested, strict=True):
        axis.plot(points["epoch"], points["value"], "v", color="black", markersize=4, zorder=3)
    return figure


def training_pictures(frame: pd.DataFrame, look: Look = NATURAL) -> Drawings:
    """``learning_curves`` of every task, modality set, protocol and kind of data.

    Args:
        frame: of ``tables.training.training``.
        look: says how large they are.

    Yields:
        Pictures, and why others are not drawn.
    """
    blocks = [
        (tuple(str(rows[name].iloc[0]) for name in KEYS), rows)
        for _, rows in frame.groupby(list(KEYS), sort=False)
    ]
    for keys, rows in blocks:
        places = keys[:3] if len(blocks) > 1 else ()
        try:
            yield Drawing(stem_of(["learning-curves", *places]), learning_curves(rows, look), rows)
        except ValueError as error:
            yield f"learning curves of {keys[0]}: {error}"
