"""What the pickles of the sentiment field hold, by name: MMSA's and CASP's.

All hold ``{"train" | "valid" | "test": {"text", "audio", "vision": [samples, time, feature],
"regression_labels": [samples], ...}}``, or ``labels`` [samples, 1, 1], as MulT and MultiBench do. Layout: https://github.com/thuiar/MMSA (section "Datasets").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MODALITIES = ("text", "audio", "vision")
LABELS = "regression_labels"
#: What MulT's and MultiBench's files call them.
ALL_LABELS = "labels"
#: Split, modality or array -> what files that were made in another way call it.
OTHER_NAMES: Mapping[str, tuple[str, ...]] = {
    "train": ("training",),
    "valid": ("dev", "val", "validation", "development"),
    "test": ("testing", "eval"),
    "text": ("language", "words", "glove", "bert"),
    "audio": ("acoustic", "speech", "covarep"),
    "vision": ("video", "visual", "image", "facet"),
    LABELS: ("label", "labels", "score", "scores", "sentiment"),
}
#: Modality -> the labels by it alone, in files that have them (CH-SIMS).
UNIMODAL_LABELS = {name: f"{LABELS}_{name[0].upper()}" for name in MODALITIES}
#: Token ids, attention mask and segments of the text, [samples, 3, positions].
TOKENS = "text_bert"
SYNTHETIC_KEY = "synthetic"


@dataclass(frozen=True)
class Layout:
    """A published file: its name, samples per split, and width and steps of text, audio, vision."""

    file_name: str
    counts: Mapping[str, int]
    widths: tuple[int, int, int]
    steps: tuple[int, int, int]
