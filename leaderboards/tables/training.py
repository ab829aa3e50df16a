"""The record of every training: what was noted of each job at the end of each epoch, as one frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from ..labels import REAL, SYNTHETIC
from .results import Result

#: The condition of the epoch whose weights are tested; these rows are printed.
TESTED = "tested epoch"
#: How the quantity begins that selects epochs, before the name of its metric; and what else is on source validation.
VALIDATION = "valid/"
VALIDATION_LOSS = f"{VALIDATION}loss"
_COLUMNS = (
    "task",
    "modalities",
    "protocol",
    "data",
    "method",
    "seed",
    "job",
    "quantity",
    "condition",
    "epoch",
    "value",
)


def training(results: Iterable[Result]) -> pd.DataFrame:
    """What was noted at the end of each epoch, of each job by itself.

    Args:
        results: one a job; those that are not done, or are no training epoch by epoch, are left out.

    Returns:
        A row for each job, epoch and quantity: task, modalities, protocol, data, method, ``seed``, ``job``, ``quantity``,
        ``condition`` (``epoch 1`` and so on, or ``TESTED``), ``epoch`` from 1, and ``value``. Quantities: ``train/loss``, the sum of
        the terms of the training loss, and ``train/TERM``, means over the epoch; ``valid/loss`` and ``valid/METRIC``, the metric that
        selects epochs, on source validation; ``target/loss`` and ``target/METRIC`` where the rule of selection reads
        the target; and ``diagnostics/NAME``, what the method tells of itself.

    Raises:
        ValueError: no training is known epoch by epoch.
    """
    done = sorted(
        (one for one in results if one.state == "done" and one.epochs is not None and not one.bound),
        key=lambda one: (one.task, one.modalities, one.protocol, one.method, one.seed, one.job),
    )
    rows = [row for result in done for row in _rows(result)]
    if not rows:
        raise ValueError("no training of these jobs is known epoch by epoch")
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def is_tested_epoch(condition: str) -> bool:
    """Whether the row is one of the epoch that is tested."""
    return condition == TESTED


def notes_of_training(frame: pd.DataFrame) -> list[str]:
    """What a reader must know beside the table."""
    return [
        "value: of one network, at the end of the epoch whose weights are tested. train: mean over the epoch; valid: on source "
        "validation. The CSV file has every epoch."
    ]


def _rows(result: Result) -> Iterator[dict[str, Any]]:
    assert result.epochs is not None
    shared = {
        "task": result.task,
        "modalities": result.modalities,
        "protocol": result.protocol,
        "data": SYNTHETIC if result.synthetic else REAL,
        "method": result.method,
        "seed": result.seed,
        "job": result.job,
    }
    for place, epoch in enumerate(result.epochs()):
        for quantity, value in _quantities(epoch).items():
            condition = TESTED if epoch.get("tested") else f"epoch {place + 1}"
            about = {"quantity": quantity, "condition": condition, "epoch": place + 1}
            yield {**shared, **about, "value": float(value)}


def _quantities(epoch: Mapping[str, Any]) -> dict[str, float]:
    """Quantity -> value, of the record of an epoch."""
    terms = dict(epoch.get("train") or {})
    metric = epoch.get("metric_name") or "metric"
    found = {"train/loss": sum(terms.values())} if terms else {}
    found |= {f"train/{name}": value for name, value in terms.items()}
    found |= {VALIDATION_LOSS: epoch.get("loss"), f"{VALIDATION}{metric}": epoch.get("metric")}
    found |= {"target/loss": epoch.get("target_loss"), f"target/{metric}": epoch.get("target_metric")}
    found |= {f"diagnostics/{name}": value for name, value in dict(epoch.get("diagnostics") or {}).items()}
    return {name: value for name, value in found.items() if value is not None}
