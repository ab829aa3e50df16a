"""The course of a training: its loss terms, and what methods tell of themselves at the end of each epoch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from ..labels import KEYS, REAL, SYNTHETIC
from .cells import Group
from .groups import groups_of
from .results import Result

#: What the condition of a row is called beside ``epoch 1`` and so on; these are printed.
SUMMARIES = ("first epoch", "middle", "last epoch")
#: Before the name of a term of the training loss.
TERM = "loss/"


def course(results: Iterable[Result]) -> pd.DataFrame:
    """What was noted at the end of each epoch.

    A row for each method, quantity and epoch that all of its seeds reached, ``epoch 1`` and so on, and once more those of
    ``SUMMARIES``. Quantities: ``loss/NAME``, a term of the training loss, its mean over the epoch; ``validation loss``; and what the
    method tells, such as ``path/text``.

    Args:
        results: one a job; those that are not done are left out.

    Returns:
        A frame with the columns task, modalities, protocol, data, method, ``n``, ``quantity``, ``condition``, ``epoch`` from 1, and
        over seeds ``mean`` and ``sd`` (ddof = 1; NaN for one seed).

    Raises:
        ValueError: no training is known epoch by epoch.
    """
    done = [result for result in results if result.state == "done" and result.epochs is not None]
    rows = [row for group in (groups_of(done) if done else []) for row in _rows(group)]
    if not rows:
        raise ValueError("no training of these jobs is known epoch by epoch")
    return pd.DataFrame(rows)


def is_summary_epoch(condition: str) -> bool:
    """Whether the row of an epoch is printed."""
    return condition in SUMMARIES


def notes_of_course(frame: pd.DataFrame) -> list[str]:
    """What a reader must know beside the table."""
    return [
        "mean and sd: over seeds. loss/NAME: a term of the training loss, its mean over the epoch. Other quantities are what the "
        "method tells of its training; path: the way that an encoder's parameters have gone so far; encoder_gradient: the mean norm of its gradient in the epoch. The CSV file has every epoch."
    ]


def _rows(group: Group) -> Iterator[dict[str, object]]:
    values = _values(group)
    block = group.block
    data = SYNTHETIC if block.synthetic else REAL
    method = f"{group.method} (draw {group.draw})" if group.draw else group.method
    shared = dict(zip(KEYS, (block.task, block.modalities, block.protocol, data), strict=True))
    for quantity, found in values.items():
        count = found.shape[1]
        places = [(f"epoch {place + 1}", place) for place in range(count)]
        places += zip(SUMMARIES, (0, (count - 1) // 2, count - 1), strict=True)
        for condition, place in places:
            own = found[:, place]
            yield {
                **shared,
                "method": method,
                "n": str(len(own)),
                "quantity": quantity,
                "condition": condition,
                "epoch": place + 1,
                "mean": float(own.mean()),
                "sd": float(own.std(ddof=1)) if len(own) > 1 else np.nan,
            }


def _values(group: Group) -> dict[str, np.ndarray]:
    """Quantity -> [seeds, epochs], of the epochs that all seeds reached; those that one of these lacks are left out."""
    courses = [list(result.epochs()) for result in group.results if result.epochs is not None]
    courses = [one for one in courses if one]
    if not courses:
        return {}
    count = min(len(one) for one in courses)
    named = [
        [
            {
                **{f"{TERM}{name}": value for name, value in dict(epoch.get("train") or {}).items()},
                "validation loss": epoch.get("loss", np.nan),
                **dict(epoch.get("diagnostics") or {}),
            }
            for epoch in one[:count]
        ]
        for one in courses
    ]
    quantities = dict.fromkeys(name for one in named for epoch in one for name in epoch)
    return {
        name: np.array([[epoch[name] for epoch in one] for one in named], dtype=np.float64)
        for name in quantities
        if all(name in epoch for one in named for epoch in one)
    }
