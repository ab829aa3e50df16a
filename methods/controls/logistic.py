"""Logistic regression on summary statistics; ridge regression for scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ...datasets.batch import Batch
from ...datasets.libraries import import_guard
from ..estimator import Estimator
from ..method import Output, fixed
from ..shared.estimation import class_logits, class_weight, label_weight, labels_of, logit
from ..shared.summary import standardization, standardized, summary


@dataclass(frozen=True)
class LogisticParams:
    """How the linear model is fitted."""

    iterations: int = fixed(1000, least=1)


class Logistic(Estimator):
    """A linear model of the standardised summary, with an L2 penalty that the validation split selects.

    prediction = W (s - mean) / scale + b; ridge regression for scores. Several labels have a model each, of the label against
    the rest. A candidate q is the strength of the penalty |W|^2 relative to the largest curvature that the data give the
    loss: lambda = q s^2, s being the largest singular value of the standardised training summary, and of a logistic loss q s^2 / 4, as
    p (1 - p) is at most 1/4. So at q = 10 the best known direction keeps an eleventh of its coefficient, however many samples
    and columns there are, and at 0.00001 next to nothing is penalised. That grids follow the scale of the data is common
    (Friedman et al. 2010, 2.5; scikit-learn's ``l1_min_c``); this scale for L2 is ours.
    """

    Params = LogisticParams
    version = 2
    kinds: ClassVar[tuple[str, ...]] = ("regression", "classification", "multi-label")
    departures: ClassVar[Mapping[str, str] | None] = {}
    libraries: ClassVar[tuple[str, ...]] = ("sklearn",)
    weighs_classes: ClassVar[bool] = True

    def candidates(self) -> tuple[float, ...]:
        """Strengths of the penalty relative to the data, from strong to weak."""
        return (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0001, 0.00001)

    def fit(self, train: Batch, candidate: Any, seed: int) -> Mapping[str, Tensor]:
        """Fits the linear model by scikit-learn."""
        with import_guard("sklearn", "the method logistic"):
            from sklearn.linear_model import LogisticRegression, Ridge

        columns = summary(train, self.spec.partly_observed).cpu()
        learned = standardization(columns)
        inputs = standardized(columns, learned).double().numpy()
        labels = labels_of(train)
        penalty = candidate * largest_curvature(inputs)
        inverse = 4 / penalty
        if self.spec.kind == "regression":
            model = Ridge(alpha=penalty).fit(inputs, labels)
            weights, bias = model.coef_.reshape(1, -1), torch.tensor([float(model.intercept_)])
        elif self.spec.kind == "multi-label":
            weights, bias = (
                np.zeros((self.spec.classes, inputs.shape[1])),
                logit(train.target.cpu().double().mean(0)),
            )
            for place in np.flatnonzero(
                (labels != labels[0]).any(axis=0)
            ):  # one that all have, or none, is its share
                model = LogisticRegression(
                    C=inverse,
                    max_iter=self.params.iterations,
                    class_weight=label_weight(self.spec, int(place)),
                )
                model.fit(inputs, labels[:, place])
                weights[place], bias[place] = model.coef_[0], float(np.ravel(model.intercept_)[0])
        else:
            if len(set(labels.tolist())) < 2:
                raise ValueError("logistic needs training samples of two classes or more")
            model = LogisticRegression(
                C=inverse, max_iter=self.params.iterations, class_weight=class_weight(self.spec)
            ).fit(inputs, labels)
            weights, bias = model.coef_, torch.from_numpy(model.intercept_)
            learned["classes"] = torch.from_numpy(model.classes_.astype("int64"))
        learned["weights"] = torch.from_numpy(weights).float().contiguous()
        learned["bias"] = bias.float()
        return {name: value.to(train.target.device) for name, value in learned.items()}

    def predict(self, batch: Batch, learned: Mapping[str, Tensor]) -> Output:
        """The score, or logits."""
        said = (
            standardized(summary(batch, self.spec.partly_observed), learned) @ learned["weights"].T
            + learned["bias"]
        )
        if self.spec.kind == "regression":
            return Output(said[:, 0])
        if self.spec.kind == "multi-label":
            return Output(said)
        if said.shape[1] == 1:  # of two classes, one score
            said = torch.cat([torch.zeros_like(said), said], 1)
        return Output(class_logits(said, learned["classes"], self.spec.classes))


def largest_curvature(inputs: np.ndarray) -> float:
    """The square of the largest singular value of a matrix [samples, columns], by randomised iterations from a fixed seed;
    1 of a matrix of zeros."""
    with import_guard("sklearn", "the method logistic"):
        from sklearn.utils.extmath import randomized_svd

    value = float(randomized_svd(inputs, 1, random_state=0)[1][0])
    return value**2 if value > 1e-6 else 1.0
