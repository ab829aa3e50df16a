"""Fits an estimator: every candidate on the training split, and the one that the rule of selection takes is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol as Structure

from torch import Tensor

from ...corruptions.training import inject, inject_by_sample
from ...datasets.batch import Batch
from ...datasets.imputation import impute, imputed_once
from ...datasets.rates import has_rates
from ...methods.estimator import Estimator
from ..core.protocol import Protocol
from ..core.selection import Direction, Epoch, select_epoch
from .aside import call_aside
from .seeds import derive, generator
from .validate import Report, SelectionData, validate


class Fit(Structure):
    """What training and fitting leave behind beside the method itself."""

    @property
    def record(self) -> list[Epoch]:
        """An entry for each epoch, or for each candidate."""
        ...

    @property
    def selected_epoch(self) -> int:
        """The epoch, or the candidate, that is tested."""
        ...


@dataclass(frozen=True)
class Estimation:
    """The record of a fit.

    Attributes:
        record: an entry for each candidate, in the place of an epoch.
        selected_epoch: the place of the candidate that is tested.
    """

    record: list[Epoch]
    selected_epoch: int


def fit_estimator(
    method: Estimator,
    protocol: Protocol,
    train: Batch,
    valid: Batch,
    seed: int,
    report: Report,
    selection_data: SelectionData,
) -> Estimation:
    """Fits ``method`` and leaves it with what the selected candidate has learned.

    Args:
        method: what is fitted.
        protocol: the rules: of selection, and of damage in training, which is drawn once.
        train: the sources' training split.
        valid: the sources' validation split.
        seed: of the damage in training and of everything that the method draws.
        report: called after every candidate with its record.
        selection_data: what the rule of selection reads beside source validation.

    Raises:
        FloatingPointError: a prediction is not finite.
    """
    missing, noise = protocol.train_with_missing, protocol.train_with_noise
    if not missing == noise == "off":
        train = (
            inject_by_sample(train, missing, noise, seed, "training damage/0")
            if has_rates(missing)
            else inject(train, missing, noise, generator(seed, "training damage", 0, 0))
        )
    train, valid = impute(train, method.spec), imputed_once(valid, method.spec)
    if selection_data.target is not None:
        selection_data = replace(selection_data, target=imputed_once(selection_data.target, method.spec))
    direction: Direction = "lower" if method.spec.kind == "regression" else "higher"
    record: list[Epoch] = []
    states: list[Mapping[str, Tensor]] = []
    for place, candidate in enumerate(method.candidates()):
        fit = partial(method.fit, train, candidate, derive(seed, "estimator"))
        method.learned.replace(call_aside(fit))
        target = selection_data.target
        of_target = (None, None) if target is None else validate(method, target)
        record.append(Epoch(place, 0, {}, *validate(method, valid), *of_target))
        states.append(method.learned.tensors())
        report(place, 1.0, record[-1])
    best = select_epoch(
        protocol.selection, record, direction, _companions(selection_data, len(record)), protocol.ties
    )
    method.learned.replace(states[best])
    return Estimation(record, best)


def _companions(selection_data: SelectionData, count: int) -> Sequence[Sequence[Epoch]]:
    """The records of companions, which have tried the same candidates."""
    return [record[:count] for record in selection_data.companions]
