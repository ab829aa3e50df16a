"""Batch norm for batches that may hold one sample, or none that has a modality."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F


class BatchNorm(nn.BatchNorm1d):
    """``nn.BatchNorm1d`` over rows, which in training takes fewer than two rows by its running statistics.

    One row has no variance: ``nn.BatchNorm1d`` raises an error for it.
    """

    def forward(self, input: Tensor) -> Tensor:
        """[n, width] -> [n, width]; n may be 0."""
        if self.training and len(input) < 2:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(input)


def on_known(part: Callable[[Tensor], Tensor], rows: Tensor, known: Tensor) -> Tensor:
    """What a module that normalises over the batch says of the rows that are known; it sees no others.

    Args:
        part: [n, inputs] -> [n, outputs].
        rows: [batch, inputs].
        known: [batch], bool.

    Returns:
        [batch, outputs], 0 where a row is not known.
    """
    said = part(rows[known])
    mask = known.unsqueeze(1).expand(-1, said.shape[1])
    return said.new_zeros(mask.shape).masked_scatter(mask, said)
