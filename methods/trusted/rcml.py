"""RCML: reliable conflictive multi-view learning (Xu et al., AAAI 2024; arXiv 2402.16897).

As in TMC each modality has an opinion. The fused evidence is the mean of theirs, and training asks modalities that are sure to agree:
two opinions are in conflict as far as their probabilities differ and both are sure.

The released code takes for the mean a running one, by which the last modality weighs a half, the one before a
quarter, and so on: ``fusion=running``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ...datasets.batch import Batch, Spec
from ..losses import masked_mean
from ..method import Output, fixed, searched
from ..shared.evidence import log_expected, uncertainty
from .tmc import TMC, TMCParams


@dataclass(frozen=True)
class RCMLParams(TMCParams):
    """As of TMC, but for how evidence is combined, and the weight of the conflict."""

    fusion: Literal["dempster", "mean", "running"] = fixed(
        "mean", source="released: running, which depends on the order of the modalities; control: dempster"
    )
    weight_conflict: float = searched(1.0, low=0.0, high=2.0, digits=1, source="released: gamma; ablation: 0")


class RCML(TMC):
    """The mean of the modalities' evidence, trained against conflict between opinions that are sure."""

    Params = RCMLParams
    version = 1
    kinds: ClassVar[tuple[str, ...]] = ("classification",)
    as_published: ClassVar[Mapping[str, Any]] = {"direct": True, "fusion": "running"}
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "series, sound and media are read by the encoders of mmbench; features are standardised by the training part, "
            "not scaled to [0, 1] with the test part; the budget is that of the family; the epoch is chosen by validation"
        )
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "without conflict term": {"weight_conflict": 0.0},
        "Dempster's rule": {"fusion": "dempster"},
        "without KL": {"weight_kl": 0.0},
    }

    def __init__(self, params: RCMLParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.weight_conflict = params.weight_conflict

    def output(self, embeddings: dict[str, Tensor], batch: Batch) -> tuple[Output, Tensor, Tensor]:
        """As of TMC; ``diagnostics`` has ``conflict``, the sum over pairs of modalities, too."""
        output, evidence, fused = super().output(embeddings, batch)
        output.diagnostics["conflict"] = conflict(evidence, self.known(batch))
        return output, evidence, fused

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The mean of the evidential losses of all opinions and of the fused one, and the conflict."""
        output, evidence, fused = self.output(self.encode_all(batch), batch)
        known, count = self.known(batch), len(self.names) + 1
        each = [masked_mean(self.errors(one, batch), known[:, i]) for i, one in enumerate(evidence.unbind(1))]
        return {
            "fused": self.errors(fused, batch).mean() / count,
            "views": self.params.weight_views * torch.stack(each).sum() / count,
            "conflict": self.weight_conflict * output.diagnostics["conflict"].mean(),
        }


def conflict(evidence: Tensor, known: Tensor) -> Tensor:
    """How far opinions disagree: over all ordered pairs, half the L1 distance of their expected probabilities times
    (1 - u)(1 - u') and over the number of other modalities.

    Args:
        evidence: [batch, modality, classes].
        known: [batch, modality], bool; a pair with an absent modality is none.

    Returns:
        [batch], at least 0.
    """
    expected = log_expected(evidence).exp()
    apart = (expected.unsqueeze(2) - expected.unsqueeze(1)).abs().sum(-1) / 2
    sure = (1 - uncertainty(evidence)).where(known, 0)
    pairs = apart * sure.unsqueeze(2) * sure.unsqueeze(1)
    return pairs.sum(dim=(1, 2)) / (known.sum(1) - 1).clamp(min=1)
