"""Nearest centroid: the class whose mean is nearest, on summary statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmbench.datasets.batch import Batch
from mmbench.methods.estimator import Estimator
from mmbench.methods.method import NoParams, Output
from mmbench.methods.shared.summary import standardization, standardized, summary
from torch import Tensor

METHODS = {"nearest_centroid": "NearestCentroid"}


class NearestCentroid(Estimator):
    """The logit of a class is minus half the squared distance to its mean; a score is the mean of the nearest tenth."""

    Params = NoParams
    version = 1

    def candidates(self) -> tuple[float, ...]:
        """How far the means of classes are drawn to that of all samples."""
        return (0.0, 0.5)

    def fit(self, train: Batch, candidate: Any, seed: int) -> Mapping[str, Tensor]:
        """Averages the samples of each class, or of each tenth of the scores."""
        columns = summary(train)
        learned = standardization(columns)
        inputs = standardized(columns, learned)
        if self.spec.kind == "classification":
            group, values = train.target, torch.arange(self.spec.classes)
        else:
            edges = torch.quantile(train.target, torch.linspace(0, 1, 11)[1:-1])
            group = torch.bucketize(train.target, edges)
            values = torch.stack([_mean(train.target, group == k) for k in range(10)])
        centres = torch.stack([_mean(inputs, group == k) for k in range(len(values))])
        return {**learned, "centres": (1 - candidate) * centres, "values": values}

    def predict(self, batch: Batch, learned: Mapping[str, Tensor]) -> Output:
        """By the distances to the centres."""
        near = -torch.cdist(standardized(summary(batch), learned), learned["centres"]).square() / 2
        if self.spec.kind == "classification":
            return Output(near)
        return Output(learned["values"][near.argmax(1)].float())


def _mean(values: Tensor, rows: Tensor) -> Tensor:
    """The mean over some rows; over all where there is none."""
    return values[rows].mean(0) if bool(rows.any()) else values.mean(0)
