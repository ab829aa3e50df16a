"""Entries that are hidden are said to be, the times of the rest stay, and other damage leaves holes alone."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from mmbench.benchmark.check.planted import planted_batch, with_holes
from mmbench.corruptions import GROUPS
from mmbench.corruptions.corruption import SEVERITIES, Corruption, apply_all
from mmbench.corruptions.features import Drift, FrameDropout, Freeze, GaussianNoise, Quantisation, Spikes
from mmbench.corruptions.missing_entries import MissingBlocks, MissingPoints, MissingSteps
from mmbench.corruptions.missing_rates import RandomFrames
from mmbench.corruptions.reliability import Reliability
from mmbench.datasets.batch import Batch, Spec
from mmbench.datasets.damage import inject, inject_by_sample

KINDS = (MissingPoints, MissingBlocks, MissingSteps)


def series(holes: bool, count: int = 400, steps: int = 20) -> Batch:
    """Samples with sequences of different lengths, whose text is partly observed where ``holes`` says so."""
    batch = planted_batch(Spec({"text": 5, "audio": 3}, "regression"), count, steps)
    features = {name: values + 2 * batch.mask[name].unsqueeze(-1) for name, values in batch.features.items()}
    batch = replace(batch, features=features)  # no value of the data is 0
    return with_holes(batch, ["text"]) if holes else batch


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_share_is_hidden_and_said_to_be(kind: type[Corruption], holes: bool) -> None:
    batch = series(holes)
    before = batch.observed_entries("text")
    last = before
    for severity in SEVERITIES:
        condition = kind("text", severity)
        changed = condition.apply(batch)
        left = changed.observed_entries("text")
        assert bool((left <= last).all()), "what is hidden at a severity is hidden at every higher one"
        last = left
        assert torch.equal(changed.features["text"] != 0, left & (batch.features["text"] != 0))
        assert torch.equal(changed.present["text"], left.flatten(1).any(dim=1) & batch.present["text"])
        share = 1 - float(left.sum()) / float(before.sum())
        assert share == pytest.approx(condition.level, abs=0.03)
        if holes:
            valid = changed.mask["text"]
            assert torch.equal(changed.time["text"][valid], batch.time["text"][valid])
        for untouched in ("features", "mask", "present"):
            assert getattr(changed, untouched)["audio"] is getattr(batch, untouched)["audio"]
    assert batch.observed_entries("text") is not last
    assert torch.equal(batch.observed_entries("text"), before), "the batch is left as it was"


def test_blocks_are_runs_of_a_channel_at_places_of_their_own() -> None:
    batch = series(holes=False)
    hidden = batch.mask["text"].unsqueeze(-1) & ~MissingBlocks("text", 3).apply(batch).observed["text"]
    starts = hidden & ~torch.nn.functional.pad(hidden, (0, 0, 1, 0))[:, :-1]
    assert int(starts.sum(1).max()) == 1, "one run in each channel"
    full = batch.mask["text"].all(dim=1)
    places = starts[full].to(torch.int8).argmax(1)
    assert len(places.unique()) > 5
    assert bool((places != places[:, :1]).any())


def test_steps_are_left_out_whole_and_are_no_longer_valid() -> None:
    for holes in (False, True):
        batch = series(holes)
        changed = MissingSteps("text", 4).apply(batch)
        gone = batch.mask["text"] & ~changed.mask["text"]
        assert 0.6 < float(gone.sum() / batch.mask["text"].sum()) < 0.8
        assert not changed.features["text"][gone].any()
        assert list(changed.observed) == (["text"] if holes else [])


@pytest.mark.parametrize("kind", [GaussianNoise, Quantisation, Drift, Spikes])
def test_damage_to_values_reaches_observed_entries_alone(kind: type[Corruption]) -> None:
    batch = series(holes=True)
    changed = kind("text", 5).apply(batch)
    assert torch.equal(changed.observed["text"], batch.observed["text"])
    assert not changed.features["text"][~batch.observed["text"]].any()
    observed = batch.observed["text"]
    whole = kind("text", 5).apply(replace(batch, observed={}))
    assert torch.equal(changed.features["text"][observed], whole.features["text"][observed])


def test_what_is_dropped_is_no_longer_observed() -> None:
    batch = series(holes=True)
    for condition in (
        FrameDropout("text", 3),
        RandomFrames(0.5, ("text", "audio")),
        Reliability(0.5, 0.5, ("text",)),
    ):
        changed = condition.apply(batch)
        whole = condition.apply(
            replace(batch, observed={}, features={n: x * 0 + 1 for n, x in batch.features.items()})
        )
        dropped = (whole.features["text"] == 0).all(dim=2)
        assert torch.equal(changed.observed["text"], batch.observed["text"] & ~dropped.unsqueeze(-1))
        assert not changed.features["text"][~changed.observed["text"]].any()


def test_what_is_read_from_another_step_was_observed_there() -> None:
    """A stuck sensor repeats a step, and with it what of it was observed."""
    batch = series(holes=True)
    changed = Freeze("text", 5).apply(batch)
    long = batch.mask["text"].all(dim=1).nonzero().squeeze(1)
    for row in long[:20].tolist():
        for before, after in pairwise(range(20)):
            same = torch.equal(changed.features["text"][row, after], changed.features["text"][row, before])
            told = torch.equal(changed.observed["text"][row, after], changed.observed["text"][row, before])
            assert told or not same
    assert torch.equal(changed.features["text"] != 0, changed.observed["text"])


@pytest.mark.parametrize("missing", ["off", "patterns", "spectrum"])
def test_training_damage_keeps_holes_and_its_numbers(missing: str) -> None:
    batch = series(holes=True)
    plain = replace(batch, observed={}, time={})
    draws = [torch.Generator().manual_seed(5) for _ in range(2)]
    for changed, whole in (
        (inject(batch, missing, "spectrum", draws[0]), inject(plain, missing, "spectrum", draws[1])),
        (
            inject_by_sample(batch, missing, "spectrum", 3, "a"),
            inject_by_sample(plain, missing, "spectrum", 3, "a"),
        ),
    ):
        observed = changed.observed["text"]
        assert not changed.features["text"][~observed].any()
        assert bool((observed <= batch.observed["text"]).all())
        assert torch.equal(changed.features["text"][observed], whole.features["text"][observed])
        assert torch.equal(changed.features["audio"], whole.features["audio"])
        assert bool(torch.stack(list(changed.present.values())).any(dim=0).all())


def test_a_condition_from_outside_that_writes_into_holes_is_undone() -> None:
    class Careless:
        name, alters = "careless", frozenset({"text"})

        def apply(self, batch: Batch) -> Batch:
            return replace(batch, features={**batch.features, "text": batch.features["text"] + 1})

    batch = series(holes=True)
    ((_, changed),) = apply_all([Careless()], batch)
    assert not changed.features["text"][~batch.observed["text"]].any()
    assert changed.features["text"][batch.observed["text"]].any()


def test_the_group_is_asked_for_by_its_name() -> None:
    assert list(GROUPS["missing-entries"]) == [kind.kind for kind in KINDS]
