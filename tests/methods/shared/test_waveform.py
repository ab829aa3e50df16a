"""The convolutional network for waveforms, and how a method comes to it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmbench.benchmark.core.registry import find
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods import METHODS, NETWORKS
from mmbench.methods.erm import ERM, ERMParams
from mmbench.methods.generalisation.cmrf import CMRF, CMRFParams
from mmbench.methods.method import Method
from mmbench.methods.shared.networks import SequenceEncoder, encoders
from mmbench.methods.shared.waveform import LargerOfTwo, WaveformEncoder

from .. import planted

MOTOR = Spec(
    {"vibration": 1, "acoustic": 1},
    "classification",
    classes=6,
    encoders={"vibration": "cnn1d", "acoustic": "cnn1d"},
)


def count(net: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def waves(samples: int, steps: int = 1024, seed: int = 0) -> Batch:
    return planted.noise(MOTOR, samples, steps, seed)


def test_sizes_are_the_published_ones():
    assert count(WaveformEncoder(1)) == 6_152
    assert count(ERM(ERMParams(), MOTOR)) == 13_846
    assert WaveformEncoder(1)(torch.rand(2, 1024, 1), torch.ones(2, 1024, dtype=torch.bool)).shape == (2, 128)


def test_the_first_layer_is_a_convolution_normed_rectified_and_pooled():
    net = WaveformEncoder(1).eval()
    wave = torch.randn(3, 1024)
    weight, bias = net.layers[0].weight, net.layers[0].bias  # type: ignore[union-attr]
    slid = wave.unfold(1, 32, 1) @ weight[:, 0].T + bias  # type: ignore[index,operator]
    expected = (slid / (1 + 1e-5) ** 0.5).clamp(min=0)  # a fresh batch norm in evaluation
    expected = torch.maximum(expected[:, :-1], expected[:, 1:]).transpose(1, 2)
    assert torch.allclose(net.layers[:4](wave.unsqueeze(1)), expected, atol=1e-5)


def test_what_is_not_there_is_not_read():
    net = WaveformEncoder(1).eval()
    wave, valid = torch.randn(2, 1024, 1), torch.ones(2, 1024, dtype=torch.bool)
    valid[1] = False
    broken = wave.clone()
    broken[1] = torch.nan
    assert torch.equal(net(wave, valid), net(broken, valid))
    assert net(broken, valid).isfinite().all()


@pytest.mark.parametrize("steps", [1, 45, 64])
def test_short_windows_are_filled_with_silence(steps: int):
    net = WaveformEncoder(1).eval()
    wave, valid = torch.randn(2, steps, 1), torch.ones(2, steps, dtype=torch.bool)
    longer = torch.cat([wave, torch.zeros(2, 64 - steps, 1)], dim=1)
    padded = net(longer, torch.ones(2, 64, dtype=torch.bool))
    torch.testing.assert_close(net(wave, valid), padded, rtol=1e-5, atol=1e-6)  # kernels differ by shape


def test_only_the_modalities_that_ask_for_it_get_it():
    mixed = replace(MOTOR, modalities={"vibration": 1, "text": 6}, encoders={"vibration": "cnn1d"})
    first, second = encoders(mixed, 40, 1).parts
    assert isinstance(first, WaveformEncoder)
    assert isinstance(second, SequenceEncoder)
    batch = planted.noise(mixed, 3, 80)
    assert ERM(ERMParams(layers=1), mixed).eval()(batch).fused.shape == (3, 80)  # type: ignore[union-attr]


KINDS = [find("method", name).load() for name in NETWORKS]
MIXED = replace(MOTOR, modalities={"vibration": 1, "text": 6}, encoders={"vibration": "cnn1d"})
#: What they call embeddings is of a size of their own, or nothing.
OWN_WIDTHS = [
    find("method", name).load()
    for name, where in METHODS.items()
    if (".sentiment." in where and name not in ("lmf", "lf_dnn")) or name in ("lnln", "emt_dlfr", "tfr_net")
]
ALONE = replace(MOTOR, modalities={"acoustic": 1}, encoders={"acoustic": "cnn1d"})


@pytest.mark.parametrize("spec", [MOTOR, MIXED, ALONE], ids=["motor", "mixed", "alone"])
@pytest.mark.parametrize("kind", KINDS, ids=list(NETWORKS))
def test_every_method_takes_the_width_of_its_encoders(kind: type[Method], spec: Spec):
    spec = replace(spec, domains=2)
    batch = planted.noise(spec, 6, 64)
    batch = replace(batch, domain=torch.arange(6) % 2)
    torch.manual_seed(0)
    net = kind(kind.Params(layers=1), spec)
    optimiser = torch.optim.SGD(net.parameters(), lr=1e-3)
    for stage in range(len(kind.stages)):
        net.begin_stage(stage)
        optimiser.zero_grad()
        net.backward(batch)
        optimiser.step()
        net.after_step()
    net.after_epoch(lambda: 1.0)
    output = net.eval()(batch)
    assert output.prediction.shape == (6, 6)
    if kind in OWN_WIDTHS:
        return
    width = kind.Params().width if "text" in spec.modalities else 128
    assert {tuple(x.shape) for x in output.embeddings.values()} == {(6, width)}


@pytest.mark.parametrize("name", NETWORKS)
def test_methods_train_on_waveforms_in_any_pattern_and_alone(name: str):
    spec = replace(MOTOR, domains=3)
    batch = replace(planted.all_patterns(waves(4), MOTOR), domain=torch.tensor([0, 1, 2, 0]))
    kind: type[Method] = find("method", name).load()
    torch.manual_seed(0)
    net = kind(kind.Params(), spec)
    for stage in range(len(kind.stages)):
        net.begin_stage(stage)
        for part in (batch, batch.take(slice(0, 1))):
            net.zero_grad()
            net.backward(part)
            net.after_step()
            assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())
    net.eval()
    whole = net(batch).prediction
    alone = torch.cat([net(batch.take(slice(row, row + 1))).prediction for row in range(4)])
    assert torch.allclose(whole, alone, atol=1e-4)


@given(st.integers(0, 2**16), st.integers(2, 40), st.booleans())
def test_pooling_is_that_of_torch_with_its_gradient(seed: int, steps: int, ties: bool):
    draw = torch.Generator().manual_seed(seed)
    values = torch.randn(2, 3, steps, generator=draw)
    values = values.round() if ties else values
    weights = torch.randn(2, 3, steps - 1, generator=draw)
    found = []
    for pool in (LargerOfTwo(), torch.nn.MaxPool1d(2, stride=1)):
        given_ = values.clone().requires_grad_()
        pooled = pool(given_)
        (pooled * weights).sum().backward()
        found.append((pooled, given_.grad, pool(values)))
    for ours, theirs in zip(*found, strict=True):
        assert torch.equal(ours, theirs)


def test_an_averaged_teacher_averages_the_norms_of_waveforms():
    net = CMRF(CMRFParams(start=1, hidden=16), MOTOR)
    seen = []
    for seed in range(4):
        net.backward(waves(4, seed=seed))
        net.after_step()
        seen.append([b.clone() for b in net.student().buffers() if b.is_floating_point()])
    averages = [b for b in net.teacher.buffers() if b.is_floating_point()]
    assert averages
    for average, *history in zip(averages, *seen, strict=True):
        assert torch.allclose(average, torch.stack(history).mean(0), atol=1e-5)


@pytest.mark.slow
def test_it_tells_tones_apart():
    draw = torch.Generator().manual_seed(0)
    batch = waves(96)
    target = torch.arange(96) % 3
    phase = 6.28 * torch.rand(96, 1, generator=draw)
    tone = torch.sin(torch.arange(1024) * (0.2 * 2 ** target.float()).unsqueeze(1) + phase)
    wave = tone.unsqueeze(-1) + 0.3 * batch.features["vibration"]
    batch = replace(batch, features={**batch.features, "vibration": wave}, target=target)
    torch.manual_seed(0)
    net = planted.train(ERM(ERMParams(), MOTOR), batch.take(slice(0, 64)), epochs=12, size=16)
    held = batch.take(slice(64, 96))
    assert (net(held).prediction.argmax(1) == held.target).double().mean() > 0.9
