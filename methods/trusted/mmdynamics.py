"""MMDynamics: multimodal dynamics (Han et al., CVPR 2022).

Two gates for each sample: of the features of each modality, kept sparse, and of the modality as a whole, by the probability that it is
expected to give to the true class (Corbière et al. 2019). What passes both is concatenated and read by one linear layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.batch import Batch, Spec
from ..losses import masked_mean, task_loss
from ..method import Output, fixed
from ..shared.dropout import dropout
from ..shared.networks import outputs
from ..shared.views import ViewParams, Views, by_modality


@dataclass(frozen=True)
class MMDynamicsParams(ViewParams):
    """The gates, each of which can be left out, and the weights of the terms."""

    hidden: int = fixed(0, least=0, source="released: 1000; 0: the width of the shared network")
    feature_gate: bool = fixed(True, source="ablation: features pass as they are")
    modality_gate: Literal["confidence", "none"] = fixed(
        "confidence", source="ablation: modalities pass as they are"
    )
    detach: bool = fixed(
        True, source="ours: a confidence learns what it is to predict; released: that is drawn to it, too"
    )
    dropout: float = fixed(0.5, least=0, below=1, source="released")
    weight_sparse: float = fixed(1.0, source="released")
    weight_confidence: float = fixed(1.0, source="released")


class View(nn.Module):
    """The gate, the hidden layer, the classifier and the confidence of one modality."""

    def __init__(self, inputs: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.gate = nn.Linear(inputs, inputs)
        self.hidden = nn.Linear(inputs, hidden)
        self.classifier = nn.Linear(hidden, classes)
        self.confidence = nn.Linear(hidden, 1)


class MMDynamics(Views):
    """One layer on all modalities, each gated by features and times how probable it takes the true class to be."""

    Params = MMDynamicsParams
    version = 1
    kinds: ClassVar[tuple[str, ...]] = ("classification",)
    as_published: ClassVar[Mapping[str, Any]] = {"direct": True, "hidden": 1000, "detach": False}
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "series, sound and media are read by the encoders of mmbench, and the gate is then of an embedding; features "
            "are standardised, not scaled to [0, 1]; the budget is that of the family, not full batches of 1,000 or 2,500 "
            "epochs; the epoch is chosen by validation"
        )
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "without feature gate": {"feature_gate": False},
        "without modality gate": {"modality_gate": "none"},
        "without both": {"feature_gate": False, "modality_gate": "none"},
    }
    params: MMDynamicsParams

    def __init__(self, params: MMDynamicsParams, spec: Spec) -> None:
        super().__init__(params, spec)
        hidden = params.hidden or self.width
        self.views = nn.ModuleList(View(self.widths[m], hidden, outputs(spec)) for m in self.names)
        self.out = nn.Linear(len(self.names) * hidden, outputs(spec))
        for part in (*self.views.modules(), self.out):
            if isinstance(part, nn.Linear):
                nn.init.xavier_normal_(part.weight)
                nn.init.zeros_(part.bias)

    def parts(self) -> Iterator[tuple[str, View]]:
        """Each modality and what is its own."""
        for m, view in zip(self.names, self.views, strict=True):
            assert isinstance(view, View)
            yield m, view

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """Gates and predicts; an absent modality is 0. ``confidence`` has ``tcp``, the mean of the modalities' own."""
        known = self.known(batch)
        used = {m: embeddings[m].where(known[:, i, None], 0) for i, m in enumerate(self.names)}
        gates, own, sure, passed = [], [], [], []
        for i, (m, view) in enumerate(self.parts()):
            there = known[:, i, None]
            gate = view.gate(used[m]).sigmoid()
            hidden = view.hidden(gate * used[m] if self.params.feature_gate else used[m])
            hidden = dropout(F.relu(hidden), self.params.dropout, self.training)
            told = view.confidence(hidden).float()
            gates.append(gate.float().mean(1).where(known[:, i], 0))
            own.append(view.classifier(hidden).float().where(there, 0))
            sure.append(told.squeeze(1).where(known[:, i], 0))
            passed.append((hidden * told if self.params.modality_gate != "none" else hidden).where(there, 0))
        fused, confidence = torch.cat(passed, dim=-1), torch.stack(sure, dim=1)
        return Output(
            self.out(fused),
            embeddings=used,
            fused=fused,
            unimodal=dict(zip(self.names, own, strict=True)),
            confidence={"tcp": confidence.sum(1) / known.sum(1).clamp(min=1)},
            diagnostics={
                **by_modality("confidence", self.names, confidence),
                **by_modality("gate", self.names, torch.stack(gates, dim=1)),
            },
        )

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy of the whole and of each modality, the size of the gates, and the error of the confidences."""
        output, known = self(batch), self.known(batch)
        logits = torch.stack([output.unimodal[m] for m in self.names], dim=1)
        rows = batch.target.view(-1, 1, 1).expand(-1, len(self.names), 1)
        right = logits.softmax(-1).gather(-1, rows).squeeze(-1)
        told = torch.stack([output.diagnostics[f"confidence/{m}"] for m in self.names], dim=1)
        away = (told - (right.detach() if self.params.detach else right)).square()
        terms = {
            "task": task_loss(output.prediction, batch.target, self.spec),
            "views": self.own_losses(logits, batch),
            "confidence": self.params.weight_confidence * self._sum_of_means(away, known),
        }
        if self.params.feature_gate:
            gates = torch.stack([output.diagnostics[f"gate/{m}"] for m in self.names], dim=1)
            terms["sparse"] = self.params.weight_sparse * self._sum_of_means(gates, known)
        return terms

    def _sum_of_means(self, values: Tensor, known: Tensor) -> Tensor:
        return torch.stack([masked_mean(values[:, i], known[:, i]) for i in range(len(self.names))]).sum()
