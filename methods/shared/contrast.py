"""Supervised contrast over samples and modalities, with its classes and its projection heads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.batch import Spec
from ..losses import masked_mean
from ..method import fixed
from .batch_norm import BatchNorm

BASE_TEMPERATURE = 0.07  # Khosla et al. 2020; the loss is multiplied by tau / 0.07
#: ``published``: the loss of the paper. ``released``: that of MMDG-Bench's scripts for motor faults.
Contrast = Literal["published", "released"]


@dataclass(frozen=True)
class ContrastParams:
    """Which form of the supervised contrast a method has (``supervised_contrast``)."""

    contrast: Literal["published", "released"] = fixed(
        "published",
        source="paper; MMDG-Bench 3.3, motor faults: released, whose positives are at chance",
        since="0.2",
    )


def label_classes(target: Tensor, spec: Spec) -> Tensor:
    """The classes that contrast needs: of a regression, on which side of neutral a label is.

    Neutral is the middle of ``spec.label_range`` (0 where it is not stated). MMDG-Bench takes the sign of
    sentiment labels, which is the same.

    Args:
        target: [batch], class indices or labels.
        spec: of the task.

    Returns:
        [batch], int64; of labels 0 below neutral, 1 at it, 2 above it.
    """
    if spec.kind == "classification":
        return target
    low, high = spec.label_range or (0.0, 0.0)
    return (target - (low + high) / 2).sign().long() + 1


def supervised_contrast(
    views: Tensor, known: Tensor, classes: Tensor, temperature: float, form: Contrast = "published"
) -> Tensor:
    """SupCon, every known modality of every sample being a view.

    ``published``: the mean of ``anchor_terms`` over all known views, those without a positive as 0, times tau / 0.07.
    ``released``: the mean over the views that have a positive, without that factor, and with the classes of
    ``classes_of_views``, which are not those of the views.

    Args:
        views: [batch, modality, width]; normalised here.
        known: [batch, modality], bool; other views are neither anchors, nor positives, nor negatives.
        classes: [batch].
        temperature: tau, above 0.
        form: as above.
    """
    valid = known.flatten()
    of_row = classes_of_views(classes, views.shape[1], form)
    anchors, has_positive = anchor_terms(views.flatten(0, 1), valid, of_row, temperature)
    if form == "released":
        return masked_mean(anchors, has_positive & valid)
    return masked_mean(anchors, valid) * (temperature / BASE_TEMPERATURE)


def classes_of_views(classes: Tensor, views: int, form: Contrast = "published") -> Tensor:
    """The class that the contrast takes each view to have, [batch * views], the views of a sample side by side.

    ``released``: MMDG-Bench's scripts for motor faults lay the views out sample by sample, and repeat the classes view
    by view: row i is given the class of sample i modulo the batch, and is a view of sample i // views. With two
    views or more the positives of an anchor have its class as often as any other view.

    Args:
        classes: [batch], those of the samples.
        views: of each sample.
        form: ``published``: each view has the class of its sample.
    """
    return classes.repeat(views) if form == "released" else classes.repeat_interleave(views)


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
    """As ``anchor_terms_of_pairs``, where the positives of a row are the other rows of the same class.

    Args:
        rows: [n, width].
        valid: [n], bool; other rows are in no sum.
        classes: [n].
        temperature: tau, above 0.

    Returns:
        [n], 0 without a positive; and [n], bool, whether a row has one.
    """
    return anchor_terms_of_pairs(rows, valid, classes.unsqueeze(1) == classes, temperature)


def anchor_terms_of_pairs(
    rows: Tensor, valid: Tensor, alike: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """The terms of SupCon's sum (Khosla et al. 2020, eq. 2), one for each row.

    For row i: -(1 / |P_i|) sum over p in P_i of log(exp(z_i z_p / tau) / sum over a != i of exp(z_i z_a /
    tau)), z the L2-normalised rows and P_i the other rows that are alike.

    Args:
        rows: [n, width].
        valid: [n], bool; other rows are in no sum.
        alike: [n, n], bool; the diagonal is not read.
        temperature: tau, above 0.

    Returns:
        [n], 0 without a positive; and [n], bool, whether a row has one.
    """
    z = F.normalize(rows, dim=-1, eps=1e-6)
    others = valid & ~torch.eye(len(z), dtype=torch.bool, device=z.device)
    logits = z @ z.T / temperature
    # The least finite number and not -inf: a row without any other is a number, too, before it is left out.
    log_p = logits.masked_fill(~others, torch.finfo(logits.dtype).min / 2).log_softmax(dim=1)
    positive = others & alike
    count = positive.sum(dim=1)
    return -log_p.where(positive, 0).sum(dim=1) / count.clamp(min=1), count > 0


def projection(inputs: int, hidden: int, outputs: int, batch_norm: bool = False) -> nn.Sequential:
    """Three linear layers with norms and ReLUs between them (MMDG-Bench's projection head).

    Args:
        inputs: width of its input.
        hidden: width of its hidden layers.
        outputs: width of its output.
        batch_norm: normalise over the batch, as the published head does. By default over the layer: then a batch
            may hold one sample, and samples do not depend on each other.
    """
    norm: Callable[[int], nn.Module] = BatchNorm if batch_norm else nn.LayerNorm
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        norm(hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        norm(hidden),
        nn.ReLU(),
        nn.Linear(hidden, outputs),
    )


def dropout_projection(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two linear layers, a ReLU and dropout 0.3 between them (MMDG-Bench, sentiment: NEL and CMRF).

    Args:
        inputs: width of its input.
        hidden: width of its hidden layer.
        outputs: width of its output.
    """
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Dropout(0.3), nn.Linear(hidden, outputs))
