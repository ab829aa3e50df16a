"""Random forest on summary statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from ...datasets.batch import Batch
from ...datasets.libraries import import_guard
from ..estimator import Estimator
from ..method import Output, fixed
from ..shared.estimation import class_logits, class_weight, label_shift, labels_of, logit
from ..shared.summary import summary
from ..shared.trees import Tree, as_tensors, sum_of_trees

#: The least probability of a class, so that its logarithm is finite: a forest can exclude a class.
_LEAST = 1e-6


@dataclass(frozen=True)
class RandomForestParams:
    """The size of the forest."""

    trees: int = fixed(200, least=1, source="Breiman 2001; more change little")


class RandomForest(Estimator):
    """Breiman's forest (2001) of trees on bootstrap samples, each split among sqrt(columns) of the summary's columns
    (a third of them for regression). The smallest leaf is selected on the validation split.

    Of several labels one forest says the shares: the variance of labels of 0 and 1, by which its trees split, is half
    their Gini impurity. Weights of the labels do not change the trees, which all labels share,
    but the odds that the shares say (Elkan 2001).
    """

    Params = RandomForestParams
    version = 1
    kinds: ClassVar[tuple[str, ...]] = ("regression", "classification", "multi-label")
    departures: ClassVar[Mapping[str, str] | None] = {}
    libraries: ClassVar[tuple[str, ...]] = ("sklearn",)
    weighs_classes: ClassVar[bool] = True

    def candidates(self) -> tuple[int, ...]:
        """Samples that a leaf has at least."""
        return (1, 3, 10)

    def fit(self, train: Batch, candidate: Any, seed: int) -> Mapping[str, Tensor]:
        """Grows the forest by scikit-learn."""
        with import_guard("sklearn", "the method random_forest"):
            from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        regression, one_class = self.spec.kind == "regression", self.spec.kind == "classification"
        kind: Any = RandomForestClassifier if one_class else RandomForestRegressor
        model = kind(
            n_estimators=self.params.trees,
            min_samples_leaf=min(candidate, max(1, len(train) // 4)),
            max_features=1 / 3 if regression else "sqrt",
            random_state=seed % 2**32,
            n_jobs=1,
            **({"class_weight": class_weight(self.spec)} if one_class else {}),
        ).fit(summary(train, self.spec.partly_observed).cpu().numpy(), labels_of(train))
        learned = as_tensors([_tree(item.tree_, shares=one_class) for item in model.estimators_])
        if self.spec.kind == "multi-label" and self.spec.class_weights:
            learned["shift"] = label_shift(self.spec)
        if one_class:
            import torch

            learned["classes"] = torch.from_numpy(model.classes_.astype("int64"))
        return {name: value.to(train.target.device) for name, value in learned.items()}

    def predict(self, batch: Batch, learned: Mapping[str, Tensor]) -> Output:
        """The mean of the trees: a score, or the logarithm of the probabilities."""
        mean = sum_of_trees(summary(batch, self.spec.partly_observed), learned) / len(learned["root"])
        if self.spec.kind == "regression":
            return Output(mean[:, 0].float())
        if self.spec.kind == "multi-label":
            return Output((logit(mean) + learned.get("shift", 0)).float())
        return Output(class_logits(mean.clamp(min=_LEAST).log(), learned["classes"], self.spec.classes))


def _tree(tree: Any, shares: bool) -> Tree:
    """A tree of scikit-learn, whose leaves hold the mean of each output, or the share of each class.

    Args:
        tree: of scikit-learn.
        shares: whether it is of classes.
    """
    value = tree.value[:, 0, :] if shares else tree.value[:, :, 0]
    leaf = tree.children_left < 0
    return Tree(
        feature=tree.feature * ~leaf - leaf,
        threshold=tree.threshold,
        left=tree.children_left,
        right=tree.children_right,
        value=value / value.sum(1, keepdims=True) if shares else value,
    )
