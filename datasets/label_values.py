"""Which labels samples have. A part of one class, or of one score, teaches nothing, and tells nothing as a test."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .dataset import Samples, Target


def label_values(samples: Samples, target: Target) -> list[float]:
    """The classes that samples have, or the ends of their scores; nothing of samples with several labels.

    Args:
        samples: the samples.
        target: what their labels are.

    Returns:
        In ascending order; a single one where all samples have the same label.
    """
    values = samples.target
    if target.kind == "multi-label" or not len(values):
        return []
    ends = values if target.kind == "classification" else np.array([values.min(), values.max()])
    return np.unique(ends).tolist()


def label_words(value: float, target: Target) -> str:
    """A label in words, as ``class happy`` or ``score 0.5``.

    Args:
        value: one of ``label_values``.
        target: what it is a label of.
    """
    return f"class {target.classes[int(value)]}" if target.kind == "classification" else f"score {value:.6g}"


def single_labels(splits: Mapping[str, Samples], target: Target) -> dict[str, str]:
    """Split -> the one label that its samples have, in words; only of splits of several samples that all have the same.

    Args:
        splits: split -> samples.
        target: what their labels are.
    """
    values = {split: label_values(samples, target) for split, samples in splits.items() if len(samples) > 1}
    return {split: label_words(there[0], target) for split, there in values.items() if len(there) == 1}
