"""MMIM's bounds of mutual information (Han et al. 2021): a likelihood from one modality to another, and an entropy."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..losses import masked_mean

#: Added to variances of an entropy, so that few samples have one, too.
RIDGE = 1e-3


class LikelihoodBound(nn.Module):
    """The mean log-likelihood of y under a normal distribution whose mean and variance are read off x (Barber and Agakov 2003).

    With the entropy of y it bounds the mutual information from below.

    Attributes:
        q: y -> what its entropy is estimated of.
        width: of that.
    """

    def __init__(self, features: int, width: int, released: bool) -> None:
        """Builds the networks.

        Args:
            features: of x.
            width: of y.
            released: without the logarithm of the variance, so that the likelihood is largest where the variance has no end; and
                the entropy is of tanh(Linear(y)), a quarter as wide as y, in the place of y.
        """
        super().__init__()
        self.released = released
        self.mean, self.log_variance = (
            nn.Sequential(nn.Linear(features, width), nn.ReLU(), nn.Linear(width, width)) for _ in range(2)
        )
        self.width = max(width // 4, 1) if released else width
        self.q = nn.Sequential(nn.Linear(width, self.width), nn.Tanh()) if released else nn.Identity()

    def forward(self, x: Tensor, y: Tensor, known: Tensor) -> Tensor:
        """The mean over samples, a scalar, of the sum over entries of y.

        Args:
            x: [batch, features].
            y: [batch, width].
            known: the samples that have both, [batch], bool.
        """
        log_variance = self.log_variance(x)
        each = -0.5 * (self.mean(x) - y).square() * (-log_variance).exp()
        if not self.released:
            each = each - 0.5 * log_variance
        return masked_mean(each.sum(dim=-1), known)


def grouped_entropy(values: Tensor, groups: Tensor, count: int) -> Tensor:
    """The mean over groups of half the logarithm of the determinant of their covariance: a Gaussian's entropy, but for a constant.

    Args:
        values: [samples, width].
        groups: of each sample, [samples], int64; those below 0 are in none.
        count: of the groups; one with fewer than two samples is left out.

    Returns:
        A scalar; 0 where no group has two samples.
    """
    found = []
    for group in range(count):
        rows = values[groups == group].float()
        if len(rows) < 2:
            continue
        centred = rows - rows.mean(dim=0)
        covariance = centred.T @ centred / len(rows)
        ridge = RIDGE * torch.eye(rows.shape[1], device=rows.device)
        found.append(0.5 * torch.linalg.slogdet(covariance + ridge).logabsdet)
    return torch.stack(found).mean() if found else values.sum() * 0


class RecentRows(nn.Module):
    """The last training samples' values and groups, without gradients."""

    values: Tensor
    groups: Tensor

    def __init__(self, rows: int, width: int) -> None:
        """``rows``: how many are kept; ``width``: of their values."""
        super().__init__()
        self.register_buffer("values", torch.zeros(rows, width))
        self.register_buffer("groups", torch.full((rows,), -1))  # none yet

    @property
    def full(self) -> bool:
        """Whether as many samples were met as are kept."""
        return bool((self.groups >= 0).all())

    def join(self, values: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
        """Those of the batch, and behind them the kept ones.

        Args:
            values: [batch, width].
            groups: [batch], int64.
        """
        return torch.cat([values, self.values.to(values.dtype)]), torch.cat([groups, self.groups])

    @torch.no_grad()
    def keep(self, values: Tensor, groups: Tensor) -> None:
        """Takes samples in, for the oldest.

        Args:
            values: [samples, width].
            groups: [samples], int64.
        """
        size = len(self.values)
        self.values.copy_(torch.cat([self.values, values.detach().to(self.values.dtype)])[-size:])
        self.groups.copy_(torch.cat([self.groups, groups])[-size:])
