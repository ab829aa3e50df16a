"""The network for a modality that is one vector a sample, and what networks over steps share with it."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from .dropout import dropout

HIDDEN = 128
#: Chosen on validation data alone, see docs/methods.md, "The default network".
RATE = 0.3


def masked_mean_over_steps(values: Tensor, valid: Tensor) -> Tensor:
    """The mean over the valid steps; 0 where there is none.

    Args:
        values: [batch, time, feature]; what lies at invalid steps is never read.
        valid: [batch, time], bool.

    Returns:
        [batch, feature].
    """
    steps = valid.unsqueeze(-1)
    return values.where(steps, 0).sum(1) / steps.sum(1).clamp(min=1)


class VectorEncoder(nn.Module):
    """A residual network: linear, a pre-norm block of two linear layers, layer norm, ReLU, linear; with dropout.

    It reads the mean of the valid steps, so that a batch with more steps than training data can be encoded.
    """

    def __init__(self, features: int, width: int, hidden: int = HIDDEN, rate: float = RATE) -> None:
        """Builds the network.

        Args:
            features: of the input.
            width: of the embedding.
            hidden: width between them.
            rate: of dropout; half of it on the input.
        """
        super().__init__()
        self.rate = rate
        self.enter = nn.Linear(features, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.inner = nn.Linear(hidden, 2 * hidden)
        self.outer = nn.Linear(2 * hidden, hidden)
        self.last_norm = nn.LayerNorm(hidden)
        self.leave = nn.Linear(hidden, width)

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        """Encodes; what lies at invalid steps is never read.

        Args:
            features: [batch, time, feature] of any float type.
            valid: [batch, time], bool.

        Returns:
            [batch, width].
        """
        return self.encode(masked_mean_over_steps(features.to(self.enter.weight.dtype), valid))

    def encode(self, vector: Tensor) -> Tensor:
        """[batch, feature] -> [batch, width]."""
        hidden = self.enter(dropout(vector, self.rate / 2, self.training))
        inner = dropout(F.relu(self.inner(self.norm(hidden))), self.rate, self.training)
        hidden = hidden + dropout(self.outer(inner), self.rate, self.training)
        return self.leave(dropout(F.relu(self.last_norm(hidden)), self.rate, self.training))
