"""The backbone of ProMMA and MPLMM, and how what is seen of a sample is put together.

``encoded`` is [batch, modality, width], ``seen`` [batch, modality] bool: what else stands in ``encoded`` is never read.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ...datasets.batch import Batch, Spec
from .networks import Encoders, available, fusion_head

#: Width of the hidden layer of generators and evaluators.
HIDDEN = 128
#: By how much the moments of embeddings follow those of a batch.
MOMENTUM = 0.1


class Backbone(nn.Module):
    """A scale for the embeddings, a learned vector for each absent modality, and a fusion head: with the encoders, what
    stage 0 trains and then judges."""

    mean: Tensor
    deviation: Tensor
    followed: Tensor

    def __init__(self, spec: Spec, width: int) -> None:
        super().__init__()
        self.absent = nn.Parameter(0.02 * torch.randn(len(spec.modalities), width))
        self.head = fusion_head(spec, width)
        self.names = tuple(spec.modalities)
        self.register_buffer("mean", torch.zeros(len(self.names), width))
        self.register_buffer("deviation", torch.ones(len(self.names), width))
        self.register_buffer("followed", torch.zeros(len(self.names), dtype=torch.bool))

    def standardise(self, embeddings: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """Standardised embeddings [batch, width] of some modalities: what is generated has one scale to hit.

        Args:
            embeddings: modality -> [batch, width], as the encoders give them.
            batch: the samples.
        """
        found = {}
        for name, x in embeddings.items():
            i = self.names.index(name)
            if self.training:
                self.follow(i, x.detach()[available(batch, name)])
            found[name] = (x - self.mean[i].clone()) / self.deviation[i].clone()  # they go on moving
        return found

    def follow(self, modality: int, rows: Tensor) -> None:
        """Moves a modality's mean and deviation towards those of a training batch's embeddings [rows, width]."""
        if len(rows) < 2:
            return
        share = torch.where(self.followed[modality], MOMENTUM, 1.0)
        deviation, mean = torch.std_mean(rows, dim=0)
        self.mean[modality].lerp_(mean, share)
        self.deviation[modality].lerp_(deviation.clamp(min=1e-3), share)
        self.followed[modality] = True

    def forward(self, encoded: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Raw outputs [batch, outputs], and what the head reads.

        Args:
            encoded: [batch, modality, width].
            seen: [batch, modality], bool.
        """
        fused = encoded.where(seen.unsqueeze(-1), self.absent).flatten(1)
        return self.head(fused), fused


class Judge(nn.Module):
    """What stage 0 trained, as it was at its end."""

    def __init__(self, encoders: Encoders, backbone: Backbone) -> None:
        super().__init__()
        self.encoders, self.backbone = encoders, backbone

    def freeze(self) -> Judge:
        """Ends its training; itself."""
        return self.requires_grad_(False).eval()


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two linear layers with a ReLU between them."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def what_is_seen(encoded: Tensor, seen: Tensor) -> Tensor:
    """Embeddings [batch, modality, width] side by side, 0 where not seen, and the pattern [batch, modality]."""
    return torch.cat([encoded.where(seen.unsqueeze(-1), 0).flatten(1), seen.to(encoded.dtype)], dim=1)


def mean_of(values: Tensor, seen: Tensor) -> Tensor:
    """The mean of values [batch, modality, width] over the modalities that are seen [batch, modality]; 0 without any."""
    flags = seen.unsqueeze(-1)
    return values.where(flags, 0).sum(dim=1) / flags.sum(dim=1).clamp(min=1)
