"""Token ids of a text follow what damage does to its steps; damage that cannot reach them is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from mmbench.corruptions import GROUPS
from mmbench.corruptions.condition import Condition
from mmbench.corruptions.corruption import apply_all, prepare
from mmbench.corruptions.missing import Missing
from mmbench.corruptions.missing_rates import RandomFrames
from mmbench.corruptions.reliability import Reliability
from mmbench.corruptions.training import inject, inject_by_sample
from mmbench.datasets.batch import Batch

COUNT, STEPS = 40, 6
MOVED = {
    "frame-dropout", "block-dropout", "freeze", "time-shift", "jitter", "irregular-sampling", "word-replacement",
}  # fmt: skip


def batch(positions: int = STEPS) -> Batch:
    """Texts whose features at a step are the id of its token, so that both can be compared after damage."""
    lengths = 2 + torch.arange(COUNT) % (STEPS - 1)
    mask = torch.arange(STEPS) < lengths[:, None]
    ids = (1 + torch.arange(COUNT * STEPS).view(COUNT, STEPS)) * mask
    rows = torch.stack([ids, mask.long(), torch.zeros_like(ids)], dim=1).int()
    return Batch(
        features={"text": ids.float().unsqueeze(-1).repeat(1, 1, 2), "audio": torch.ones(COUNT, 3, 1)},
        mask={"text": mask, "audio": torch.ones(COUNT, 3, dtype=torch.bool)},
        present={name: torch.ones(COUNT, dtype=torch.bool) for name in ("text", "audio")},
        target=torch.zeros(COUNT),
        domain=torch.zeros(COUNT, dtype=torch.int64),
        sample_id=torch.arange(COUNT),
        tokens={"text": torch.nn.functional.pad(rows, (0, positions - STEPS))},
    )


def under(condition: Condition, clean: Batch) -> Batch:
    ((_, changed),) = apply_all([prepare(condition, clean)], clean)
    return changed


def agree(changed: Batch) -> None:
    """Every token is that whose features stand at its step, and is not attended to where these are lost."""
    tokens, valid = changed.token_ids("text"), changed.mask["text"]
    assert torch.equal(tokens.ids * valid, (changed.features["text"][..., 0] * valid).long())
    assert torch.equal(tokens.mask & valid, (tokens.ids > 0) & valid)


def test_whole_steps_that_are_lost_or_moved_take_their_tokens_along() -> None:
    from importlib import import_module

    clean = batch()
    for kind in GROUPS["features"]:
        place, name = GROUPS["features"][kind].split(":")
        damage = getattr(import_module(place), name)("text", 5)
        if kind in MOVED:
            changed = under(damage, clean)
            agree(changed)
            assert not torch.equal(changed.tokens["text"], clean.tokens["text"]), kind
        else:
            with pytest.raises(ValueError, match=f"^{kind}:text@5 does not reach the token ids of text$"):
                under(damage, clean)
        assert under(replace(damage, modality="audio"), clean).tokens["text"] is clean.tokens["text"]


def test_rates_and_the_spectrum_without_noise_reach_them() -> None:
    clean = batch()
    for condition in (RandomFrames(0.5, ("text", "audio")), Reliability(0.0, 0.5, ("text",))):
        agree(under(condition, clean))
    with pytest.raises(ValueError, match="does not reach the token ids of text"):
        under(Reliability(0.1, 0.5, ("text",)), clean)
    with pytest.raises(ValueError, match="token ids of text are not those of the steps of its features"):
        under(RandomFrames(0.5, ("text",)), batch(9))


def test_an_absent_text_has_no_token_to_read() -> None:
    changed = under(Missing(("text",)), batch())
    assert not changed.token_ids("text").mask.any()
    assert not changed.token_ids("text").ids.any()


def test_damage_in_training_reaches_them_and_those_of_the_context() -> None:
    clean = batch()
    damaged = inject(clean, "spectrum", "off", torch.Generator().manual_seed(0))
    agree(replace(damaged, present=clean.present))
    lost = ~damaged.token_ids("text").mask & clean.mask["text"]
    assert 0.1 < float(lost.sum() / clean.mask["text"].sum()) < 0.6
    both = replace(clean, context=clean.take(torch.arange(COUNT).roll(1)))
    changed = inject_by_sample(both, "spectrum", "off", 0, "x")
    assert changed.context is not None
    assert torch.equal(changed.context.tokens["text"], changed.tokens["text"].roll(1, 0))
    under_frames = under(RandomFrames(0.5, ("text",)), both)
    assert under_frames.context is not None
    agree(under_frames.context)
    with pytest.raises(ValueError, match="noise does not reach the token ids of text"):
        inject(clean, "off", "spectrum", torch.Generator())


def test_rows_of_a_batch_keep_their_tokens_and_others_have_none() -> None:
    clean = batch()
    assert torch.equal(clean.take(slice(3, 5)).to("cpu").tokens["text"], clean.tokens["text"][3:5])
    plain = replace(clean, tokens={})
    assert plain.without_tokens({"text": clean.mask["text"]}) is plain
