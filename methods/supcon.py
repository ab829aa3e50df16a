"""SupCon: samples of one class lie together (Khosla et al., NeurIPS 2020, arXiv 2004.11362)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..datasets.batch import Batch, Spec
from .erm import ERM
from .losses import masked_mean, task_loss
from .method import fixed, searched


@dataclass(frozen=True)
class SupConParams:
    """How strongly, and how sharply samples are contrasted."""

    weight: float = searched(
        0.05, choices=(0.01, 0.05, 0.1, 0.5, 1.0), source="arXiv 2606.00891, multimodal first; range: ours"
    )
    temperature: float = fixed(0.1, source="paper; arXiv 2606.00891")
    width: int = fixed(40, source="MMDG-Bench, late fusion")
    layers: int = fixed(5, source="MMDG-Bench, late fusion")


class SupCon(ERM):
    """ERM with weight * the supervised contrastive loss of the fused features, whatever domain they are of.

    The loss is eq. 2 of the paper, on a projection of two layers, L2-normalised. Scores have three classes:
    below, at and above the middle of the label range (MMDG-Bench: the sign of the label).

    The paper trains encoder and head one after the other, on two augmented views of every sample; here they
    learn together, as in the sibling benchmark, and each sample is one view.
    """

    Params = SupConParams
    version = 1
    params: SupConParams

    def __init__(self, params: SupConParams, spec: Spec) -> None:
        super().__init__(params, spec)
        fused, width = len(spec.modalities) * self.width, self.width
        self.projection = nn.Sequential(nn.Linear(fused, width), nn.ReLU(), nn.Linear(width, width))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss, and the contrast."""
        output = self(batch)
        classes = contrast_classes(batch.target, self.spec)
        contrast = supervised_contrast(self.projection(output.fused), classes, self.params.temperature)
        task = task_loss(output.prediction, batch.target, self.spec)
        return {"task": task, "supcon": self.params.weight * contrast}


def contrast_classes(target: Tensor, spec: Spec) -> Tensor:
    """[batch]: the class, or -1, 0 or 1 for a score below, at or above the middle of the label range."""
    if spec.kind == "classification":
        return target
    low, high = spec.label_range or (0.0, 0.0)
    return (target - (low + high) / 2).sign()


def supervised_contrast(features: Tensor, classes: Tensor, temperature: float) -> Tensor:
    """- mean over positives p of log exp(z_i z_p / tau) / sum_{a != i} exp(z_i z_a / tau), mean over i.

    Args:
        features: [batch, width]; z are these, L2-normalised.
        classes: [batch]; p are the other samples of the class of i.
        temperature: tau.

    Returns:
        A scalar; samples without a positive are no anchors, and it is 0 where none has one.
    """
    z = F.normalize(features, dim=-1, eps=1e-6)
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    logits = z @ z.T / temperature
    # The least finite number and not -inf: with one sample there is nothing but itself.
    lowest = torch.finfo(logits.dtype).min / 2
    log_share = logits - logits.masked_fill(itself, lowest).logsumexp(dim=1, keepdim=True)
    positive = (classes.unsqueeze(1) == classes) & ~itself
    count = positive.sum(dim=1)
    return masked_mean(-log_share.where(positive, 0).sum(dim=1) / count.clamp(min=1), count > 0)
