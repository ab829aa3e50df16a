"""What methods share that compare the source domains of a batch."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import torch
from torch import Tensor


def domain_means(values: Tensor, domain: Tensor, domains: int) -> tuple[Tensor, Tensor]:
    """The mean of ``values`` in each domain, and which domains the batch has.

    Args:
        values: [batch].
        domain: [batch], int64 in [0, ``domains``).
        domains: number of source domains.

    Returns:
        [domains], 0 where the batch has no sample of the domain; and [domains], bool.
    """
    members = domain == torch.arange(domains, device=domain.device).unsqueeze(1)
    count = members.sum(dim=1)
    return values.where(members, 0).sum(dim=1) / count.clamp(min=1), count > 0


def squared_domain_means(values: Tensor, domain: Tensor, domains: int) -> tuple[Tensor, Tensor]:
    """The square of the expected value in each domain, without bias: the mean of v_i v_j over its pairs i != j.

    The square of the batch's mean would be too large by the variance of that mean. This is also the mean, over all ways
    to halve the domain's samples, of the product of the two halves' means.

    Args:
        values: [batch].
        domain: [batch], int64 in [0, ``domains``).
        domains: number of source domains.

    Returns:
        [domains], of any sign, 0 where the batch has fewer than two samples of the domain; and [domains], bool, where it
        has two.
    """
    members = domain == torch.arange(domains, device=domain.device).unsqueeze(1)
    own, count = values.where(members, 0), members.sum(dim=1)
    pairs = own.sum(dim=1).square() - own.square().sum(dim=1)
    several = count > 1
    return (pairs / (count * (count - 1)).clamp(min=1)).where(several, 0), several


def mean_over_pairs(
    distance: Callable[[Tensor, Tensor], Tensor], features: Tensor, domain: Tensor, least: int = 1
) -> Tensor:
    """The mean ``distance`` between the features of two domains, over all pairs of domains of the batch.

    Args:
        distance: from features [n, width] and [m, width] to a scalar.
        features: [batch, width].
        domain: [batch], int64.
        least: samples that a domain needs to take part.

    Returns:
        A scalar, 0 where fewer than two domains take part.
    """
    groups = [features[domain == d] for d in domain.unique()]
    pairs = combinations([group for group in groups if len(group) >= least], 2)
    distances = [distance(one, other) for one, other in pairs]
    return torch.stack(distances).mean() if distances else features.new_zeros(())
