"""What a method must do to take part."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from functools import partial

import torch
from torch import Tensor

from ...datasets.batch import Batch, Conversations, Spec
from ...methods.estimator import Estimator
from ...methods.losses import task_loss
from ...methods.method import Method, Output
from ...methods.shared.networks import SharedNetworkParams
from ..core.method_spec import describe
from ..core.registry import Entry
from ..train.predict import default_conditions
from .planted import kinds_of, specs
from .planted import planted_batch as planted_batch
from .planted_media import media_specs, planted_media, with_more_padding, with_rubbish_in_padding
from .told import check_told

TOLERANCE = 1e-4


def specs_for(method_class: type[Method]) -> Iterator[Spec]:
    """The specifications that a method is tried with: of features, or of the raw media that it reads."""
    return media_specs() if method_class.reads_media else specs(kinds_of(method_class))


def _planted(method_class: type[Method], spec: Spec, count: int = 24) -> Batch:
    """A planted batch; for a method that reads context, with the sample before each as its context, but for the first;
    for one that reads conversations, in conversations of one utterance and more."""
    batch = planted_media(spec, count) if spec.media else planted_batch(spec, count)
    if method_class.uses_conversation:
        row = torch.arange(count)
        ends = torch.tensor([count // 4, count // 4 + 1, count // 2])
        number = torch.bucketize(row, ends, right=True)
        batch = replace(batch, conversation=Conversations(number, row, row % 3))
    if not method_class.uses_context:
        return batch
    context = replace(batch, conversation=None).take((torch.arange(count) - 1).clamp(min=0))
    known = torch.arange(count) > 0
    context = context.with_present({name: flags & known for name, flags in context.present.items()})
    return replace(batch, context=context)


def _build(method_class: type[Method], spec: Spec) -> Method:
    """A network with its first weights, or an estimator that is fitted to the planted samples."""
    torch.manual_seed(0)
    params = method_class.Params()
    if isinstance(params, SharedNetworkParams):
        params = replace(params, layers=1)  # the contract does not depend on the depth of the shared encoders
    if issubclass(method_class, Estimator):
        return copy.deepcopy(_fitted(method_class, spec))
    return method_class(params, spec)


#: The fitted estimators of the class that is checked, by their specs.
_FITTED: dict[tuple[type[Estimator], str], Estimator] = {}


def _fitted(method_class: type[Estimator], spec: Spec) -> Estimator:
    """The estimator that all checks copy, fitted to the planted samples of a spec. Nobody else may change it."""
    key = (method_class, repr(spec))
    if key not in _FITTED:
        if any(known is not method_class for known, _ in _FITTED):
            _FITTED.clear()
        estimator = method_class(method_class.Params(), spec)
        estimator.learned.replace(estimator.fit(planted_batch(spec), estimator.candidates()[0], seed=0))
        _FITTED[key] = estimator
    return _FITTED[key]


@torch.no_grad()
def _predict(method: Method, batch: Batch) -> Output:
    method.eval()
    return method(batch)


def _close(left: Tensor, right: Tensor, what: str) -> None:
    difference = float((left - right).abs().max())
    assert difference <= TOLERANCE, f"{what}: predictions differ by {difference:.3g}"


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
        known = {"search": None, "source": "", "since": "", **item.metadata}
        told = {key: getattr(parameter, key) for key in ("search", "source", "since")}
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
        "uses_conversation",
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
    assert description.departures == vars(method).get("departures"), "departures should be a literal"


def output_has_the_right_shape(method_class: type[Method]) -> None:
    """It predicts one score or one row of logits a sample, for one to four modalities, any missing
    pattern, batches of one."""
    for spec in specs_for(method_class):
        method, whole = _build(method_class, spec), _planted(method_class, spec)
        for batch in (whole, whole.take(slice(0, 1))):
            for condition in default_conditions(batch.modalities):
                prediction = _predict(method, condition.apply(batch)).prediction
                shape = (len(batch),) if spec.kind == "regression" else (len(batch), spec.classes)
                where = f"{len(spec.modalities)} modalities, {condition.name}, batch of {len(batch)}"
                assert tuple(prediction.shape) == shape, (
                    f"{where}: shape {tuple(prediction.shape)}, not {shape}"
                )
                assert bool(torch.isfinite(prediction).all()), f"{where}: not finite"


def what_it_says_of_itself_is_one_number_a_sample(method_class: type[Method]) -> None:
    """Confidences and diagnostics are finite, one number a sample, the same in any order and alone, and have names that
    tables can hold, for any missing pattern."""
    for spec in specs_for(method_class):
        check_told(_build(method_class, spec), _planted(method_class, spec))


def nothing_present_is_survived(method_class: type[Method]) -> None:
    """A sample without any modality gets a finite prediction."""
    for spec in specs_for(method_class):
        batch = _planted(method_class, spec)
        batch = batch.with_present({name: torch.zeros_like(flags) for name, flags in batch.present.items()})
        assert bool(torch.isfinite(_predict(_build(method_class, spec), batch).prediction).all()), (
            "not finite"
        )


def padding_is_not_read(method_class: type[Method]) -> None:
    """What stands in padded time steps changes no prediction, nor does more padding."""
    for spec in specs_for(method_class):
        method, batch = _build(method_class, spec), _planted(method_class, spec)
        clean = _predict(method, batch).prediction
        noisy = {m: with_rubbish_in_padding(x, batch.mask[m]) for m, x in batch.features.items()}
        _close(clean, _predict(method, replace(batch, features=noisy)).prediction, "noise in padding")
        longer = replace(
            batch,
            features={m: with_more_padding(x, 3) for m, x in batch.features.items()},
            mask={m: torch.nn.functional.pad(x, (0, 3)) for m, x in batch.mask.items()},
        )
        _close(clean, _predict(method, longer).prediction, "three more padded steps")


def absent_is_not_read(method_class: type[Method]) -> None:
    """What stands in an absent modality changes no prediction, not even NaN."""
    for spec in specs_for(method_class):
        method, batch = _build(method_class, spec), _planted(method_class, spec)
        for name in spec.modalities:
            absent = batch.with_present({name: torch.zeros_like(batch.present[name])})
            left, right = _predict(method, absent), _predict(method, _with_nan(absent, name))
            _close(left.prediction, right.prediction, f"NaN in absent {name}")


def _with_nan(batch: Batch, name: str) -> Batch:
    """The batch, and its context, with NaN as the features of a modality, or 7 where these are whole numbers."""
    values = batch.features[name]
    rubbish = torch.full_like(values, torch.nan if values.is_floating_point() else 7)
    features = {**batch.features, name: rubbish}
    context = None if batch.context is None else _with_nan(batch.context, name)
    return replace(batch, features=features, context=context)


def unobserved_is_not_read(method_class: type[Method]) -> None:
    """Where entries are not observed, what stood there changes no prediction; and predictions are finite and of the sample
    alone, also where nothing of a sample or everything of a batch is observed."""
    if method_class.reads_media:  # raw media have no entries that are not observed
        return
    for spec in list(specs())[2:4]:
        spec = replace(spec, partly_observed=tuple(spec.modalities))
        method, batch = _build(method_class, spec), _planted(method_class, spec)
        clean = _predict(method, batch).prediction
        dirty = {m: x.where(batch.observed[m], 7.0) for m, x in batch.features.items()}
        # as the harness hands on every batch
        handed = replace(batch, features=dirty).with_observed(batch.observed)
        _close(clean, _predict(method, handed).prediction, "other values at unobserved entries")
        alone = slice(0, _first(batch))
        _close(clean[alone], _predict(method, batch.take(alone)).prediction, "a sample with holes alone")
        nothing = batch.with_observed({m: torch.zeros_like(o) for m, o in batch.observed.items()})
        for what, other in (("nothing", nothing), ("everything", replace(batch, observed={}))):
            prediction = _predict(method, other).prediction
            assert prediction.shape == clean.shape, f"{what} observed: shape {tuple(prediction.shape)}"
            assert bool(torch.isfinite(prediction).all()), f"{what} observed: not finite"


def _first(batch: Batch) -> int:
    """How many samples of a planted batch stand alone at its beginning: one, or the first conversation."""
    return 1 if batch.conversation is None else int((batch.conversation.number == 0).sum())


def samples_are_independent(method_class: type[Method]) -> None:
    """A prediction does not depend on the other samples of the batch, nor on their order; where it reads conversations,
    not on other conversations."""
    for spec in specs_for(method_class):
        method, batch = _build(method_class, spec), _planted(method_class, spec)
        order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(1))
        whole = _predict(method, batch).prediction
        _close(whole[order], _predict(method, batch.take(order)).prediction, "another order")
        what = "sample"
        if batch.conversation is not None:
            what, said = "conversation", batch.conversation
            turned = replace(said, number=-said.number)
            swapped = _predict(method, replace(batch, conversation=turned)).prediction
            _close(whole, swapped, "another order of the conversations")
        count = _first(batch)
        alone = _predict(method, batch.take(slice(0, count))).prediction
        names = "+".join(spec.modalities)
        _close(
            whole[:count],
            alone,
            f"{names}, a {what} alone and among {len(batch)} (do statistics of the batch, as of batch norm, enter?)",
        )


def modalities_are_independent(method_class: type[Method]) -> None:
    """Where it says that modalities are encoded independently, encoding once and fusing often changes
    nothing."""
    if (
        not method_class.separable() or method_class.uses_context
    ):  # with context, all are encoded for each condition
        return
    for spec in specs_for(method_class):
        method, batch = _build(method_class, spec), _planted(method_class, spec)
        method.eval()
        with torch.no_grad():
            clean = {name: method.encode(name, batch) for name in batch.modalities}
            for condition in default_conditions(batch.modalities):
                changed = condition.apply(batch)
                _close(method(changed).prediction, method.fuse(clean, changed).prediction, condition.name)


def loss_is_finite(method_class: type[Method]) -> None:
    """Its loss terms are finite scalars with finite gradients in every stage, also for a batch of one, and whether
    modalities have labels of their own or not."""
    for spec in specs_for(method_class):
        method, whole = _build(method_class, spec), _planted(method_class, spec)
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
    for spec in specs_for(method_class):
        method, whole = _build(method_class, spec), _planted(method_class, spec)
        optimizer = torch.optim.SGD(method.parameters(), lr=1e-3)
        absent = whole.with_present({name: torch.zeros(len(whole)).bool() for name in whole.modalities})
        conditions = [condition.apply(whole) for condition in default_conditions(whole.modalities)]
        for stage in range(len(method.stages)):
            method.begin_stage(stage)
            method.before_epoch(lambda whole=whole: iter((whole,)), done=0.5)
            for batch in (*conditions, whole.take(slice(0, 1)), absent):
                _step(method, batch, optimizer)
            method.after_epoch(lambda: 1.0)
            for state in (method.state_dict(), method.evaluated() or {}):
                assert all(bool(torch.isfinite(value).all()) for value in state.values()), "not finite"


def _step(method: Method, batch: Batch, optimizer: torch.optim.Optimizer) -> None:
    method.train()
    for backward in method.optimizer_steps(batch):
        optimizer.zero_grad()
        backward()
        optimizer.step()
        method.after_step()


def same_seed_same_result(method_class: type[Method]) -> None:
    """The same seed gives the same loss and the same predictions."""
    for spec in specs_for(method_class):
        values = []
        for _ in range(2):
            method, batch = _build(method_class, spec), _planted(method_class, spec)
            method.begin_stage(0)
            method.train()
            loss = torch.stack(list(method.loss(batch).values())).sum().detach()
            values.append(torch.cat([loss.reshape(1), _predict(method, batch).prediction.reshape(-1)]))
        assert bool(torch.equal(*values)), "two runs differ"


def batch_is_left_alone(method_class: type[Method]) -> None:
    """It does not change the batch that it is given."""
    for spec in specs_for(method_class):
        method, batch, copy = (
            _build(method_class, spec),
            _planted(method_class, spec),
            _planted(method_class, spec),
        )
        method.begin_stage(0)
        method.loss(batch)
        _predict(method, batch)
        for name in batch.modalities:
            assert torch.equal(batch.features[name], copy.features[name]), f"features of {name} changed"
            assert torch.equal(batch.present[name], copy.present[name]), f"present flags of {name} changed"
            assert torch.equal(batch.mask[name], copy.mask[name]), f"mask of {name} changed"
        assert torch.equal(batch.target, copy.target), "targets changed"


def weights_are_restored(method_class: type[Method]) -> None:
    """Weights that are saved and loaded again into it give the same predictions after every stage."""
    for spec in specs_for(method_class):
        method, batch = _build(method_class, spec), _planted(method_class, spec)
        for stage in range(len(method.stages)):
            method.begin_stage(stage)
        saved = {name: value.clone() for name, value in method.state_dict().items()}
        before = _predict(method, batch).prediction
        with torch.no_grad():
            for parameter in method.parameters():
                parameter.add_(0.1)
        method.load_state_dict(saved)
        _close(before, _predict(method, batch).prediction, "restored weights")


def what_is_not_kept_does_not_change(method_class: type[Method]) -> None:
    """What it does not keep of its state is the same in every network of its parameters, also after training, and
    ``bases`` names it."""
    spec = next(specs_for(method_class))
    method, batch = _build(method_class, spec), _planted(method_class, spec)
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
    return float(task_loss(_predict(method, batch).prediction, batch.target, method.spec))


def it_learns(method_class: type[Method]) -> None:
    """On data in which every modality tells the target, training beats the best constant guess."""
    for spec in list(specs_for(method_class))[2:4]:
        method, batch = _build(method_class, spec), _planted(method_class, spec, count=64)
        optimizer = torch.optim.Adam(method.parameters(), lr=3e-3)
        stages = len(method.stages)
        for stage in range(stages):
            method.begin_stage(stage)
            for epoch in range(3):
                method.before_epoch(lambda batch=batch: iter((batch,)), done=(stage + epoch / 3) / stages)
                for _ in range(20):
                    _step(method, batch, optimizer)
                method.after_epoch(partial(_task_loss, method, batch))
        method.load_state_dict(method.evaluated() or method.state_dict())
        shortfall = _behind_a_constant(method, batch)
        assert not shortfall, shortfall


def _behind_a_constant(method: Method, batch: Batch) -> str:
    """How a network compares with a constant; empty where it is better."""
    prediction = _predict(method, batch).prediction
    if method.spec.kind == "regression":
        error = float((prediction - batch.target).abs().mean())
        constant = float((batch.target - batch.target.median()).abs().mean())
        return "" if error < 0.8 * constant else f"mean error {error:.3f}, of a constant {constant:.3f}"
    right = float((prediction.argmax(1) == batch.target).float().mean())
    constant = float(batch.target.bincount().max() / len(batch))
    return "" if right > constant + 0.1 else f"accuracy {right:.3f}, of a constant {constant:.3f}"


def every_candidate_fits(method_class: type[Method]) -> None:
    """Each candidate is fitted without a change to the batch, predicts finite values, and does so again with the same
    seed."""
    for spec in list(specs_for(method_class))[2:4]:
        batch, copy = planted_batch(spec, count=64), planted_batch(spec, count=64)
        method = _build(method_class, spec)
        assert isinstance(method, Estimator)
        for candidate in method.candidates():
            found = []
            for _ in range(2):
                method.learned.replace(method.fit(batch, candidate, seed=1))
                found.append(_predict(method, batch).prediction)
            assert bool(torch.isfinite(found[0]).all()), f"candidate {candidate!r}: not finite"
            assert torch.equal(*found), f"candidate {candidate!r}: two fits with one seed differ"
        for name in batch.modalities:
            assert torch.equal(batch.features[name], copy.features[name]), f"features of {name} changed"
        assert torch.equal(batch.target, copy.target), "targets changed"


def what_it_learned_is_restored(method_class: type[Method]) -> None:
    """Another estimator of the class that loads its state predicts the same."""
    for spec in specs_for(method_class):
        method, batch = _build(method_class, spec), planted_batch(spec)
        other = method_class(method_class.Params(), spec)
        other.load_state_dict(method.state_dict())
        assert torch.equal(_predict(method, batch).prediction, _predict(other, batch).prediction), (
            "what it predicts is not all in what it has learned"
        )


def a_constant_is_not_better(method_class: type[Method]) -> None:
    """On its training samples it is at least as good as the best constant guess."""
    for spec in specs():
        method, batch = _build(method_class, spec), planted_batch(spec)
        prediction = _predict(method, batch).prediction
        if spec.kind == "regression":
            error = float((prediction - batch.target).abs().mean())
            constant = float((batch.target - batch.target.median()).abs().mean())
            assert error <= constant + TOLERANCE, f"mean error {error:.3f}, of a constant {constant:.3f}"
        else:
            right = float((prediction.argmax(1) == batch.target).float().mean())
            constant = float(batch.target.bincount().max() / len(batch))
            assert right >= constant, f"accuracy {right:.3f}, of a constant {constant:.3f}"


def class_weights_reach_it(method_class: type[Method]) -> None:
    """Where it says that weights of classes reach it, they change its loss, or what it learns."""
    if not method_class.weighs_classes:
        return
    plain = list(specs_for(method_class))[3]
    batch, found = _planted(method_class, plain), []
    for weights in ((1.0, 1.0, 1.0), (4.0, 1.0, 0.1)):
        method = _build(method_class, replace(plain, class_weights=weights))
        if isinstance(method, Estimator):
            found.append(_predict(method, batch).prediction.flatten())
            continue
        method.begin_stage(0)
        method.train()
        found.append(torch.stack(list(method.loss(batch).values())).sum().detach().reshape(1))
    assert not torch.equal(*found), (
        "weights of the classes change nothing: compute the loss by losses.task_errors, or say weighs_classes = False"
    )


#: What networks and estimators promise alike.
_PREDICTION_CHECKS: tuple[Callable[[type[Method]], None], ...] = (
    output_has_the_right_shape,
    nothing_present_is_survived,
    padding_is_not_read,
    absent_is_not_read,
    unobserved_is_not_read,
    samples_are_independent,
    what_it_says_of_itself_is_one_number_a_sample,
    class_weights_reach_it,
)

ESTIMATOR_CHECKS: tuple[Callable[[type[Method]], None], ...] = (
    *_PREDICTION_CHECKS,
    every_candidate_fits,
    what_it_learned_is_restored,
    a_constant_is_not_better,
)

METHOD_CHECKS: tuple[Callable[[type[Method]], None], ...] = (
    *_PREDICTION_CHECKS,
    modalities_are_independent,
    loss_is_finite,
    step_is_finite,
    same_seed_same_result,
    batch_is_left_alone,
    weights_are_restored,
    what_is_not_kept_does_not_change,
    it_learns,
)
