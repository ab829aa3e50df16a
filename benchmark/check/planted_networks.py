"""Networks and estimators of a class that is checked, with the planted samples that they are tried on."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ...corruptions.corruption import Condition
from ...datasets.batch import Batch, Conversations, Spec
from ...methods.controls.random_forest import RandomForestParams
from ...methods.estimator import Estimator
from ...methods.method import Method, Output
from ...methods.shared.networks import SharedNetworkParams
from ..train.predict import default_conditions
from .planted import VOCABULARY, kinds_of, planted_batch, specs, with_tokens
from .planted_media import media_specs, planted_media

TOLERANCE = 1e-4


#: What the contract does not depend on: the depth of the shared encoders, the steps of a diffusion and its samples, and the trees
#: of mmbench's forest.
_SMALL = {"layers": 1, "chain": 4, "draws": 2}
_TREES = 20
#: The modality of every specification whose token ids are planted.
TEXT = "text"


def specs_for(method_class: type[Method]) -> Iterator[Spec]:
    """The specifications that a method is tried with: of features, or of the raw media that it reads."""
    for spec in media_specs() if method_class.reads_media else specs(kinds_of(method_class)):
        yield replace(spec, tokens={TEXT: VOCABULARY}) if method_class.reads_tokens else spec


def pairs_for(method_class: type[Method]) -> list[Spec]:
    """Those of two modalities and one target a sample: of scores, of classes, or of both."""
    known = [spec for spec in specs_for(method_class) if spec.kind in ("regression", "classification")]
    return [spec for spec in known if len(spec.modalities) == 2]


def few_specs_for(method_class: type[Method]) -> list[Spec]:
    """Those of two modalities, and the one of most: for what the others would show again."""
    known = list(specs_for(method_class))
    return [spec for spec in known[:-1] if len(spec.modalities) == 2] + known[-1:]


def small_specs_for(method_class: type[Method]) -> list[Spec]:
    """Those of ``few_specs_for`` but for the largest: for what the number of modalities does not touch."""
    few = few_specs_for(method_class)
    return few[:-1] or few


def samples_for(method_class: type[Method], spec: Spec, count: int = 24) -> Batch:
    """A planted batch, as a method reads it: with the sample before each as its context, but for the first;
    in conversations of one utterance and more; with token ids; or with raw media.

    Args:
        method_class: says what it reads.
        spec: one of ``specs_for``.
        count: number of samples.
    """
    batch = planted_media(spec, count) if spec.media else planted_batch(spec, count)
    if method_class.reads_tokens:
        batch = with_tokens(batch, TEXT)
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


def network_of(method_class: type[Method], spec: Spec) -> Method:
    """A network with its first weights, or an estimator that is fitted to the planted samples.

    Args:
        method_class: the class that is checked, with its parameters at their defaults.
        spec: one of ``specs_for``.

    Returns:
        A new one at every call.
    """
    torch.manual_seed(0)
    params = small_params(method_class)
    if issubclass(method_class, Estimator):
        return copy.deepcopy(_fitted(method_class, spec))
    return method_class(params, spec)


def small_params(method_class: type[Method]) -> Any:
    """The defaults of a method's parameters, but for sizes that the contract does not depend on."""
    params = method_class.Params()
    if isinstance(params, SharedNetworkParams):
        params = replace(params, **{name: size for name, size in _SMALL.items() if hasattr(params, name)})
    return params


#: The fitted estimators of the class that is checked, by their specs.
_FITTED: dict[tuple[type[Estimator], str], Estimator] = {}


def _fitted(method_class: type[Estimator], spec: Spec) -> Estimator:
    """The estimator that all checks copy, fitted to the planted samples of a spec. Nobody else may change it."""
    key = (method_class, repr(spec))
    if key not in _FITTED:
        if any(known is not method_class for known, _ in _FITTED):
            _FITTED.clear()
        params = method_class.Params()
        small = replace(params, trees=_TREES) if isinstance(params, RandomForestParams) else params
        estimator = method_class(small, spec)
        estimator.learned.replace(estimator.fit(planted_batch(spec), estimator.candidates()[0], seed=0))
        _FITTED[key] = estimator
    return _FITTED[key]


def patterns_of(batch: Batch) -> list[Condition]:
    """The missing patterns that checks go through, the complete one first: all of up to three modalities; of four, whose
    other patterns would show nothing new, those that leave one.

    Args:
        batch: the samples, with all modalities.
    """
    conditions = default_conditions(batch.modalities)
    if len(batch.modalities) <= 3:
        return conditions
    left = [sum(bool(flags.any()) for flags in one.apply(batch).present.values()) for one in conditions]
    return [one for one, count in zip(conditions, left, strict=True) if count in (1, len(batch.modalities))]


@torch.no_grad()
def prediction_of(method: Method, batch: Batch) -> Output:
    """What a method says of a batch, in evaluation mode and without gradients.

    Args:
        method: the network or estimator; it stays in evaluation mode.
        batch: the samples.
    """
    method.eval()
    return method(batch)


def assert_close(left: Tensor, right: Tensor, what: str) -> None:
    """Checks that predictions are the same but for rounding.

    Args:
        left: predictions, of any shape.
        right: others, of the same shape.
        what: begins the message.

    Raises:
        AssertionError: they differ by more than ``TOLERANCE``.
    """
    difference = float((left - right).abs().max())
    assert difference <= TOLERANCE, f"{what}: predictions differ by {difference:.3g}"
