"""ALMT: its hyper layer against numpy, its sizes as released, and steps of audio that the language chooses."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
import torch
from mmbench.methods.sentiment.almt import ALMT, ALMTParams
from mmbench.methods.shared.token_transformer import HyperLayer, TokenReader

from .. import planted
from . import rows


def norm(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def test_hyper_tokens_read_each_other_modality_by_what_the_language_asks():
    layer, heads = HyperLayer(8, 2, 2), 2
    guide, hyper, audio, vision = torch.randn(4, 3, 5, 8)
    there = torch.tensor([[True, True], [True, False], [False, False]])
    found = layer(guide, hyper, [audio, vision], there).detach().numpy()
    weights = {name: x.detach().numpy() for name, x in layer.named_parameters()}
    for row in range(3):
        asked = (norm(guide[row].numpy()) @ weights["query.weight"].T).reshape(5, heads, 4)
        said = np.zeros((5, 8))
        for i, other in enumerate((audio, vision)):
            if not there[row, i]:
                continue
            both = norm(other[row].numpy()) @ weights[f"read.{i}.weight"].T
            key, value = both[:, :8].reshape(5, heads, 4), both[:, 8:].reshape(5, heads, 4)
            scores = np.exp(np.einsum("ihd,jhd->hij", asked, key) / np.sqrt(4))
            shares = scores / scores.sum(-1, keepdims=True)
            said += np.einsum("hij,jhd->ihd", shares, value).reshape(5, 8)
        by_hand = norm(hyper[row].numpy()) + said @ weights["leave.weight"].T + weights["leave.bias"]
        np.testing.assert_allclose(found[row], by_hand, atol=1e-5)


def test_tokens_do_not_depend_on_padding_and_longer_series_than_in_training_are_read():
    reader = TokenReader(8, 2, 3, 1, 2, 4)
    x = torch.randn(1, 5, 8)
    valid = torch.tensor([[True, True, True, False, False]])
    torch.testing.assert_close(reader(x, valid)[-1], reader(x[:, :3])[-1])
    assert reader(x)[-1].shape == (1, 2, 8)


@pytest.mark.parametrize(
    ("dataset", "count"), [("mosi", 2_603_649), ("mosei", 3_223_041), ("sims", 3_232_897)]
)
def test_the_released_network_has_the_released_size(dataset: str, count: int):
    assert rows.size(rows.published(ALMT, dataset)) == count


@pytest.mark.parametrize(("count", "kind"), [(1, "classification"), (3, "regression"), (4, "regression")])
@pytest.mark.parametrize("params", [{}, {"guide": "constant"}], ids=str)
def test_it_predicts_and_learns_from_any_pattern(count: int, kind: str, params: dict):
    spec = planted.spec(*list(planted.SIZES)[:count], kind=kind)
    rows.any_pattern(ALMT(ALMTParams(token_width=8, heads=2, tokens=2, **params), spec))


def test_any_modality_may_lead():
    net = ALMT(ALMTParams(token_width=8, dominant="audio"), planted.spec())
    assert (net.dominant, net.others) == ("audio", ("text", "vision"))
    rows.any_pattern(net)


# --- what it is for ---------------------------------------------------------------------------------------


@functools.cache
def trained(guide: str) -> ALMT:
    torch.manual_seed(0)
    spec = dataclasses.replace(rows.PAIR, steps={"text": 2, "audio": 2})
    net = ALMT(ALMTParams(token_width=16, guide=guide), spec)  # type: ignore[arg-type]
    return planted.train(net, rows.pointed(512, seed=1, steps=2), epochs=12, lr=1.5e-2, last=0.1)  # type: ignore[return-value]


def test_the_language_chooses_what_is_read_of_audio_and_a_constant_does_not():
    test = rows.pointed(512, seed=5, steps=2)
    assert rows.error(trained("language"), test) < 0.6 * rows.error(trained("constant"), test)
