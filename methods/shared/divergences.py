"""Distances between two samples of features. Each is a plain function of [n, width] and [m, width]."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def mmd(one: Tensor, other: Tensor, gammas: Sequence[float]) -> Tensor:
    """The squared maximum mean discrepancy (Gretton et al. 2012, eq. 5: the biased estimate), at least 0.

    mean k(x, x') + mean k(y, y') - 2 mean k(x, y), where k(a, b) is the mean over ``gammas`` of
    exp(-gamma |a - b|^2).

    Args:
        one: [n, width], x.
        other: [m, width], y.
        gammas: of the Gaussian kernels, above 0; at least one.

    Returns:
        A scalar, in [0, 2].
    """

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        # Not by torch.cdist: the slope of its square root is infinite at 0, and every x is in both.
        squares = (a.unsqueeze(1) - b.unsqueeze(0)).square().sum(dim=-1)
        return torch.stack([(-gamma * squares).exp() for gamma in gammas]).mean()

    return kernel(one, one) + kernel(other, other) - 2 * kernel(one, other)


def covariance(features: Tensor) -> Tensor:
    """The covariance matrix [width, width] of [n, width], divided by n - 1; n is at least 2."""
    centred = features - features.mean(dim=0)
    return centred.T @ centred / (len(features) - 1)


def coral(one: Tensor, other: Tensor) -> Tensor:
    """|C_x - C_y|_F^2 / (4 width^2), C the covariances (Sun & Saenko 2016, eq. 1).

    Args:
        one: [n, width], x; n at least 2.
        other: [m, width], y; m at least 2.

    Returns:
        A scalar, at least 0.
    """
    return (covariance(one) - covariance(other)).square().mean() / 4


def mean_distance(one: Tensor, other: Tensor) -> Tensor:
    """|mean x - mean y|^2 / width.

    Args:
        one: [n, width], x.
        other: [m, width], y.

    Returns:
        A scalar, at least 0.
    """
    return (one.mean(dim=0) - other.mean(dim=0)).square().mean()
