"""Losses that methods share. Each is a plain function of tensors."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ..datasets.batch import Spec


def task_errors(prediction: Tensor, target: Tensor, spec: Spec) -> Tensor:
    """The task's loss of every sample, [batch]: absolute error, cross-entropy times the weight of the class, or the mean
    over labels of the binary cross-entropy times the weight of the label's presence or absence.

    What a method minimises is made of these, so that the protocol's class weights reach it. What compares errors, or takes
    them for probabilities, reads ``plain_errors``.

    Args:
        prediction: [batch] scores, or [batch, classes] logits.
        target: [batch]; [batch, classes] of several labels.
        spec: says which task it is, and the weights of its classes.
    """
    if spec.kind == "multi-label":
        errors = F.binary_cross_entropy_with_logits(prediction, target, reduction="none")
        return (
            (errors * label_weights(target, spec)).mean(dim=1) if spec.class_weights else errors.mean(dim=1)
        )
    return weighed(plain_errors(prediction, target, spec), target, spec)


def label_weights(target: Tensor, spec: Spec) -> Tensor:
    """The weight of what each sample says of each label, [batch, labels].

    Args:
        target: [batch, labels] of 0 and 1.
        spec: has the weights, ``class_weights``.
    """
    there, absent = torch.tensor(spec.class_weights, dtype=target.dtype, device=target.device).chunk(2)
    return there * target + absent * (1 - target)


def weighed(values: Tensor, target: Tensor, spec: Spec) -> Tensor:
    """Values [batch] times the weights of the samples' classes; as they are where the protocol weighs no classes.

    Args:
        values: of each sample.
        target: [batch].
        spec: has the weights, ``class_weights``.
    """
    if not spec.class_weights:
        return values
    weights = torch.tensor(spec.class_weights, dtype=values.dtype, device=values.device)
    return values * weights[target]


def plain_errors(prediction: Tensor, target: Tensor, spec: Spec) -> Tensor:
    """As ``task_errors``, whatever the weights of the classes.

    Args:
        prediction: [batch] scores, or [batch, classes] logits.
        target: [batch]; [batch, classes] of several labels.
        spec: says which task it is.
    """
    if spec.kind == "multi-label":
        return F.binary_cross_entropy_with_logits(prediction, target, reduction="none").mean(dim=1)
    if spec.kind == "classification":
        return F.cross_entropy(prediction, target, reduction="none")
    return (prediction - target.to(prediction.dtype)).abs()


def task_loss(prediction: Tensor, target: Tensor, spec: Spec) -> Tensor:
    """The mean of ``task_errors``, a scalar: L1 for regression, cross-entropy for classification, binary cross-entropy
    for several labels.

    With class weights it is still divided by the number of samples: balanced weights have a mean of 1 over the training
    split, and a batch of rare classes counts more than one of frequent ones.

    Args:
        prediction: [batch] scores, or [batch, classes] logits.
        target: [batch].
        spec: says which task it is.
    """
    return task_errors(prediction, target, spec).mean()


def label_unit(spec: Spec) -> float:
    """A sixth of the range of the scores: 1 for labels from -3 to 3, and where the range is not known.

    What is divided by it means the same for every range.
    """
    low, high = spec.label_range or (-3.0, 3.0)
    return (high - low) / 6


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of values where a mask is true, a scalar; 0 if it is nowhere true.

    What lies outside the mask has no influence, not even where it is not a number.

    Args:
        values: of any shape.
        mask: of the same shape, bool.
    """
    return values.where(mask, 0).sum() / mask.sum().clamp(min=1)


def gaussian_nll(mean: Tensor, log_variance: Tensor, target: Tensor) -> Tensor:
    """The Gaussian likelihood loss of every element (Kendall & Gal 2017, eq. 8): exp(-s) (y - m)^2 / 2 + s / 2.

    Args:
        mean: m, of any shape.
        log_variance: s, of the same shape.
        target: y, of a shape that broadcasts to it.
    """
    return 0.5 * (-log_variance).exp() * (target.to(mean.dtype) - mean).square() + 0.5 * log_variance


def normalised_entropy(logits: Tensor) -> Tensor:
    """The entropy of softmax(logits) over the last dimension, divided by its maximum: in [0, 1]."""
    log_p = logits.log_softmax(dim=-1)
    return -(log_p.exp() * log_p).sum(dim=-1) / math.log(max(logits.shape[-1], 2))


def info_nce(anchors: Tensor, keys: Tensor, valid: Tensor, temperature: float) -> Tensor:
    """InfoNCE (van den Oord et al. 2018, eq. 4) with cosine similarity and in-batch negatives.

    Row i of ``keys`` is the positive of row i of ``anchors``, the other rows are its negatives.

    Args:
        anchors: [batch, width].
        keys: [batch, width].
        valid: [batch], bool; the other rows are neither anchors, nor positives, nor negatives.
        temperature: divides the similarities.
    """
    similarity = F.normalize(anchors, dim=-1, eps=1e-6) @ F.normalize(keys, dim=-1, eps=1e-6).T
    logits = similarity / temperature
    # The least finite number and not -inf, so that an invalid row is a number, too, before it is left out.
    logits = logits.masked_fill(~valid, torch.finfo(logits.dtype).min / 2)
    return masked_mean(logits.logsumexp(dim=-1) - logits.diagonal(), valid)
