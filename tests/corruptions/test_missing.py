from __future__ import annotations

import pytest
import torch
from mmbench.benchmark.check.planted import planted_batch
from mmbench.benchmark.train.predict import default_conditions
from mmbench.corruptions.missing import Missing
from mmbench.datasets.batch import Batch, Spec


@pytest.fixture
def batch() -> Batch:
    return planted_batch(Spec({"text": 6, "audio": 3, "vision": 4}, "regression"))


@pytest.mark.parametrize(("count", "patterns"), [(1, 1), (2, 3), (3, 7), (4, 15)])
def test_every_set_of_available_modalities_is_a_condition(count: int, patterns: int):
    names = ["text", "audio", "vision", "motion"][:count]
    conditions = default_conditions(names)
    assert len({condition.name for condition in conditions}) == len(conditions) == patterns
    assert conditions[0].name == "clean"


def test_names_say_what_is_missing(batch: Batch):
    condition = Missing(("text", "vision"))
    assert condition.name == "missing:text+vision"
    changed = condition.apply(batch)
    assert not changed.present["text"].any()
    assert not changed.present["vision"].any()
    assert changed.present["audio"].all()
    assert batch.present["text"].all()
    assert changed.features["text"] is batch.features["text"]


def test_what_was_absent_stays_absent(batch: Batch):
    partly = batch.with_present({"audio": torch.arange(len(batch)) % 2 == 0})
    assert torch.equal(Missing(("text",)).apply(partly).present["audio"], partly.present["audio"])


def test_a_missing_modality_is_missing_from_the_context_too(batch: Batch):
    context = batch.with_present({"text": torch.arange(len(batch)) > 0})
    followed = Batch(**{**vars(batch), "context": context})
    changed = Missing(("text",)).apply(followed).context
    assert changed is not None
    assert not changed.present["text"].any()
    assert changed.present["audio"].all()


def test_unknown_modality_and_empty_pattern_are_refused(batch: Batch):
    with pytest.raises(ValueError, match="no modality 'smell'"):
        Missing(("smell",)).apply(batch)
    with pytest.raises(ValueError, match="at least one"):
        Missing(())
