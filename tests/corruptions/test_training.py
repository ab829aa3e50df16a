"""Damage in training: drawn from the generator, in the stated shares, and never all of a sample."""

from __future__ import annotations

import pytest
import torch
from mmbench.corruptions.families import TRAIN_MISSING, trained_families
from mmbench.corruptions.training import TRAIN_NOISE, inject
from mmbench.datasets.batch import Batch

COUNT = 6000


def batch() -> Batch:
    names = ("text", "audio", "vision")
    return Batch(
        features={name: torch.ones(COUNT, 8, 2) for name in names},
        mask={name: torch.ones(COUNT, 8, dtype=torch.bool) for name in names},
        present={name: torch.ones(COUNT, dtype=torch.bool) for name in names},
        target=torch.zeros(COUNT),
        domain=torch.zeros(COUNT, dtype=torch.int64),
        sample_id=torch.arange(COUNT),
    )


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_off_is_the_batch_itself() -> None:
    clean = batch()
    assert inject(clean, "off", "off", drawn()) is clean


def test_patterns_are_all_equally_likely_and_leave_something() -> None:
    found = inject(batch(), "patterns", "off", drawn()).present
    codes = sum(flags.long() << place for place, flags in enumerate(found.values()))
    counts = torch.bincount(torch.as_tensor(codes), minlength=8)
    assert counts[0] == 0
    assert torch.allclose(counts[1:] / COUNT, torch.tensor(1 / 7), atol=0.02)


def test_the_spectrum_has_its_shares() -> None:
    found = inject(batch(), "spectrum", "off", drawn())
    gone = (found.features["text"][..., 0] == 0).float().mean(1)
    assert float((gone == 0).float().mean()) == pytest.approx(0.5 + 0.5 / 9, abs=0.03)  # rate 0, or luck
    assert float(gone.mean()) == pytest.approx(0.25, abs=0.02)
    assert float(found.present["audio"].float().mean()) == pytest.approx(0.9, abs=0.02)
    assert bool(torch.stack(list(found.present.values())).any(0).all())
    noisy = inject(batch(), "off", "spectrum", drawn()).features["vision"]
    spread = noisy.flatten(1).std(1)
    assert float((spread == 0).float().mean()) == pytest.approx(0.5, abs=0.03)
    assert float((noisy - 1).square().mean()) == pytest.approx(0.5 / 3, abs=0.02)  # E lambda^2 = 1/3


def test_draws_follow_the_generator_and_the_input_is_left_alone() -> None:
    clean = batch()
    one, same, other = (inject(clean, "spectrum", "spectrum", drawn(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.features["text"], same.features["text"])
    assert not torch.equal(one.features["text"], other.features["text"])
    assert torch.equal(clean.features["text"], torch.ones(COUNT, 8, 2))
    assert bool(clean.present["text"].all())


def test_families_seen_in_training() -> None:
    known = {(m, n): trained_families(m, n) for m in TRAIN_MISSING for n in TRAIN_NOISE}
    assert {pair for pair, families in known.items() if not families} == {("off", "off")}
    assert trained_families("spectrum", "spectrum") == {"missing", "dropout", "noise"}
    with pytest.raises(ValueError, match="unknown"):
        inject(batch(), TRAIN_MISSING[1], TRAIN_NOISE[1] + "?", drawn())
