"""What a method that is a network must do to take part."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from functools import partial

import torch

from ...datasets.batch import Batch
from ...methods.losses import task_loss
from ...methods.method import Method
from ..core.method_spec import describe
from ..core.registry import Entry
from .method_predictions import PREDICTION_CHECKS
from .method_ranges import ranges_hold_what_can_work
from .planted import kinds_of
from .planted_networks import (
    assert_close,
    few_specs_for,
    network_of,
    pairs_for,
    patterns_of,
    prediction_of,
    samples_for,
    small_specs_for,
    specs_for,
)


def parameters_are_literals(entry: Entry) -> None:
    """What is read from its source, of which base classes are a part, is what the imported class says."""
    method = entry.load()
    imported = method.Params()
    defaults = {item.name: getattr(imported, item.name) for item in fields(imported)}
    description = describe(entry)
    read = description.defaults()
    assert read == defaults, f"the source says {read}, the class says {defaults}"
    for item in fields(imported):
        (parameter,) = (one for one in description.fields if one.name == item.name)
        known = {"search": None, "source": "", "since": "", "limits": {}, **item.metadata}
        told = {key: getattr(parameter, key) for key in ("search", "source", "since", "limits")}
        assert told == known, f"{item.name}: the source says {told}, the class says {known}"
    for name in (
        "version",
        "train_missing",
        "needs_domains",
        "needs_modalities",
        "weighs_classes",
        "as_published",
        "reads_media",
        "model_params",
        "language_model",
        "libraries_of_params",
        "passes_of_params",
        "uses_conversation",
        "reads_tokens",
    ):
        value, told = getattr(method, name), getattr(description, name)
        assert told == value, f"{name} should be a literal: {name} = {value!r}"
    for name in (
        "as_published_in",
        "rules_as_published",
        "controls",
    ):  # of the class alone: a subclass is another method
        value, told = vars(method).get(name, {}), getattr(description, name)
        assert told == value, f"{name} should be a literal: {name} = {value!r}"
    assert tuple(description.kinds) == tuple(kinds_of(method)), (
        f"kinds should be a literal: {kinds_of(method)}"
    )
    for name, own in description.controls.items():
        assert description.resolve(own) != defaults, f"the control {name!r} sets nothing but defaults: {own}"
    for family in ("", *description.as_published_in):
        description.resolve({}, "as-published", family)  # refused where a value is out of its range
    assert description.departures == vars(method).get("departures"), "departures should be a literal"


def modalities_are_independent(method_class: type[Method]) -> None:
    """Where it says that modalities are encoded independently, encoding once and fusing often changes
    nothing."""
    if (
        not method_class.separable() or method_class.uses_context
    ):  # with context, all are encoded for each condition
        return
    for spec in few_specs_for(method_class):
        method, batch = network_of(method_class, spec), samples_for(method_class, spec)
        method.eval()
        with torch.no_grad():
            clean = {name: method.encode(name, batch) for name in batch.modalities}
            for condition in patterns_of(batch):
                changed = condition.apply(batch)
                assert_close(
                    method(changed).prediction, method.fuse(clean, changed).prediction, condition.name
                )


def loss_is_finite(method_class: type[Method]) -> None:
    """Its loss terms are finite scalars with finite gradients in every stage, also for a batch of one, and whether
    modalities have labels of their own or not."""
    for spec in specs_for(method_class):
        method, whole = network_of(method_class, spec), samples_for(method_class, spec)
        for stage in range(len(method.stages)):
            method.begin_stage(stage)
            single = whole.take(slice(0, 1))
            single = replace(single, unimodal_target=dict.fromkeys(spec.modalities, single.target))
            for batch in (whole, single):
                method.train()
                method.zero_grad()
                terms = method.loss(batch)
                for name, value in terms.items():
                    assert value.ndim == 0, (
                        f"term {name} has shape {tuple(value.shape)}; it should be a scalar"
                    )
                    assert bool(torch.isfinite(value)), f"term {name} is {float(value)} in stage {stage}"
                torch.stack(list(terms.values())).sum().backward()
                gradients = [p.grad for p in method.parameters() if p.grad is not None]
                assert gradients, "no parameter gets a gradient"
                assert all(bool(torch.isfinite(g).all()) for g in gradients), "a gradient is not finite"


def step_is_finite(method_class: type[Method]) -> None:
    """A step of training leaves finite weights in every stage, for batches of one and any missing pattern,
    and so does what it wants evaluated."""
    for spec in few_specs_for(method_class):
        method, whole = network_of(method_class, spec), samples_for(method_class, spec)
        optimizer = torch.optim.SGD(method.parameters(), lr=1e-3)
        absent = whole.with_present({name: torch.zeros(len(whole)).bool() for name in whole.modalities})
        batches = (*_with_missing(whole), whole.take(slice(0, 1)), absent)
        for stage in range(len(method.stages)):
            method.begin_stage(stage)
            method.before_epoch(lambda whole=whole: iter((whole,)), done=0.5)
            for batch in batches:
                _step(method, batch, optimizer)
            method.after_epoch(lambda: 1.0)
            for state in (method.state_dict(), method.evaluated() or {}):
                assert all(bool(torch.isfinite(value).all()) for value in state.values()), "not finite"


def _with_missing(whole: Batch) -> Iterator[Batch]:
    """The batch with a missing pattern of its own for each sample; of two modalities, with each of its patterns for all
    samples as well, where a modality is there for none."""
    patterns = patterns_of(whole)
    broken = [pattern.apply(whole) for pattern in patterns]
    turn = torch.arange(len(whole)) % len(patterns)
    flags = {
        name: torch.stack([batch.present[name] for batch in broken])[turn, torch.arange(len(whole))]
        for name in whole.modalities
    }
    yield whole.with_present(flags)
    if len(whole.modalities) == 2:  # more modalities would show nothing else
        yield from broken[1:]


def _step(method: Method, batch: Batch, optimizer: torch.optim.Optimizer) -> None:
    method.train()
    for backward in method.optimizer_steps(batch):
        optimizer.zero_grad()
        backward()
        optimizer.step()
        method.after_step()


def same_seed_same_result(method_class: type[Method]) -> None:
    """The same seed gives the same loss and the same predictions."""
    for spec in small_specs_for(method_class):
        values = []
        for _ in range(2):
            method, batch = network_of(method_class, spec), samples_for(method_class, spec)
            method.begin_stage(0)
            method.train()
            loss = torch.stack(list(method.loss(batch).values())).sum().detach()
            values.append(torch.cat([loss.reshape(1), prediction_of(method, batch).prediction.reshape(-1)]))
        assert bool(torch.equal(*values)), "two runs differ"


def batch_is_left_alone(method_class: type[Method]) -> None:
    """It does not change the batch that it is given."""
    for spec in small_specs_for(method_class):
        method, batch, copy = (
            network_of(method_class, spec),
            samples_for(method_class, spec),
            samples_for(method_class, spec),
        )
        method.begin_stage(0)
        method.loss(batch)
        prediction_of(method, batch)
        for name in batch.modalities:
            assert torch.equal(batch.features[name], copy.features[name]), f"features of {name} changed"
            assert torch.equal(batch.present[name], copy.present[name]), f"present flags of {name} changed"
            assert torch.equal(batch.mask[name], copy.mask[name]), f"mask of {name} changed"
        assert torch.equal(batch.target, copy.target), "targets changed"


def weights_are_restored(method_class: type[Method]) -> None:
    """Weights that are saved and loaded again into it give the same predictions after every stage."""
    for spec in small_specs_for(method_class):
        method, batch = network_of(method_class, spec), samples_for(method_class, spec)
        for stage in range(len(method.stages)):
            method.begin_stage(stage)
        saved = {name: value.clone() for name, value in method.state_dict().items()}
        before = prediction_of(method, batch).prediction
        with torch.no_grad():
            for parameter in method.parameters():
                parameter.add_(0.1)
        method.load_state_dict(saved)
        assert_close(before, prediction_of(method, batch).prediction, "restored weights")


def what_is_not_kept_does_not_change(method_class: type[Method]) -> None:
    """What it does not keep of its state is the same in every network of its parameters, also after training, and
    ``bases`` names it."""
    spec = next(specs_for(method_class))
    method, batch = network_of(method_class, spec), samples_for(method_class, spec)
    left = method.state_dict().keys() - set(method.kept())
    assert set(method.kept()) <= method.state_dict().keys(), "it keeps what is no part of its state"
    if not left:
        return
    assert method.bases(), "it does not keep all of its state, and bases() names no model"
    torch.manual_seed(1)
    other = method_class(method_class.Params(), spec).state_dict()
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.1)
    for stage in range(len(method.stages)):
        method.begin_stage(stage)
        _step(method, batch, optimizer)
    state = method.state_dict()
    for name in left:
        assert torch.equal(state[name], other[name]), f"{name} is not kept, and is not the same everywhere"


def _task_loss(method: Method, batch: Batch) -> float:
    return float(task_loss(prediction_of(method, batch).prediction, batch.target, method.spec))


#: The longest that training may take on planted data: epochs of each stage before the last, of the last, steps of an epoch.
_EARLY, _LAST, _STEPS = 6, 30, 2


def it_learns(method_class: type[Method]) -> None:
    """On data in which every modality tells the target, training beats the best constant guess."""
    for spec in pairs_for(method_class):
        method, batch = network_of(method_class, spec), samples_for(method_class, spec, count=64)
        optimizer = torch.optim.Adam(method.parameters(), lr=3e-3, foreach=True)
        stages = len(method.stages)
        shortfall = ""
        for stage in range(stages):
            method.begin_stage(stage)
            epochs = _LAST if stage == stages - 1 else _EARLY
            for epoch in range(epochs):
                done = (stage + epoch / epochs) / stages
                method.before_epoch(lambda batch=batch: iter((batch,)), done=done)
                for _ in range(_STEPS):
                    _step(method, batch, optimizer)
                method.after_epoch(partial(_task_loss, method, batch))
                if stage == stages - 1:
                    shortfall = _behind_a_constant(_evaluated(method), batch)
                    if not shortfall:
                        break
        assert not shortfall, shortfall


def _evaluated(method: Method) -> Method:
    """The network with the weights that it wants evaluated; one that goes on to train keeps its own."""
    weights = method.evaluated()
    if weights is None:
        return method
    other = copy.deepcopy(method)
    other.load_state_dict(weights)
    return other


def _behind_a_constant(method: Method, batch: Batch) -> str:
    """How a network compares with a constant; empty where it is better."""
    prediction = prediction_of(method, batch).prediction
    if method.spec.kind == "regression":
        error = float((prediction - batch.target).abs().mean())
        constant = float((batch.target - batch.target.median()).abs().mean())
        return "" if error < 0.8 * constant else f"mean error {error:.3f}, of a constant {constant:.3f}"
    right = float((prediction.argmax(1) == batch.target).float().mean())
    constant = float(batch.target.bincount().max() / len(batch))
    return "" if right > constant + 0.1 else f"accuracy {right:.3f}, of a constant {constant:.3f}"


METHOD_CHECKS: tuple[Callable[[type[Method]], None], ...] = (
    *PREDICTION_CHECKS,
    modalities_are_independent,
    loss_is_finite,
    step_is_finite,
    same_seed_same_result,
    batch_is_left_alone,
    weights_are_restored,
    what_is_not_kept_does_not_change,
    ranges_hold_what_can_work,
    it_learns,
)
