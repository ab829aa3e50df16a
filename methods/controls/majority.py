"""Majority: the control that reads nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...datasets.batch import Batch
from ..estimator import Estimator
from ..method import NoParams, Output
from ..shared.estimation import logit


class Majority(Estimator):
    """Predicts the same for every sample: the frequencies of the classes or labels in training, or the median score.

    The median is the constant of the least absolute error, the most frequent class that of the highest accuracy.
    """

    Params = NoParams
    version = 1
    kinds: ClassVar[tuple[str, ...]] = ("regression", "classification", "multi-label")
    departures: ClassVar[Mapping[str, str] | None] = {}

    def fit(self, train: Batch, candidate: Any, seed: int) -> Mapping[str, Tensor]:
        """Counts the classes or labels, or takes the median."""
        if self.spec.kind == "multi-label":
            return {"constant": logit(train.target.double().mean(0)).float()}
        if self.spec.kind == "regression":
            return {"constant": train.target.float().quantile(0.5)}
        counts = torch.bincount(train.target, minlength=self.spec.classes).double()
        return {"constant": (counts / counts.sum()).clamp(min=1e-6).log().float()}

    def predict(self, batch: Batch, learned: Mapping[str, Tensor]) -> Output:
        """The constant, for every sample."""
        return Output(learned["constant"].expand(len(batch), *learned["constant"].shape).clone())
