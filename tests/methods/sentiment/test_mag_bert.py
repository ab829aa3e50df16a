"""MAG-BERT: its gate against numpy, its sizes as released, and words that audio shifts on planted data."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from mmbench.methods.sentiment.mag_bert import MAGBERT, AdaptationGate, MAGBERTParams
from torch import nn

from .. import planted
from . import rows


def linear(layer: nn.Module, z: np.ndarray) -> np.ndarray:
    weight, bias = (p.detach().numpy() for p in layer.parameters())
    return z @ weight.T + bias


@pytest.mark.parametrize("beta", [1.0, 0.1])
def test_words_are_shifted_as_by_numpy_and_by_no_more_than_their_length_allows(beta: float):
    net = AdaptationGate([3, 2], 4, beta, 0.0)
    words, others = torch.randn(2, 5, 4), [torch.randn(2, 5, 3), torch.randn(2, 5, 2)]
    known = torch.tensor([[True, True], [True, False]])
    found = net(words, others, known).detach().numpy()
    for row in range(2):
        e, h = words[row].numpy(), np.zeros((5, 4))
        for i, x in enumerate(others):
            m = x[row].numpy()
            gate = np.maximum(linear(net.gates[i], np.concatenate([m, e], axis=1)), 0)
            h += known[row, i].item() * gate * linear(net.maps[i], m)
        lengths = np.linalg.norm(e, axis=1) / (np.linalg.norm(h, axis=1) + 1e-6)
        shifted = e + np.minimum(beta * lengths, 1)[:, None] * h
        centred = shifted - shifted.mean(1, keepdims=True)
        by_hand = centred / np.sqrt(shifted.var(1, keepdims=True) + 1e-5)
        np.testing.assert_allclose(found[row], by_hand, atol=1e-4)
        assert (np.linalg.norm(shifted - e, axis=1) <= beta * np.linalg.norm(e, axis=1) + 1e-5).all()
    nobody = torch.zeros_like(known)
    torch.testing.assert_close(net(words, others, nobody), net.unshifted(words))


@pytest.mark.parametrize(
    ("dataset", "count"), [("mosi", 1_222_656), ("mosei", 1_351_680), ("sims", 2_323_968)]
)
def test_the_gate_has_the_released_size(dataset: str, count: int):
    net = rows.published(MAGBERT, dataset)
    assert isinstance(net, MAGBERT)
    assert rows.size(net.shift) == count


@pytest.mark.parametrize(("count", "kind"), [(1, "classification"), (3, "regression"), (4, "regression")])
@pytest.mark.parametrize("params", [{}, *MAGBERT.controls.values()], ids=str)
def test_it_predicts_and_learns_from_any_pattern(count: int, kind: str, params: dict):
    spec = planted.spec(*list(planted.SIZES)[:count], kind=kind)
    rows.any_pattern(MAGBERT(MAGBERTParams(steps=3, text_width=8, heads=2, **params), spec))


# --- what it is for ---------------------------------------------------------------------------------------


@functools.cache
def trained(**params: Any) -> MAGBERT:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"steps": 2, "text_width": 8, "heads": 2}
    net = MAGBERT(MAGBERTParams(dropout=0.0, shift_dropout=0.0, **sizes, **params), rows.PAIR)
    return planted.train(net, rows.at_one_time(512, 1, 2), epochs=12, lr=1e-2, last=0.1)  # type: ignore[return-value]


def test_what_a_word_says_is_changed_by_what_is_heard_with_it():
    test = rows.at_one_time(512, 5, 2)
    assert rows.error(trained(), test) < 0.8 * rows.error(trained(gate="off"), test)
