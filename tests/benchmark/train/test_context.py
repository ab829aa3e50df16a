"""Damage reaches the context through the harness: in training, and in predictions under conditions."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mmbench.benchmark.core.protocol import Protocol
from mmbench.benchmark.data.tensors import TaskData, TaskRequest, load_task
from mmbench.benchmark.train.lightning_module import fit
from mmbench.benchmark.train.minibatches import Minibatches
from mmbench.benchmark.train.predict import outputs_under
from mmbench.corruptions.condition import Clean
from mmbench.corruptions.corruption import apply_all
from mmbench.corruptions.features import GaussianNoise
from mmbench.corruptions.missing import Missing
from mmbench.corruptions.missing_rates import RandomModality
from mmbench.datasets.batch import Batch, Spec
from mmbench.datasets.locate import locate
from mmbench.methods.method import Method, NoParams, Output
from torch import Tensor, nn


@pytest.fixture
def data(data_root: Path) -> TaskData:
    request = TaskRequest("toy", ("x",), ("text", "audio"), True, "strict", True, "cpu")
    return load_task(request, {"toy": locate("toy", data_root)}).with_context()


class Sums(Method):
    """Each embedding is a sum over the modality of the sample and over all of its context: ``encode`` may read both."""

    uses_context = True

    def __init__(self, params: NoParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.weight = nn.Parameter(torch.tensor(0.1))
        self.seen: list[Batch] = []

    def encode(self, modality: str, batch: Batch) -> Tensor:
        assert batch.context is not None
        before = sum(_sum(batch.context, name) for name in batch.modalities)
        return _sum(batch, modality) + 3 * torch.as_tensor(before)

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        parts = [embeddings[name] * batch.present[name] for name in batch.modalities]
        return Output(self.weight * torch.stack(parts).sum(0))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        self.seen.append(batch)
        return {"task": (self(batch).prediction - batch.target).abs().mean()}


def _sum(batch: Batch, name: str) -> Tensor:
    return (batch.features[name] * batch.mask[name].unsqueeze(-1)).sum((1, 2)) * batch.present[name]


@pytest.mark.parametrize("steps", [0, 3])  # an epoch that is one pass; epochs of a part of one
def test_in_training_an_utterance_is_damaged_alike_wherever_it_stands(data: TaskData, steps: int) -> None:
    method = Sums(NoParams(), data.spec("fair"))
    rules = {"epochs": 4, "batch_size": 5, "epoch_steps": steps}
    damage = {"train_with_missing": "spectrum", "train_with_noise": "spectrum"}
    protocol = Protocol.model_validate({**rules, **damage})
    fit(method, protocol, data.train.batch, data.valid.batch, 2, lambda *_: None)
    in_pass = -(-len(data.train.batch) // 5)
    states: dict[int, set[tuple[bool, bytes]]] = defaultdict(set)  # of a sample, over the passes
    compared = 0
    for start in range(0, len(method.seen), in_pass):
        part = method.seen[start : start + in_pass]
        own = {
            int(one): batch.take(slice(i, i + 1)) for batch in part for i, one in enumerate(batch.sample_id)
        }
        for batch in part:
            assert batch.context is not None
            for row, before in enumerate(batch.context.sample_id.tolist()):
                there = [bool(flags[row]) for flags in batch.context.present.values()]
                if before not in own or not any(there):
                    continue
                compared += 1
                for name in batch.modalities:
                    assert bool(batch.context.present[name][row]) == bool(own[before].present[name][0])
                    assert torch.equal(batch.context.features[name][row], own[before].features[name][0])
                states[before].add((there[0], batch.context.features["text"][row].numpy().tobytes()))
    assert compared > 20
    assert any(len(found) > 1 for found in states.values())  # drawn anew in another pass


@pytest.mark.parametrize(("steps", "drop_last"), [(0, False), (4, False), (11, True), (2, True)])
def test_the_pass_of_a_minibatch(data: TaskData, steps: int, drop_last: bool) -> None:
    batches = Minibatches(data.train.batch, 7, 0, steps, drop_last)
    for epoch in range(3):
        for place, _ in enumerate(batches):
            assert batches.pass_of(epoch, place) == batches.passes - 1


def test_under_a_condition_a_network_sees_the_context_under_it_too(data: TaskData) -> None:
    method = Sums(NoParams(), data.spec("fair"))
    split = data.test.batch
    conditions = [Clean(), Missing(("text",)), RandomModality(0.4), GaussianNoise("audio", 4)]
    found = outputs_under(method, split, conditions)
    alone = {
        condition.name: changed for condition, changed in apply_all(conditions, replace(split, context=None))
    }
    with torch.no_grad():
        for name, output in found.items():
            before = alone[name].take(data.test.previous.clamp(min=0))
            known = data.test.previous >= 0
            before = before.with_present({key: flags & known for key, flags in before.present.items()})
            expected = method(replace(alone[name], context=before)).prediction
            assert torch.equal(output.prediction, expected), name
        clean_context = method(replace(alone["random-modality@0.4"], context=split.context)).prediction
    assert not torch.equal(found["random-modality@0.4"].prediction, clean_context)


def test_a_clean_network_sees_what_it_saw(data: TaskData) -> None:
    """Without damage the batches are the very tensors of the split."""
    method = Sums(NoParams(), data.spec("fair"))
    fit(
        method,
        Protocol.model_validate({"epochs": 1, "batch_size": 200}),
        data.train.batch,
        data.valid.batch,
        0,
        lambda *_: None,
    )
    (seen,) = method.seen
    rows = torch.stack([(data.train.batch.sample_id == one).nonzero()[0, 0] for one in seen.sample_id])
    expected = data.train.batch.take(rows)
    assert seen.context is not None
    assert expected.context is not None
    for name in seen.modalities:
        assert torch.equal(seen.features[name], expected.features[name])
        assert torch.equal(seen.context.features[name], expected.context.features[name])
        assert torch.equal(seen.context.present[name], expected.context.present[name])
