"""MFN: its cells against torch's LSTM, its memory against numpy, its sizes as released, and what is said at one time."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from mmbench.methods.sentiment.mfn import MFN, MFNParams
from mmbench.methods.shared.fused_memory import Cells, GatedMemory, Hidden
from torch import nn

from .. import planted
from . import rows


def test_cells_say_what_torchs_lstm_says():
    cells, lstm = Cells([3], [4]), nn.LSTM(3, 4, batch_first=True)
    lstm.load_state_dict({f"{name}_l0": x for name, x in cells.cells[0].state_dict().items()})
    x = torch.randn(2, 5, 3)
    said, states = cells([x])
    assert not said[0][:, 0].any()
    torch.testing.assert_close(said[0][:, 1:], lstm(x)[0])
    torch.testing.assert_close(states[0][:, -1], lstm(x)[1][1][0])


def mlp(parts: nn.Module, x: np.ndarray) -> np.ndarray:
    w1, b1, w2, b2 = (p.detach().numpy() for p in parts.parameters())
    return np.maximum(x @ w1.T + b1, 0) @ w2.T + b2


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def test_the_memory_is_that_of_numpy():
    memory = GatedMemory(3, 4, Hidden(5, 0.0), Hidden(6, 0.0), Hidden(7, 0.0))
    seen = torch.randn(2, 3, 3)
    u = np.zeros((2, 4))
    for x in seen.numpy().transpose(1, 0, 2):
        both = np.concatenate([x, u], axis=-1)
        kept, written = sigmoid(mlp(memory.keep, both)), sigmoid(mlp(memory.write, both))
        u = kept * u + written * np.tanh(mlp(memory.proposal, x))
    np.testing.assert_allclose(memory(seen).detach().numpy(), u, atol=1e-6)


def test_attention_is_a_softmax_over_states_before_and_at_a_step():
    net = MFN(MFNParams(hidden=2, audio_hidden=2), rows.PAIR).eval()
    states = list(torch.randn(2, 1, 4, 2).unbind(0))
    every = torch.cat(states, dim=-1).numpy()
    c = np.concatenate([every[:, :-1], every[:, 1:]], axis=-1)
    share = np.exp(mlp(net.attention, c))
    share /= share.sum(-1, keepdims=True)
    np.testing.assert_allclose(net.seen(states).detach().numpy(), share * c, atol=1e-6)


@pytest.mark.parametrize(
    ("dataset", "count"),
    [("mosi", 2_172_657), ("mosei", 1_276_865), ("sims", 601_505), ("simsv2", 1_179_377)],
)
def test_the_released_network_has_the_released_size(dataset: str, count: int):
    assert rows.size(rows.published(MFN, dataset)) == count


@pytest.mark.parametrize(("count", "kind"), [(1, "classification"), (3, "regression"), (4, "regression")])
@pytest.mark.parametrize("params", [{}, {"memory": "none"}, {"averaged": True, "memory": "all"}], ids=str)
def test_it_predicts_and_learns_from_any_pattern(count: int, kind: str, params: dict):
    spec = planted.spec(*list(planted.SIZES)[:count], kind=kind)
    rows.any_pattern(MFN(MFNParams(steps=3, **params), spec))


def test_what_is_averaged_has_no_time():
    net = MFN(MFNParams(steps=4, averaged=True), rows.PAIR)
    batch = planted.noise(rows.PAIR, 2)
    audio, text = net.sequence("audio", batch), net.sequence("text", batch)
    assert (audio == audio[:, :1]).all()
    assert (text != text[:, :1]).any()


# --- what it is for ---------------------------------------------------------------------------------------

RATES = dict.fromkeys(("attention", "proposal", "keep", "write", "out"), 0.0)
NARROW = {"steps": 4, "hidden": 8, "audio_hidden": 8, "memory_width": 8}


@functools.cache
def trained(memory: str) -> MFN:
    torch.manual_seed(0)
    rates = {f"{name}_dropout": rate for name, rate in RATES.items()}
    net = MFN(MFNParams(memory=memory, **NARROW, **rates), rows.PAIR)  # type: ignore[arg-type]
    return planted.train(net, rows.at_one_time(512, 1), epochs=20, lr=1.5e-2, last=0.1)  # type: ignore[return-value]


@pytest.mark.parametrize("memory", ["none", "all"])
def test_products_of_what_is_said_at_one_time_are_learned_and_without_the_memory_or_its_attention_they_are_not(
    memory: str,
):
    test = rows.at_one_time(512, 5)
    assert rows.error(trained("attended"), test) < 0.65 * rows.error(trained(memory), test)
