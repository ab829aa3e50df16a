"""Damage in training: drawn from the generator, in the stated shares, and never all of a sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from mmbench.corruptions.families import TRAIN_MISSING, trained_families
from mmbench.corruptions.features import BlockDropout, FrameDropout
from mmbench.corruptions.missing_rates import RandomFrames
from mmbench.corruptions.reliability import Reliability
from mmbench.corruptions.training import TRAIN_NOISE, inject, inject_by_sample
from mmbench.datasets.batch import Batch
from mmbench.methods.shared.lost_steps import lose, lost_steps

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


RATE = 500  # of sound, in Hz: packets of 20 ms are 10 numbers


def raw() -> Batch:
    """Frames, words and sound as a batch holds them, none of them 0 at a valid step."""
    made, count = drawn(), 40
    features = {
        "video": torch.randint(1, 255, (count, 6, 3, 2, 2), generator=made, dtype=torch.uint8),
        "text": torch.randint(97, 122, (count, 5, 4), generator=made, dtype=torch.int32),
        "sound": 0.5 + torch.rand(count, 95, 1, generator=made),  # the last packet is half a one
    }
    return Batch(
        features=features,
        mask={name: torch.ones(values.shape[:2], dtype=torch.bool) for name, values in features.items()},
        present={name: torch.ones(count, dtype=torch.bool) for name in features},
        target=torch.zeros(count),
        domain=torch.zeros(count, dtype=torch.int64),
        sample_id=torch.arange(count),
    )


def test_frames_of_raw_media_are_lost_whole_and_sound_in_packets() -> None:
    clean = raw()
    by_turn = inject(clean, "spectrum", "off", drawn(), {"sound": RATE})
    by_sample = inject_by_sample(clean, "spectrum", "off", 0, "raw", {"sound": RATE})
    for found in (by_turn, by_sample):
        for name, values in clean.features.items():
            left = found.features[name]
            assert left.dtype == values.dtype
            assert torch.equal(found.mask[name], clean.mask[name])
            gone = (
                lost_steps(found, replace(clean, present=found.present), name) & found.present[name][:, None]
            )
            assert 0.05 < float(gone.float().mean()) < 0.5, name
            lost = (left == 0).flatten(2).all(dim=2)
            shape = (*lost.shape, *[1] * (values.ndim - 2))
            assert torch.equal(left, values.masked_fill(lost.view(shape), 0)), (
                name
            )  # a whole step, or nothing of it
            assert torch.equal(gone, lost & found.present[name][:, None])
        packets = torch.nn.functional.pad((found.features["sound"][..., 0] == 0).float(), (0, 5), value=-1)
        for packet in packets.split(10, dim=1):
            assert bool(((packet == packet[:, :1]) | (packet == -1)).all())
    few = inject_by_sample(clean.take(slice(3, 7)), "spectrum", "off", 0, "raw", {"sound": RATE})
    for name in clean.features:
        assert torch.equal(few.features[name], by_sample.features[name][3:7])


@pytest.mark.parametrize(("name", "rates"), [("video", {}), ("text", {}), ("sound", {"sound": RATE})])
def test_noise_on_raw_media_is_refused(name: str, rates: dict[str, int]) -> None:
    clean = raw()
    alone = replace(
        clean, **{part: {name: getattr(clean, part)[name]} for part in ("features", "mask", "present")}
    )
    with pytest.raises(ValueError, match=f"standardised features, and {name} holds raw media"):
        inject(alone, "off", "spectrum", drawn(), rates)


@pytest.mark.parametrize(
    "damage",
    [
        lambda clean: inject(clean, "spectrum", "off", drawn(3)),
        lambda clean: inject_by_sample(clean, "spectrum", "off", 3, "lost"),
        RandomFrames(0.5, ("text", "audio")).apply,
        Reliability(0.0, 0.5, ("text", "audio")).apply,
        FrameDropout("text", 3).apply,
        BlockDropout("text", 5).apply,
        lambda clean: lose(clean, torch.full((len(clean), 2), 0.5)),
    ],
    ids=[
        "training",
        "training by sample",
        "random-frames",
        "reliability",
        "frame-dropout",
        "block-dropout",
        "method",
    ],
)
def test_a_lost_step_is_the_same_whatever_loses_it(damage: Callable[[Batch], Batch]) -> None:
    count, steps = 60, 8
    features = {name: 1 + torch.rand(count, steps, 3, generator=drawn()) for name in ("text", "audio")}
    whole = torch.ones(count, steps, dtype=torch.bool)
    clean = Batch(
        features=features,
        mask=dict.fromkeys(features, whole),
        present=dict.fromkeys(features, whole[:, 0]),
        target=torch.zeros(count),
        domain=torch.zeros(count, dtype=torch.int64),
        sample_id=torch.arange(count),
        observed={"text": torch.rand(count, steps, 3, generator=drawn(1)) < 0.9},
        time={"text": torch.arange(steps).float().expand(count, steps)},
        tokens={"text": torch.ones(count, 3, steps, dtype=torch.int32)},
    )
    clean = clean.with_observed(clean.observed)
    torch.manual_seed(0)
    found = damage(clean)
    lost = ~found.tokens["text"][:, 1].bool()  # tokens say which steps are gone
    assert 0.1 < float(lost.float().mean()) < 0.8
    assert torch.equal(found.features["text"], clean.features["text"].masked_fill(lost[..., None], 0))
    assert torch.equal(found.observed["text"], clean.observed["text"] & ~lost[..., None])
    for name in features:  # it stays a valid step at its time
        assert torch.equal(found.mask[name], clean.mask[name])
    assert torch.equal(found.time["text"], clean.time["text"])
