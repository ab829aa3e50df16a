"""Missing not at random: the rate is what was asked for, and who lacks a modality is no chance alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.planning.corruption_groups import corruption_entries
from mmbench.corruptions.corruption import prepare
from mmbench.corruptions.not_at_random import DEPENDENCE, RATES, MissingByLabel, MissingByValue, NotAtRandom
from mmbench.corruptions.split_classes import rank_of, rows_of
from mmbench.datasets.batch import Batch
from scipy.stats import rankdata

COUNT = 4000
KINDS = (MissingByLabel, MissingByValue)


def batch(target: torch.Tensor | None = None, seed: int = 0, count: int = COUNT) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    target = torch.randint(0, 3, (count,), generator=draw) if target is None else target
    names = ("text", "audio")
    return Batch(
        features={name: torch.randn(len(target), 2, 3, generator=draw) for name in names},
        mask={name: torch.ones(len(target), 2, dtype=torch.bool) for name in names},
        present={name: torch.ones(len(target), dtype=torch.bool) for name in names},
        target=target,
        domain=torch.zeros(len(target), dtype=torch.int64),
        sample_id=torch.arange(len(target)) * 7919 + seed,
    )


def lacking(kind: type[NotAtRandom], severity: int, clean: Batch) -> torch.Tensor:
    changed = prepare(kind("text", severity), clean).apply(clean)
    assert bool(changed.present["audio"].all())
    return ~changed.present["text"]


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=60))
def test_ranks_are_those_of_scipy(values: list[int]):
    expected = (rankdata(values) - 0.5) / len(values)
    assert rank_of(torch.tensor(values)).numpy() == pytest.approx(expected)
    assert float(rank_of(torch.tensor(values)).mean()) == pytest.approx(0.5)


@given(known=st.lists(st.integers(-9, 9), min_size=1, unique=True), wanted=st.lists(st.integers(-9, 9)))
def test_rows_are_found_by_id(known: list[int], wanted: list[int]):
    expected = [known.index(one) if one in known else -1 for one in wanted]
    found = rows_of(torch.tensor(wanted, dtype=torch.int64), torch.tensor(known))
    assert found.tolist() == expected


@pytest.mark.parametrize("kind", KINDS)
def test_chances_have_the_rate_as_their_mean_and_are_chances(kind: type[NotAtRandom]):
    clean = batch(count=301)
    for severity, rate in enumerate(RATES, start=1):
        condition = prepare(kind("text", severity), clean)
        assert isinstance(condition, NotAtRandom)
        assert condition.chances is not None
        chance = condition.chances.chance
        assert float(chance.mean()) == pytest.approx(rate, abs=1e-9)
        assert 0 <= float(chance.min()) <= float(chance.max()) <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_rates_are_those_asked_for_and_nested(kind: type[NotAtRandom]):
    clean = batch()
    before = torch.zeros(COUNT, dtype=torch.bool)
    for severity, rate in enumerate(RATES, start=1):
        gone = lacking(kind, severity, clean)
        assert float(gone.float().mean()) == pytest.approx(rate, abs=0.04)
        assert bool(gone[before].all())
        before = gone


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_whether_it_is_missing_depends_on_the_label(seed: int):
    clean = batch(seed=seed)
    gone = lacking(MissingByLabel, 3, clean).float()
    shares = [float(gone[clean.target == label].mean()) for label in range(3)]
    ranks = rank_of(clean.target)
    expected = [0.3 * (1 + DEPENDENCE * (2 * float(ranks[clean.target == k][0]) - 1)) for k in range(3)]
    assert shares == pytest.approx(expected, abs=0.07)
    assert shares[2] > 2 * shares[0]
    by_value = lacking(MissingByValue, 3, clean).float()
    assert np.ptp([float(by_value[clean.target == label].mean()) for label in range(3)]) < 0.08


def test_whether_it_is_missing_depends_on_its_own_observed_values_alone():
    clean = batch()
    gone = lacking(MissingByValue, 3, clean)
    mean = clean.features["text"].mean(dim=(1, 2))
    assert float(mean[gone].mean()) > 0.15 > -0.05 > float(mean[~gone].mean())
    other = batch(seed=5)
    swapped = Batch(
        **{
            **clean.__dict__,
            "target": other.target,
            "features": {**other.features, "text": clean.features["text"]},
        }
    )
    assert torch.equal(lacking(MissingByValue, 3, swapped), gone)
    padded = clean.features["text"].clone()
    mask = clean.mask["text"].clone()
    mask[:, 1] = False
    padded[:, 1] = torch.nan
    ragged = Batch(
        **{
            **clean.__dict__,
            "features": {**clean.features, "text": padded},
            "mask": {**clean.mask, "text": mask},
        }
    )
    assert 0.2 < float(lacking(MissingByValue, 3, ragged).float().mean()) < 0.4  # NaN in padding is no value


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 20))
def test_the_last_modality_of_a_sample_stays(kind: type[NotAtRandom], seed: int):
    clean = batch(seed=seed, count=50)
    some = torch.rand(50, generator=torch.Generator().manual_seed(seed)) > 0.5
    clean = clean.with_present({"audio": some})
    changed = prepare(kind("text", 5), clean).apply(clean)
    assert bool(torch.stack(list(changed.present.values())).any(dim=0).all())
    assert bool(changed.present["text"][~some].all())


def test_labels_of_several_kinds_are_ranked_by_their_number():
    labels = torch.tensor([[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]]).repeat(500, 1)
    clean = batch(labels)
    gone = lacking(MissingByLabel, 5, clean).float()
    shares = [float(gone[labels.sum(dim=1) == number].mean()) for number in range(4)]
    assert shares == sorted(shares)


def test_what_cannot_be_taken_away_says_so():
    clean = batch(count=10)
    with pytest.raises(ValueError, match="no modality 'vision' to take away; there are text, audio"):
        prepare(MissingByLabel("vision", 1), clean)
    with pytest.raises(ValueError, match="call prepared"):
        MissingByLabel("text", 1).apply(clean)
    with pytest.raises(ValueError, match="severity 6"):
        MissingByLabel("text", 6)
    assert MissingByLabel.conditions(["text"]) == []


def test_they_are_asked_for_by_kind_and_by_group():
    entries = corruption_entries(["missing-not-at-random"])
    assert [entry.name for entry in entries] == ["missing-by-label", "missing-by-value"]
    with pytest.raises(UsageError, match="did you mean missing-by-label"):
        corruption_entries(["missing-by-labels"])
