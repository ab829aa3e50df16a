"""A bank of what the last training samples had, for controls that give a sample something of another one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...datasets.batch import Batch

#: Rows that a bank holds.
ROWS = 256


class Bank(nn.Module):
    """Values of another sample: of the batch in training, and afterwards of the last training samples.

    Which one is drawn by the sample's id, so that a prediction depends on no other sample that is predicted.
    """

    rows: Tensor
    filled: Tensor

    def __init__(self, *shape: int) -> None:
        """``shape``: of the values of a sample. Before the first training batch they are 0."""
        super().__init__()
        self.register_buffer("rows", torch.zeros(ROWS, *shape))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    def exchange(self, values: Tensor, batch: Batch) -> Tensor:
        """Values of other samples.

        Args:
            values: of the samples themselves, [batch, ...]; kept in training.
            batch: the samples.

        Returns:
            [batch, ...]; in training with gradients.
        """
        if not self.training:
            row = batch.stream(0, "bank").integers("row", self.filled.clamp(min=1))
            return self.rows[row].to(values.dtype)
        count = min(len(values), ROWS)
        with torch.no_grad():
            self.rows.copy_(torch.cat([values[:count].to(self.rows.dtype), self.rows])[:ROWS])
            self.filled.add_(count).clamp_(max=ROWS)
        return values[torch.randperm(len(values), device=values.device)]
