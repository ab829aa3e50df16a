"""Prompts: learned tokens that embeddings attend to, and what is learned about them.

Stacked means [batch, modality, ...]. T is the number of prompts, d the width.
"""

from __future__ import annotations

import math
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..losses import masked_mean


class Attention(nn.Module):
    """softmax(Q k / sqrt d) V with one head: linear maps of queries, keys and values."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """Attends.

        Args:
            queries: [..., queries, d].
            tokens: keys and values, [..., tokens, d].

        Returns:
            [..., queries, d].
        """
        scores = self.query(queries) @ self.key(tokens).mT / math.sqrt(queries.shape[-1])
        return scores.softmax(dim=-1) @ self.value(tokens)


class PrivatePrompts(nn.Module):
    """Shared prompts P [T, d], and each modality's own ones P_m = P + U_m V_m P, U_m [T, rank] and V_m [rank, T]."""

    def __init__(self, modalities: int, prompts: int, width: int, rank: int) -> None:
        """Builds the prompts.

        Args:
            modalities: how many.
            prompts: T.
            width: d.
            rank: of what makes a modality's own; 0: all have the shared ones.
        """
        super().__init__()
        self.modalities = modalities
        self.shared = nn.Parameter(torch.randn(prompts, width) / math.sqrt(width))
        self.rank = rank
        if rank:
            self.left = nn.Parameter(0.1 * torch.randn(modalities, prompts, rank))
            self.right = nn.Parameter(0.1 * torch.randn(modalities, rank, prompts))

    def difference(self) -> Tensor:
        """P_m - P, [modality, T, d]."""
        if not self.rank:
            return torch.zeros_like(self.shared).expand(self.modalities, -1, -1)
        return self.left @ self.right @ self.shared

    def forward(self) -> Tensor:
        """P_m, [modality, T, d]."""
        return self.shared + self.difference()

    def apart(self) -> Tensor:
        """A scalar: what is private is to be orthogonal to what is shared and to the others', and to be 0 in the mean.

        mean_m ||N(P_m - P) N(P)^T||^2 / T^2 + mean_(m<n) ||N(P_m - P) N(P_n - P)^T||^2 / T^2 + ||mean_m P_m - P||^2 / (T d),
        N having rows of length 1.
        """
        own = self.difference()
        rows = F.normalize(own, dim=-1, eps=1e-6)
        loss = (rows @ F.normalize(self.shared, dim=-1, eps=1e-6).mT).square().mean()
        pairs = list(combinations(range(self.modalities), 2))
        if pairs:
            loss = loss + torch.stack([(rows[m] @ rows[n].mT).square().mean() for m, n in pairs]).mean()
        return loss + own.mean(0).square().mean()


def binary_by_gain(logits: Tensor, gain: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy of [gain > 0], each weighed by the size of its gain: near-ties are noise. A scalar.

    Args:
        logits: [batch, modality].
        gain: alike, without gradient.
        mask: bool, where there is one.
    """
    size = gain.abs().where(mask, 0)
    errors = F.binary_cross_entropy_with_logits(logits, (gain > 0).to(logits.dtype), reduction="none")
    return (size * errors).sum() / size.sum().clamp(min=1e-8)


def pairwise_contrast(scores: Tensor, valid: Tensor) -> Tensor:
    """InfoNCE over the batch (van den Oord et al. 2018, eq. 4) of given scores, a scalar; 0 for a batch of one.

    Args:
        scores: [anchor, key, ...]: of every anchor with every sample's key; its own is the positive.
        valid: [batch, ...], bool; others are neither anchors nor keys.
    """
    lowest = torch.finfo(scores.dtype).min / 2
    logits = scores.where(valid.unsqueeze(0), lowest)
    positive = torch.diagonal(scores, dim1=0, dim2=1).movedim(-1, 0)
    return masked_mean(logits.logsumexp(dim=1) - positive, valid)
