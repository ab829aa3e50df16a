"""Rules of the protocol that are off by default: each against a loop or a formula that does not know the harness."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmbench.benchmark.core.class_weights import class_weights_text
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.core.protocol import Protocol
from mmbench.benchmark.core.selection import Direction
from mmbench.benchmark.data.label_statistics import balanced_label_weights, given_weights
from mmbench.benchmark.data.tensors import TaskData, TaskRequest, load_task
from mmbench.benchmark.launch.run import run
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.planning.job_matrix import jobs_of
from mmbench.benchmark.report.results import results
from mmbench.benchmark.train.estimation import fit_estimator
from mmbench.benchmark.train.lightning_module import SelectionData, fit
from mmbench.benchmark.train.optimizer import plateau_share, rate_share
from mmbench.benchmark.train.seeds import derive, seed_everything
from mmbench.benchmark.train.validate import validate
from mmbench.datasets.batch import Batch, Spec
from mmbench.datasets.class_labels import balanced_weights
from mmbench.datasets.locate import locate
from mmbench.leaderboards.tables.accuracy import accuracy
from mmbench.leaderboards.tables.results import read_outputs
from mmbench.methods.controls.gradient_boosting import GradientBoosting
from mmbench.methods.controls.logistic import Logistic
from mmbench.methods.controls.random_forest import RandomForest
from mmbench.methods.erm import ERM
from mmbench.methods.losses import task_loss
from mmbench.methods.method import Method, Output
from sklearn.metrics import balanced_accuracy_score, recall_score
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from torch.nn import functional as F


@pytest.fixture
def data(data_root: Path) -> TaskData:
    request = TaskRequest("toy", ("x",), ("text", "audio"), True, "strict", True, "cpu")
    return load_task(request, {"toy": locate("toy", data_root)})


def rules_of(**change: Any) -> Protocol:
    given = {"epochs": 3, "batch_size": 16, "clip_norm": 0.0, "selection": "last", **change}
    return Protocol.model_validate(given)


def trained(rules: Protocol, data: TaskData) -> tuple[Method, Method]:
    """A network after the harness trained it, and the same one before."""
    seed_everything(5)
    method, before = (ERM(ERM.Params(width=8, layers=1), data.spec("fair")) for _ in range(2))
    before.load_state_dict(method.state_dict())
    seed_everything(5, "training")
    fit(method, rules, data.train.batch, data.valid.batch, 7, lambda *_: None)
    seed_everything(5, "training")
    return method, before


def batches_of(rules: Protocol, data: TaskData, epoch: int) -> Iterator[Batch]:
    drawn = torch.Generator().manual_seed(derive(7, "order", epoch))
    for rows in torch.randperm(len(data.train.batch), generator=drawn).split(rules.batch_size):
        yield data.train.batch.take(rows)


def plain_loop(
    method: Method,
    rules: Protocol,
    data: TaskData,
    rate: Callable[[int, int], float],
    after_batch: Callable[[], None] = lambda: None,
    after_epoch: Callable[[], None] = lambda: None,
) -> None:
    """Trains by Adam with a rate for each epoch and step, a step every ``accumulate`` batches of summed gradients."""
    optimizer = torch.optim.AdamW(method.parameters(), weight_decay=rules.weight_decay)
    steps = 0
    for epoch in range(rules.epochs):
        method.train()
        batches = list(batches_of(rules, data, epoch))
        optimizer.zero_grad()
        for place, batch in enumerate(batches, 1):
            task_loss(method(batch).prediction, batch.target, method.spec).backward()
            after_batch()
            if place % rules.accumulate == 0 or place == len(batches):
                for group in optimizer.param_groups:
                    group["lr"] = rate(epoch, steps)
                optimizer.step()
                optimizer.zero_grad()
                steps += 1
        after_epoch()


def assert_alike(one: Method, other: Method) -> None:
    for (name, left), right in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.allclose(left, right, atol=1e-6), name


@pytest.mark.parametrize("schedule", ["cosine", "inverse-power"])
def test_the_rate_rises_in_the_warm_up_and_then_is_the_schedule_s(schedule: str, data: TaskData):
    rules = rules_of(warmup=0.5, schedule=schedule, accumulate=2, accumulate_by="sum", batch_size=8)
    steps = math.ceil(math.ceil(len(data.train.batch) / 8) / 2)  # 3 an epoch
    method, plain = trained(rules, data)

    def rate(epoch: int, step: int) -> float:
        cosine = (1 + math.cos(math.pi * epoch / 3)) / 2
        power = (1 + 10 * step / (3 * steps)) ** -0.75
        return 1e-3 * min((step + 1) / 4.5, 1) * (cosine if schedule == "cosine" else power)

    assert steps == 3
    plain_loop(plain, rules, data, rate)
    assert_alike(method, plain)


def test_values_are_clipped_after_each_batch_on_the_sum_so_far(data: TaskData):
    limit = 2e-3
    rules = rules_of(
        clip_value=limit, accumulate=2, accumulate_by="sum", schedule="constant", optimizer="adamw"
    )
    method, plain = trained(rules, data)
    clipped = []

    def clip() -> None:
        for parameter in plain.parameters():
            if parameter.grad is not None:
                clipped.append(float((parameter.grad.abs() > limit).float().mean()))
                parameter.grad.clamp_(-limit, limit)

    plain_loop(plain, rules, data, lambda *_: 1e-3, after_batch=clip)
    assert 0 < np.mean(clipped) < 1
    assert_alike(method, plain)


def test_the_rate_falls_where_source_validation_rests(data: TaskData):
    """Against PyTorch's ReduceLROnPlateau in a loop of its own."""
    change = {"schedule": "plateau", "plateau_factor": 0.3, "plateau_patience": 0, "learning_rate": 0.05}
    rules = rules_of(epochs=5, **change)
    method, plain = trained(rules, data)
    follower = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.05)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(follower, factor=0.3, patience=0)
    rates = []

    def rate(epoch: int, step: int) -> float:
        rates.append(follower.param_groups[0]["lr"])
        return rates[-1]

    plain_loop(
        plain, rules, data, rate, after_epoch=lambda: schedule.step(validate(plain, data.valid.batch)[1])
    )
    assert len(set(rates)) > 1
    assert_alike(method, plain)


