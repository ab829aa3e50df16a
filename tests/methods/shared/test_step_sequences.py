"""Steps of sequences: valid ones first, averaged over blocks of the training data, with one step for what is a vector."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from mmbench.methods.shared.networks import SharedNetworkParams
from mmbench.methods.shared.step_sequences import (
    StepConvolution,
    StepSequences,
    block_length,
    block_means,
    dominant_of,
    valid_first,
)

from .. import planted

SPEC = dataclasses.replace(planted.spec("text", "audio"), steps={"text": 10, "audio": 3})


def test_valid_steps_come_first_and_nothing_else_is_read():
    features = torch.tensor([[[1.0], [torch.nan], [3.0]]])
    moved, valid = valid_first(features, torch.tensor([[True, False, True]]))
    assert moved.tolist() == [[[1], [3], [0]]]
    assert valid.tolist() == [[True, True, False]]


def test_long_series_are_averaged_over_blocks_of_the_training_data():
    assert block_length(10, 5) == 2
    assert block_length(3, 5) == block_length(10, 0) == block_length(0, 5) == 1
    features = torch.arange(6.0).view(1, 3, 2)
    valid = torch.tensor([[True, True, True]])
    means, there = block_means(features, valid, 2)
    assert means.tolist() == [[[1, 2], [4, 5]]]
    assert there.all()
    assert block_means(features, valid, 1)[0] is features


@pytest.mark.parametrize("kernel", [1, 3])
def test_a_sequence_does_not_depend_on_padding(kernel: int):
    net = StepSequences(
        SPEC, SharedNetworkParams(), 4, lambda _, read: StepConvolution(read, 4, kernel), most_steps=5
    )
    assert net.planned == {"text": 5, "audio": 3}
    batch = planted.noise(SPEC, 3, 6)
    made, valid = net("text", batch)
    assert made.shape == (3, 3, 4)
    assert not made[~valid].any()
    padded = dataclasses.replace(
        batch,
        features={
            **batch.features,
            "text": torch.cat([torch.full((3, 4, 6), torch.nan), batch.features["text"]], 1),
        },
        mask={**batch.mask, "text": torch.cat([torch.zeros(3, 4).bool(), batch.mask["text"]], 1)},
    )
    torch.testing.assert_close(net("text", padded)[0][:, :3], made)


def test_the_dominant_modality_is_the_text_or_the_first_or_what_is_asked_for():
    assert dominant_of(SPEC, "") == "text"
    assert dominant_of(planted.spec("audio", "vision"), "") == "audio"
    assert dominant_of(SPEC, "audio") == "audio"
    with pytest.raises(ValueError, match="dominant is 'smell': it should be one of text, audio"):
        dominant_of(SPEC, "smell")
