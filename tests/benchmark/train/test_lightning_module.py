from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmbench.benchmark.core.protocol import Protocol
from mmbench.benchmark.data.tensors import TaskData, TaskRequest, load_task
from mmbench.benchmark.train.lightning_module import Training, _stage_starts, fit
from mmbench.benchmark.train.minibatches import Minibatches
from mmbench.benchmark.train.predict import prediction_table
from mmbench.benchmark.train.seeds import derive, seed_everything
from mmbench.benchmark.train.validate import validate
from mmbench.benchmark.train.weights import load_weights, save_weights
from mmbench.datasets.batch import Batch, Spec
from mmbench.datasets.locate import locate
from mmbench.methods.erm import ERM
from mmbench.methods.generalisation.mbcd import MBCD
from mmbench.methods.generalisation.swad import SWAD
from mmbench.methods.method import Method, NoParams, Output
from mmbench.methods.shared.networks import SharedNetworkParams
from pydantic import ValidationError
from torch import Tensor, nn


@pytest.fixture
def data(data_root: Path) -> TaskData:
    request = TaskRequest("toy", ("x",), ("text", "audio"), True, "strict", True, "cpu")
    return load_task(request, {"toy": locate("toy", data_root)})


def protocol(**change) -> Protocol:
    return Protocol.model_validate({"epochs": 3, "batch_size": 16, **change})


class Counting(Method):
    """Counts what it is asked; its prediction is a learned multiple of the first text feature."""

    stages = (0.5, 0.5)

    def __init__(self, params: NoParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.weight = nn.Parameter(torch.tensor(0.0))
        self.encoded: list[str] = []
        self.begun: list[int] = []
        self.seen: list[Tensor] = []

    def begin_stage(self, stage: int) -> None:
        self.begun.append(stage)

    def encode(self, modality: str, batch: Batch) -> Tensor:
        self.encoded.append(modality)
        return batch.features[modality][:, 0, :1]

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        return Output(self.weight * embeddings["text"][:, 0] * batch.present["text"])

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        self.seen.append(batch.sample_id)
        return {"task": (self(batch).prediction - batch.target).abs().mean()}


def train(method: Method, data: TaskData, seed: int = 0, **change) -> Training:
    return fit(method, protocol(**change), data.train.batch, data.valid.batch, seed, lambda *_: None)


def test_every_sample_is_seen_once_an_epoch_in_an_order_of_its_own(data: TaskData):
    method = Counting(NoParams(), data.spec("fair"))
    train(method, data)
    epochs = torch.cat(method.seen).reshape(3, -1)
    for order in epochs:
        assert torch.equal(order.sort().values, data.train.batch.sample_id.sort().values)
    assert not torch.equal(epochs[0], epochs[1])


def test_order_depends_on_the_seed_alone(data: TaskData):
    orders = [[part.sample_id for part in Minibatches(data.train.batch, 16, seed)] for seed in (3, 3, 4)]
    assert all(torch.equal(a, b) for a, b in zip(orders[0], orders[1], strict=True))
    assert not torch.equal(orders[0][0], orders[2][0])


def test_stages_begin_in_order(data: TaskData):
    method = Counting(NoParams(), data.spec("fair"))
    training = train(method, data, epochs=4)
    assert method.begun == [0, 1]
    assert [item.stage for item in training.record] == [0, 0, 1, 1]


def test_a_method_is_told_before_each_epoch_how_much_is_done(data: TaskData):
    class Told(Counting):
        def __init__(self, params: NoParams, spec: Spec) -> None:
            super().__init__(params, spec)
            self.done: list[tuple[float, int, int]] = []

        def before_epoch(self, batches: object, done: float) -> None:
            self.done.append((done, len(self.begun), len(self.seen)))

    method = Told(NoParams(), data.spec("fair"))
    train(method, data, epochs=4)
    steps = math.ceil(len(data.train.batch) / 16)
    # after a stage of that epoch has begun, and before its first step
    assert method.done == [(0.0, 1, 0), (0.25, 1, steps), (0.5, 2, 2 * steps), (0.75, 2, 3 * steps)]


def test_the_batches_of_a_method_that_compares_domains_hold_both(data: TaskData):
    class Comparing(Counting):
        compares_domains = True

    rare = data.train.batch.sample_id[:2]
    domain = torch.isin(data.train.batch.sample_id, rare).long()
    of_two = replace(data, train=replace(data.train, batch=replace(data.train.batch, domain=domain)))
    for kind, rule, balanced in (
        (Comparing, "auto", True),
        (Counting, "auto", False),
        (Comparing, "off", False),
    ):
        method = kind(NoParams(), data.spec("fair"))
        train(method, of_two, balance_domains=rule)
        assert all(torch.isin(ids, rare).sum() == 8 for ids in method.seen) == balanced
        assert len(method.seen) == 3 * math.ceil(len(domain) / 16)


def test_a_method_is_told_after_each_step_of_the_optimiser(data: TaskData):
    class Told(Counting):
        def __init__(self, params: NoParams, spec: Spec) -> None:
            super().__init__(params, spec)
            self.at_loss: list[float] = []
            self.after: list[float] = []

        def loss(self, batch: Batch) -> dict[str, Tensor]:
            self.at_loss.append(self.weight.item())
            return super().loss(batch)

        def after_step(self) -> None:
            self.after.append(self.weight.item())

    method = Told(NoParams(), data.spec("fair"))
    train(method, data)
    assert len(method.after) == 3 * math.ceil(len(data.train.batch) / 16)
    assert method.after[:-1] == method.at_loss[1:]  # what the next step starts from
    assert method.after != method.at_loss


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=4).map(lambda w: tuple(x / sum(w) for x in w)),
    st.integers(1, 30),
)
def test_the_last_stage_always_has_an_epoch(shares: tuple[float, ...], epochs: int):
    starts = _stage_starts(shares, epochs)
    assert starts[0] == 0
    assert starts == sorted(starts)
    assert starts[-1] < epochs
    if epochs >= len(shares):
        assert len(set(starts)) == len(shares)


