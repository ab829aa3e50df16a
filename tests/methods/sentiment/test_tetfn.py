"""TETFN: what stands between two modalities against its parts, its sizes as released, and steps that the text points to."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import pytest
import torch
from mmbench.methods.sentiment.tetfn import TETFN, StepLSTM, TETFNParams

from .. import planted
from . import rows

RATES = ("attention", "embed", "residual", "hidden", "fusion", "text", "vision")
STILL: dict[str, Any] = {f"{name}_dropout": 0.0 for name in RATES}
SMALL: dict[str, Any] = {"step_width": 8, "heads": 2, "lstm_hidden": 8, "audio_lstm_hidden": 8}


def test_between_two_modalities_stands_what_the_text_says_to_one_of_them():
    spec = planted.spec("text", "audio", "vision")
    net = TETFN(TETFNParams(**SMALL), spec).eval()
    assert [pair for pair, asked in zip(net.pairs, net.asked, strict=True) if asked] == [(1, 2), (2, 1)]
    batch = planted.noise(spec, 3)
    (text, words), (audio, heard), (vision, looked) = (net.steps(name, batch) for name in net.names)
    said = net.ask[0](vision, looked, text, words)  # vision asks the text
    with_text = net.cross[3](audio, heard, said, looked)  # audio asks the answer
    with_words = net.cross[2](audio, heard, text, words)
    read = net.memories[1](torch.cat([with_words, with_text], dim=-1), heard, None, heard)
    last = heard.sum(1) - 1
    fused, largest = net.inputs(batch)
    torch.testing.assert_close(fused[:, 16:32], read[torch.arange(3), last])
    for row, length in enumerate(heard.sum(1)):
        torch.testing.assert_close(largest[1][row], audio[row, :length].amax(0))


def test_the_lstm_stops_at_the_last_valid_step():
    net = StepLSTM(3, 4, 5, kernel=3)
    x, valid = torch.randn(1, 4, 3), torch.tensor([[True, True, False, False]])
    torch.testing.assert_close(net(x, valid)[:, :1], net(x[:, :2], valid[:, :2])[:, :1])


@pytest.mark.parametrize(
    ("dataset", "count"),
    [("mosi", 1_254_224), ("mosei", 1_257_360), ("sims", 1_529_968), ("simsv2", 1_522_352)],
)
def test_the_released_network_has_the_released_size(dataset: str, count: int):
    net = rows.published(TETFN, dataset)
    assert rows.size(net) == count
    rates = {"mosi": [1.667], "mosei": [10, 50], "sims": [0.1667], "simsv2": [1.667, 16.667]}
    assert [group.rate for group in net.parameter_groups()] == rates[dataset]


@pytest.mark.parametrize(("count", "kind"), [(1, "classification"), (3, "regression"), (4, "regression")])
@pytest.mark.parametrize("params", [{}, {"attention": "own", "labels": "none"}], ids=str)
def test_it_predicts_and_learns_from_any_pattern(count: int, kind: str, params: dict):
    spec = dataclasses.replace(planted.spec(*list(planted.SIZES)[:count], kind=kind), train_size=16)
    rows.any_pattern(TETFN(TETFNParams(step_width=4, heads=2, **params), spec))


# --- what it is for ---------------------------------------------------------------------------------------


@functools.cache
def trained(**params: Any) -> TETFN:
    torch.manual_seed(0)
    spec = dataclasses.replace(rows.PAIR, train_size=512)
    batch = dataclasses.replace(rows.pointed(512, 1, steps=2), index=torch.arange(512))
    net = TETFN(TETFNParams(**SMALL, **STILL, **params), spec)
    return planted.train(net, batch, epochs=10, lr=1e-2, last=0.1)  # type: ignore[return-value]


def test_steps_of_one_modality_are_chosen_by_another_and_with_own_attention_they_are_not():
    test = rows.pointed(512, 5, steps=2)
    assert rows.error(trained(), test) < 0.7 * rows.error(trained(attention="own"), test)
