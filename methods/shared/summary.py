"""Summary statistics of a sample's modalities: what estimators read in the place of sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ...datasets.batch import Batch
from .networks import available
from .statistics import observed_share, observed_statistics, statistics


def summary(batch: Batch, partly_observed: Sequence[str] = ()) -> Tensor:
    """The summary of every sample, float32 [samples, columns].

    For each modality in order: mean, standard deviation (ddof = 0), minimum, maximum and last value of every feature
    over the valid steps, the number of valid steps, and whether the modality is there. Where it is not, all of them
    are 0. Of a modality that can have one step alone the values themselves are all there is to say.

    Where a batch says which entries of a modality were observed, its statistics are over those; and of the modalities
    that are ``partly_observed`` the share of steps at which each feature was observed is added.

    Args:
        batch: the samples.
        partly_observed: as in the method's ``Spec``, which decides the number of columns.
    """
    columns: list[Tensor] = []
    for name in batch.modalities:
        there = available(batch, name)
        mask = batch.mask[name] & there[:, None]
        entries = batch.observed_entries(name)
        values = batch.features[name].float().where(entries, 0)
        share = [observed_share(entries, mask)] if name in partly_observed else []
        if values.shape[1] == 1:
            columns += [values[:, 0], *share, there[:, None].float()]
            continue
        partly = name in partly_observed or name in batch.observed
        columns += [
            observed_statistics(values, entries, floor=0.0)
            if partly
            else statistics(values, mask, floor=0.0),
            *share,
            mask.sum(1, keepdim=True).float(),
            there[:, None].float(),
        ]
    return torch.cat(columns, 1)


def standardization(columns: Tensor) -> dict[str, Tensor]:
    """Mean and standard deviation of the training summary, as tensors of an estimator.

    Args:
        columns: [samples, columns].

    Returns:
        ``mean`` and ``scale``, float32 [columns]; the scale of a constant column is 1.
    """
    scale = columns.std(0, correction=0)
    return {"mean": columns.mean(0), "scale": scale.where(scale > 1e-6, 1.0)}


def standardized(columns: Tensor, learned: Mapping[str, Tensor]) -> Tensor:
    """The summary with the mean 0 and the standard deviation 1 that its training samples had.

    Args:
        columns: [samples, columns].
        learned: what ``standardization`` returned.
    """
    return (columns - learned["mean"]) / learned["scale"]
