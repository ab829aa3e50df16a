"""The losses of MISA on shared and private vectors (Hazarika et al. 2020). Each is a plain function of tensors."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

from ..losses import masked_mean

#: The highest central moment that is compared.
MOMENTS = 5


def central_moment_discrepancy(one: Tensor, other: Tensor, moments: int = MOMENTS) -> Tensor:
    """|E x - E y| + sum over k = 2 ... ``moments`` of |c_k(x) - c_k(y)|, c_k the central moments of each number.

    After Zellinger et al. 2017, without the division by the range of the numbers.

    Args:
        one: [n, width], x; n at least 1.
        other: [m, width], y; m at least 1.
        moments: the highest one.

    Returns:
        A scalar, at least 0.
    """
    means = one.mean(dim=0), other.mean(dim=0)
    found = _length(means[0] - means[1])
    centred = one - means[0], other - means[1]
    for k in range(2, moments + 1):
        found = found + _length(centred[0].pow(k).mean(dim=0) - centred[1].pow(k).mean(dim=0))
    return found


def _length(vector: Tensor) -> Tensor:
    """The L2 norm; its gradient at 0 is finite."""
    return (vector.square().sum() + 1e-12).sqrt()


def difference(one: Tensor, other: Tensor) -> Tensor:
    """The mean of the squared entries of X^T Y: 0 where no number of x goes with one of y over the batch.

    X and Y are centred over the batch, and each row is divided by its length (plus 1e-6), through which no gradient goes.

    Args:
        one: [batch, width], x; at least one row.
        other: [batch, width], y.

    Returns:
        A scalar, at least 0.
    """
    rows = []
    for x in (one, other):
        centred = x - x.mean(dim=0)
        rows.append(centred / (centred.detach().norm(dim=1, keepdim=True) + 1e-6))
    return (rows[0].T @ rows[1]).square().mean()


def similarity_loss(shared: Tensor, known: Tensor) -> Tensor:
    """The mean over pairs of modalities of the discrepancy of their shared vectors; 0 where there is no pair.

    Args:
        shared: [batch, modality, width].
        known: [batch, modality], bool; a modality's moments are over the samples that have it.
    """
    there = [i for i in range(shared.shape[1]) if bool(known[:, i].any())]
    pairs = [
        central_moment_discrepancy(shared[known[:, i], i], shared[known[:, j], j])
        for i, j in combinations(there, 2)
    ]
    return torch.stack(pairs).mean() if pairs else shared.new_zeros(())


def difference_loss(private: Tensor, shared: Tensor, known: Tensor, released: bool = False) -> Tensor:
    """``difference`` of each modality's private and shared vectors, and of each two private ones; a sum.

    ``difference`` grows with the square of batch / width: as released, 16 samples 128 wide count a sixty-fourth of what 32
    samples 32 wide do. By default each is divided by that square.

    Args:
        private: [batch, modality, width].
        shared: of the same shape.
        known: [batch, modality], bool; a pair is compared over the samples that have both.
        released: without that division.
    """
    count = private.shape[1]
    own = [(private[:, i], shared[:, i], known[:, i]) for i in range(count)]
    across = [
        (private[:, i], private[:, j], known[:, i] & known[:, j]) for i, j in combinations(range(count), 2)
    ]
    width = private.shape[-1]
    terms = []
    for x, y, rows in own + across:
        samples = int(rows.sum())
        if samples:
            terms.append(difference(x[rows], y[rows]) * (1.0 if released else (width / samples) ** 2))
    return torch.stack(terms).sum() if terms else private.new_zeros(())


def reconstruction_loss(rebuilt: Tensor, goal: Tensor, known: Tensor) -> Tensor:
    """The mean squared error of vectors [batch, modality, width], a mean over the modalities that each sample has."""
    return masked_mean((rebuilt - goal).square().mean(dim=-1), known)
