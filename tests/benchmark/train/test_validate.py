"""Validation: what it computes, and what it keeps from a method."""

from __future__ import annotations

import warnings

import pytest
import torch
from mmbench.benchmark.core.selection import selection_metric
from mmbench.benchmark.data.tensors import TaskData
from mmbench.benchmark.train.predict import default_conditions, outputs_under
from mmbench.benchmark.train.validate import validate
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods.method import Method, NoParams, Output
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from torch import Tensor, nn

from .test_lightning_module import Counting, data  # noqa: F401 (a fixture)


def test_no_method_sees_what_it_is_asked_for(data: TaskData):  # noqa: F811
    class Peeking(Counting):
        def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
            return Output(batch.target.float())

    method = Peeking(NoParams(), data.spec("fair"))
    prediction = outputs_under(method, data.test.batch, default_conditions(["text"]))["clean"].prediction
    assert bool(prediction.isnan().all())
    with pytest.raises(FloatingPointError, match="not finite"):
        validate(method, data.valid.batch)


class Saying(Method):
    """Predicts what the first feature of its only modality says."""

    def forward(self, batch: Batch) -> Output:
        return Output(nn.functional.one_hot(batch.features["x"][:, 0, 0].long(), self.spec.classes).float())


@pytest.mark.parametrize(
    ("name", "score"), [("fair", balanced_accuracy_score), ("as-published", accuracy_score)]
)
def test_epochs_are_compared_by_what_every_class_counts_alike_in(name, score):
    target = torch.tensor([0] * 20 + [1] * 5 + [3])  # none of class 2
    said = torch.tensor([0] * 19 + [2] + [1, 1, 0, 0, 3] + [3])
    some = torch.ones(len(target), dtype=torch.bool)
    batch = Batch(
        {"x": said[:, None, None].float()}, {"x": some[:, None]}, {"x": some}, target, target * 0, target * 0
    )
    method = Saying(NoParams(), Spec({"x": 1}, "classification", classes=4, protocol=name))
    assert selection_metric("classification", name) == score.__name__.removesuffix("_score")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class that is said and never right
        expected = score(target, said)
    assert validate(method, batch)[1] == pytest.approx(expected)
