"""What a corruption must do to take part."""

from __future__ import annotations

from typing import Any

import torch

from ..corruptions.condition import Clean, Condition
from ..datasets.batch import Batch, Spec
from .checks_method import planted_batch


def _conditions(corruption_class: Any) -> list[Condition]:
    return list(corruption_class.conditions(("text", "audio", "vision")))


def _corruption_batch() -> Batch:
    return planted_batch(Spec({"text": 6, "audio": 3, "vision": 4}, "regression"))


def names_are_unique(corruption_class: Any) -> None:
    """Every condition has a name of its own, which is not ``clean``."""
    names = [condition.name for condition in _conditions(corruption_class)]
    assert names, "it has no condition"
    assert len({*names, Clean().name}) == len(names) + 1, f"names repeat: {names}"


def input_is_left_alone(corruption_class: Any) -> None:
    """Applying a condition leaves the batch as it was, and keeps targets and ids."""
    for condition in _conditions(corruption_class):
        batch, copy = _corruption_batch(), _corruption_batch()
        changed = condition.apply(batch)
        for name in batch.modalities:
            assert torch.equal(batch.features[name], copy.features[name]), (
                f"{condition.name} changed its input"
            )
            assert torch.equal(batch.present[name], copy.present[name]), f"{condition.name} changed its input"
        assert torch.equal(changed.target, copy.target), f"{condition.name} changed the targets"
        assert torch.equal(changed.sample_id, copy.sample_id), f"{condition.name} changed the ids"


def samples_break_alike(corruption_class: Any) -> None:
    """A sample breaks the same way in any batch and any order."""
    for condition in _conditions(corruption_class):
        batch = _corruption_batch()
        order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(3))
        whole, shuffled = condition.apply(batch).take(order), condition.apply(batch.take(order))
        alone = condition.apply(batch.take(slice(0, 1)))
        for name in batch.modalities:
            for left, right in ((whole, shuffled), (condition.apply(batch).take(slice(0, 1)), alone)):
                assert torch.equal(left.features[name], right.features[name]), (
                    f"{condition.name}: {name} differs"
                )
                assert torch.equal(left.present[name], right.present[name]), (
                    f"{condition.name}: {name} differs"
                )


def altered_is_declared(corruption_class: Any) -> None:
    """Features change only in the modalities that a condition says it alters."""
    for condition in _conditions(corruption_class):
        batch = _corruption_batch()
        changed = condition.apply(batch)
        for name in set(batch.modalities) - condition.alters:
            assert torch.equal(batch.features[name], changed.features[name]), (
                f"{condition.name} alters {name}"
            )
            assert torch.equal(batch.mask[name], changed.mask[name]), f"{condition.name} alters {name}"


CORRUPTION_CHECKS = (names_are_unique, input_is_left_alone, samples_break_alike, altered_is_declared)
