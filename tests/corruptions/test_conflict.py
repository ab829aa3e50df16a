"""Modalities of samples of another class: whose they are, how many, and that they come as a whole."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.planning.corruption_groups import corruption_entries
from mmbench.benchmark.train.predict import outputs_under
from mmbench.corruptions import GROUPS
from mmbench.corruptions.condition import Clean
from mmbench.corruptions.conflict import Conflict
from mmbench.corruptions.corruption import SEVERITIES, apply_all, prepare
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods.erm import ERM, ERMParams
from mmbench.methods.method import Output

STEPS = 3


def batch(target: torch.Tensor, seed: int = 0) -> Batch:
    """Samples whose features, masks, times and tokens say which sample they are of."""
    count = len(target)
    number = torch.arange(count).float()
    sample_id = torch.randperm(10 * count, generator=torch.Generator().manual_seed(seed))[:count]
    mask = torch.arange(STEPS) <= (torch.arange(count) % STEPS)[:, None]
    return Batch(
        features={n: number[:, None, None].repeat(1, STEPS, 2) + 1 for n in ("text", "audio")},
        mask=dict.fromkeys(("text", "audio"), mask),
        present={n: torch.ones(count, dtype=torch.bool) for n in ("text", "audio")},
        target=target,
        domain=torch.zeros(count, dtype=torch.int64),
        sample_id=sample_id,
        time={"text": number[:, None].repeat(1, STEPS) * mask},
        tokens={"text": number[:, None, None].repeat(1, 3, STEPS).int()},
    )


def donors(changed: Batch) -> torch.Tensor:
    """The sample that each one's text is of."""
    return changed.features["text"][:, 0, 0].long() - 1


@given(
    count=st.integers(2, 40), classes=st.integers(2, 5), seed=st.integers(0, 99), severity=st.integers(1, 5)
)
def test_a_foreign_modality_is_whole_and_of_another_class(count: int, classes: int, seed: int, severity: int):
    target = torch.arange(count) % classes
    clean = batch(target, seed)
    changed = prepare(Conflict("text", severity, seed), clean).apply(clean)
    of = donors(changed)
    moved = of != torch.arange(count)
    assert bool((target[of] != target)[moved].all())
    assert torch.equal(changed.mask["text"], clean.mask["text"][of])
    assert torch.equal(changed.time["text"], clean.time["text"][of])
    assert torch.equal(changed.tokens["text"], clean.tokens["text"][of])
    assert torch.equal(changed.features["audio"], clean.features["audio"])
    assert torch.equal(changed.mask["audio"], clean.mask["audio"])
    assert severity < 5 or bool(moved.all())


def test_shares_are_the_levels_and_severities_are_nested_with_the_same_donors():
    clean = batch(torch.arange(3000) % 3)
    before = torch.zeros(3000, dtype=torch.bool)
    last = torch.arange(3000)
    for severity, level in zip(SEVERITIES, Conflict.levels, strict=True):
        of = donors(prepare(Conflict("text", severity), clean).apply(clean))
        moved = of != torch.arange(3000)
        assert float(moved.float().mean()) == pytest.approx(level, abs=0.05)
        assert bool(moved[before].all())
        assert torch.equal(of[before], last[before])
        before, last = moved, of
    counts = torch.bincount(last, minlength=3000)
    assert int(counts.max()) < 12  # of all others, not always the same


def test_classes_are_drawn_in_proportion_to_their_samples():
    target = torch.tensor([0] * 300 + [1] * 900 + [2] * 300)
    clean = batch(target)
    of = donors(prepare(Conflict("text", 5), clean).apply(clean))
    of_zero = torch.bincount(target[of[target == 0]], minlength=3).float()
    assert of_zero[0] == 0
    assert float(of_zero[1] / of_zero.sum()) == pytest.approx(0.75, abs=0.1)


@given(seed=st.integers(0, 30), cut=st.integers(1, 19))
def test_a_sample_conflicts_alike_in_any_batch_and_any_order_of_the_split(seed: int, cut: int):
    clean = batch(torch.arange(20) % 2, seed)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(seed))
    whole = prepare(Conflict("text", 3), clean).apply(clean)
    again = prepare(Conflict("text", 3), clean.take(order))
    for rows in (order[:cut], order[cut:]):
        part = again.apply(clean.take(rows))
        assert torch.equal(part.features["text"], whole.take(rows).features["text"])


