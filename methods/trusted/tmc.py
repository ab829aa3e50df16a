"""TMC: trusted multi-view classification (Han et al., ICLR 2021; arXiv 2102.02051).

Each modality gives evidence for each class, which is an opinion: a belief in each class, and what is left of 1 as uncertainty.
Dempster's rule combines the opinions, so that one that is unsure has little to say.

Where a modality is absent its evidence is 0 [ours]. Its uncertainty is then 1, and Dempster's rule does not notice it: the
prediction is exactly that of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ...datasets.batch import Batch, Spec
from ..losses import masked_mean, weighed
from ..method import Output, fixed, searched
from ..shared.evidence import combine, evidential_errors, log_expected, uncertainty
from ..shared.views import ViewParams, Views, by_modality


@dataclass(frozen=True)
class TMCParams(ViewParams):
    """How opinions are combined, and the weights of the terms."""

    fusion: Literal["dempster", "mean", "running"] = fixed(
        "dempster", source="control: the mean of the evidence; running: RCML's, in its release"
    )
    anneal: float = searched(
        0.1,
        low=0.05,
        high=1.0,
        digits=2,
        least=0,
        source="released: full after 50 of 500 epochs; a share of the training",
    )
    weight_kl: float = fixed(1.0, source="released; ablation: 0")
    weight_views: float = fixed(1.0, source="released; ablation: 0, the fused opinion alone is trained")


class TMC(Views):
    """Evidence e_m = softplus(f_m(x_m)) of each modality, combined by Dempster's rule; probabilities alpha / S."""

    Params = TMCParams
    version = 1
    kinds: ClassVar[tuple[str, ...]] = ("classification",)
    as_published: ClassVar[Mapping[str, Any]] = {"direct": True}
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "series, sound and media are read by the encoders of mmbench; the budget is that of the family, not 500 epochs "
            "of 200 with Adam at 3e-4 and a decay of 1e-5; the epoch is chosen by validation"
        )
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "mean of the evidence": {"fusion": "mean"},
        "without KL": {"weight_kl": 0.0},
        "fused opinion alone": {"weight_views": 0.0},
    }
    params: TMCParams

    def __init__(self, params: TMCParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.heads = self.classifiers()
        self.share = 0.0  # of the training that is done

    def before_epoch(self, batches: Callable[[], Iterator[Batch]], done: float) -> None:
        """Notes how much of the training is done, by which the KL term grows."""
        self.share = done

    def evidence(self, embeddings: dict[str, Tensor], batch: Batch) -> Tensor:
        """[batch, opinion, classes], float32, of each modality in order; 0 where it is absent."""
        known = self.known(batch).unsqueeze(-1)
        said = torch.stack([self.heads(m, embeddings[m]) for m in self.names], dim=1)
        return F.softplus(said.float()).where(known, 0)

    def opinions(self, batch: Batch) -> Tensor:
        """[batch, opinion], bool: whose opinions there are."""
        return self.known(batch)

    def combined(self, evidence: Tensor, batch: Batch) -> Tensor:
        """The evidence [batch, classes] of the fused opinion.

        Args:
            evidence: [batch, opinion, classes].
            batch: the samples.
        """
        known = self.opinions(batch)
        if self.params.fusion == "dempster":
            return combine(evidence)
        if self.params.fusion == "mean":
            return evidence.sum(1) / known.sum(1, keepdim=True).clamp(min=1)
        fused, begun = evidence.new_zeros(evidence[:, 0].shape), known.new_zeros(len(known), 1)
        for one, there in zip(evidence.unbind(1), known.split(1, dim=1), strict=True):
            fused = torch.where(there, torch.where(begun, (fused + one) / 2, one), fused)
            begun = begun | there
        return fused

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """Combines the opinions. ``confidence`` has ``certainty``, -log u of the fused opinion, which ranks as 1 - u."""
        return self.output(embeddings, batch)[0]

    def output(self, embeddings: dict[str, Tensor], batch: Batch) -> tuple[Output, Tensor, Tensor]:
        """What it says of a batch.

        Args:
            embeddings: of ``encode``.
            batch: the samples.

        Returns:
            The output; the evidence [batch, opinion, classes]; that of the fused opinion [batch, classes].
        """
        evidence = self.evidence(embeddings, batch)
        fused = self.combined(evidence, batch)
        known = self.known(batch)
        used = {m: embeddings[m].where(known[:, i, None], 0) for i, m in enumerate(self.names)}
        each = uncertainty(evidence)[:, : len(self.names)]
        output = Output(
            log_expected(fused),
            embeddings=used,
            fused=torch.cat(list(used.values()), dim=-1),
            unimodal={m: log_expected(evidence[:, i]) for i, m in enumerate(self.names)},
            confidence={"certainty": -uncertainty(fused).log()},
            diagnostics={"uncertainty": uncertainty(fused), **by_modality("uncertainty", self.names, each)},
        )
        return output, evidence, fused

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The evidential loss of the fused opinion and, summed, of each other."""
        _, evidence, fused = self.output(self.encode_all(batch), batch)
        terms = {"fused": self.errors(fused, batch).mean()}
        if self.params.weight_views:
            known = self.opinions(batch)
            each = [self.errors(one, batch) for one in evidence.unbind(1)]
            own = torch.stack([masked_mean(one, known[:, i]) for i, one in enumerate(each)])
            terms["views"] = self.params.weight_views * own.sum()
        return terms

    def errors(self, evidence: Tensor, batch: Batch) -> Tensor:
        """The evidential loss [batch] of an opinion, times the weights of the classes.

        Args:
            evidence: [batch, classes].
            batch: with the targets.
        """
        full = min(1.0, self.share / self.params.anneal) if self.params.anneal else 1.0
        errors = evidential_errors(evidence, batch.target, self.params.weight_kl * full)
        return weighed(errors, batch.target, self.spec)
