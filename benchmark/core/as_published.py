"""The protocol ``as-published``: the rules of MMDG-Bench's scripts (arXiv 2605.06643), by family of tasks.

A method says itself where its script departs from them (``Method.rules_as_published``), a dataset where its
lists do (``rules_as_published`` of its class). What is asked for goes before all. Sections are those of
docs/methods.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...datasets.dataset import Located
from .registry import Entry

#: Family of tasks -> the rules of its scripts (section 1.4).
BUDGETS: Mapping[str, Mapping[str, Any]] = {
    # 15 epochs of 24, Adam at 1e-4 without weight decay, gradient norm clipped at 0.8.
    "sentiment": {
        "epochs": 15,
        "batch_size": 24,
        "optimizer": "adam",
        "learning_rate": 1e-4,
        "schedule": "constant",
        "weight_decay": 0.0,
        "clip_norm": 0.8,
        "standardize": False,
        "ties": "earliest",
    },
    # 10,000 steps of 128 without the incomplete last, Adam from 1e-3 by the inverse power; every 200 steps validated.
    "hust": {
        "epochs": 50,
        "epoch_steps": 200,
        "batch_size": 128,
        "drop_last": True,
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "schedule": "inverse-power",
        "weight_decay": 5e-4,
        "clip_norm": 0.0,
        "standardize": False,
        "ties": "earliest",
    },
    # 20 epochs of 16 without the incomplete last, Adam at 1e-4; of equal epochs the latest.
    "action": {
        "epochs": 20,
        "batch_size": 16,
        "drop_last": True,
        "optimizer": "adam",
        "learning_rate": 1e-4,
        "schedule": "constant",
        "weight_decay": 1e-4,
        "clip_norm": 0.0,
        "standardize": False,
        "ties": "latest",
    },
}


def family_of(located: Located) -> str:
    """The family of a task by its target's dataset: ``"hust"`` for waveforms, ``"sentiment"`` for scores, else
    ``"action"``. Datasets of one's own follow the family that they are alike."""
    encoders = getattr(
        located, "encoders", {}
    )  # the contract came without: a plug-in's dataset may have none
    if located.modalities and all(encoders.get(name) == "cnn1d" for name in located.modalities):
        return "hust"
    return "sentiment" if located.target.kind == "regression" else "action"


def rules_of(dataset: Entry | None) -> Mapping[str, Any]:
    """The rules that a dataset's published lists decide; none of a dataset of one's own."""
    return getattr(dataset.load(), "rules_as_published", {}) if dataset else {}
