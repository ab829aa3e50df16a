"""The selective scan against its closed form and against another implementation; the mixer's sizes and start."""

from __future__ import annotations

import pytest
import torch
from mmbench.methods.shared.selective_scan import LARGEST_STEP, LEAST_STEP, MambaMixer, selective_scan
from torch import Tensor
from torch.nn import functional as F

CHANNELS, STATE = 6, 4


def random_scan(length: int) -> tuple[Tensor, ...]:
    """u, Delta, A, B, C, D."""
    draw = torch.Generator().manual_seed(length)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw)

    inputs, step = normal(3, length, CHANNELS), F.softplus(normal(3, length, CHANNELS))
    decay = -normal(CHANNELS, STATE).exp()
    return inputs, step, decay, normal(3, length, STATE), normal(3, length, STATE), normal(CHANNELS)


def test_a_scan_of_two_steps_is_the_closed_form():
    u, delta, a, b, c, d = random_scan(2)
    first = (delta[:, 0] * u[:, 0])[..., None] * b[:, 0, None]
    second = (delta[:, 1, :, None] * a).exp() * first + (delta[:, 1] * u[:, 1])[..., None] * b[:, 1, None]
    expected = torch.stack([(first * c[:, 0, None]).sum(-1), (second * c[:, 1, None]).sum(-1)], 1) + d * u
    torch.testing.assert_close(selective_scan(u, delta, a, b, c, d), expected, rtol=0, atol=1e-6)


def test_the_scan_is_that_of_transformers():
    module = pytest.importorskip("transformers.models.mamba.modeling_mamba")
    theirs = getattr(module, "mamba_selective_scan", None)
    if theirs is None:
        pytest.skip("this version of transformers has the scan inside of its network")
    for length in (1, 2, 5, 17):
        u, delta, a, b, c, d = random_scan(length)
        # theirs: [batch, channel or state, length]
        expected = theirs(u.mT, delta.mT, a, b.mT, c.mT, d).mT
        torch.testing.assert_close(selective_scan(u, delta, a, b, c, d), expected, rtol=1e-5, atol=1e-5)


def test_the_scan_forgets_by_its_step_and_sees_no_later_step():
    u, delta, a, b, c, d = random_scan(6)
    out = selective_scan(u, delta, a, b, c, d)
    later = u.clone()
    later[:, 4:] += 1
    torch.testing.assert_close(selective_scan(later, delta, a, b, c, d)[:, :4], out[:, :4])
    reset = delta.clone()
    reset[:, 3] = 1e4  # exp(Delta A) is 0: what came before step 3 is forgotten
    other = u.clone()
    other[:, :3] += 1
    torch.testing.assert_close(
        selective_scan(other, reset, a, b, c, d)[:, 4:], selective_scan(u, reset, a, b, c, d)[:, 4:]
    )
    assert not torch.allclose(selective_scan(other, delta, a, b, c, d)[:, 4:], out[:, 4:])


def test_a_mixer_starts_with_steps_in_their_range_and_keeps_the_shape():
    mixer = MambaMixer(24)
    steps = F.softplus(mixer.step.bias)
    assert steps.min() >= LEAST_STEP * 0.99
    assert steps.max() <= LARGEST_STEP * 1.01
    torch.testing.assert_close(mixer.log_decay[5].exp(), torch.arange(1.0, 17))
    assert mixer(torch.randn(3, 7, 24)).shape == (3, 7, 24)


@pytest.mark.parametrize("width", [1, 3])
def test_odd_widths_work(width: int):
    assert MambaMixer(width)(torch.randn(2, 2, width)).isfinite().all()
