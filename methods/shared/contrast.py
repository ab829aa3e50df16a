"""Supervised contrast over samples and modalities, with its classes and its projection heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.batch import Spec
from ..losses import masked_mean

BASE_TEMPERATURE = 0.07  # Khosla et al. 2020; the loss is multiplied by tau / 0.07


def label_classes(target: Tensor, spec: Spec) -> Tensor:
    """The classes that contrast needs, [batch], int64: of a regression, on which side of neutral a label is.

    Neutral is the middle of ``spec.label_range`` (0 where it is not stated); 0 below it, 1 at it, 2 above it.
    MMDG-Bench takes the sign of sentiment labels, which is the same.
    """
    if spec.kind == "classification":
        return target
    low, high = spec.label_range or (0.0, 0.0)
    return (target - (low + high) / 2).sign().long() + 1


def supervised_contrast(views: Tensor, known: Tensor, classes: Tensor, temperature: float) -> Tensor:
    """SupCon as MMDG-Bench has it, every known modality of every sample being a view.

    The mean of ``anchor_terms`` over all known views, those without a positive as 0, times tau / 0.07.

    Args:
        views: [batch, modality, width]; normalised here.
        known: [batch, modality], bool; other views are neither anchors, nor positives, nor negatives.
        classes: [batch].
        temperature: tau, above 0.
    """
    valid = known.flatten()
    of_row = classes.repeat_interleave(views.shape[1])
    anchors, _ = anchor_terms(views.flatten(0, 1), valid, of_row, temperature)
    return masked_mean(anchors, valid) * (temperature / BASE_TEMPERATURE)


def contrast_of_samples(features: Tensor, classes: Tensor, temperature: float) -> Tensor:
    """SupCon of one view a sample: the mean of ``anchor_terms`` over the samples that have a positive, else 0.

    Args:
        features: [batch, width]; normalised here.
        classes: [batch].
        temperature: tau, above 0.
    """
    valid = torch.ones(len(features), dtype=torch.bool, device=features.device)
    return masked_mean(*anchor_terms(features, valid, classes, temperature))


def anchor_terms(rows: Tensor, valid: Tensor, classes: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The terms of SupCon's sum (Khosla et al. 2020, eq. 2), one for each row.

    For row i: -(1 / |P_i|) sum over p in P_i of log(exp(z_i z_p / tau) / sum over a != i of exp(z_i z_a /
    tau)), z the L2-normalised rows and P_i the other rows of the same class.

    Args:
        rows: [n, width].
        valid: [n], bool; other rows are in no sum.
        classes: [n].
        temperature: tau, above 0.

    Returns:
        [n], 0 without a positive; and [n], bool, whether a row has one.
    """
    z = F.normalize(rows, dim=-1, eps=1e-6)
    others = valid & ~torch.eye(len(z), dtype=torch.bool, device=z.device)
    logits = z @ z.T / temperature
    # The least finite number and not -inf: a row without any other is a number, too, before it is left out.
    log_p = logits.masked_fill(~others, torch.finfo(logits.dtype).min / 2).log_softmax(dim=1)
    positive = others & (classes.unsqueeze(1) == classes)
    count = positive.sum(dim=1)
    return -log_p.where(positive, 0).sum(dim=1) / count.clamp(min=1), count > 0


def projection(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Three linear layers with norms and ReLUs between them (MMDG-Bench's projection head).

    The published head normalises over the batch; layer norms let a batch hold one sample, and keep absent
    modalities out of the statistics.
    """
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.LayerNorm(hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.LayerNorm(hidden),
        nn.ReLU(),
        nn.Linear(hidden, outputs),
    )


def dropout_projection(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two linear layers, a ReLU and dropout 0.3 between them (MMDG-Bench, sentiment: NEL and CMRF)."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Dropout(0.3), nn.Linear(hidden, outputs))
