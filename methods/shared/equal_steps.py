"""Sequences of one number of steps, for networks that read steps of all modalities side by side or by their place."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...datasets.batch import Batch, Spec
from .networks import Encoders


def steps_as_they_are(spec: Spec, encoders: Encoders) -> tuple[str, ...]:
    """Takes the encoders of sequences away, whose steps are read as they are.

    Args:
        spec: of the task.
        encoders: of its modalities.

    Returns:
        The modalities that keep theirs: waveforms, and media whose encoder is trained along. They are one vector.
    """
    vectors = tuple(m for m in encoders.names if m in spec.tuned or spec.encoders.get(m) == "cnn1d")
    for i, name in enumerate(encoders.names):
        if name not in vectors:
            encoders.parts[i] = nn.Identity()
    return vectors


def sizes_of_steps(spec: Spec, encoders: Encoders, width: int) -> dict[str, int]:
    """Modality -> numbers in a step of what ``equal_steps`` gives.

    Args:
        spec: of the task.
        encoders: after ``steps_as_they_are``.
        width: of an embedding of the encoders that are left.
    """
    return {
        name: spec.modalities[name] * (2 if name in encoders.partly_observed else 1)
        if isinstance(part, nn.Identity)
        else width
        for name, part in zip(encoders.names, encoders.parts, strict=True)
    }


def equal_steps(
    encoders: Encoders, modality: str, batch: Batch, steps: int, vector: bool, dtype: torch.dtype
) -> Tensor:
    """The steps of a modality, [batch, steps, feature]; 0 where it is absent.

    Args:
        encoders: after ``steps_as_they_are``.
        modality: its name.
        batch: the samples.
        steps: how many steps are wanted.
        vector: whether it is one of those that keep their encoder: its embedding is then every step.
        dtype: of the network that reads them.
    """
    features, valid = encoders.inputs(batch, modality)
    if vector:
        embedding = encoders(modality, features, valid).where(valid.any(dim=1, keepdim=True), 0)
        return embedding.unsqueeze(1).expand(-1, steps, -1)
    return shares(features.to(dtype), valid, steps)


def shares(features: Tensor, valid: Tensor, steps: int) -> Tensor:
    """Means over ``steps`` equal shares of the valid steps, as adaptive average pooling takes them of these alone.

    Args:
        features: [batch, time, feature]; what lies at invalid steps is never read.
        valid: [batch, time], bool.
        steps: how many shares; of a sequence with fewer valid steps some are in several.

    Returns:
        [batch, steps, feature], 0 where no step is valid.
    """
    order = (~valid).to(torch.int8).argsort(dim=1, stable=True).unsqueeze(-1).expand_as(features)
    clean = features.where(valid.unsqueeze(-1), 0).gather(1, order)
    sums = torch.cat([torch.zeros_like(clean[:, :1]), clean.cumsum(dim=1)], dim=1)
    number, share = valid.sum(dim=1, keepdim=True), torch.arange(steps, device=valid.device)
    first = share * number // steps
    last = -(-(share + 1) * number // steps)
    found = [sums.gather(1, x.unsqueeze(-1).expand(-1, -1, sums.shape[2])) for x in (first, last)]
    return (found[1] - found[0]) / (last - first).clamp(min=1).unsqueeze(-1)
