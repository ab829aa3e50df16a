"""Validates the weights of a method that are tested: the task's loss, and the metric by which epochs are selected. Nothing here
needs Lightning, which an estimator does without."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from ...datasets.batch import Batch
from ...datasets.imputation import impute
from ...methods.method import Method
from ..core.selection import Epoch, Record, selection_metric
from .minibatches import minibatches
from .predict import EVALUATION_BATCH, without_targets
from .weights import kept_state, load_kept

#: Called after every epoch, and with the share of the epoch that is done in between.
Report = Callable[[int, float, Epoch | None], None]


@dataclass(frozen=True)
class SelectionData:
    """What a rule of selection reads beside source validation.

    Attributes:
        target: the target's validation split, under ``oracle`` and for a companion; else None.
        companions: the records of the job's companions, under ``leave-one-source-out``; else empty.
    """

    target: Batch | None = None
    companions: Sequence[Record] = ()


#: Of a rule that reads source validation alone.
SOURCES_ALONE = SelectionData()


@contextmanager
def tested_weights(method: Method) -> Iterator[None]:
    """Gives a method the weights that it wants tested, such as an average, for the time of the block."""
    tested = method.evaluated()
    if tested is None:
        yield
        return
    own = copy.deepcopy(kept_state(method))
    load_kept(method, tested)
    try:
        yield
    finally:
        load_kept(method, own)


@torch.inference_mode()
def validate(method: Method, batch: Batch) -> tuple[float, float]:
    """Validates a method on a split.

    Args:
        method: the method; it is put into evaluation mode.
        batch: all samples of the split.

    Returns:
        The loss of the task, and the metric of ``selection_metric``; balanced accuracy is the mean over the classes that
        the split has, F1 that over the labels that are there or predicted.

    Raises:
        ValueError: the method gives predictions of another shape than [samples] or [samples, classes].
        FloatingPointError: a prediction is not finite.
    """
    method.eval()
    parts = minibatches(without_targets(batch), EVALUATION_BATCH)
    prediction = torch.cat([method(impute(part, method.spec)).prediction for part in parts]).float()
    classes = () if method.spec.kind == "regression" else (method.spec.classes,)
    if prediction.shape != (len(batch), *classes):
        raise ValueError(f"predictions of shape {tuple(prediction.shape)} for {len(batch)} samples")
    if not bool(torch.isfinite(prediction).all()):
        raise FloatingPointError("a prediction for the validation split is not finite")
    if method.spec.kind == "regression":
        mae = float(F.l1_loss(prediction, batch.target))
        return mae, mae
    if method.spec.kind == "multi-label":
        loss = float(F.binary_cross_entropy_with_logits(prediction, batch.target))
        return loss, _f1_of_labels(prediction > 0, batch.target > 0)
    loss = float(F.cross_entropy(prediction, batch.target))
    right = (prediction.argmax(1) == batch.target).double()
    if selection_metric("classification", method.spec.protocol) == "accuracy":
        return loss, float(right.mean())
    samples = batch.target.bincount()
    found = torch.zeros_like(samples, dtype=right.dtype).index_add(0, batch.target, right)
    return loss, float((found / samples)[samples > 0].mean())


def _f1_of_labels(said: torch.Tensor, there: torch.Tensor) -> float:
    """The mean of F1 over the labels that are there or predicted, as the metric ``f1_macro_labels``; 0 without any.

    Args:
        said: [samples, classes], bool, which labels are predicted.
        there: [samples, classes], bool, which are there.
    """
    both, either = (said & there).sum(0).double(), (said.long() + there.long()).sum(0).double()
    known = either > 0
    return float((2 * both[known] / either[known]).mean()) if bool(known.any()) else 0.0
