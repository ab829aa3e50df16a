"""Gradient boosting on summary statistics."""

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
from ..shared.estimation import class_logits, class_weight, labels_of
from ..shared.summary import summary
from ..shared.trees import Tree, as_tensors, sum_of_trees


@dataclass(frozen=True)
class GradientBoostingParams:
    """How the trees are grown."""

    rate: float = fixed(0.1, above=0, source="scikit-learn's default")
    leaves: int = fixed(31, least=2, source="scikit-learn's default")


class GradientBoosting(Estimator):
    """Boosted trees (Friedman 2001) on histograms of the summary's columns, as scikit-learn has them. The number of
    rounds is selected on the validation split.
    """

    Params = GradientBoostingParams
    version = 1
    departures: ClassVar[Mapping[str, str] | None] = {"all": "trees on histograms"}
    libraries: ClassVar[tuple[str, ...]] = ("sklearn",)
    weighs_classes: ClassVar[bool] = True

    def candidates(self) -> tuple[int, ...]:
        """Numbers of rounds."""
        return (25, 75, 200)

    def fit(self, train: Batch, candidate: Any, seed: int) -> Mapping[str, Tensor]:
        """Grows the trees by scikit-learn, and checks that they are read as it reads them.

        Raises:
            RuntimeError: the installed scikit-learn keeps its trees in another form.
        """
        with import_guard("sklearn", "the method gradient_boosting"):
            from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        regression = self.spec.kind == "regression"
        kind: Any = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
        columns = summary(train, self.spec.partly_observed).cpu()
        model = kind(
            max_iter=candidate,
            learning_rate=self.params.rate,
            max_leaf_nodes=self.params.leaves,
            early_stopping=False,
            random_state=seed % 2**32,
            **({} if regression else {"class_weight": class_weight(self.spec)}),
        ).fit(columns.numpy(), labels_of(train))
        # scikit-learn has no public form of these trees: what is read is compared with what it predicts.
        rounds = model._predictors
        learned = as_tensors([_tree(tree.nodes) for trees in rounds for tree in trees])
        learned["start"] = torch.from_numpy(np.asarray(model._baseline_prediction).reshape(1, -1).copy())
        if not regression:
            learned["classes"] = torch.from_numpy(model.classes_.astype("int64"))
        some = columns[:256]
        expected = model.predict(some.numpy()) if regression else model.decision_function(some.numpy())
        if not np.allclose(_raw(some, learned).squeeze(1).numpy(), expected, atol=1e-4):
            raise RuntimeError("the trees of this release of scikit-learn are kept in another form")
        return {name: value.to(train.target.device) for name, value in learned.items()}

    def predict(self, batch: Batch, learned: Mapping[str, Tensor]) -> Output:
        """The score, or logits."""
        raw = _raw(summary(batch, self.spec.partly_observed), learned)
        if self.spec.kind == "regression":
            return Output(raw[:, 0].float())
        if raw.shape[1] == 1:  # of two classes, one score
            raw = torch.cat([torch.zeros_like(raw), raw], 1)
        return Output(class_logits(raw, learned["classes"], self.spec.classes))


def _raw(columns: Tensor, learned: Mapping[str, Tensor]) -> Tensor:
    """The sum of all rounds, float64 [samples, outputs]."""
    return learned["start"] + sum_of_trees(columns, learned, learned["start"].shape[1])


def _tree(nodes: np.ndarray) -> Tree:
    leaf = nodes["is_leaf"].astype(bool)
    return Tree(
        feature=np.where(leaf, -1, nodes["feature_idx"].astype(np.int64)),
        threshold=nodes["num_threshold"],
        left=nodes["left"].astype(np.int64),
        right=nodes["right"].astype(np.int64),
        value=nodes["value"][:, None],
    )
