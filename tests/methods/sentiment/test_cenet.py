"""CENET: what words find against numpy, its sizes as released, and steps of audio that the text names."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from mmbench.methods.sentiment.cenet import CENET, CENETParams, WordAttention
from torch import nn

from .. import planted
from . import rows


@pytest.mark.parametrize("released", [True, False])
def test_words_find_what_numpy_finds_and_nothing_where_there_is_nothing(released: bool):
    net = WordAttention(4, released)
    x, y = torch.randn(3, 2, 4), torch.randn(3, 5, 4)
    valid = torch.tensor([[True] * 5, [True, True, False, False, False], [False] * 5])

    def linear(layer: nn.Linear, z: torch.Tensor) -> np.ndarray:
        return z.numpy() @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()

    found = net(x, y, valid).detach().numpy()
    for row, length in enumerate((5, 2)):
        scores = linear(net.query, x[row]) @ linear(net.key, y[row, :length]).T
        scores = np.exp(scores * (8 if released else 0.5))
        share = scores / scores.sum(-1, keepdims=True)
        np.testing.assert_allclose(found[row], share @ linear(net.value, y[row, :length]), atol=1e-4)
    assert not found[2].any()


def test_words_are_shifted_before_the_second_layer_of_the_text():
    net = CENET(CENETParams(text_width=8, heads=2), rows.PAIR).eval()
    batch = planted.noise(rows.PAIR, 3)
    seen: list[torch.Tensor] = []
    net.text.layers[0].register_forward_hook(lambda *args: seen.append(args[2]))
    net.text.layers[1].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    net(batch)
    audio, valid = net.steps("audio", batch)
    assert net.shift is not None
    torch.testing.assert_close(seen[1] - seen[0], net.shift(net.readers[0](seen[0], audio, valid)))


@pytest.mark.parametrize(
    ("dataset", "count"), [("mosi", 5_925_888), ("mosei", 5_990_400), ("sims", 6_476_544)]
)
def test_what_is_put_into_the_text_has_the_released_size(dataset: str, count: int):
    net = rows.published(CENET, dataset)
    assert isinstance(net, CENET)
    assert net.shift is not None
    assert rows.size(net.readers) + rows.size(net.shift) + rows.size(net.steps.encoders.parts) == count


@pytest.mark.parametrize(("count", "kind"), [(1, "classification"), (3, "regression"), (4, "regression")])
@pytest.mark.parametrize("params", [{}, *CENET.controls.values(), {"sharpness": "released"}], ids=str)
def test_it_predicts_and_learns_from_any_pattern(count: int, kind: str, params: dict):
    spec = planted.spec(*list(planted.SIZES)[:count], kind=kind)
    rows.any_pattern(CENET(CENETParams(text_width=8, heads=2, **params), spec))


def test_other_modalities_are_heard_where_the_text_is_absent():
    net = CENET(CENETParams(text_width=8, heads=2), rows.PAIR).eval()
    batch = planted.noise(rows.PAIR, 4).with_present({"text": torch.zeros(4, dtype=torch.bool)})
    said = net(batch).prediction
    assert said.std() > 0
    none = batch.with_present({"audio": torch.zeros(4, dtype=torch.bool)})
    assert (net(none).prediction == net(none).prediction[0]).all()


# --- what it is for ---------------------------------------------------------------------------------------


@functools.cache
def trained(**params: Any) -> CENET:
    torch.manual_seed(0)
    net = CENET(CENETParams(text_width=8, heads=2, dropout=0.0, **params), rows.PAIR)
    return planted.train(net, rows.named(512, 1), epochs=12, lr=1e-2, last=0.1)  # type: ignore[return-value]


def test_words_find_the_step_that_they_name_and_the_mean_over_steps_does_not():
    test = rows.named(512, 5)
    assert rows.error(trained(), test) < 0.7 * rows.error(trained(reading="mean"), test)