@given(
    st.lists(st.floats(0.01, 10.0), max_size=25),
    st.sampled_from(["lower", "higher"]),
    st.integers(0, 4),
)
def test_a_plateau_is_what_pytorch_takes_for_one(metrics: list[float], direction: Direction, patience: int):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    mode: Any = {"lower": "min", "higher": "max"}[direction]
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode, factor=0.5, patience=patience, eps=0.0
    )
    for metric in metrics:
        schedule.step(metric)
    assert plateau_share(metrics, direction, 0.5, patience) == optimizer.param_groups[0]["lr"]


@given(st.integers(1, 30), st.integers(1, 9), st.floats(0, 0.99))
def test_without_a_warm_up_nothing_changes_and_with_one_it_ends(epochs: int, steps: int, warmup: float):
    plain, warm = (rules_of(epochs=epochs, warmup=share) for share in (0.0, warmup))
    for step in range(epochs * steps):
        cosine = (1 + math.cos(math.pi * (step // steps) / epochs)) / 2
        assert rate_share(plain, step, steps, [], "lower") == cosine
        share = rate_share(warm, step, steps, [], "lower")
        assert 0 < share <= cosine
        assert share == cosine or step + 1 < warmup * epochs * steps


# --- the weights of classes ---------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 50), min_size=2, max_size=6))
def test_balanced_weights_are_scikit_learn_s(counts: list[int]):
    labels = np.repeat(np.arange(len(counts)), counts)
    expected = compute_class_weight("balanced", classes=np.arange(len(counts)), y=labels)
    assert balanced_weights(counts) == pytest.approx(expected)
    assert balanced_weights([*counts, 0]) == pytest.approx([*expected, 0])


def test_the_weights_are_those_of_torch():
    draw = torch.Generator().manual_seed(0)
    logits, target = torch.randn(20, 3, generator=draw), torch.randint(3, (20,), generator=draw)
    weights = (0.2, 3.0, 1.1)
    spec = Spec({"text": 2}, "classification", classes=3, class_weights=weights)
    expected = F.cross_entropy(logits, target, weight=torch.tensor(weights), reduction="sum") / 20
    assert float(task_loss(logits, target, spec)) == pytest.approx(float(expected))


@given(st.lists(st.integers(0, 40), min_size=1, max_size=5), st.integers(40, 60))
def test_of_several_labels_each_is_weighed_as_two_classes(counts: list[int], size: int):
    labels = torch.stack([(torch.arange(size) < count).float() for count in counts], dim=1)
    weights = balanced_label_weights(counts, size)
    spec = Spec({"text": 2}, "multi-label", classes=len(counts), class_weights=weights)
    logits = torch.randn(labels.shape, generator=torch.Generator().manual_seed(size))
    columns = []
    for place, column in enumerate(labels.T):
        expected = compute_sample_weight("balanced", column.numpy())
        errors = F.binary_cross_entropy_with_logits(logits[:, place], column, reduction="none")
        columns.append(errors * torch.from_numpy(expected))
    expected = torch.stack(columns, dim=1).mean()
    assert float(task_loss(logits, labels, spec)) == pytest.approx(float(expected), rel=1e-5)


def test_a_label_that_few_have_is_found_where_it_is_weighed():
    """Under one sample in ten has the second label, which the features tell badly; every other one has the first."""
    train, valid, test = (labelled(imbalanced(seed)) for seed in range(3))

    def found(kind: type[Method], **weights: Any) -> list[float]:
        spec = Spec({"text": 2}, "multi-label", classes=2, class_counts=(120, 24), **weights)
        method: Any = kind(kind.Params(), spec)
        fit_estimator(method, rules_of(), train, valid, 1, lambda *_: None, SelectionData())
        said = (method(test).prediction > 0).int()
        return [float(balanced_accuracy_score(test.target[:, place], said[:, place])) for place in range(2)]

    for kind in (Logistic, RandomForest):
        control = found(kind)
        weighed = found(kind, class_weights=balanced_label_weights((120, 24), 240))
        assert weighed[1] > max(0.65, control[1] + 0.03), kind
        assert weighed[0] > control[0] - 0.05, kind  # labels that half have are weighed as before


def labelled(batch: Batch) -> Batch:
    """The same samples with two labels: one that the other feature tells, and the rare class."""
    common = (batch.features["text"][:, 0, 1] > 0).float()
    return replace(batch, target=torch.stack([common, batch.target.float()], dim=1))


def imbalanced(seed: int, count: int = 240) -> Batch:
    """One sample in ten is of class 1, which overlaps with class 0 in the only feature that tells it."""
    draw = torch.Generator().manual_seed(seed)
    target = (torch.arange(count) % 10 == 0).long()
    features = torch.randn(count, 1, 2, generator=draw)
    features[:, 0, 0] += 1.5 * target
    return Batch(
        features={"text": features},
        mask={"text": torch.ones(count, 1, dtype=torch.bool)},
        present={"text": torch.ones(count, dtype=torch.bool)},
        target=target,
        domain=torch.zeros(count, dtype=torch.int64),
        sample_id=torch.arange(count),
    )


@pytest.mark.parametrize("kind", [ERM, Logistic], ids=["erm", "logistic"])
def test_balanced_weights_find_the_rare_class(kind: type[Method]):
    train, valid, test = (imbalanced(seed) for seed in range(3))

    def found(weights: tuple[float, ...]) -> float:
        spec = Spec({"text": 2}, "classification", classes=2, class_counts=(216, 24), class_weights=weights)
        seed_everything(1)
        params = kind.Params(width=8, layers=1) if kind is ERM else kind.Params()
        method: Any = kind(params, spec)
        if kind is ERM:
            fit(method, rules_of(epochs=4, learning_rate=8e-3), train, valid, 1, lambda *_: None)
        else:
            fit_estimator(method, rules_of(), train, valid, 1, lambda *_: None, SelectionData())
        method.eval()
        with torch.no_grad():
            return float(balanced_accuracy_score(test.target, method(test).prediction.argmax(1)))

    control, weighed = found(()), found(balanced_weights((216, 24)))
    assert weighed > control + 0.08
    assert weighed > 0.7


def test_the_numbers_of_balanced_weights_are_balanced_weights(data_root: Path):
    request = TaskRequest("toyc", ("x",), ("text", "audio"), True, "strict", True, "cpu")
    data = load_task(request, {"toyc": locate("toyc", data_root)})
    counts = np.bincount(data.train.batch.target.numpy()).tolist()
    numbers = dict(zip(data.target.classes, balanced_weights(counts), strict=True))
    assert data.spec("fair", numbers) == data.spec("fair", "balanced") != data.spec("fair")
    assert data.spec("fair", {"yes": 3.0}).class_weights == (1, 3)


@pytest.mark.parametrize(
    "kind", [ERM, Logistic, RandomForest, GradientBoosting], ids=lambda kind: kind.__name__
)
def test_a_class_is_found_the_more_the_more_it_weighs(kind: type[Method]):
    train, valid, test = (imbalanced(seed) for seed in range(3))

    def recalls(weight: float) -> list[float]:
        weights = given_weights({"rare": weight}, ("usual", "rare"), labels=False)
        spec = Spec({"text": 2}, "classification", classes=2, class_counts=(216, 24), class_weights=weights)
        said = fitted(kind, spec, train, valid)(test).prediction.argmax(1)
        return [recall_score(test.target, said, pos_label=place) for place in range(2)]

    plain, raised = recalls(1), recalls(9)
    assert raised[1] > plain[1] + 0.1
    assert raised[0] < plain[0]  # what it costs


def test_a_label_that_weighs_more_is_said_more():
    train, valid, test = (labelled(imbalanced(seed)) for seed in range(3))
    for kind in (Logistic, RandomForest):

        def said(weight: float, kind: type[Method] = kind) -> torch.Tensor:
            weights = given_weights({"rare": weight}, ("common", "rare"), labels=True)
            spec = Spec({"text": 2}, "multi-label", classes=2, class_counts=(120, 24), class_weights=weights)
            return fitted(kind, spec, train, valid)(test).prediction

        plain, raised = said(1) > 0, said(9) > 0
        found = [recall_score(test.target[:, 1], answers[:, 1]) for answers in (plain, raised)]
        assert found[1] > found[0] + 0.2, kind
        assert (plain[:, 0] == raised[:, 0]).all(), kind  # the other label is as before


def test_the_weight_of_a_label_is_pytorch_s_pos_weight():
    draw = torch.Generator().manual_seed(0)
    logits, target = torch.randn(20, 2, generator=draw), torch.randint(2, (20, 2), generator=draw).float()
    weights = given_weights({"drama": 2.5}, ("comedy", "drama"), labels=True)
    spec = Spec({"text": 2}, "multi-label", classes=2, class_weights=weights)
    expected = F.binary_cross_entropy_with_logits(logits, target, pos_weight=torch.tensor([1.0, 2.5]))
    assert float(task_loss(logits, target, spec)) == pytest.approx(float(expected))


def fitted(kind: type[Method], spec: Spec, train: Batch, valid: Batch) -> Callable[[Batch], Output]:
    """A small network after a few epochs, or an estimator, as a function that predicts."""
    seed_everything(1)
    method: Any = kind(
        kind.Params(**{ERM: {"width": 8, "layers": 1}, RandomForest: {"trees": 50}}.get(kind, {})), spec
    )
    if kind is ERM:
        fit(method, rules_of(epochs=4, learning_rate=8e-3), train, valid, 1, lambda *_: None)
    else:
        fit_estimator(method, rules_of(), train, valid, 1, lambda *_: None, SelectionData())
    method.eval()
    return torch.no_grad()(method)


def test_numbers_reach_the_tables_and_those_of_balanced_predict_as_balanced(data_root: Path, tmp_path: Path):
    labels = locate("toyc", data_root).load()["train"].target
    numbers: dict[str, float] = dict(
        zip(("no", "yes"), balanced_weights(np.bincount(labels).tolist()), strict=True)
    )
    asked = {"methods": "logistic", "datasets": "toyc", "seeds": "0", "data_root": data_root}
    where = {"store": tmp_path / "runs", "launcher": "debug", "device": "cpu"}
    for weights in ("off", "balanced", numbers):
        assert run(Experiment.read({**asked, **where, "protocol": {"class_weights": weights}})).ok
    done = results(tmp_path / "runs")
    frame = accuracy(done, draws=20)
    assert set(frame["audit_class_weights"]) == {"", "balanced", class_weights_text(numbers)}
    said = {one.protocol: read_outputs(one)["clean"].prediction for one in done}
    of_numbers = said.pop(f"fair (class_weights={class_weights_text(numbers)})")
    assert (of_numbers == said.pop("fair (class_weights=balanced)")).all()
    assert (of_numbers != said.pop("fair")).any()


def planned(data_root: Path, methods: str, dataset: str) -> int:
    asked = {"methods": methods, "datasets": dataset, "seeds": "0", "data_root": data_root}
    return len(jobs_of(Experiment.read({**asked, "protocol": {"class_weights": "balanced"}})))


def test_weights_are_refused_where_they_would_do_nothing(data_root: Path):
    assert planned(data_root, "erm,ebmc,logistic,random_forest,gradient_boosting", "toyc") == 5
    with pytest.raises(UsageError, match="needs classes or labels, and toy is regression"):
        planned(data_root, "erm", "toy")
    with pytest.raises(UsageError, match="does not reach the method majority"):
        planned(data_root, "erm,majority", "toyc")
