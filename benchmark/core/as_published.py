"""The protocol ``as-published``: the rules of MMDG-Bench's scripts (arXiv 2605.06643), by family of tasks.

A dataset says which family it belongs to and where its published lists depart from the rules (``family_as_published``
and ``rules_as_published`` of its class), a method where its script does (``Method.rules_as_published``). What is asked
for goes before all. Sections are those of docs/methods.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...datasets.dataset import Located
from .errors import UsageError, nearest
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


#: What a dataset without a family of its own is like -> the family that it follows.
DEFAULT_FAMILIES: Mapping[str, str] = {
    "waveforms": "hust",
    "regression": "sentiment",
    "classification": "action",
    "multi-label": "action",
}


def family_of(located: Located, dataset: Entry | None) -> str:
    """The family of a task, by its target's dataset: a key of ``BUDGETS``.

    A registered dataset says its own (``family_as_published`` of its class). Any other, such as one in the open
    layout, follows the family that ``DEFAULT_FAMILIES`` names for its kind of data: waveforms alone (every modality is
    read by ``cnn1d``), else scores or classes.

    Args:
        located: the dataset.
        dataset: its entry, where it is registered.

    Raises:
        UsageError: the class names a family that is not known.
    """
    family = getattr(dataset.load(), "family_as_published", "") if dataset else ""
    if family and family not in BUDGETS:
        raise UsageError(f"dataset {located.name}: unknown family {family!r}: {nearest(family, BUDGETS)}")
    if family:
        return family
    encoders = getattr(located, "encoders", {})  # a dataset of a plug-in may have none
    waveforms = located.modalities and all(encoders.get(name) == "cnn1d" for name in located.modalities)
    return DEFAULT_FAMILIES["waveforms" if waveforms else located.target.kind]


def rules_of(dataset: Entry | None) -> Mapping[str, Any]:
    """The fields of the protocol that a dataset's published lists decide; none of a dataset that is not registered.

    Args:
        dataset: its entry, where it is registered.
    """
    return getattr(dataset.load(), "rules_as_published", {}) if dataset else {}
