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
