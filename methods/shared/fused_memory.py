"""LSTM cells side by side and the gated memory over them, of MFN and Graph-MFN (Zadeh et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Hidden:
    """A hidden layer: its width, and the rate of dropout behind it."""

    width: int
    dropout: float


def two_layers(features: int, hidden: Hidden, outputs: int) -> nn.Sequential:
    """W_2 drop(ReLU(W_1 x)).

    Args:
        features: of the input.
        hidden: the layer between.
        outputs: how many.
    """
    return nn.Sequential(
        nn.Linear(features, hidden.width),
        nn.ReLU(),
        nn.Dropout(hidden.dropout),
        nn.Linear(hidden.width, outputs),
    )


class Cells(nn.Module):
    """An LSTM cell for each modality."""

    def __init__(self, features: Sequence[int], hidden: Sequence[int]) -> None:
        """Builds the cells.

        Args:
            features: of a step of each modality.
            hidden: width of the cell of each.
        """
        super().__init__()
        self.cells = nn.ModuleList(nn.LSTMCell(n, h) for n, h in zip(features, hidden, strict=True))

    def forward(self, sequences: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Runs them.

        Args:
            sequences: [batch, steps, feature] of each modality.

        Returns:
            Outputs and states of each, [batch, 1 + steps, hidden], zeros first.
        """
        found: tuple[list[Tensor], list[Tensor]] = ([], [])
        for cell, sequence in zip(self.cells, sequences, strict=True):
            hidden = cast(nn.LSTMCell, cell).hidden_size
            state = (sequence.new_zeros(len(sequence), hidden),) * 2
            states = [state]
            for step in sequence.unbind(1):
                states.append(cell(step, states[-1]))
            for kept, values in zip(found, zip(*states, strict=True), strict=True):
                kept.append(torch.stack(values, dim=1))
        return found


class GatedMemory(nn.Module):
    """u <- sigmoid(K [x; u]) u + sigmoid(W [x; u]) tanh(P x), with two layers in each of K, W and P, over the steps."""

    def __init__(self, features: int, width: int, proposal: Hidden, keep: Hidden, write: Hidden) -> None:
        """Builds the layers.

        Args:
            features: of what is seen at a step, x.
            width: of the memory, u.
            proposal: hidden layer of P.
            keep: of K.
            write: of W.
        """
        super().__init__()
        self.width = width
        self.proposal = two_layers(features, proposal, width)
        self.keep = two_layers(features + width, keep, width)
        self.write = two_layers(features + width, write, width)

    def forward(self, seen: Tensor) -> Tensor:
        """[batch, steps, feature] -> u after the last step, [batch, width]."""
        memory = seen.new_zeros(len(seen), self.width)
        for x, proposed in zip(seen.unbind(1), self.proposal(seen).tanh().unbind(1), strict=True):
            both = torch.cat([x, memory], dim=-1)
            memory = self.keep(both).sigmoid() * memory + self.write(both).sigmoid() * proposed
        return memory
