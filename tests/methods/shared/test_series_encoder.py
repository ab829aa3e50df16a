from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbench.methods.shared.series_encoder import SeriesEncoder, strides_for
from mmbench.methods.shared.statistics import statistics


def series(samples: int = 5, steps: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    lengths = 1 + (torch.arange(samples) * 7) % steps
    return torch.randn(samples, steps, 3), torch.arange(steps) < lengths[:, None]


def encoder(steps: int = 30) -> SeriesEncoder:
    torch.manual_seed(1)
    net = SeriesEncoder(3, 8, steps, channels=6)
    for parameter in net.parameters():  # norms with weights that are not 1 and 0
        parameter.data += 0.1 * torch.randn_like(parameter)
    return net.eval()


@given(before=st.integers(0, 7), after=st.integers(0, 7))
@settings(deadline=None, max_examples=20)
def test_padding_on_either_side_changes_nothing(before, after):
    net, (features, valid) = encoder(), series()
    expected = net(features, valid)
    rest = [torch.full((5, count, 3), torch.nan) for count in (before, after)]
    nothing = [torch.zeros(5, count, dtype=torch.bool) for count in (before, after)]
    padded = torch.cat([rest[0], features.where(valid.unsqueeze(-1), torch.nan), rest[1]], dim=1)
    mask = torch.cat([nothing[0], valid, nothing[1]], dim=1)
    torch.testing.assert_close(net(padded, mask), expected, rtol=1e-4, atol=1e-5)


def test_a_sample_does_not_depend_on_its_batch():
    net, (features, valid) = encoder(), series()
    alone = torch.cat([net(features[i : i + 1], valid[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(net(features, valid), alone, rtol=1e-4, atol=1e-5)


def test_every_valid_step_is_read_and_no_other():
    net, (features, valid) = encoder(steps=10), series(steps=10)
    features.requires_grad_()
    net(features, valid).square().sum().backward()
    assert features.grad is not None
    assert torch.equal(features.grad.abs().sum(-1) > 0, valid)


def test_without_a_valid_step_nothing_is_read_and_gradients_are_finite():
    net = encoder().train()
    out = net.eval()(torch.full((2, 4, 3), torch.nan), torch.zeros(2, 4, dtype=torch.bool))
    torch.testing.assert_close(out[0], out[1])
    out.square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


def test_half_precision_features_are_cast():
    net, (features, valid) = encoder(), series()
    assert torch.equal(net(features.half(), valid), net(features.half().float(), valid))


@pytest.mark.parametrize(
    ("steps", "left"), [(2, 2), (23, 23), (24, 12), (48, 12), (62, 16), (256, 64), (1024, 64), (16000, 63)]
)
def test_strides_leave_a_dozen_steps_and_no_more_than_64(steps, left):
    assert math.ceil(steps / math.prod(strides_for(steps))) == left


def test_it_tells_orders_that_have_the_same_statistics():
    """Rising and falling ramps with the same values in every window: only the order of the steps tells them apart."""
    torch.manual_seed(0)
    net = SeriesEncoder(1, 2, 24, channels=8)
    label = torch.arange(64) % 2
    ramp = torch.linspace(-1, 1, 24) + 0.1 * torch.randn(64, 24)
    features = torch.where(label.bool()[:, None], ramp.flip(1), ramp).unsqueeze(-1)
    valid = torch.ones(64, 24, dtype=torch.bool)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(features, valid), label).backward()
        optimizer.step()
    assert (net.eval()(features, valid).argmax(1) == label).double().mean() > 0.95


def test_statistics_are_those_of_the_valid_steps():
    features, valid = series(steps=9)
    valid[3] = False
    found = statistics(features.where(valid.unsqueeze(-1), 0), valid).unflatten(1, (5, 3))
    for sample, there, row in zip(features, valid, found, strict=True):
        kept = sample[there]
        if not len(kept):
            torch.testing.assert_close(row, torch.tensor([0, 1e-3, 0, 0, 0])[:, None].expand(5, 3))
            continue
        deviation = (kept.var(0, correction=0) + 1e-6).sqrt()
        expected = torch.stack([kept.mean(0), deviation, kept.amin(0), kept.amax(0), kept[-1]])
        torch.testing.assert_close(row, expected, rtol=1e-4, atol=1e-5)
