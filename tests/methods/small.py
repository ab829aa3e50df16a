"""The smallest encoder, for tests of mechanisms that do not depend on what encodes."""

from __future__ import annotations

from mmbench.methods.shared.vector_encoder import masked_mean_over_steps
from torch import Tensor, nn


class MeanNetwork(nn.Module):
    """Two linear layers on the mean of the valid steps, without dropout."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, 32), nn.ReLU(), nn.Linear(32, width))

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        return self.layers(masked_mean_over_steps(features, valid))
