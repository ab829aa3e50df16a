"""QMF: quality-aware multimodal fusion (Zhang et al., ICML 2023; arXiv 2306.02050).

The logits of the modalities are summed, each times a confidence: the energy of its logits, logsumexp / 10. Cross-entropy says
nothing of that energy, as a constant that is added to all logits moves it alone. What trains it is a ranking: of two samples the one that
was harder in the training so far, by its summed cross-entropy in that modality, is to have the smaller confidence.

The released loss shifts the ranking by the wrong sign: a difference in hardness is there a slack that the confidences may
be apart in the wrong order, and not a margin that they have to be apart in the right one (``margin``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ...datasets.batch import Batch, Spec
from ..losses import masked_mean, plain_errors, task_loss
from ..method import Output, fixed, searched
from ..shared.views import ViewParams, Views, by_modality

#: The released code divides the energy by it.
SCALE = 10.0


@dataclass(frozen=True)
class QMFParams(ViewParams):
    """What weighs the logits, and how the ranking is asked for."""

    weights: Literal["energy", "uniform"] = fixed("energy", source="control: 1 for every modality")
    weight_rank: float = searched(1.0, low=0.0, high=2.0, digits=1, source="released; ablation: 0")
    margin: Literal["demanded", "slack"] = fixed(
        "demanded", source="ours, after the loss that it is taken from; released: slack"
    )
    rank_ties: bool = fixed(False, source="released: a pair that was equally hard is ranked, too")
    nonnegative: bool = fixed(
        True, source="ours: a weight below 0 counts as 0; released: it turns logits round"
    )


class QMF(Views):
    """The sum of the modalities' logits, each times its energy, which a ranking by hardness trains."""

    Params = QMFParams
    version = 1
    kinds: ClassVar[tuple[str, ...]] = ("classification",)
    uses_index: ClassVar[bool] = True
    as_published: ClassVar[Mapping[str, Any]] = {"margin": "slack", "rank_ties": True, "nonnegative": False}
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "encoders of mmbench, not BERT and ResNet that are trained along; the budget is that of the family; the gain "
            "over a weight of 1 is small on planted data: docs/methods.md has the figures"
        )
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "without ranking": {"weight_rank": 0.0},
        "uniform weights": {"weights": "uniform"},
        "late fusion": {"weights": "uniform", "weight_rank": 0.0},
        "margin as slack": {"margin": "slack"},
    }
    params: QMFParams
    history: Tensor  # [training sample, modality], the cross-entropy summed over the training so far

    def __init__(self, params: QMFParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.heads = self.classifiers()
        self.register_buffer("history", torch.zeros(spec.train_size, len(self.names)))

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """Weighs and sums; an absent modality has the weight 0. ``confidence`` has ``energy``, the sum of the weights."""
        known = self.known(batch)
        logits = torch.stack([self.heads(m, embeddings[m]) for m in self.names], dim=1).float()
        energy = (logits.logsumexp(dim=-1) / SCALE).where(known, 0)
        weights = energy.detach() if self.params.weights == "energy" else known.float()
        if self.params.nonnegative:
            weights = weights.clamp(min=0)
        used = {m: embeddings[m].where(known[:, i, None], 0) for i, m in enumerate(self.names)}
        return Output(
            (weights.unsqueeze(-1) * logits.where(known.unsqueeze(-1), 0)).sum(1),
            embeddings=used,
            fused=torch.cat(list(used.values()), dim=-1),
            unimodal={m: logits[:, i].where(known[:, i, None], 0) for i, m in enumerate(self.names)},
            confidence={"energy": energy.sum(1)},
            diagnostics={
                **by_modality("confidence", self.names, energy),
                **by_modality("weight", self.names, weights / weights.sum(1, keepdim=True).clamp(min=1e-6)),
            },
        )

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy of the sum and of each modality, and the ranking of the confidences.

        In training it adds to the history, and needs ``batch.index`` for it; without, there is no ranking.
        """
        output = self(batch)
        known = self.known(batch)
        logits = torch.stack([output.unimodal[m] for m in self.names], dim=1)
        terms = {
            "task": task_loss(output.prediction, batch.target, self.spec),
            "views": self.own_losses(logits, batch),
        }
        if batch.index is None or not len(self.history) or not self.training:
            return terms
        hardness = self.hardness()[batch.index]
        ranks = [
            self.ranking(output.diagnostics[f"confidence/{m}"], hardness[:, i], known[:, i])
            for i, m in enumerate(self.names)
        ]
        terms["rank"] = self.params.weight_rank * torch.stack(ranks).sum()
        with torch.no_grad():
            errors = torch.stack([plain_errors(one, batch.target, self.spec) for one in logits.unbind(1)], 1)
            self.history[batch.index] += errors.where(known, 0)
        return terms

    def hardness(self) -> Tensor:
        """kappa, [training sample, modality]: the history as a share of its range over the training samples."""
        low, high = self.history.amin(0), self.history.amax(0)
        return (self.history - low) / (high - low).clamp(min=1e-12)

    def ranking(self, confidence: Tensor, hardness: Tensor, known: Tensor) -> Tensor:
        """The loss of pairs of neighbours in the batch (the last with the first), a scalar.

        Args:
            confidence: [batch], of one modality.
            hardness: kappa [batch].
            known: [batch], bool; a pair of which one lacks the modality is none.
        """
        apart = hardness - hardness.roll(-1)
        harder = apart.sign()
        pairs = known & known.roll(-1)
        if self.params.rank_ties:
            harder = torch.where(apart == 0, 1.0, harder)
        else:
            pairs = pairs & (apart != 0)
        margin = apart.abs() * (1 if self.params.margin == "demanded" else -1)
        return masked_mean((harder * (confidence - confidence.roll(-1)) + margin).relu(), pairs)
