"""What estimators share: labels as arrays, and logits of the classes that training has."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...datasets.batch import Batch, Spec

#: The logit of a class that no training sample has: its probability is 0.
_NEVER = -1e4
#: The least probability of a label, and of its absence.
_LEAST = 1e-6


def labels_of(batch: Batch) -> np.ndarray:
    """The targets as an array: float64 scores, or int64 class indices, [samples]; float64 labels [samples, classes]."""
    labels = batch.target.cpu().numpy()
    return labels if labels.dtype.kind in "iu" else labels.astype(np.float64)


def logit(probability: Tensor) -> Tensor:
    """The log odds of probabilities, which are brought into 1e-6 to 1 - 1e-6 first: what was counted can be 0 or 1."""
    return probability.clamp(_LEAST, 1 - _LEAST).logit()


def class_weight(spec: Spec) -> dict[int, float] | None:
    """The weights of the classes as scikit-learn takes them; None where the protocol weighs none."""
    return {place: weight for place, weight in enumerate(spec.class_weights) if weight} or None


def label_weight(spec: Spec, place: int) -> dict[int, float] | None:
    """The weights of the absence (0) and presence (1) of one of several labels; None where the protocol weighs none.

    Args:
        spec: has the weights.
        place: which label.
    """
    if not spec.class_weights:
        return None
    return {0: spec.class_weights[spec.classes + place], 1: spec.class_weights[place]}


def label_shift(spec: Spec) -> Tensor:
    """How far the log odds of each of several labels move by its weights, [labels]; 0 for one that all or none have."""
    there, absent = torch.tensor(spec.class_weights).chunk(2)
    return (there / absent).log().where((there > 0) & (absent > 0), 0)


def class_logits(known: Tensor, classes: Tensor, count: int) -> Tensor:
    """Logits of all classes, float32 [samples, classes].

    Args:
        known: [samples, known classes], logits of those that training has.
        classes: int64 [known classes], their indices.
        count: the number of all classes.
    """
    logits = known.new_full((len(known), count), _NEVER, dtype=torch.float32)
    logits[:, classes.long()] = known.float()
    return logits
