"""Random numbers by hashing: uniform, independent, and the same wherever a sample appears."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmbench.corruptions.random import Stream
from scipy import stats

IDS = torch.arange(2000) * 104729 - 77


def test_uniform_and_normal_have_their_distributions() -> None:
    for seed in range(3):
        uniform = Stream(seed, "a", IDS).uniform("x", 50).flatten().numpy()
        assert stats.kstest(uniform, "uniform").pvalue > 1e-4
        assert 0 <= uniform.min() < uniform.max() < 1
        normal = Stream(seed, "a", IDS).normal("x", 50).flatten().numpy()
        assert stats.kstest(normal, "norm").pvalue > 1e-4
        assert np.isfinite(normal).all()


def test_neighbours_are_independent() -> None:
    drawn = Stream(0, "a", IDS).uniform("x", 40)
    limit = 5 / np.sqrt(2000)
    positions = torch.corrcoef(drawn.T).fill_diagonal_(0)
    assert float(positions.abs().max()) < limit
    one, other = drawn[:-1].flatten(), drawn[1:].flatten()
    assert abs(float(torch.corrcoef(torch.stack([one, other]))[0, 1])) < 5 / np.sqrt(len(one))
    for changed in (
        Stream(1, "a", IDS).uniform("x", 40),
        Stream(0, "b", IDS).uniform("x", 40),
        Stream(0, "a", IDS).uniform("y", 40),
    ):
        together = torch.stack([drawn.flatten(), changed.flatten()])
        assert abs(float(torch.corrcoef(together)[0, 1])) < 5 / np.sqrt(drawn.numel())


def test_a_sample_has_its_numbers_in_any_batch_and_under_more_padding() -> None:
    whole = Stream(3, "a", IDS).uniform("x", 6, 4)
    order = torch.randperm(len(IDS), generator=torch.Generator().manual_seed(0))[:100]
    assert torch.equal(Stream(3, "a", IDS[order]).uniform("x", 6, 4), whole[order])
    assert torch.equal(Stream(3, "a", IDS).uniform("x", 9, 4)[:, :6], whole)


@pytest.mark.parametrize("high", [1, 7])
def test_integers_are_even_and_below_their_limit(high: int) -> None:
    drawn = Stream(0, "a", IDS).integers("x", high, 20)
    counts = torch.bincount(drawn.flatten(), minlength=high)
    assert len(counts) == high
    assert stats.chisquare(counts.numpy()).pvalue > 1e-4 or high == 1


def test_noise_is_normal_white_and_independent_of_its_neighbours() -> None:
    drawn = Stream(0, "a", IDS[:40]).noise("x", 5000, 2).transpose(1, 2)
    assert drawn.shape == (40, 2, 5000)
    values = drawn.flatten().double().numpy()
    assert stats.kstest(values, "norm").pvalue > 1e-4
    assert np.mean(values**4) == pytest.approx(3, abs=0.05)
    limit = 5 / np.sqrt(drawn.numel())
    for lag in (1, 2, 255, 256, 511, 512, 1024):
        assert abs(float((drawn[..., lag:] * drawn[..., :-lag]).mean())) < 1.2 * limit, lag
    rows = torch.corrcoef(drawn.flatten(0, 1)).fill_diagonal_(0)
    assert float(rows.abs().max()) < 5 / np.sqrt(5000)


def test_noise_is_the_same_in_any_batch_and_for_any_length() -> None:
    whole = Stream(3, "a", IDS[:300]).noise("x", 3000)
    assert torch.equal(Stream(3, "a", IDS[7:8]).noise("x", 700), whole[7:8, :700])
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Stream(3, "a", IDS[:300][order]).noise("x", 3000), whole[order])
    assert torch.equal(
        Stream(3, "a", IDS[:3]).noise("x", 3000, 2)[:, :5], Stream(3, "a", IDS[:3]).noise("x", 5, 2)
    )


def test_numbers_are_those_of_finished_stores() -> None:
    """Written down once: a faster hash must not change what stored predictions were drawn with."""
    ids = torch.tensor([0, 1, -5, 2**40 + 3])
    drawn = Stream(7, "golden", ids).uniform("x", 70000)
    assert drawn[:, [0, 32768, 69999]].tolist() == [
        [0.6800981163978577, 0.18412137031555176, 0.4467141032218933],
        [0.8303424715995789, 0.627424955368042, 0.01612067222595215],
        [0.388702929019928, 0.5095474720001221, 0.7051535248756409],
        [0.6640500426292419, 0.6170417666435242, 0.4804873466491699],
    ]
    sums = Stream(7, "golden", ids).normal("x", 70000).double().sum(1)
    assert sums.tolist() == pytest.approx([331.27112, 567.00627, -157.14859, 31.48044], abs=1e-3)


@pytest.mark.parametrize(("count", "shape"), [(0, (4,)), (3, (0,)), (3, ()), (1, (200000,)), (700, (3, 100))])
def test_pieces_cover_any_shape(count: int, shape: tuple[int, ...]) -> None:
    stream = Stream(0, "a", IDS[:count])
    for drawn in (stream.uniform("x", *shape), stream.normal("x", *shape)):
        assert drawn.shape == (count, *shape)
    for place in range(min(count, 3)):
        alone = Stream(0, "a", IDS[place : place + 1]).uniform("x", *shape)
        assert torch.equal(stream.uniform("x", *shape)[place], alone[0])
