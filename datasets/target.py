"""The target of a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Target:
    """What is predicted.

    Attributes:
        kind: the task.
        label_range: lowest and highest label (regression).
        classes: the names of the classes, in the order of their indices (classification).
        metrics: which family of metrics judges it: ``"mosi"``, ``"sims"``, ``"regression"`` or
            ``"classification"``.
    """

    kind: Literal["regression", "classification"]
    label_range: tuple[float, float] | None = None
    classes: tuple[str, ...] = ()
    metrics: Literal["mosi", "sims", "regression", "classification"] = "regression"
