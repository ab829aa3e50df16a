"""What the questions of ``findings`` are asked of: the scores of one protocol and kind of data, and gains over ERM."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from ..labels import CLEAN
from ..tables.seed_scores import Score, scores
from .effect_sizes import relative_gain

#: The control that predicts the same for every sample. It loses nothing where inputs break and its confidence ranks
#: nothing, so it would answer for the methods: no question is asked of it.
CONSTANT = "majority"


@dataclass(frozen=True)
class Evidence:
    """Frames, what of them is asked about, and the borders; see ``findings.findings``."""

    frames: Mapping[str, pd.DataFrame]
    protocol: str
    data: str
    margin: float
    large: float

    def scores(self, board: str, condition: str = CLEAN, metric: str | None = None) -> list[Score]:
        """The scores of a leaderboard that have a value, of this protocol and kind of data.

        Args:
            board: its name, such as ``"accuracy"``.
            condition: under which; clean data by default.
            metric: its name; None for the main metric of each row, which is the frame's first.

        Returns:
            In the order of the frame; empty where there is no such leaderboard.
        """
        if board not in self.frames:
            return []
        items = scores(self.frames[board], condition, metric)
        return [one for one in items if self.asks(one) and one.by_seed]

    def asks(self, one: Score) -> bool:
        """Whether a score is of this protocol and kind of data, and not of ``CONSTANT``."""
        return (one.protocol, one.data) == (self.protocol, self.data) and base_name(one.method) != CONSTANT


def base_name(method: str) -> str:
    """A method without its parameters, version or draw: ``"erm(layers=1)"`` -> ``"erm"``."""
    return re.split(r"[\s(\[]", method, maxsplit=1)[0]


def selected_by_oracle(one: Score) -> bool:
    """Whether its epoch was selected on the target's validation data, be it an upper bound or not."""
    return one.selected_by.startswith("target validation")


def task_of(one: Score) -> str:
    """Task and modality set of a score, as one name."""
    return ", ".join(one.place)


def scores_by_task(items: Iterable[Score]) -> dict[str, list[Score]]:
    """Name of the task, as of ``task_of`` -> its scores, in their order."""
    out: dict[str, list[Score]] = defaultdict(list)
    for one in items:
        out[task_of(one)].append(one)
    return out


def best_of(items: Sequence[Score]) -> Score:
    """The score with the best mean; the first of equal ones."""
    return max(items, key=lambda one: one.sign * one.mean)


def gains_over_erm(items: Sequence[Score]) -> dict[str, dict[str, Mapping[int, float]]]:
    """Method -> task -> seed -> gain over ERM. Of several ERMs, the one without parameters, else the first."""
    out: dict[str, dict[str, Mapping[int, float]]] = {}
    for task, items_of_task in scores_by_task(items).items():
        erms = sorted(
            (o for o in items_of_task if base_name(o.method) == "erm"), key=lambda o: o.method != "erm"
        )
        for one in items_of_task:
            if erms and base_name(one.method) not in ("erm", "oracle"):
                out.setdefault(one.method, {})[task] = relative_gain(one, erms[0])
    return out
