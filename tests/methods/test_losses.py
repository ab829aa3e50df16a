from __future__ import annotations

import math

import pytest
import torch
from mmbench.methods import losses

from . import planted


def test_task_loss_is_l1_or_cross_entropy():
    regression, classes = planted.spec(), planted.spec(kind="classification")
    assert losses.task_loss(torch.tensor([1.0, -1.0]), torch.tensor([2.0, 1.0]), regression) == 1.5
    uniform = losses.task_loss(torch.zeros(2, 3), torch.tensor([0, 2]), classes)
    assert uniform.item() == pytest.approx(math.log(3))


def test_masked_mean_ignores_what_is_masked():
    values = torch.tensor([1.0, torch.nan, 3.0])
    assert losses.masked_mean(values, torch.tensor([True, False, True])) == 2.0
    assert losses.masked_mean(values, torch.zeros(3, dtype=torch.bool)) == 0.0


def test_info_nce_by_hand():
    keys = torch.eye(3)
    valid = torch.ones(3, dtype=torch.bool)
    expected = -math.log(math.e**2 / (math.e**2 + 2))
    assert losses.info_nce(5 * keys, keys, valid, 0.5).item() == pytest.approx(expected, rel=1e-5)


def test_info_nce_knows_only_valid_rows():
    anchors, keys = torch.randn(6, 4), torch.randn(6, 4)
    valid = torch.tensor([True, True, False, True, False, False])
    few = losses.info_nce(anchors[valid], keys[valid], torch.ones(3, dtype=torch.bool), 0.1)
    torch.testing.assert_close(losses.info_nce(anchors, keys, valid, 0.1), few)
    assert losses.info_nce(anchors, keys, torch.zeros(6, dtype=torch.bool), 0.1) == 0.0


def test_gaussian_nll_is_least_at_the_true_variance():
    target = 2 * torch.randn(4000)
    s = torch.linspace(-1, 3, 41)
    means = [losses.gaussian_nll(torch.zeros(4000), v.expand(4000), target).mean() for v in s]
    assert s[int(torch.stack(means).argmin())].item() == pytest.approx(math.log(4), abs=0.15)


def test_entropy_runs_from_0_to_1():
    assert losses.normalised_entropy(torch.zeros(1, 5)).item() == pytest.approx(1)
    assert losses.normalised_entropy(torch.tensor([[100.0, 0.0]])).item() == pytest.approx(0, abs=1e-6)
