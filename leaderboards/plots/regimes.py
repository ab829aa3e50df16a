"""The arc of a conversation: valence and arousal over time, with regimes as bands and their switches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..labels import counted
from .figure import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

#: The colours of regimes: without black, which as a band would hide what is before it.
_BANDS = (*COLOURS[:6], "#F0E442", "#882255", "#44AA99", "#999999", "#117733", "#999933")
_DIMENSIONS = ("valence", "arousal")


def conversation_arc(
    states: pd.DataFrame, names: Mapping[int, str], title: str, speakers: bool = True
) -> Figure:
    """Draws one conversation.

    A panel for valence and one for arousal, those that were observed: a dot for each modality and step, and the mean over
    modalities smoothed over five steps. Behind them the regimes, a vertical line at each switch. Below, how sure the regime is,
    and who speaks and what label a step has where that is known; the legend names those whose cells are too narrow for it.

    Args:
        states: the rows of a conversation in the table of steps of a job: step, regime, uncertainty, speaker, label, and columns
            ``modality.valence``, ``modality.arousal``.
        names: regime -> name; a regime has the same colour in every picture of the job.
        title: of the picture.
        speakers: whether to show who speaks.

    Raises:
        ValueError: there is no step.
        ModuleNotFoundError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    if states.empty:
        raise ValueError("the conversation has no step")
    steps = np.arange(len(states))
    regime = states["regime"].to_numpy()
    colour = {one: _BANDS[place % len(_BANDS)] for place, one in enumerate(sorted(names))}
    panels = [(dimension, columns) for dimension in _DIMENSIONS if (columns := _observed(states, dimension))]
    strips = [name for name in ("speaker", "label") if len(set(states[name].dropna())) > 1]
    strips = [name for name in strips if speakers or name != "speaker"]
    doubtful = bool((states["uncertainty"] > 0).any())
    heights = [2.4] * len(panels) + [0.7] * doubtful + [0.28] * len(strips)
    figure = Figure(
        figsize=(min(16.0, max(8.0, 0.13 * len(steps) + 3)), sum(heights) + 1.3), layout="constrained"
    )
    axes: list[Axes] = list(
        figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    )
    cuts = np.flatnonzero(np.diff(regime)) + 1
    for axis in axes[: len(panels) + doubtful]:
        for begin, end in zip([0, *cuts], [*cuts, len(regime)], strict=True):
            axis.axvspan(begin - 0.5, end - 0.5, color=colour[regime[begin]], alpha=0.28, linewidth=0)
        for cut in cuts:
            axis.axvline(cut - 0.5, color="#333333", linewidth=0.7)
    for axis, (dimension, columns) in zip(axes, panels, strict=False):
        _panel(axis, states, dimension, columns)
    if doubtful:
        doubt = axes[len(panels)]
        doubt.step(steps, 1 - states["uncertainty"].to_numpy(), where="mid", color="#333333", linewidth=1)
        doubt.set_ylim(0, 1.05)
        doubt.set_ylabel("certainty", rotation=0, ha="right", va="center")
    unwritten: list[Patch] = []
    for axis, name in zip(axes[len(panels) + doubtful :], strips, strict=True):
        unwritten += _strip(axis, states[name].fillna("").astype(str).tolist(), name)
    axes[-1].set_xlabel("utterance")
    axes[0].set_xlim(-0.5, len(steps) - 0.5)
    there = [one for one in sorted(names) if (regime == one).any()]
    handles = [Patch(color=colour[one], alpha=0.45, label=names[one]) for one in there]
    handles += unwritten
    figure.legend(handles=handles, loc="outside lower center", ncols=min(6, len(handles)), frameon=False)
    length, switches = counted(len(steps), "utterance"), counted(len(cuts), "switch", "switches")
    figure.suptitle(f"{title}: {length}, {switches}", fontsize=11)
    return figure


def _observed(states: pd.DataFrame, dimension: str) -> list[str]:
    """The columns of a dimension in which anything was observed."""
    return [name for name in states if name.endswith(f".{dimension}") and len(states[name].dropna())]


def _panel(axis: Axes, states: pd.DataFrame, dimension: str, columns: list[str]) -> None:
    """Dots of all modalities, and their smoothed mean."""
    steps = np.arange(len(states))
    for shape, name in zip("os^Dv", columns, strict=False):
        axis.plot(
            steps,
            states[name],
            shape,
            markersize=3.2,
            color="#444444",
            alpha=0.75,
            label=name.partition(".")[0],
        )
    fused = states[columns].mean(axis=1)
    smooth = fused.rolling(5, center=True, min_periods=1).mean()
    axis.plot(steps, smooth, color="black", linewidth=1.6, label="mean of five")
    axis.axhline(0, color="#888888", linewidth=0.6, linestyle=":")
    axis.set_ylabel(f"{dimension}\n(sd of corpus)", rotation=0, ha="right", va="center")
    axis.legend(loc="upper right", fontsize=7, framealpha=0.8, ncols=len(columns) + 1)


def _strip(axis: Axes, values: list[str], name: str) -> list[Patch]:
    """A row of cells, coloured by value; runs of a value that are wide enough say it. Returned are entries of the legend for the
    values that no run says."""
    from matplotlib.patches import Patch

    written = set()
    known = sorted(set(values) - {""})
    shade = {value: 0.25 + 0.7 * place / max(1, len(known) - 1) for place, value in enumerate(known)}
    begin = 0
    for end in range(1, len(values) + 1):
        if end == len(values) or values[end] != values[begin]:
            value = values[begin]
            if value:
                axis.axvspan(begin - 0.5, end - 0.5, color=str(shade[value]), linewidth=0)
                dark = shade[value] < 0.6
                if (end - begin) * 1.6 >= len(value) * len(values) / 100:
                    written.add(value)
                    axis.text(
                        (begin + end - 1) / 2, 0.5, value, ha="center", va="center", fontsize=6,
                        color="white" if dark else "black", clip_on=True,
                    )  # fmt: skip
            begin = end
    axis.set_yticks([])
    axis.set_ylim(0, 1)
    axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    return [
        Patch(facecolor=str(shade[value]), edgecolor="#333333", linewidth=0.5, label=f"{name} {value}")
        for value in known
        if value not in written
    ]
