"""EF-LSTM: its steps against torch's pooling, its size as released, and an order of steps that their mean does not tell."""

from __future__ import annotations

import dataclasses
import functools

import pytest
import torch
from mmbench.datasets.batch import Batch
from mmbench.methods.sentiment.ef_lstm import EFLSTM, EFLSTMParams
from mmbench.methods.shared.equal_steps import shares
from torch.nn import functional as F

from .. import planted
from . import rows


def test_steps_are_those_of_adaptive_pooling_over_what_is_valid():
    x = torch.randn(1, 9, 2)
    for first, last in ((0, 9), (2, 5), (0, 1)):
        valid = (torch.arange(9) >= first) & (torch.arange(9) < last)
        by_torch = F.adaptive_avg_pool1d(x[:, first:last].transpose(1, 2), 4).transpose(1, 2)
        torch.testing.assert_close(shares(x, valid[None], 4), by_torch)
    assert (shares(x, torch.zeros(1, 9, dtype=torch.bool), 4) == 0).all()


def test_the_released_network_has_the_released_size():
    assert rows.size(EFLSTM(EFLSTMParams(**EFLSTM.as_published), rows.MOSI)) == 885_605


@pytest.mark.parametrize(("count", "kind"), [(1, "classification"), (3, "regression"), (4, "regression")])
@pytest.mark.parametrize("params", [{}, {"order": False}, {"lstm_layers": 2}], ids=str)
def test_it_predicts_and_learns_from_any_pattern(count: int, kind: str, params: dict):
    spec = planted.spec(*list(planted.SIZES)[:count], kind=kind)
    rows.any_pattern(EFLSTM(EFLSTMParams(hidden=6, steps=4, **params), spec))


def ordered(samples: int, seed: int) -> Batch:
    """Audio says +1 and -1 at two steps; the score is what it says first, of which the mean over steps knows nothing."""
    batch = planted.noise(rows.PAIR, samples, 4, seed)
    first = torch.randint(0, 2, (samples,), generator=torch.Generator().manual_seed(seed + 1)) * 2.0 - 1
    audio = 0.3 * batch.features["audio"]
    audio[:, :2, 0] += first[:, None]
    audio[:, 2:, 0] -= first[:, None]
    full = dict.fromkeys(batch.mask, torch.ones(samples, 4, dtype=torch.bool))
    features = {**batch.features, "audio": audio}
    return dataclasses.replace(batch, features=features, mask=full, target=first)


@functools.cache
def trained(order: bool) -> EFLSTM:
    torch.manual_seed(0)
    net = EFLSTM(EFLSTMParams(hidden=8, steps=4, dropout=0.0, order=order), rows.PAIR)
    return planted.train(net, ordered(512, 1), epochs=12, lr=1e-2)  # type: ignore[return-value]


def test_the_order_of_steps_is_learned_and_from_their_mean_it_is_not():
    test = ordered(512, 5)
    assert rows.error(trained(True), test) < 0.3
    assert rows.error(trained(False), test) > 0.8
