"""Sequences of one number of steps, for networks that read steps of all modalities side by side or by their place."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...datasets.batch import Batch, Spec
from .networks import Encoders, SharedNetworkParams, embedding_width, encoders


class StepEncoders(Encoders):
    """Sequences are read as they are, those of media as the encoder that is trained along makes them; waveforms, and media of
    which that encoder makes one vector, keep their encoder.

    Attributes:
        sizes: modality -> numbers in a step of what ``steps`` gives.
    """

    def __init__(self, spec: Spec, made: Encoders, width: int) -> None:
        """Takes over those that are kept.

        Args:
            spec: of the task.
            made: the encoders of its modalities.
            width: of an embedding of them.
        """
        parts = (
            part if name in made.raw else nn.Identity()
            for name, part in zip(made.names, made.parts, strict=True)
        )
        super().__init__(spec, lambda _: next(parts))
        for name in self.raw:
            if name not in self.vectors:
                self.read_steps(name, nn.Identity())
        self.sizes = {name: width if name in made.vectors else size for name, size in self.read.items()}

    def steps(self, modality: str, batch: Batch, steps: int, dtype: torch.dtype) -> Tensor:
        """The steps of a modality, [batch, steps, feature]; 0 where it is absent.

        Args:
            modality: its name.
            batch: the samples.
            steps: how many are wanted: means over equal shares of the valid ones; of one vector, it is every step.
            dtype: of the network that reads them.
        """
        features, valid = self.inputs(batch, modality)
        if modality in self.vectors:
            embedding = self(modality, features, valid).where(valid.any(dim=1, keepdim=True), 0)
            return embedding.unsqueeze(1).expand(-1, steps, -1)
        return shares(features.to(dtype), valid, steps)


def step_encoders(spec: Spec, params: SharedNetworkParams) -> StepEncoders:
    """The encoders of a method that reads steps.

    Args:
        spec: of the task.
        params: sizes of the encoders that are kept.
    """
    width = embedding_width(spec, params.width)
    made = encoders(spec, width, params.layers, params.released_encoder)
    return StepEncoders(spec, made, width)


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
