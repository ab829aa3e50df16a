"""What a corruption must do to take part."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ...corruptions.condition import Clean, Condition
from ...corruptions.corruption import SEVERITIES, Corruption, Medium, apply_all, prepare
from ...corruptions.words import encode_words
from ...datasets.batch import Batch, Spec
from .planted import planted_batch

#: medium -> the modalities that hold it in the checks
_MODALITIES: dict[Medium, tuple[str, ...]] = {
    "features": ("text", "audio", "vision"),
    "tokens": ("text",),
    "words": ("text",),
    "waveform": ("audio",),
    "frames": ("vision",),
}

#: How much of the damage of a severity the next one must do at least; where not named, 0.98. The published
#: constants of glass blur move pixels less at 4 than at 3, and frost darkens once: nearer to the picture again.
_SLACK: dict[Medium, float] = {"frames": 0.8}


def _medium(corruption_class: Any) -> Medium:
    return getattr(corruption_class, "medium", "features")


def _conditions(corruption_class: Any) -> list[Condition]:
    """Every condition, as a run applies it: after it has seen the whole batch."""
    batch = _corruption_batch(corruption_class)
    asked = corruption_class.conditions(_MODALITIES[_medium(corruption_class)])
    return [prepare(condition, batch) for condition in asked]


def _corruption_batch(corruption_class: Any) -> Batch:
    """Samples that hold what the corruption breaks, some shorter than others."""
    medium = _medium(corruption_class)
    if medium == "features":
        return planted_batch(Spec({"text": 6, "audio": 3, "vision": 4}, "regression"), steps=12)
    name = _MODALITIES[medium][0]
    features = {"tokens": _tokens, "words": _words, "waveform": _sound, "frames": _pictures}[medium]()
    count, steps = features.shape[:2]
    mask = torch.arange(steps) < torch.linspace(steps / 2, steps, count).ceil()[:, None]
    return replace(
        planted_batch(Spec({name: 1}, "regression"), count=count),
        features={name: features},
        mask={name: mask},
    )


def _tokens() -> Tensor:
    return torch.randint(1000, 2000, (16, 24), generator=torch.Generator().manual_seed(1))


def _words() -> Tensor:
    """One sentence, begun at another word in each sample."""
    text = (
        "The plot is so thin that I could not believe how much they paid for it, but both leads were great. "
    )
    places = [0, *(place for place, letter in enumerate(text) if letter == " ")]
    return encode_words([text[place:] + text[:place] for place in places])


def _sound() -> Tensor:
    """A chord for half a second at 16 kHz, with silence between its notes."""
    time = torch.arange(8000) / 16000
    pitches = torch.arange(4)[:, None] * 110 + 220
    chord = sum(torch.sin(2 * math.pi * pitches * k * time) / k for k in (1, 2, 5, 11))
    return (0.2 * chord * (torch.sin(2 * math.pi * 4 * time) > -0.5)).unsqueeze(-1)


def _pictures() -> Tensor:
    """Smooth shading with an edge and a fine texture, which move across ten frames."""
    axis = torch.linspace(0, 1, 32)
    down, right = torch.meshgrid(axis, axis, indexing="ij")
    texture = 0.1 * torch.sin(40 * right) * torch.sin(33 * down)
    shapes = torch.stack([0.2 + 0.5 * right * (down > k / 5) + texture for k in (1, 2, 3, 4)])
    moving = torch.stack([shapes.roll(2 * step, dims=2) for step in range(10)], dim=1)
    return moving.unsqueeze(2).repeat(1, 1, 3, 1, 1).clamp(0, 1)


def names_are_unique(corruption_class: Any) -> None:
    """Every condition has a name of its own, which is not ``clean``."""
    names = [condition.name for condition in _conditions(corruption_class)]
    assert names, "it has no condition"
    assert len({*names, Clean().name}) == len(names) + 1, f"names repeat: {names}"


def input_is_left_alone(corruption_class: Any) -> None:
    """Applying a condition leaves the batch as it was, and keeps targets and ids."""
    for condition in _conditions(corruption_class):
        batch, copy = _corruption_batch(corruption_class), _corruption_batch(corruption_class)
        changed = condition.apply(batch)
        for name in batch.modalities:
            assert torch.equal(batch.features[name], copy.features[name]), (
                f"{condition.name} changed its input"
            )
            assert torch.equal(batch.present[name], copy.present[name]), f"{condition.name} changed its input"
        assert torch.equal(changed.target, copy.target), f"{condition.name} changed the targets"
        assert torch.equal(changed.sample_id, copy.sample_id), f"{condition.name} changed the ids"


def shape_is_kept(corruption_class: Any) -> None:
    """Features keep their shape and type, and are finite where they hold data."""
    batch = _corruption_batch(corruption_class)
    for condition in _conditions(corruption_class):
        changed = condition.apply(batch)
        for name, values in batch.features.items():
            result = changed.features[name]
            assert (result.shape, result.dtype) == (values.shape, values.dtype), (
                f"{condition.name}: {name} became {tuple(result.shape)} {result.dtype}"
            )
            valid = batch.mask[name]
            assert bool(torch.isfinite(result[valid].double()).all()), f"{condition.name}: not finite"


def samples_break_alike(corruption_class: Any) -> None:
    """A sample breaks the same way in any batch and any order."""
    batch = _corruption_batch(corruption_class)
    order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(3))
    for condition in _conditions(corruption_class):
        broken = condition.apply(batch)
        shuffled, alone = condition.apply(batch.take(order)), condition.apply(batch.take(slice(0, 1)))
        for name in batch.modalities:
            for left, right in ((broken.take(order), shuffled), (broken.take(slice(0, 1)), alone)):
                assert torch.equal(left.present[name], right.present[name]), (
                    f"{condition.name}: {name} differs"
                )
                # Sums over a batch of another size may be added in another order: the last digit is free.
                difference = (left.features[name] - right.features[name]).abs().double()
                far = difference[left.mask[name]] > 1e-5
                assert not bool(far.any()), f"{condition.name}: {name} differs"


def altered_is_declared(corruption_class: Any) -> None:
    """Features change only in the modalities that a condition says it alters."""
    batch = _corruption_batch(corruption_class)
    for condition in _conditions(corruption_class):
        changed = condition.apply(batch)
        for name in set(batch.modalities) - condition.alters:
            assert torch.equal(batch.features[name], changed.features[name]), (
                f"{condition.name} alters {name}"
            )
            assert torch.equal(batch.mask[name], changed.mask[name]), f"{condition.name} alters {name}"


def severity_0_is_the_identity(corruption_class: Any) -> None:
    """Severity 0 changes nothing, and needs nothing encoded again."""
    if not _has_severities(corruption_class):
        return
    batch = _corruption_batch(corruption_class)
    for name in batch.modalities:
        condition = prepare(corruption_class(name, 0), batch)
        changed = condition.apply(batch)
        assert torch.equal(changed.features[name], batch.features[name]), f"severity 0 changes {name}"
        assert torch.equal(changed.mask[name], batch.mask[name]), f"severity 0 changes the mask of {name}"
        assert not condition.alters, "severity 0 says that it alters something"


def damage_grows(corruption_class: Any) -> None:
    """The mean squared distance from the clean input grows from severity 1 to 5."""
    if not _has_severities(corruption_class):
        return
    batch = _corruption_batch(corruption_class)
    for name in dict.fromkeys(
        condition.modality for condition in corruption_class.conditions(batch.modalities)
    ):
        damage = []
        for severity in SEVERITIES:
            changed = prepare(corruption_class(name, severity), batch).apply(batch)
            difference = (changed.features[name] != batch.features[name]).double()
            if batch.features[name].is_floating_point():
                difference = (changed.features[name] - batch.features[name]).double() ** 2
            damage.append(float(difference[batch.mask[name]].mean()))
        words = ", ".join(f"{value:.3g}" for value in damage)
        for less, more in pairwise(damage):
            assert more >= _SLACK.get(_medium(corruption_class), 0.98) * less, (
                f"{name}: a higher severity does less: {words}"
            )
        assert damage[-1] > damage[0] >= 0, f"{name}: severity 5 does no more than 1: {words}"
        assert damage[-1] > 0, f"{name}: nothing is damaged"


def severities_share_draws(corruption_class: Any) -> None:
    """Conditions one after the other, as a run applies them, do what each does alone: choices are the same at every
    severity, and damaging leaves them as they were."""
    batch = _corruption_batch(corruption_class)
    for condition, changed in apply_all(_conditions(corruption_class), batch):
        alone = condition.apply(batch)
        for name in batch.modalities:
            valid = batch.mask[name]
            assert torch.equal(changed.features[name][valid], alone.features[name][valid]), (
                f"{condition.name}: {name} differs from its damage alone"
            )


def _has_severities(corruption_class: Any) -> bool:
    return isinstance(corruption_class, type) and issubclass(corruption_class, Corruption)


CORRUPTION_CHECKS = (
    names_are_unique,
    input_is_left_alone,
    shape_is_kept,
    samples_break_alike,
    altered_is_declared,
    severity_0_is_the_identity,
    damage_grows,
    severities_share_draws,
)
