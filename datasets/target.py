"""The target of a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: What a task asks of a network: a score, one class of several, or any number of several labels.
Kind = Literal["regression", "classification", "multi-label"]


@dataclass(frozen=True)
class Target:
    """What is predicted.

    Attributes:
        kind: the task: a score, one class a sample, or (``"multi-label"``) any number of classes, none and all included.
        label_range: lowest and highest label (regression).
        classes: the names of the classes, in the order of their indices, or of the columns of the labels.
        metrics: which family of metrics judges it: ``"mosi"``, ``"sims"``, ``"regression"``, ``"classification"`` or
            ``"multi-label"``.
    """

    kind: Kind
    label_range: tuple[float, float] | None = None
    classes: tuple[str, ...] = ()
    metrics: Literal["mosi", "sims", "regression", "classification", "multi-label"] = "regression"
