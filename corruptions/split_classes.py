"""What damage that depends on targets or values has to know of a whole split."""

from __future__ import annotations

import torch
from torch import Tensor


def classes_of(target: Tensor) -> Tensor:
    """The class of each sample.

    Args:
        target: [samples] int64 (classes) or float (scores), or [samples, labels].

    Returns:
        [samples], int64, from 0: the class; of scores 1 above their median and 0 elsewhere; of several labels a number
        for each combination.
    """
    if target.ndim == 2:
        return target.unique(dim=0, return_inverse=True)[1]
    if target.is_floating_point():
        return (target > target.median()).long()
    return target.unique(return_inverse=True)[1]


def rank_of(values: Tensor) -> Tensor:
    """[samples], float64 in (0, 1): the rank of each of some values [samples], (place + 1/2) / samples in ascending order. Equal
    values share their mean rank, so that the mean of all is 1/2."""
    _, inverse, count = values.unique(return_inverse=True, return_counts=True)
    ends = count.cumsum(0).double()
    return ((ends - count.double() / 2) / len(values))[inverse]


def rows_of(wanted: Tensor, known: Tensor) -> Tensor:
    """[wanted], int64: where ids [wanted] stand among others [known]; -1 where they do not."""
    order = known.argsort()
    places = torch.searchsorted(known[order], wanted).clamp(max=len(known) - 1)
    rows = order[places]
    return rows.where(known[rows] == wanted, -1)
