"""Parts of methods against imbalance between modalities: a head for each, and the parameters of each encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from .networks import Encoders, SharedNetworkParams


@dataclass(frozen=True)
class UnimodalHeadParams(SharedNetworkParams):
    """The size of the shared network, for ``heads.WithHeads`` on the embeddings of the branches.

    A uni-modal head is of the kind of the fused one.
    """

    whole_network: ClassVar[bool] = False
    unimodal_width: ClassVar[int] = 0


def encoder_parameters(encoders: Encoders) -> list[list[nn.Parameter]]:
    """The trained parameters of each modality's encoder, but for those of an encoder of raw media that is tuned along."""
    return [
        [p for name, p in part.named_parameters() if p.requires_grad and not name.startswith("media.")]
        for part in encoders.parts
    ]


class StepLengths(nn.Module):
    """Shortens what the optimiser did to parts of a network: a factor for each part, behind any optimiser.

    A module without parameters, so that a checkpoint in the middle of a step holds what it noted.
    """

    def __init__(self) -> None:
        super().__init__()
        self._before: list[list[Tensor]] = []
        self._factors: list[Tensor] = []  # of each batch of the step

    def note(self, parts: Sequence[Sequence[nn.Parameter]], factors: Tensor) -> None:
        """Called for each batch, before the optimiser's step.

        Args:
            parts: the parameters of each part.
            factors: [part], in [0, 1]; of several batches for a step their mean counts.
        """
        if not self._before:
            self._before = [[p.detach().clone() for p in part] for part in parts]
        self._factors.append(factors.detach())

    @torch.no_grad()
    def shorten(self, parts: Sequence[Sequence[nn.Parameter]]) -> None:
        """Called behind the optimiser's step: takes back a share of it, 1 - factor of the part.

        Args:
            parts: as in ``note``; nothing happens where that was not called.
        """
        if self._before:
            factors = torch.stack(self._factors).mean(dim=0)
            for part, before, factor in zip(parts, self._before, factors, strict=True):
                for p, old in zip(part, before, strict=True):
                    p.copy_(old + factor * (p - old))
        self._before, self._factors = [], []
