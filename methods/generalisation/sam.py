"""SAM: sharpness-aware minimisation (Foret et al., ICLR 2021, arXiv 2010.01412)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...datasets.batch import Batch
from ..erm import ERM
from ..method import searched
from ..shared.networks import SharedNetworkParams


@dataclass(frozen=True)
class SAMParams(SharedNetworkParams):
    """The radius, and the size of the shared network."""

    rho: float = searched(
        0.05,
        choices=(0.01, 0.02, 0.05, 0.1, 0.2),
        least=0,
        source="arXiv 2606.00891; grid of SWAD's release (Cha et al. 2021), 0.2: our choice",
    )


class SAM(ERM):
    """ERM that descends by the gradient at the worst point near the weights.

    e = rho g / |g|, g the gradient at w over all weights (eq. 2 with p = 2); the step uses the gradient at w + e
    (eq. 3). Two passes a step; each draws its own dropout.
    """

    Params = SAMParams
    version = 1
    kinds: ClassVar[tuple[str, ...]] = ("regression", "classification", "multi-label")
    departures: ClassVar[Mapping[str, str] | None] = {}
    params: SAMParams

    def backward(self, batch: Batch) -> dict[str, Tensor]:
        """The gradient at w + e; the terms are those at w."""
        terms = super().backward(batch)
        moved = [p for p in self.parameters() if p.grad is not None]
        own = [p.detach().clone() for p in moved]
        climb(moved, self.params.rho)
        self.zero_grad()
        super().backward(batch)
        with torch.no_grad():
            for p, value in zip(moved, own, strict=True):
                p.copy_(value)
        return {name: value.detach() for name, value in terms.items()}


@torch.no_grad()
def climb(parameters: list[torch.nn.Parameter], rho: float) -> None:
    """Moves parameters along their gradient, in place, by a step whose length over all of them is given.

    Args:
        parameters: those that are trained, each with a gradient.
        rho: the length of the step (Euclidean norm), at least 0.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    length = torch.stack([g.square().sum() for g in gradients]).sum().sqrt()
    for p, g in zip(parameters, gradients, strict=True):
        p.add_(g * (rho / (length + 1e-12)))
