"""Fusion by the outer product of vectors with a 1 before each (Zadeh et al. 2017), whole or of low rank (Liu et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ...datasets.batch import Spec


def with_one(vector: Tensor) -> Tensor:
    """[batch, width] -> [batch, 1 + width], a 1 before it."""
    return torch.cat([torch.ones_like(vector[:, :1]), vector], dim=1)


def outer_with_one(vectors: Sequence[Tensor]) -> Tensor:
    """The outer product of [1; h_m] over m, as one vector: it holds every product of entries of any subset of the vectors.

    Args:
        vectors: h_m, [batch, width of m], in order.

    Returns:
        [batch, product of (1 + width of m)]; the index of the last vector runs fastest.
    """
    product = with_one(vectors[0])
    for vector in vectors[1:]:
        product = (product.unsqueeze(2) * with_one(vector).unsqueeze(1)).flatten(1)
    return product


class LowRankTensor(nn.Module):
    """A linear map of ``outer_with_one`` whose tensor is a weighted sum of products of factors; it is never built.

    y = sum_r w_r prod_m ([1; h_m] F_m^r) + b, F_m of shape [rank, 1 + width of m, outputs].
    """

    def __init__(self, widths: Sequence[int], rank: int, outputs: int, weights_trained: bool = True) -> None:
        """Builds the factors, by Xavier's normal rule; b is 0.

        Args:
            widths: of the vectors, in order.
            rank: the number of products.
            outputs: the width of y.
            weights_trained: whether w and b are trained.
        """
        super().__init__()
        self.factors = nn.ParameterList(
            nn.init.xavier_normal_(torch.empty(rank, 1 + width, outputs)) for width in widths
        )
        self.weights = nn.Parameter(
            nn.init.xavier_normal_(torch.empty(1, rank)), requires_grad=weights_trained
        )
        self.bias = nn.Parameter(torch.zeros(outputs), requires_grad=weights_trained)

    def products(self, vectors: Sequence[Tensor]) -> Tensor:
        """prod_m ([1; h_m] F_m^r), [rank, batch, outputs], of h_m [batch, width of m]."""
        found = torch.matmul(with_one(vectors[0]), self.factors[0])
        for vector, factor in zip(vectors[1:], self.factors[1:], strict=True):
            found = found * torch.matmul(with_one(vector), factor)
        return found

    def forward(self, vectors: Sequence[Tensor]) -> Tensor:
        """[batch, outputs], of h_m [batch, width of m], in order."""
        return self.weighted(self.products(vectors))

    def weighted(self, products: Tensor) -> Tensor:
        """sum_r w_r x_r + b, [batch, outputs], of what ``products`` gives."""
        return torch.einsum("r,rbo->bo", self.weights[0], products) + self.bias


def bounded(raw: Tensor, spec: Spec, how: Literal["bounded", "linear", "released"]) -> Tensor:
    """Scores within a range.

    Args:
        raw: [..., outputs].
        spec: its range of labels bounds the scores; classes, and scores of no known range, stay as they are.
        how: ``bounded``: low + (high - low) sigmoid(raw); ``linear``: raw; ``released``: 6 sigmoid(raw) - 3, whatever the range.
    """
    if spec.kind != "regression" or how == "linear":
        return raw
    limits = (-3.0, 3.0) if how == "released" else spec.label_range
    if limits is None:
        return raw
    return limits[0] + (limits[1] - limits[0]) * raw.sigmoid()
