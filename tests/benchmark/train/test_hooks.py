"""The optional parts of the contract of a method: what the trainer gives, and when it calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from mmbench.benchmark.check.planted import planted_batch, specs
from mmbench.benchmark.core.protocol import Protocol
from mmbench.benchmark.train import optimizer
from mmbench.benchmark.train.lightning_module import fit
from mmbench.benchmark.train.optimizer import build_optimizer
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods.erm import ERM, ERMParams
from mmbench.methods.method import ParameterGroup
from torch import Tensor

SPEC = next(spec for spec in specs() if len(spec.modalities) == 2)
TRAIN = replace(planted_batch(SPEC, count=40), index=None)
VALID = replace(planted_batch(SPEC, count=12, seed=1), index=None)
RULES = Protocol.model_validate({"epochs": 2, "batch_size": 16})


def train(kind: type[ERM], rules: Protocol = RULES, spec: Spec = SPEC) -> ERM:
    torch.manual_seed(0)
    method = kind(ERMParams(width=8, layers=1), spec)
    fit(method, rules, TRAIN, VALID, 0, lambda *told: None)
    return method


def weights(method: ERM) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in method.parameters()]


class LaidOut(ERM):
    """Sets gradients whose entries lie in another order than those of the weights, as those of a transposed product do."""

    def backward(self, batch: Batch) -> dict[str, Tensor]:
        terms = super().backward(batch)
        for parameter in self.parameters():
            if parameter.grad is not None and parameter.ndim == 2:
                parameter.grad = parameter.grad.t().contiguous().t()
        return terms


def test_how_a_gradient_lies_in_memory_changes_nothing():
    for one, other in zip(weights(train(ERM)), weights(train(LaidOut)), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)  # norms are summed in another order


def test_the_index_is_the_row_of_the_training_split():
    seen: list[tuple[int, float]] = []

    class Memory(ERM):
        uses_index = True

        def loss(self, batch: Batch) -> dict[str, Tensor]:
            assert batch.index is not None
            seen.extend(zip(batch.index.tolist(), batch.target.tolist(), strict=True))
            return super().loss(batch)

        def forward(self, batch: Batch):
            assert self.training or batch.index is None  # there is none where nothing is trained
            return super().forward(batch)

    train(Memory)
    assert sorted(row for row, _ in seen) == sorted([*range(40)] * 2)
    assert all(TRAIN.target[row].item() == target for row, target in seen)


def test_clean_is_the_batch_before_the_protocol_damaged_it():
    pairs: list[tuple[Batch, Batch | None]] = []

    class Both(ERM):
        uses_clean = True

        def loss(self, batch: Batch) -> dict[str, Tensor]:
            pairs.append((batch, batch.clean))
            return super().loss(batch)

    train(Both, RULES.model_copy(update={"train_with_missing": "patterns"}))
    assert all(clean is not None for _, clean in pairs)
    for damaged, clean in pairs:
        assert clean is not None
        assert torch.equal(damaged.sample_id, clean.sample_id)
        rows = [int(np.flatnonzero(TRAIN.sample_id == one)[0]) for one in clean.sample_id]
        for name in clean.modalities:
            assert torch.equal(clean.features[name], TRAIN.features[name][rows])
            assert clean.present[name].all()
    assert any(not damaged.present[name].all() for damaged, _ in pairs for name in damaged.modalities)
    pairs.clear()
    train(Both)
    assert all(clean is None for _, clean in pairs)  # nothing was damaged


def test_before_an_epoch_all_training_samples_can_be_read():
    class Prototypes(ERM):
        calls: list[Tensor] = []  # noqa: RUF012 - of this test alone

        def before_epoch(self, batches: Callable[[], Iterator[Batch]], done: float) -> None:
            with torch.no_grad():
                for _ in range(2):  # each call begins anew
                    self.calls.append(torch.cat([batch.target for batch in batches()]))

    train(Prototypes)
    assert len(Prototypes.calls) == 2 * RULES.epochs
    assert all(torch.equal(target, TRAIN.target) for target in Prototypes.calls)


def test_a_group_has_a_rate_and_a_decay_of_its_own():
    class Frozen(ERM):
        def parameter_groups(self) -> Sequence[ParameterGroup]:
            return (ParameterGroup(list(self.head.parameters()), rate=1e-9, decay=0.0),)

    torch.manual_seed(0)
    first = ERM(ERMParams(width=8, layers=1), SPEC)
    slow, usual = train(Frozen), train(ERM)
    for start, still, moved in zip(
        first.head.parameters(), slow.head.parameters(), usual.head.parameters(), strict=True
    ):
        torch.testing.assert_close(still, start, atol=1e-6, rtol=0)
        assert not torch.allclose(moved, start, atol=1e-6)
    assert any(
        not torch.allclose(a, b, atol=1e-6)
        for a, b in zip(first.encoders.parameters(), slow.encoders.parameters(), strict=True)
    )

    class Twice(ERM):
        def parameter_groups(self) -> Sequence[ParameterGroup]:
            group = ParameterGroup(list(self.head.parameters()))
            return (group, group)

    with pytest.raises(ValueError, match="in two groups"):
        train(Twice)


def test_what_is_frozen_is_in_no_group_of_the_optimiser_and_training_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
):
    class Frozen(ERM):
        def __init__(self, params: ERMParams, spec: Spec) -> None:
            super().__init__(params, spec)
            self.encoders.requires_grad_(False)

        def parameter_groups(self) -> Sequence[ParameterGroup]:
            first, *_ = self.encoders.parameters()
            return (ParameterGroup([first]), ParameterGroup(list(self.head.parameters()), rate=2.0))

    method = Frozen(ERMParams(width=8, layers=1), SPEC)
    groups = build_optimizer(method, RULES).param_groups
    assert {one for group in groups for one in group["params"]} == set(method.head.parameters())
    assert [group["lr"] for group in groups] == [2.0 * RULES.learning_rate]
    without = weights(train(Frozen))
    with monkeypatch.context() as patch:
        patch.setattr(optimizer, "left_out", lambda method: set())
        assert len(build_optimizer(method, RULES).param_groups) > len(groups)
        everything = weights(train(Frozen))
    assert all(torch.equal(a, b) for a, b in zip(without, everything, strict=True))


def test_what_is_thawed_later_is_trained_or_said_to_be_none():
    class Thawing(ERM):
        stages: tuple[float, ...] = (1.0,)

        def __init__(self, params: ERMParams, spec: Spec) -> None:
            super().__init__(params, spec)
            self.head.requires_grad_(False)

        def before_epoch(self, batches: object, done: float) -> None:
            self.head.requires_grad_(done > 0)

    class Staged(Thawing):
        stages = (0.5, 0.5)

    with pytest.raises(
        ValueError, match=r"^head\.\S+ required no gradient when the training began, and does now"
    ):
        train(Thawing)
    torch.manual_seed(0)
    first = Staged(ERMParams(width=8, layers=1), SPEC)
    pairs = zip(first.head.parameters(), train(Staged).head.parameters(), strict=True)
    assert any(not torch.allclose(start, moved, atol=1e-6) for start, moved in pairs)


def test_one_step_for_a_batch_is_what_it_was():
    class One(ERM):
        def optimizer_steps(self, batch: Batch):
            return (lambda: self.backward(batch),)

    assert all(torch.equal(a, b) for a, b in zip(weights(train(One)), weights(train(ERM)), strict=True))


def test_steps_alternate_between_parts():
    order: list[str] = []

    class Alternating(ERM):
        """The encoders, then the head, each by a step of its own, from gradients at the weights of that moment."""

        def __init__(self, params: ERMParams, spec: Spec) -> None:
            super().__init__(params, spec)
            self.seen: list[list[Tensor]] = []

        def optimizer_steps(self, batch: Batch):
            def part(name: str) -> dict[str, Tensor]:
                before = weights(self)
                terms = self.backward(batch)
                for other, parameter in self.named_parameters():
                    if not other.startswith(name):
                        parameter.grad = None
                order.append(name)
                if order[-2:] == ["encoders", "head"]:
                    assert not all(torch.equal(a, b) for a, b in zip(before, self.seen[-1], strict=True))
                self.seen.append(before)
                return {name: terms["task"].detach()}

            return (lambda: part("encoders"), lambda: part("head"))

        def after_step(self) -> None:
            order.append("step")

    method = train(Alternating)
    assert order[:4] == ["encoders", "step", "head", "step"]
    assert order.count("step") == 2 * RULES.epochs * 3
    assert not torch.equal(weights(method)[-1], weights(ERM(ERMParams(width=8, layers=1), SPEC))[-1])
    with pytest.raises(ValueError, match="does not go with --accumulate"):
        train(Alternating, RULES.model_copy(update={"accumulate": 2}))