def test_patience_ends_a_training_so_many_epochs_after_its_best_one(data: TaskData):
    change = {"learning_rate": 0.3, "schedule": "constant", "epochs": 12}
    whole = train(Counting(NoParams(), data.spec("fair")), data, **change)
    ended = train(Counting(NoParams(), data.spec("fair")), data, patience=2, **change)
    count = len(ended.record)
    assert ended.record == whole.record[:count]
    assert count < 12
    assert count - 1 - ended.selected_epoch == 2
    assert ended.record[-3].stage == 1  # the first stage is never cut


def test_patience_needs_no_companions():
    with pytest.raises(ValidationError, match="every epoch is compared"):
        protocol(patience=1, selection="leave-one-source-out")


def test_the_selected_epoch_is_what_is_left(data: TaskData):
    seed_everything(0)
    method = ERM(ERM.Params(), data.spec("fair"))
    training = train(method, data, learning_rate=3e-3, epochs=6)
    best = min(training.record, key=lambda item: item.metric)
    assert training.selected_epoch == best.epoch
    assert validate(method, data.valid.batch)[1] == pytest.approx(best.metric, abs=1e-6)


def test_the_network_stays_where_the_data_are(data: TaskData, monkeypatch: pytest.MonkeyPatch):
    """The trainer moves what it trained to the CPU; predictions are made where the data lie."""
    method = Counting(NoParams(), data.spec("fair"))
    moves: list[str] = []
    monkeypatch.setattr(Counting, "_apply", lambda self, fn, recurse=True: moves.append("moved") or self)
    train(method, data)
    device = data.train.batch.target.device
    monkeypatch.undo()
    assert len(moves) >= 2  # away by the trainer, and back
    assert {item.device for item in method.parameters()} == {device}


def test_last_leaves_the_last_epoch(data: TaskData):
    method = Counting(NoParams(), data.spec("fair"))
    assert train(method, data, selection="last").selected_epoch == 2


def test_the_same_seed_trains_the_same_network(data: TaskData):
    def weights(seed: int) -> Tensor:
        seed_everything(seed)
        method = ERM(ERM.Params(), data.spec("fair"))
        train(method, data, seed)
        return torch.cat([item.detach().flatten() for item in method.parameters()])

    first = weights(1)
    assert torch.equal(first, weights(1))
    assert not torch.equal(first, weights(2))


def test_training_beats_a_constant(data: TaskData):
    seed_everything(0)
    method = ERM(ERM.Params(), data.spec("fair"))
    train(method, data, learning_rate=2e-3, epochs=15)
    target = data.test.batch.target
    assert validate(method, data.test.batch)[1] < 0.7 * float((target - target.median()).abs().mean())


def test_a_loss_that_explodes_is_named(data: TaskData):
    class Exploding(Counting):
        def loss(self, batch: Batch) -> dict[str, Tensor]:
            return {"fine": self.weight * 1.0, "broken": self.weight * torch.inf}

    with pytest.raises(FloatingPointError, match=r"not finite in epoch 0 .*broken"):
        train(Exploding(NoParams(), data.spec("fair")), data)


def test_training_matches_a_plain_loop(data: TaskData):
    """The harness does to the weights exactly what a bare PyTorch loop does."""
    rules = protocol(clip_norm=0.5, weight_decay=0.1, schedule="cosine")
    seed_everything(5, "a")
    method = ERM(ERM.Params(), data.spec("fair"))
    plain = ERM(ERM.Params(), data.spec("fair"))
    plain.load_state_dict(method.state_dict())
    seed_everything(5, "training")
    fit(
        method,
        rules.model_copy(update={"selection": "last"}),
        data.train.batch,
        data.valid.batch,
        7,
        lambda *_: None,
    )

    seed_everything(5, "training")
    optimizer = torch.optim.AdamW(plain.parameters(), lr=rules.learning_rate, weight_decay=rules.weight_decay)
    for epoch in range(rules.epochs):
        plain.train()
        for group in optimizer.param_groups:
            group["lr"] = rules.learning_rate * (1 + math.cos(math.pi * epoch / rules.epochs)) / 2
        order = torch.randperm(
            len(data.train.batch), generator=torch.Generator().manual_seed(derive(7, "order", epoch))
        )
        for rows in order.split(rules.batch_size):
            batch = data.train.batch.take(rows)
            optimizer.zero_grad()
            (plain(batch).prediction - batch.target).abs().mean().backward()
            torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
            optimizer.step()
    for (name, left), right in zip(method.state_dict().items(), plain.state_dict().values(), strict=True):
        assert torch.allclose(left, right, atol=1e-6), name


