"""A finished trial as Optuna has it. Workers that prune load this and no study."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...datasets.libraries import import_guard

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


def optuna() -> Any:
    """The library, without its messages. It is imported where it is used, as that takes a while."""
    with import_guard("optuna", "the search of hyper-parameters"):
        import optuna as library

    library.logging.set_verbosity(logging.WARNING)
    return library


def complete_trial(fit: Mapping[str, Any], score: float, **more: Any) -> FrozenTrial:
    """A finished trial: its score, and the metric of every epoch.

    Args:
        fit: its fit record.
        score: by which trials are compared.
        more: its parameters and what else Optuna keeps of a trial.
    """
    epochs = {epoch["epoch"]: float(epoch["metric"]) for epoch in fit["epochs"]}
    return optuna().create_trial(value=score, intermediate_values=epochs, **more)
