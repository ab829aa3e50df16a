"""ETMC: TMC with a pseudo-view, the opinion of all modalities side by side (Han et al., TPAMI 2022; arXiv 2204.11423).

TMC combines what modalities say each for itself. The pseudo-view can tell what only several of them together do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.batch import Batch, Spec
from ..shared.networks import fusion_head, outputs
from .tmc import TMC, TMCParams


@dataclass(frozen=True)
class ETMCParams(TMCParams):
    """As of TMC."""


class ETMC(TMC):
    """TMC, and one more opinion, of the concatenated embeddings; an absent modality is 0 there."""

    Params = ETMCParams
    version = 1
    kinds: ClassVar[tuple[str, ...]] = ("classification",)
    as_published: ClassVar[Mapping[str, Any]] = {"direct": True}
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "series, sound and media are read by the encoders of mmbench; the budget is that of the family; the epoch is "
            "chosen by validation; an absent modality is 0 in the pseudo-view, which still has an opinion"
        )
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "mean of the evidence": {"fusion": "mean"},
        "without KL": {"weight_kl": 0.0},
        "fused opinion alone": {"weight_views": 0.0},
    }

    def __init__(self, params: ETMCParams, spec: Spec) -> None:
        super().__init__(params, spec)
        width = sum(self.widths.values())
        self.pseudo = nn.Linear(width, outputs(spec)) if params.direct else fusion_head(spec, self.width)

    def evidence(self, embeddings: dict[str, Tensor], batch: Batch) -> Tensor:
        """As of TMC, and as the last opinion that of the pseudo-view; 0 where nothing is there."""
        known = self.known(batch)
        side_by_side = torch.cat(
            [embeddings[m].where(known[:, i, None], 0) for i, m in enumerate(self.names)], dim=-1
        )
        pseudo = F.softplus(self.pseudo(side_by_side).float()).where(known.any(1, keepdim=True), 0)
        return torch.cat([super().evidence(embeddings, batch), pseudo.unsqueeze(1)], dim=1)

    def opinions(self, batch: Batch) -> Tensor:
        """[batch, opinion], bool: whose opinions there are, the pseudo-view's last."""
        known = self.known(batch)
        return torch.cat([known, known.any(1, keepdim=True)], dim=1)
