"""Numbers as positions in bins, so that a linear layer can bend at every edge, as a tree can (Gorishniy, Rubachev & Babenko
2022, "On Embeddings for Numerical Features in Tabular Deep Learning": piecewise linear encoding)."""

from __future__ import annotations

import torch
from torch import Tensor

#: The eighths of a standard normal distribution, and 2.2 on both sides. The paper takes quantiles of the training data; a
#: network of mmbench is built before it sees any, and features are standardised.
EDGES = (-2.2, -1.1503, -0.6745, -0.3186, 0.0, 0.3186, 0.6745, 1.1503, 2.2)
BINS = len(EDGES) - 1
#: How many widths of an outer bin a number may lie beyond it: what is farther out is read as that far.
BEYOND = 3.0


def piecewise_linear(values: Tensor) -> Tensor:
    """How far each number has come through each bin: 0 before it, 1 behind it, linear inside; the outer two go on.

    Args:
        values: [batch, column], in standard deviations or about that.

    Returns:
        [batch, column * BINS], of the type of ``values``, from -``BEYOND`` to ``BEYOND``.
    """
    edges = torch.tensor(EDGES, dtype=values.dtype, device=values.device)
    low, high = torch.zeros_like(edges[1:]), torch.ones_like(edges[1:])
    low[0], high[-1] = -BEYOND, BEYOND
    places = (values.unsqueeze(-1) - edges[:-1]) / (edges[1:] - edges[:-1])
    return places.clamp(low, high).flatten(1)
