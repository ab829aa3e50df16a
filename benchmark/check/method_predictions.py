"""What the predictions of a method must be, whether it is a network or an estimator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from ...datasets.batch import Batch, Spec
from ...methods.estimator import Estimator
from ...methods.method import Method
from ..core.strings import counted
from .planted import VOCABULARY
from .planted_media import with_more_padding, with_rubbish_in_padding
from .planted_networks import (
    TEXT,
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
from .told import check_told


def output_has_the_right_shape(method_class: type[Method]) -> None:
    """It predicts one score or one row of logits a sample, for one to four modalities, any missing
    pattern, batches of one."""
    for spec in specs_for(method_class):
        method, whole = network_of(method_class, spec), samples_for(method_class, spec)
        for batch in (whole, whole.take(slice(0, 1))):
            patterns = patterns_of(batch)
            for condition in patterns if len(batch) > 1 else patterns[-1:]:
                prediction = prediction_of(method, condition.apply(batch)).prediction
                shape = (len(batch),) if spec.kind == "regression" else (len(batch), spec.classes)
                where = f"{counted(len(spec.modalities), 'modality', 'modalities')}, {condition.name}, batch of {len(batch)}"
                assert tuple(prediction.shape) == shape, (
                    f"{where}: shape {tuple(prediction.shape)}, not {shape}"
                )
                assert bool(torch.isfinite(prediction).all()), f"{where}: not finite"


def what_it_says_of_itself_is_one_number_a_sample(method_class: type[Method]) -> None:
    """Confidences and diagnostics are finite, one number a sample, the same in any order and alone, and have names that
    tables can hold, for any missing pattern."""
    for spec in small_specs_for(method_class):
        check_told(network_of(method_class, spec), samples_for(method_class, spec))


def nothing_present_is_survived(method_class: type[Method]) -> None:
    """A sample without any modality gets a finite prediction."""
    for spec in few_specs_for(method_class):
        batch = samples_for(method_class, spec)
        batch = batch.with_present({name: torch.zeros_like(flags) for name, flags in batch.present.items()})
        assert bool(torch.isfinite(prediction_of(network_of(method_class, spec), batch).prediction).all()), (
            "not finite"
        )


def padding_is_not_read(method_class: type[Method]) -> None:
    """What stands in padded time steps changes no prediction, nor does more padding."""
    for spec in few_specs_for(method_class):
        method, batch = network_of(method_class, spec), samples_for(method_class, spec)
        clean = prediction_of(method, batch).prediction
        noisy = {m: with_rubbish_in_padding(x, batch.mask[m]) for m, x in batch.features.items()}
        unread = {
            m: x.where(x[:, 1:2] > 0, x.new_tensor([7, 0, 1])[:, None]) for m, x in batch.tokens.items()
        }
        padded = replace(batch, features=noisy, tokens=unread)
        assert_close(clean, prediction_of(method, padded).prediction, "noise in padding")
        longer = replace(
            batch,
            features={m: with_more_padding(x, 3) for m, x in batch.features.items()},
            mask={m: torch.nn.functional.pad(x, (0, 3)) for m, x in batch.mask.items()},
            tokens={m: torch.nn.functional.pad(x, (0, 3)) for m, x in batch.tokens.items()},
        )
        assert_close(clean, prediction_of(method, longer).prediction, "three more padded steps")


def absent_is_not_read(method_class: type[Method]) -> None:
    """What stands in an absent modality changes no prediction, not even NaN."""
    for spec in few_specs_for(method_class):
        method, batch = network_of(method_class, spec), samples_for(method_class, spec)
        for name in spec.modalities:
            absent = batch.with_present({name: torch.zeros_like(batch.present[name])})
            left, right = prediction_of(method, absent), prediction_of(method, _with_nan(absent, name))
            assert_close(left.prediction, right.prediction, f"NaN in absent {name}")


def _with_nan(batch: Batch, name: str) -> Batch:
    """The batch, and its context, with NaN as the features of a modality, or 7 where these are whole numbers, as are token
    ids."""
    values = batch.features[name]
    rubbish = torch.full_like(values, torch.nan if values.is_floating_point() else 7)
    features = {**batch.features, name: rubbish}
    context = None if batch.context is None else _with_nan(batch.context, name)
    tokens = {m: torch.full_like(x, 7) if m == name else x for m, x in batch.tokens.items()}
    return replace(batch, features=features, context=context, tokens=tokens)


def token_ids_are_read(method_class: type[Method]) -> None:
    """Where it says that it reads token ids, other ids give other predictions; those of lost tokens change none, and it
    survives a text that has lost all of them, and ids that no training sample has."""
    if not method_class.reads_tokens:
        return
    for spec in pairs_for(method_class):
        method, batch = network_of(method_class, spec), samples_for(method_class, spec)
        stored = batch.tokens[TEXT]
        clean = prediction_of(method, batch).prediction
        swapped = replace(batch, tokens={TEXT: stored.roll(1, 0)})
        away = float((clean - prediction_of(method, swapped).prediction).abs().max())
        assert away > 0, "other token ids change nothing: read batch.token_ids, or say reads_tokens = False"
        half = stored.where(torch.arange(stored.shape[2]) < 1, 0)
        ids = torch.where(torch.arange(stored.shape[2]) < 1, stored[:, 0], 7)
        other = torch.stack([ids, half[:, 1], half[:, 2]], dim=1)
        few, same = (prediction_of(method, replace(batch, tokens={TEXT: rows})) for rows in (half, other))
        assert_close(few.prediction, same.prediction, "the ids of lost tokens")
        large = stored + stored.new_tensor([VOCABULARY, 0, 0])[:, None] * stored[:, 1:2]
        for what, rows in (
            ("all tokens lost", torch.zeros_like(stored)),
            ("ids above those of training", large),
        ):
            prediction = prediction_of(method, replace(batch, tokens={TEXT: rows})).prediction
            assert bool(torch.isfinite(prediction).all()), f"{what}: not finite"


def unobserved_is_not_read(method_class: type[Method]) -> None:
    """Where entries are not observed, what stood there changes no prediction; and predictions are finite and of the sample
    alone, also where nothing of a sample or everything of a batch is observed."""
    if method_class.reads_media:  # raw media have no entries that are not observed
        return
    for spec in pairs_for(method_class):
        spec = replace(spec, partly_observed=tuple(spec.modalities))
        method, batch = network_of(method_class, spec), samples_for(method_class, spec)
        clean = prediction_of(method, batch).prediction
        dirty = {m: x.where(batch.observed[m], 7.0) for m, x in batch.features.items()}
        # as the harness hands on every batch
        handed = replace(batch, features=dirty).with_observed(batch.observed)
        assert_close(clean, prediction_of(method, handed).prediction, "other values at unobserved entries")
        alone = slice(0, _first(batch))
        assert_close(
            clean[alone], prediction_of(method, batch.take(alone)).prediction, "a sample with holes alone"
        )
        nothing = batch.with_observed({m: torch.zeros_like(o) for m, o in batch.observed.items()})
        for what, other in (("nothing", nothing), ("everything", replace(batch, observed={}))):
            prediction = prediction_of(method, other).prediction
            assert prediction.shape == clean.shape, f"{what} observed: shape {tuple(prediction.shape)}"
            assert bool(torch.isfinite(prediction).all()), f"{what} observed: not finite"


def _first(batch: Batch) -> int:
    """How many samples of a planted batch stand alone at its beginning: one, or the first conversation."""
    return 1 if batch.conversation is None else int((batch.conversation.number == 0).sum())


def samples_are_independent(method_class: type[Method]) -> None:
    """A prediction does not depend on the other samples of the batch, nor on their order; where it reads conversations,
    not on other conversations."""
    for spec in few_specs_for(method_class):
        method, batch = network_of(method_class, spec), samples_for(method_class, spec)
        order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(1))
        whole = prediction_of(method, batch).prediction
        assert_close(whole[order], prediction_of(method, batch.take(order)).prediction, "another order")
        what = "sample"
        if batch.conversation is not None:
            what, said = "conversation", batch.conversation
            turned = replace(said, number=-said.number)
            swapped = prediction_of(method, replace(batch, conversation=turned)).prediction
            assert_close(whole, swapped, "another order of the conversations")
        count = _first(batch)
        alone = prediction_of(method, batch.take(slice(0, count))).prediction
        names = "+".join(spec.modalities)
        assert_close(
            whole[:count],
            alone,
            f"{names}, a {what} alone and among {len(batch)} (do statistics of the batch, as of batch norm, enter?)",
        )


def class_weights_reach_it(method_class: type[Method]) -> None:
    """Where it says that weights of classes reach it, they change its loss in a stage, or what it learns."""
    if not method_class.weighs_classes:
        return
    for spec in specs_for(method_class):
        if spec.kind != "regression" and len(spec.modalities) == 2:
            _weights_reach_it(method_class, spec)


def _weights_reach_it(method_class: type[Method], plain: Spec) -> None:
    """Weights of the classes, or of the presence and absence of labels, change a loss, or what is learned."""
    batch, found = samples_for(method_class, plain), []
    count = plain.classes * (2 if plain.kind == "multi-label" else 1)
    for weights in ((1.0,) * count, tuple(4.0 / (1 + place) for place in range(count))):
        method = network_of(method_class, replace(plain, class_weights=weights))
        if isinstance(method, Estimator):
            found.append(prediction_of(method, batch).prediction.flatten())
            continue
        losses = []
        for stage in range(len(method.stages)):
            method.begin_stage(stage)
            method.train()
            losses.append(torch.stack(list(method.loss(batch).values())).sum().detach())
        found.append(torch.stack(losses))
    assert not torch.equal(*found), (
        f"{plain.kind}: weights of the classes change nothing: compute the loss by losses.task_errors, or say weighs_classes = False"
    )


#: What networks and estimators promise alike.
PREDICTION_CHECKS: tuple[Callable[[type[Method]], None], ...] = (
    output_has_the_right_shape,
    nothing_present_is_survived,
    padding_is_not_read,
    absent_is_not_read,
    token_ids_are_read,
    unobserved_is_not_read,
    samples_are_independent,
    what_it_says_of_itself_is_one_number_a_sample,
    class_weights_reach_it,
)