class Averaged(Counting):
    """Says in which order it is called; what is tested is 100 more than what is trained."""

    stages = (1.0,)

    def __init__(self, params: NoParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.calls: list[str] = []
        self.given: list[float] = []

    def backward(self, batch: Batch) -> dict[str, Tensor]:
        assert self.weight.grad is None
        self.calls.append("backward")
        before = self.weight.detach().clone()
        terms = super().backward(batch)
        assert torch.equal(before, self.weight)
        assert self.weight.grad is not None
        self.weight.grad.mul_(1e6)
        self.before = before
        return terms

    def after_step(self) -> None:
        assert not torch.equal(self.before, self.weight)
        assert self.weight.grad is not None
        assert float(self.weight.grad.abs()) == pytest.approx(0.5, abs=1e-5)  # clipped after ``backward``
        self.calls.append("after_step")

    def after_epoch(self, validation_loss) -> None:
        self.calls.append("after_epoch")
        self.given.append(validation_loss())

    def evaluated(self) -> dict[str, Tensor]:
        self.calls.append("evaluated")
        return {"weight": self.weight.detach() + 100}


def test_hooks_are_called_in_order_and_what_is_evaluated_is_tested_and_left(data: TaskData):
    method = Averaged(NoParams(), data.spec("fair"))
    training = train(method, data, clip_norm=0.5, batch_size=20)
    assert method.calls == 3 * [*(2 * ["backward", "after_step"]), "after_epoch", "evaluated"]
    assert 99 < float(method.weight.detach()) < 101
    text, target = data.valid.batch.features["text"][:, 0, 0], data.valid.batch.target
    left = float((float(method.weight.detach()) * text - target).abs().mean())
    assert min(item.metric for item in training.record) == pytest.approx(left, rel=1e-5)
    assert max(method.given) < 0.2 * left  # the loss of the weights that are trained, near 0


class Norms(ERM):
    """Keeps the gradient norms after clipping, of the backbone and of a part that has gradients of a norm of 7."""

    def __init__(self, params: SharedNetworkParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.aside = torch.nn.Linear(1, 1, bias=False)
        self.norms: list[tuple[float, float]] = []

    def backward(self, batch: Batch) -> dict[str, Tensor]:
        terms = super().backward(batch)
        for p in self.parameters():
            p.grad = None if p.grad is None else 1e3 * p.grad
        self.aside.weight.grad = torch.full_like(self.aside.weight, 7.0)
        return terms

    def after_step(self) -> None:
        backbone = [*self.encoders.parameters(), *self.head.parameters()]
        norm = torch.stack([p.grad.norm() for p in backbone if p.grad is not None]).norm()
        assert self.aside.weight.grad is not None
        self.norms.append((float(norm), float(self.aside.weight.grad)))


@pytest.mark.parametrize("part", ["all", "backbone"])
def test_gradients_are_clipped_by_the_norm_of_the_part_that_is_named(part: str, data: TaskData):
    method = Norms(ERM.Params(width=8, layers=1), data.spec("fair"))
    train(method, data, clip_norm=0.8, clip_part=part, epochs=1)
    for backbone, aside in method.norms:
        if part == "backbone":
            assert backbone == pytest.approx(0.8, rel=1e-4)
            assert aside == 7.0
        else:
            assert math.hypot(backbone, aside) == pytest.approx(0.8, rel=1e-4)
    assert method.norms


def test_gradients_are_of_the_method_s_making(data: TaskData):
    """A method that fills no gradient stays as it is, whatever its terms are."""

    class Still(Counting):
        def backward(self, batch: Batch) -> dict[str, Tensor]:
            return {"task": torch.tensor(3.0)}

    method = Still(NoParams(), data.spec("fair"))
    training = train(method, data)
    assert float(method.weight.detach()) == 0
    assert [item.train for item in training.record] == 3 * [{"task": 3.0}]


@pytest.mark.parametrize("make", [MBCD, SWAD])
def test_stored_weights_are_the_evaluated_ones(data: TaskData, make: type[Method]):
    """Weights that are read back give the tested predictions and the score that the fit notes."""
    params = make.Params(layers=1)
    seed_everything(0)
    method = make(params, data.spec("fair"))
    training = train(method, data, epochs=4)
    tested = prediction_table(method, {"test": data.test})
    again = make(params, data.spec("fair"))
    load_weights(again, save_weights(method))
    assert prediction_table(again, {"test": data.test}).equals(tested)
    noted = training.record[training.selected_epoch].metric
    assert validate(again, data.valid.batch)[1] == pytest.approx(noted, abs=1e-6)