def test_scores_conflict_across_their_median_and_labels_with_any_other():
    scores = torch.linspace(-3, 3, 40)
    clean = batch(scores)
    of = donors(prepare(Conflict("text", 5), clean).apply(clean))
    assert bool(((scores > scores.median()) != (scores[of] > scores.median())).all())
    labels = torch.tensor([[0, 1], [1, 1], [1, 0], [0, 1]] * 5)
    clean = batch(labels)
    of = donors(prepare(Conflict("text", 5), clean).apply(clean))
    assert bool((labels != labels[of]).any(dim=1).all())


def test_a_sample_without_the_modality_neither_gives_nor_takes_it():
    clean = batch(torch.arange(60) % 2)
    there = torch.arange(60) % 3 != 0
    clean = clean.with_present({"text": there})
    changed = prepare(Conflict("text", 5), clean).apply(clean)
    of = donors(changed)
    assert torch.equal(changed.present["text"], there)
    assert bool((of[~there] == torch.arange(60)[~there]).all())
    assert bool(there[of[there]].all())


def test_holes_come_along():
    clean = batch(torch.arange(40) % 2)
    observed = torch.rand(40, STEPS, 2, generator=torch.Generator().manual_seed(0)) > 0.4
    clean = clean.with_observed({"text": observed})
    changed = prepare(Conflict("text", 5), clean).apply(clean)
    assert bool((changed.features["text"][~changed.observed["text"]] == 0).all())
    valid = changed.mask["text"].unsqueeze(-1) & changed.observed["text"]
    of = (changed.features["text"].amax(dim=(1, 2)).long() - 1).clamp(min=0)
    some = changed.present["text"] & valid.flatten(1).any(dim=1)
    expected = (clean.observed["text"] & clean.mask["text"].unsqueeze(-1))[of]
    assert torch.equal(valid[some], expected[some])


def test_what_cannot_conflict_says_so():
    clean = batch(torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ValueError, match="all samples with text are of one class"):
        prepare(Conflict("text", 1), clean)
    with pytest.raises(ValueError, match="no modality 'vision'"):
        prepare(Conflict("vision", 1), clean)
    with pytest.raises(ValueError, match=r"call prepared\(split\) before apply"):
        Conflict("text", 1).apply(clean)


class Reader(ERM):
    """Notes the targets that it is handed when it predicts."""

    def __init__(self, params: ERMParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.seen: list[torch.Tensor] = []

    @classmethod
    def separable(cls) -> bool:
        return False

    def forward(self, batch: Batch) -> Output:
        self.seen.append(batch.target)
        return super().forward(batch)


def test_no_target_reaches_the_network():
    features = {"text": 2, "audio": 2}
    network = Reader(Reader.Params(width=8, layers=1), Spec(features, "classification", classes=2))
    clean = replace(batch(torch.arange(20) % 2), time={}, tokens={})
    found = outputs_under(network, clean, [Clean(), *Conflict.conditions(["text"])])
    assert bool((torch.cat(network.seen) == -1).all())
    assert not torch.equal(found["clean"].prediction, found["conflict:text@5"].prediction)


def test_it_is_asked_for_by_name():
    assert [entry.name for entry in corruption_entries(["conflict"])] == ["conflict"]
    assert list(GROUPS["conflict"]) == [Conflict.kind]
    with pytest.raises(UsageError, match="unknown corruption 'conflikt': did you mean conflict"):
        corruption_entries(["conflikt"])


def test_context_is_taken_as_that_utterance_itself_is():
    clean = replace(batch(torch.arange(12) % 2), time={}, tokens={})
    previous = clean.take((torch.arange(12) - 1).clamp(min=0))
    with_context = replace(clean, context=previous)
    condition = prepare(Conflict("text", 3), with_context)
    ((_, changed),) = apply_all([condition], with_context)
    alone = condition.apply(clean)
    assert changed.context is not None
    expected = alone.features["text"][(torch.arange(12) - 1).clamp(min=0)]
    assert torch.equal(changed.context.features["text"], expected)
