"""Steps of several batches, and arithmetic of fewer digits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmbench.benchmark.check.planted import planted_batch
from mmbench.benchmark.check.planted_networks import network_of
from mmbench.benchmark.core.method_spec import describe
from mmbench.benchmark.core.protocol import Protocol
from mmbench.benchmark.core.registry import find
from mmbench.benchmark.train.lightning_module import fit
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods import NETWORKS
from mmbench.methods.losses import task_loss
from mmbench.methods.method import Method, NoParams, Output
from torch import nn


class Linear(Method):
    """Reads the mean over time; nothing in it is random."""

    Params = NoParams
    steps = 0

    def __init__(self, params: NoParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.out = nn.Linear(spec.modalities["text"], 1)

    def forward(self, batch: Batch) -> Output:
        return Output(self.out(batch.features["text"].mean(dim=1)).squeeze(-1))

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        assert all(p.grad is None or not bool(p.grad.any()) for p in self.parameters()), (
            "gradients are not empty"
        )
        return {"task": task_loss(self(batch).prediction, batch.target, self.spec)}

    def after_step(self) -> None:
        self.steps += 1


def fitted(kind: type[Linear] = Linear, **rules: Any) -> Linear:
    spec = Spec({"text": 6}, "regression")
    torch.manual_seed(0)
    method = kind(NoParams(), spec)
    train, valid = planted_batch(spec, count=32), planted_batch(spec, count=8, seed=1)
    fit(method, Protocol(epochs=3, **rules), train, valid, 0, lambda *_: None)
    return method


def test_gradients_of_several_batches_are_averaged_before_a_step() -> None:
    whole, parts = fitted(batch_size=16), fitted(batch_size=4, accumulate=4)
    torch.testing.assert_close(parts.out.weight, whole.out.weight, atol=1e-5, rtol=1e-4)
    assert parts.steps == whole.steps == 6
    assert fitted(batch_size=4).steps == 24


def test_mixed_precision_changes_the_last_digits_alone() -> None:
    exact, mixed = fitted().out.weight, fitted(precision="bfloat16").out.weight
    assert not torch.equal(exact, mixed)
    torch.testing.assert_close(mixed, exact, atol=2e-2, rtol=5e-2)


class TwoPasses(Linear):
    """Looks at the batch with its weights and with others before it learns."""

    def backward(self, batch: Batch) -> dict[str, torch.Tensor]:
        before = self(batch).prediction.detach()
        with torch.no_grad():
            self.out.weight += 1
            moved = (batch.features["text"].mean(dim=1)).sum(dim=1)
        after = self(batch).prediction.detach()
        torch.testing.assert_close((after - before).float(), moved, atol=5e-2, rtol=5e-2)
        with torch.no_grad():
            self.out.weight -= 1
        return super().backward(batch)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_weights_that_move_between_two_passes_are_read_as_they_are(precision: str) -> None:
    fitted(TwoPasses, precision=precision)


TRAINED = [(name, kind) for name in NETWORKS for kind in ("regression", "classification")]


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name, kind in TRAINED if kind in describe(find("method", name)).kinds]
)
def test_every_method_trains_in_mixed_precision(name: str, kind: Any) -> None:
    method_class = find("method", name).load()
    spec = Spec({"text": 6, "audio": 5}, kind, classes=3 if kind == "classification" else 1, domains=2)
    train, valid = planted_batch(spec, count=16), planted_batch(spec, count=8, seed=1)
    method = network_of(method_class, spec)
    rules: dict[str, Any] = {"epochs": len(method.stages), "precision": "bfloat16"}
    fit(method, Protocol(**rules), train, valid, 0, lambda *_: None)
    assert bool(torch.isfinite(method(valid).prediction).all())
