"""Missing rates of single modalities: the shares are those that were asked for, and nothing else decides the masks."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmbench.corruptions.families import trained_families
from mmbench.corruptions.missing_rates import ImbalancedRates, ModalityRates, OwnRates
from mmbench.corruptions.training import inject_by_sample
from mmbench.datasets.batch import Batch
from mmbench.datasets.damage import lost_at_rates
from mmbench.datasets.rates import fault_of_rates, parse_rates, rates_text

COUNT = 4000
NAMES = ("text", "audio", "vision", "touch")


def batch(count: int = 3, samples: int = COUNT) -> Batch:
    names = NAMES[:count]
    return Batch(
        features={name: torch.ones(samples, 2, 1) for name in names},
        mask={name: torch.ones(samples, 2, dtype=torch.bool) for name in names},
        present={name: torch.ones(samples, dtype=torch.bool) for name in names},
        target=torch.zeros(samples),
        domain=torch.zeros(samples, dtype=torch.int64),
        sample_id=torch.arange(samples) * 7919,
    )


def shares(changed: Batch) -> dict[str, float]:
    return {name: 1 - float(flags.float().mean()) for name, flags in changed.present.items()}


@st.composite
def possible_rates(draw: st.DrawFn) -> dict[str, float]:
    """Rates of two to four modalities that sum to no more than their number less one."""
    count = draw(st.integers(2, 4))
    rates = [draw(st.integers(0, 100)) / 100 for _ in range(count)]
    most = max(sum(rates) / (count - 1), 1.0)
    return {name: rate / most for name, rate in zip(NAMES[:count], rates, strict=True)}


@given(possible_rates())
def test_the_shares_are_the_rates_and_no_sample_is_left_without(rates: dict[str, float]):
    changed = ModalityRates(tuple(rates.items())).apply(batch(len(rates)))
    assert shares(changed) == pytest.approx(rates, abs=0.04)  # five deviations of a share of 4000
    assert bool(torch.stack(list(changed.present.values())).any(0).all())
    assert fault_of_rates(rates, list(rates)) == ""


def test_the_chances_are_the_rates_exactly():
    """On a fine grid of both draws, which stands for the integral over them."""
    rates = torch.tensor([0.35, 0.9, 0.6], dtype=torch.float64)
    grid = (torch.arange(2000) + 0.5) / 2000
    keep, gone = grid.repeat_interleave(100), ((torch.arange(100) + 0.5) / 100).repeat(2000)
    there = torch.ones(len(keep), 3, dtype=torch.bool)
    lost = lost_at_rates(there, rates, keep, gone.unsqueeze(1).expand(-1, 3))
    assert lost.double().mean(0).tolist() == pytest.approx(rates.tolist(), abs=0.006)
    assert not bool(lost.all(1).any())


@given(
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
    st.integers(0, 7),
    st.floats(0, 0.9999),
    st.integers(0, 99),
)
def test_what_a_sample_lacks_is_not_what_it_keeps(rates: list[float], has: int, keep: float, seed: int):
    there = torch.tensor([[bool(has >> place & 1) for place in range(3)]])
    gone = torch.rand(1, 3, generator=torch.Generator().manual_seed(seed))
    lost = lost_at_rates(there, torch.tensor(rates, dtype=torch.float64), torch.tensor([keep]), gone)
    assert not bool((lost & ~there).any())
    assert bool((there & ~lost).any()) == bool(there.any())


def test_a_mask_depends_on_the_sample_and_the_rates_alone():
    rates = (("text", 0.3), ("audio", 0.7), ("vision", 0.5))
    whole = ModalityRates(rates).apply(batch())
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(1))
    shuffled = ModalityRates(rates).apply(batch().take(order))
    for name, flags in whole.present.items():
        assert torch.equal(shuffled.present[name], flags[order])
    other = ModalityRates(rates, seed=1).apply(batch())
    assert not torch.equal(other.present["text"], whole.present["text"])


def test_a_mask_of_the_family_is_that_of_the_same_rates():
    for condition in ImbalancedRates.conditions(NAMES[:2]):
        (own,) = OwnRates(dict(condition.rates)).conditions(NAMES[:2])
        assert torch.equal(own.apply(batch(2)).present["text"], condition.apply(batch(2)).present["text"])
        assert own.name == condition.name.replace("imbalanced", "missing")


def test_in_the_family_each_modality_is_once_at_each_rate():
    names = [condition.name for condition in ImbalancedRates.conditions(NAMES[:3])]
    assert names == [
        "imbalanced-rates:text=0.3+audio=0.5+vision=0.7",
        "imbalanced-rates:text=0.5+audio=0.7+vision=0.3",
        "imbalanced-rates:text=0.7+audio=0.3+vision=0.5",
    ]
    assert ImbalancedRates.conditions(NAMES[:1]) == []
    for count in (2, 3, 4):
        conditions = ImbalancedRates.conditions(NAMES[:count])
        for place in range(count):
            assert len({one.rates[place][1] for one in conditions}) == count
        for one in conditions:
            assert sum(rate for _, rate in one.rates) == pytest.approx(count / 2, abs=0.01)
            assert fault_of_rates(dict(one.rates), NAMES[:count]) == ""


def test_own_rates_name_what_can_be_missing():
    asked = OwnRates({"audio": 0.25, "text": 0.0, "smell": 0.5})
    assert [one.name for one in asked.conditions(["text", "audio"])] == ["missing-rates:audio=0.25"]
    assert asked.conditions(["audio"]) == []
    assert asked.conditions(["text", "vision"]) == []


def test_in_training_the_rates_hold_anew_in_every_pass_and_in_any_batch():
    rates, clean = "audio=0.7,text=0.3", batch()
    first = inject_by_sample(clean, rates, "off", 3, "training damage/0")
    again = inject_by_sample(clean.take(slice(100, 200)), rates, "off", 3, "training damage/0")
    second = inject_by_sample(clean, rates, "off", 3, "training damage/1")
    assert shares(first) == pytest.approx({"text": 0.3, "audio": 0.7, "vision": 0}, abs=0.04)
    assert torch.equal(first.present["audio"][100:200], again.present["audio"])
    assert not torch.equal(first.present["audio"], second.present["audio"])
    assert bool(clean.present["audio"].all())
    # of a modality set without one of them, what is named still is missing as often
    alone = replace(
        clean,
        features={name: clean.features[name] for name in ("audio", "vision")},
        mask={name: clean.mask[name] for name in ("audio", "vision")},
        present={name: clean.present[name] for name in ("audio", "vision")},
    )
    assert shares(inject_by_sample(alone, rates, "off", 3, "x"))["audio"] == pytest.approx(0.7, abs=0.04)
    assert trained_families(rates, "off") == {"missing"}


@given(
    st.dictionaries(st.sampled_from(NAMES), st.integers(1, 100).map(lambda share: share / 100), min_size=1)
)
def test_rates_are_read_as_they_are_written(rates: dict[str, float]):
    assert parse_rates(rates_text(rates)) == rates == parse_rates(f" {rates_text(rates)} ")
    assert list(parse_rates(rates_text(rates))) == sorted(rates)


@pytest.mark.parametrize(
    "text", ["text", "text=", "=0.3", "text=1.1", "text=-0.1", "text=nan", "text=0.1,text=0.2", ""]
)
def test_what_are_no_rates_is_said(text: str):
    with pytest.raises(ValueError, match="no missing rates"):
        parse_rates(text)


def test_rates_that_would_leave_nothing_are_a_fault():
    assert "sum to 1.2" in fault_of_rates({"text": 0.5, "audio": 0.7}, ["text", "audio"])
    assert fault_of_rates({"text": 0.5, "audio": 0.7}, ["text", "audio", "vision"]) == ""
    assert fault_of_rates({"text": 1.0}, ["text"]) == ""
