"""RNA: relative norm alignment (Planamente et al., WACV 2022), on the shared network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...datasets.batch import Batch, Spec
from ..losses import task_loss
from ..method import searched
from ..shared.branches import Branches, BranchParams
from ..shared.networks import known_modalities

# MMDG-Bench divides V by A, V by F, F by A, V by T, T by A and vibration by sound; others keep their order.
NUMERATORS = ("vision", "video", "text", "flow", "vibration")
DENOMINATORS = ("audio", "acoustic", "sound")


@dataclass(frozen=True)
class RNAParams(BranchParams):
    """The weight of the norms' term, and the size of the shared network."""

    weight: float = searched(1.0, low=0.0, high=3.0, digits=1, source="MMDG-Bench: alpha_RNA")


class RNA(Branches):
    """Keeps the mean norms of the modalities' embeddings equal.

    L = task + weight * mean over pairs (a, b) of (n_a / n_b - 1)^2, n_m the batch mean of ||e_m||_2 over the
    samples that have m. A pair counts where both are somewhere in the batch; with one modality the term is
    off. The number of sources does not matter.

    The ratio has a direction: vision is above text and flow, and audio below all. The shared encoder ends in
    a layer norm, which starts all norms equal: here the term holds what it would elsewhere have to reach.

    Under ``as-published`` the norms are of the whole network's embeddings in sentiment (sections 2.3 and
    3.2).
    """

    Params = RNAParams
    version = 1
    kinds: ClassVar[tuple[str, ...]] = ("regression", "classification", "multi-label")
    departures: ClassVar[Mapping[str, str] | None] = {
        "action": (
            "mmbench's own network (40 wide, 8,448 parameters in a head of three modalities) in "
            "place of trunks that are trained along, embeddings of 2,304, 2,048 and 512, and a head "
            "of 2,494,984"
        ),
    }
    as_published_in: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sentiment": {"released_encoder": True, "whole_network": True}
    }
    #: Section 1.4, as ERM's.
    rules_as_published: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "hust": {"restart_optimizer": True, "encoder_rate": 0.1}
    }
    params: RNAParams

    def __init__(self, params: RNAParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.ranked = by_rank(self.names)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss, and the squared relative difference of the mean norms."""
        output = self(batch)
        embeddings = torch.stack([output.embeddings[m] for m in self.ranked], dim=1)
        norms = self.params.weight * norm_difference(embeddings, known_modalities(batch, self.ranked))
        return {"task": task_loss(output.prediction, batch.target, self.spec), "norms": norms}


def by_rank(names: Sequence[str]) -> tuple[str, ...]:
    """The names in the order in which ratios are formed: the earlier over the later."""

    def rank(name: str) -> int:
        if name in DENOMINATORS:
            return len(NUMERATORS) + 1
        return NUMERATORS.index(name) if name in NUMERATORS else len(NUMERATORS)

    return tuple(sorted(names, key=rank))


def norm_difference(embeddings: Tensor, known: Tensor) -> Tensor:
    """Mean over pairs a < b of (n_a / n_b - 1)^2; 0 without any pair.

    Args:
        embeddings: [batch, modality, width].
        known: [batch, modality], bool.
    """
    length = torch.linalg.vector_norm(embeddings, dim=-1).where(known, 0)
    mean = length.sum(dim=0) / known.sum(dim=0).clamp(min=1)
    seen = known.any(dim=0)
    total, pairs = embeddings.new_zeros(()), embeddings.new_zeros(())
    for a, b in combinations(range(embeddings.shape[1]), 2):
        both = seen[a] & seen[b]
        ratio = mean[a] / mean[b].clamp(min=1e-6)
        total = total + (ratio - 1).square().where(both, 0)
        pairs = pairs + both
    return total / pairs.clamp(min=1)
