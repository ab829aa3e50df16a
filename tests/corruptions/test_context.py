"""Damage reaches the context: an utterance is damaged alike as the sample and as the one before it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
import torch
from mmbench.benchmark.core.registry import find
from mmbench.corruptions import CORRUPTIONS
from mmbench.corruptions.condition import Clean, Condition
from mmbench.corruptions.corruption import Corruption, apply_all, prepare
from mmbench.corruptions.missing import Missing
from mmbench.corruptions.training import inject, inject_by_sample
from mmbench.datasets.batch import Batch

NAMES = ("text", "audio", "vision")
COUNT = 40


def split(context: bool = True) -> Batch:
    """Two videos of twenty utterances; the first of each has no context."""
    draw = torch.Generator().manual_seed(3)
    lengths = torch.randint(3, 9, (COUNT,), generator=draw)
    batch = Batch(
        features={name: torch.randn(COUNT, 8, 5, generator=draw) for name in NAMES},
        mask={name: torch.arange(8) < lengths[:, None] for name in NAMES},
        present={name: torch.rand(COUNT, generator=draw) < 0.9 for name in NAMES},
        target=torch.linspace(-1, 1, COUNT),
        domain=torch.zeros(COUNT, dtype=torch.int64),
        sample_id=torch.randint(2**40, (COUNT,), generator=draw),
    )
    if not context:
        return batch
    before = batch.take((torch.arange(COUNT) - 1).clamp(min=0))
    known = torch.arange(COUNT) % 20 > 0
    before = before.with_present({name: flags & known for name, flags in before.present.items()})
    return replace(batch, context=before)


def assert_same_rows(damaged: Batch, alone: Batch, rows: torch.Tensor) -> None:
    """The context of ``damaged`` [rows] is, bit by bit, the damaged samples that stand before them.

    Args:
        damaged: some samples with context, under damage.
        alone: the whole split, under the same damage.
        rows: [samples of damaged], int64, their places in the split.
    """
    context = damaged.context
    assert context is not None
    known = rows % 20 > 0
    before = alone.take((rows - 1)[known])
    for name in NAMES:
        assert torch.equal(context.present[name][known], before.present[name])
        assert not context.present[name][~known].any()
        assert torch.equal(context.mask[name][known], before.mask[name])
        assert torch.equal(context.features[name][known], before.features[name])


def feature_conditions() -> Iterable[Condition]:
    """All kinds of damage to features, every severity of one of them, and all kinds of missing data."""
    for name in CORRUPTIONS:
        kind = find("corruption", name).load()
        if getattr(kind, "medium", "features") != "features":
            continue
        made = list(kind.conditions(NAMES))
        if issubclass(kind, Corruption) and name != "gaussian-noise":
            made = [one for one in made if one.severity == 5]
        if name.startswith("missing-by-"):  # which at a low rate may spare all of so few samples
            made = [one for one in made if one.name.endswith("@5")]
        yield from made[::30] if name == "reliability" else made
    yield Clean()


def test_under_every_condition_the_context_is_what_the_samples_before_are() -> None:
    whole, alone = split(), split(context=False)
    rows = torch.arange(7, 33)  # other batches, another order: the draws are those of the sample
    part = whole.take(rows.flip(0))
    conditions = [prepare(condition, whole) for condition in feature_conditions()]
    assert len(conditions) > 25
    changed = 0
    pairs = zip(apply_all(conditions, part), apply_all(conditions, alone), strict=True)
    for (condition, damaged), (same, expected) in pairs:
        assert condition is same
        assert_same_rows(damaged, expected, rows.flip(0))
        features = [not torch.equal(expected.features[name], alone.features[name]) for name in NAMES]
        present = [not torch.equal(expected.present[name], alone.present[name]) for name in NAMES]
        changed += any(features) or any(present)
    assert changed == len(conditions) - 1  # all but the clean one


def test_without_context_a_condition_is_applied_once_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(Missing, "apply", lambda self, batch: calls.append(len(batch)) or batch)
    [(_, same)] = apply_all([Missing(("text",))], batch := split(context=False))
    assert same is batch
    assert calls == [COUNT]
    list(apply_all([Missing(("text",))], split()))
    assert calls == [COUNT, COUNT, COUNT]


def test_severities_draw_once_for_the_samples_and_once_for_the_context(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []
    draw_for = Corruption.draw_for
    monkeypatch.setattr(
        Corruption, "draw_for", lambda self, batch: calls.append(self) or draw_for(self, batch)
    )
    conditions = [one for one in feature_conditions() if one.name.startswith("gaussian-noise:text")]
    assert len(conditions) == 5
    list(apply_all(conditions, split()))
    assert len(calls) == 2


@pytest.mark.parametrize("noise", ["off", "spectrum"])
@pytest.mark.parametrize("missing", ["off", "patterns", "spectrum"])
def test_in_training_the_context_is_damaged_as_its_own_samples_are(missing: str, noise: str) -> None:
    whole = split()
    alone = inject_by_sample(split(context=False), missing, noise, 5, "training damage/0")
    rows = torch.randperm(COUNT, generator=torch.Generator().manual_seed(1))
    for part in rows.split(16):  # whatever batch a sample comes in
        damaged = inject_by_sample(whole.take(part), missing, noise, 5, "training damage/0")
        assert_same_rows(damaged, alone, part)
        for name in NAMES:
            assert torch.equal(damaged.features[name], alone.features[name][part])
            assert torch.equal(damaged.present[name], alone.present[name][part])
    if missing != "off" or noise != "off":
        other = inject_by_sample(split(context=False), missing, noise, 5, "training damage/1")
        features = [not torch.equal(other.features[name], alone.features[name]) for name in NAMES]
        present = [not torch.equal(other.present[name], alone.present[name]) for name in NAMES]
        assert any(features) or any(present)  # drawn anew in the next pass


def test_draws_by_place_are_not_given_to_a_context() -> None:
    with pytest.raises(ValueError, match="inject_by_sample"):
        inject(split(), "spectrum", "off", torch.Generator())


def test_without_context_training_damage_is_drawn_in_the_order_of_version_0_1() -> None:
    """Written out, so that jobs of that version give the same network again."""
    batch, old = split(context=False), torch.Generator().manual_seed(11)

    def spectrum() -> torch.Tensor:
        drawn = torch.rand(2, COUNT, generator=old)
        return torch.where(drawn[0] < 0.5, 0.0, drawn[1])

    features = dict(batch.features)
    for name in NAMES:
        strength = spectrum().view(-1, 1, 1)
        features[name] = features[name] + strength * torch.randn(COUNT, 8, 5, generator=old)
    for name in NAMES:
        rate = spectrum()[:, None]
        kept = torch.rand(COUNT, 8, generator=old) >= rate
        features[name] = torch.where(kept[..., None], features[name], 0)
    gone = torch.rand(COUNT, 3, generator=old) < 0.1
    there = torch.stack(list(batch.present.values()), dim=1)
    left = there & ~gone
    left = torch.where(left.any(dim=1, keepdim=True), left, there)

    found = inject(batch, "spectrum", "spectrum", torch.Generator().manual_seed(11))
    for place, name in enumerate(NAMES):
        assert torch.equal(found.features[name], features[name])
        assert torch.equal(found.present[name], left[:, place])
