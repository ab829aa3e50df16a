"""Summary statistics of a sample's modalities: what estimators read in the place of sequences."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ...datasets.batch import Batch
from .networks import available
from .statistics import statistics


def summary(batch: Batch) -> Tensor:
    """The summary of every sample, float32 [samples, columns].

    For each modality in order: mean, standard deviation (ddof = 0), minimum, maximum and last value of every feature
    over the valid steps, the number of valid steps, and whether the modality is there. Where it is not, all of them
    are 0. Of a modality that can have one step alone the values themselves are all there is to say.
    """
    columns: list[Tensor] = []
    for name in batch.modalities:
        there = available(batch, name)
        mask = batch.mask[name] & there[:, None]
        values = batch.features[name].float().where(mask[..., None], 0)
        if values.shape[1] == 1:
            columns += [values[:, 0], there[:, None].float()]
            continue
        columns += [
            statistics(values, mask, floor=0.0),
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
