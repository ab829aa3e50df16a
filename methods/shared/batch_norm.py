"""Batch norm for batches that may hold one sample, or none that has a modality."""

from __future__ import annotations

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
