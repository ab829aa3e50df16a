"""Scores seed by seed, read from tidy frames: what comparisons over many tasks are made of."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..labels import CLEAN, FINGERPRINTS, KEYS


@dataclass(frozen=True)
class Score:
    """One method on one task, judged by one metric under one condition.

    Attributes:
        task: source to target.
        modalities: what it was given, joined by ``+``.
        protocol: what it was trained under.
        data: ``"real"`` or the name of a stand-in.
        method: its label; with the draw where there are several.
        metric: its name.
        unit: as that of a ``Metric``.
        sign: 1 where higher is better, -1 where lower is.
        by_seed: seed -> value, in the metric's unit; of cross-validation the mean over folds. Empty in a hole.
        mark: ``"best"``, ``"tied"`` or ``""``, as in ``tables.COLUMNS``.
        p_vs_best: paired over seeds and samples, corrected by Holm within the block; NaN where not compared.
        selected_by: which split chose the epoch, as the audit says; empty where it does not.
        samples: number of test samples; 0 in a hole.
        hole: why there is no value; empty where there is one.
        content: the fingerprints of the data, as the audit says; empty where it does not.
    """

    task: str
    modalities: str
    protocol: str
    data: str
    method: str
    metric: str
    unit: str
    sign: int
    by_seed: dict[int, float]
    mark: str = ""
    p_vs_best: float = float("nan")
    selected_by: str = ""
    samples: int = 0
    hole: str = ""
    content: str = ""

    @property
    def mean(self) -> float:
        """Over seeds; NaN in a hole."""
        return float(np.mean(list(self.by_seed.values()))) if self.by_seed else float("nan")

    @property
    def place(self) -> tuple[str, str]:
        """Task and modalities: what counts as one task where protocol and data are the same."""
        return self.task, self.modalities


def scores(frame: pd.DataFrame, condition: str = CLEAN, metric: str | None = None) -> list[Score]:
    """The scores of a frame under one condition, in its order.

    Args:
        frame: a tidy frame, such as ``tables.accuracy`` gives.
        condition: which.
        metric: which; None for each row's main one, which is the frame's first.
    """
    if frame.empty:
        return []
    draws: dict[tuple, set[int]] = defaultdict(set)
    for *key, draw in frame[[*KEYS, "method", "draw"]].itertuples(index=False):
        draws[tuple(key)].add(draw)
    main = frame.groupby([*KEYS, "method", "draw"])["metric"].transform("first")
    wanted = (frame["condition"] == condition) & (frame["metric"] == (main if metric is None else metric))
    out = []
    for row in frame.loc[wanted].to_dict("records"):
        drawn = len(draws[tuple(row[name] for name in (*KEYS, "method"))]) > 1
        out.append(
            Score(
                **{name: str(row[name]) for name in (*KEYS, "metric", "unit", "mark", "hole")},
                method=f"{row['method']} (draw {row['draw']})" if drawn else str(row["method"]),
                sign=1 if row["direction"] == "higher" else -1,
                by_seed=_by_seed(str(row["seeds"]), str(row["values"])),
                p_vs_best=float(row["p_vs_best"]),
                samples=int(row["samples"]),
                selected_by=str(row.get("audit_selected_by", "")),
                content=str(row.get(f"audit_{FINGERPRINTS}", "")),
            )
        )
    return out


def _by_seed(seeds: str, values: str) -> dict[int, float]:
    """Seed -> value, from the cells of a row; the mean over folds where a seed has several."""
    own: dict[int, list[float]] = defaultdict(list)
    if values:
        for seed, value in zip(seeds.split(), values.split(), strict=True):
            own[int(seed)].append(float(value))
    return {seed: one[0] if len(one) == 1 else float(np.mean(one)) for seed, one in own.items()}


@dataclass(frozen=True)
class ComparableMethods:
    """Methods that can be compared over tasks: same protocol, same kind of data, commensurable metrics.

    Attributes:
        protocol: what all were trained under.
        data: ``"real"`` or the name of a stand-in; the two are never compared.
        metric: the main metric, or several that share a unit.
        methods: those that have a value on any task.
        tasks: those on which every method has a value.
        values: [tasks, methods], means over seeds, higher is better whatever the metric.
        left_out: tasks on which not every method has a value, and which lack.
        without: methods that have no value on any task.
    """

    protocol: str
    data: str
    metric: str
    methods: tuple[str, ...]
    tasks: tuple[str, ...]
    values: np.ndarray
    left_out: dict[str, str]
    without: tuple[str, ...]


def fields(frame: pd.DataFrame) -> list[ComparableMethods]:
    """Sorts the main scores of a frame into fields, in the order in which they first appear.

    Fractions of any metric share a field, as accuracies on different datasets do (Demsar 2006); a metric in
    the unit of the labels has its own.
    """
    grouped: dict[tuple, list[Score]] = defaultdict(list)
    for item in scores(frame):
        yardstick = item.metric if item.unit == "label" else item.unit
        grouped[item.protocol, item.data, yardstick, item.sign].append(item)
    return [_field(items) for items in grouped.values()]


def _field(items: list[Score]) -> ComparableMethods:
    every = list(dict.fromkeys(item.method for item in items))
    table: dict[tuple[str, str], dict[str, float]] = {}
    for item in items:
        row = table.setdefault(item.place, {})
        if item.by_seed:
            row[item.method] = item.sign * item.mean
    methods = [name for name in every if any(name in row for row in table.values())]
    whole = {place: row for place, row in table.items() if len(row) == len(methods) and methods}
    return ComparableMethods(
        protocol=items[0].protocol,
        data=items[0].data,
        metric=", ".join(dict.fromkeys(item.metric for item in items)),
        methods=tuple(methods),
        tasks=tuple(", ".join(place) for place in whole),
        values=np.array([[row[name] for name in methods] for row in whole.values()]).reshape(
            len(whole), len(methods)
        ),
        left_out={
            ", ".join(place): "no value of " + ", ".join(name for name in methods if name not in row)
            for place, row in table.items()
            if place not in whole
        },
        without=tuple(name for name in every if name not in methods),
    )
