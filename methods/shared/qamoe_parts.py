"""Parts of QA-MoE: gated experts, sparse routing, the damage of its training, and the terms of its loss."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from ...datasets.batch import Batch
from ..losses import masked_mean
from .contrast import anchor_terms_of_pairs
from .networks import known_modalities

#: The chance that a whole modality is taken away from a sample in training.
WHOLE = 0.15


class Experts(nn.Module):
    """A bank of gated linear units: E_j(z) = W3_j ((W1_j z) * sigmoid(W2_j z)), each map [width, width] without a bias."""

    def __init__(self, count: int, width: int) -> None:
        """Builds the bank.

        Args:
            count: of experts.
            width: of what they read and write.
        """
        super().__init__()
        bound = 1 / math.sqrt(width)
        self.weights = nn.Parameter(torch.empty(3, count, width, width).uniform_(-bound, bound))

    def forward(self, read: Tensor, gates: Tensor) -> Tensor:
        """The gated sum over the experts.

        Args:
            read: [batch, modality, width].
            gates: [batch, modality, expert].

        Returns:
            [batch, modality, width].
        """
        first, second, third = self.weights
        value = torch.einsum("bmd,edh->bmeh", read, first)
        opened = torch.einsum("bmd,edh->bmeh", read, second).sigmoid()
        # The last map is linear: gates may weigh what it reads.
        return torch.einsum("bmeh,ehd->bmd", value * opened * gates.unsqueeze(-1), third)


def top_gates(probability: Tensor, top: int) -> Tensor:
    """The largest probabilities, divided by their sum.

    Args:
        probability: [..., expert], in [0, 1].
        top: how many stay, at most the number of experts.

    Returns:
        [..., expert]; 0 for the others.
    """
    values, chosen = probability.topk(top, dim=-1)
    return torch.zeros_like(probability).scatter(-1, chosen, values / values.sum(dim=-1, keepdim=True))


def balance(probability: Tensor, gates: Tensor, known: Tensor) -> Tensor:
    """E sum_j f_j P_j over the known modalities of all samples: 1 where all experts are used alike, more where some are
    used more (Shazeer et al. 2017, in the form of Fedus et al. 2022).

    Args:
        probability: [batch, modality, expert], before the choice.
        gates: the same after it; f_j is the share of all that is chosen which falls to expert j.
        known: [batch, modality], bool.

    Returns:
        A scalar; 0 where nothing is known.
    """
    there = known.unsqueeze(-1)
    used = ((gates > 0) & there).sum(dim=(0, 1)).to(probability.dtype)
    mean = probability.where(there, 0).sum(dim=(0, 1)) / known.sum().clamp(min=1)
    return probability.shape[-1] * (used / used.sum().clamp(min=1) * mean).sum()


def spread(batch: Batch, modality: str) -> Tensor:
    """How far the features of a sample move from step to step, [batch]: the mean over features of log(1 + their standard
    deviation over the valid steps). 0 for a single step, and for an absent modality.

    Args:
        batch: the samples; of a modality that is partly observed its observed entries are read.
        modality: its name; one whose raw media the batch holds has none.
    """
    there = batch.observed_entries(modality)
    values = batch.features[modality].where(there, 0)
    count = there.sum(dim=1)
    mean = values.sum(dim=1) / count.clamp(min=1)
    squares = (values - mean.unsqueeze(1)).square().where(there, 0).sum(dim=1)
    return (squares / count.clamp(min=1)).sqrt().log1p().mean(dim=1)


def damaged(batch: Batch, largest: float, whole_batch: bool, skipped: tuple[str, ...] = ()) -> Batch:
    """The batch with noise on its features and modalities taken away, drawn anew from torch's generator.

    Args:
        batch: as it is given; it is left as it was.
        largest: the largest standard deviation of the noise.
        whole_batch: as published: one strength lambda in [0, ``largest``] and one rate in [0, 1] for all samples and
            modalities. Otherwise each modality of each sample has a strength of its own, 0 or in [0, ``largest``], evenly
            likely, and is taken away with probability ``WHOLE``. No sample loses all that it has.
        skipped: modalities whose features are raw media: no noise is added to them.
    """
    count, names, device = len(batch), batch.modalities, batch.target.device
    if whole_batch:
        strength = largest * torch.rand(1, 1, device=device).expand(count, len(names))
        gone = torch.rand(count, len(names), device=device) < torch.rand(1, device=device)
    else:
        strength = largest * torch.rand(count, len(names), device=device)
        strength = strength * (torch.rand(count, len(names), device=device) < 0.5)
        gone = torch.rand(count, len(names), device=device) < WHOLE
    features = dict(batch.features)
    for place, name in enumerate(names):
        if name not in skipped:
            values = batch.features[name]
            features[name] = values + strength[:, place].view(-1, 1, 1) * torch.randn_like(values)
    there = known_modalities(batch, names)
    left = there & ~gone
    # One that every sample keeps is drawn, so that none is favoured.
    kept = torch.rand(left.shape, device=device).masked_fill(~there, -1).argmax(dim=1, keepdim=True)
    left = left | (there & ~left.any(dim=1, keepdim=True) & torch.zeros_like(left).scatter(1, kept, True))
    noisy = replace(batch, features=features).with_observed(batch.observed)
    return noisy.with_present(
        {name: batch.present[name] & left[:, place] for place, name in enumerate(names)}
    )


def near_labels(features: Tensor, target: Tensor, nearest: float, temperature: float) -> Tensor:
    """Supervised contrast whose positives are the samples with a near label, a scalar; 0 where no sample has one.

    Args:
        features: [batch, width]; normalised here.
        target: [batch], scores or classes.
        nearest: two labels are near whose distance is below it.
        temperature: divides the similarities, above 0.
    """
    near = (target.unsqueeze(1) - target).abs() < nearest
    return masked_mean(*anchor_terms_of_pairs(features, torch.ones_like(target).bool(), near, temperature))
