"""Does the reliability of QA-MoE fall with noise? And what does the gate gain?

Three modalities each tell a latent of their own, and the latents go together as those of real modalities do; the score
is 0.9 t + 0.6 a + 0.6 v. The encoders are small networks without dropout.
"""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest
import torch
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods.missing.qamoe import QAMoE, QAMoEParams
from mmbench.methods.shared.networks import Encoders
from mmbench.methods.shared.qamoe_parts import damaged
from torch import Tensor

from ..planted import train
from ..small import MeanNetwork

SIZES = {"text": 16, "audio": 8, "vision": 8}
SPEC = Spec(SIZES, "regression", label_range=(-3.0, 3.0), steps=dict.fromkeys(SIZES, 4))
STEPS, MOST, WIDTH = 4, 3.0, 24


def planted(samples: int, seed: int) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    latents = 0.6**0.5 * torch.randn(1, samples, generator=draw) + 0.4**0.5 * torch.randn(
        3, samples, generator=draw
    )
    features = {}
    for i, (m, size) in enumerate(SIZES.items()):
        mixing = torch.randn(size, generator=torch.Generator().manual_seed(100 + i))
        mixing = 0.5 * mixing.sign() + 0.5 * mixing
        mixing[size // 4 :] = 0  # most features tell nothing
        white = 0.5 * torch.randn(samples, STEPS, size, generator=draw)
        values = latents[i][:, None, None] * mixing + white
        features[m] = values / values.std(dim=(0, 1))
    return Batch(
        features=features,
        mask={m: torch.ones(samples, STEPS, dtype=torch.bool) for m in SIZES},
        present={m: torch.ones(samples, dtype=torch.bool) for m in SIZES},
        target=0.9 * latents[0] + 0.6 * latents[1] + 0.6 * latents[2],
        domain=torch.zeros(samples, dtype=torch.int64),
        sample_id=torch.arange(samples),
    )


TEST = planted(800, seed=5)


def noisy(batch: Batch, modality: str, strength: Tensor, seed: int = 9) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    values = batch.features[modality]
    white = torch.randn(values.shape, generator=draw)
    return replace(batch, features={**batch.features, modality: values + strength.view(-1, 1, 1) * white})


def strengths(most: float, seed: int) -> Tensor:
    return most * torch.rand(len(TEST), generator=torch.Generator().manual_seed(seed))


def all_noisy(most: float = MOST) -> Batch:
    batch = TEST
    for i, m in enumerate(SIZES):
        batch = noisy(batch, m, strengths(most, 20 + i), seed=30 + i)
    return batch


@functools.cache
def trained(**params) -> QAMoE:
    torch.manual_seed(0)
    net = QAMoE(QAMoEParams(width=WIDTH, **params), SPEC)
    net.encoders = Encoders(SPEC, lambda features: MeanNetwork(features, WIDTH))
    train(net, planted(1600, seed=1), epochs=16, lr=3e-3, size=32)
    return net


PUBLISHED = {"tie": "none", "variance_head": "linear", "lambda_max": 1.0}


@torch.no_grad()
def reliability(net: QAMoE, batch: Batch) -> dict[str, Tensor]:
    told = net(batch).diagnostics
    return {m: told[f"reliability/{m}"] for m in SIZES}


@torch.no_grad()
def error(net: QAMoE, batch: Batch, given: Tensor | None = None) -> float:
    raw = net.mix(net.encode_all(batch), batch, given).raw
    return float((raw[:, 0] - batch.target).abs().mean())


def spearman(left: Tensor, right: Tensor) -> float:
    ranks = torch.stack([values.argsort().argsort().double() for values in (left, right)])
    return float(torch.corrcoef(ranks)[0, 1])


@pytest.mark.parametrize("modality", SIZES)
def test_reliability_falls_with_the_noise_of_its_own_modality_alone(modality: str):
    net, strength = trained(), strengths(MOST, 3)
    clean, broken = reliability(net, TEST), reliability(net, noisy(TEST, modality, strength))
    assert spearman(broken[modality], strength) <= -0.7
    worst = reliability(net, noisy(TEST, modality, torch.full((800,), MOST)))
    assert clean[modality].mean() - worst[modality].mean() >= 0.1
    for other in set(SIZES) - {modality}:
        assert abs(worst[other].mean() - clean[other].mean()) < 0.02


@pytest.mark.parametrize("modality", SIZES)
def test_the_published_loop_alone_does_not_move_the_reliability(modality: str):
    net, strength = trained(**PUBLISHED), strengths(1.0, 3)
    broken = reliability(net, noisy(TEST, modality, strength))
    assert abs(spearman(broken[modality], strength)) < 0.3


def test_the_variance_is_better_than_any_constant_on_samples_as_noisy_as_in_training():
    torch.manual_seed(1)
    output = trained()(damaged(TEST, MOST, whole_batch=False))
    assert output.log_variance is not None
    squares = (output.prediction - TEST.target).square()
    own = 0.5 * (squares * (-output.log_variance).exp() + output.log_variance).mean()
    constant = 0.5 * (1 + squares.mean().log())  # the mean square is the best constant
    assert own < constant - 0.02


def test_the_answer_depends_on_the_right_reliability():
    net, batch = trained(), all_noisy()
    with torch.no_grad():
        own = net.mix(net.encode_all(batch), batch).own
    right = error(net, batch)
    shuffled = own[torch.randperm(800, generator=torch.Generator().manual_seed(0))]
    assert error(net, batch, shuffled) > right + 0.02
    assert error(net, batch, own.mean(0).expand(800, 3)) > right + 0.01


@pytest.mark.slow
def test_a_network_without_a_gate_is_as_good():
    """Encoders learn to heed noise themselves. Nor would knowing how strong the noise is help a trained network."""
    batch = all_noisy()
    ours, without = error(trained(), batch), error(trained(gate="none"), batch)
    assert abs(ours - without) < 0.05
    oracle = torch.stack([1 / (1 + strengths(MOST, 20 + i)) for i in range(3)], dim=1)
    assert error(trained(), batch, oracle) > ours - 0.02
