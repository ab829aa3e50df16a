"""PDF: predictive dynamic fusion (Cao et al., ICML 2024; arXiv 2406.04802).

Each modality predicts the probability that it gives to the true class (Mono-confidence), and that of the others says how much
depends on it (Holo-confidence). Their sum decides the weight of its logits. Where it predicts, a modality whose probabilities are nearer to
uniform than those of another is trusted less (relative calibration).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ...datasets.batch import Batch, Spec
from ..losses import masked_mean, task_loss
from ..method import Output, fixed
from ..shared.views import ViewParams, Views, by_modality


@dataclass(frozen=True)
class PDFParams(ViewParams):
    """The parts of the weights, each of which can be left out."""

    weights: Literal["confidence", "uniform"] = fixed(
        "confidence", source="control: the same for every modality"
    )
    holo: bool = fixed(True, source="ablation: Mono-confidence alone")
    calibrate: bool = fixed(True, source="ablation: weights as in training")
    hidden_relu: bool = fixed(
        True,
        source="ours; published: three linear layers of the confidence with nothing between, which are one",
    )
    weight_confidence: float = fixed(1.0, source="released")


class ConfidenceNet(nn.Module):
    """Three linear layers and a sigmoid: [batch, inputs] -> [batch], in (0, 1)."""

    def __init__(self, inputs: int, width: int, relu: bool) -> None:
        super().__init__()
        between = nn.ReLU if relu else nn.Identity
        self.layers = nn.Sequential(
            nn.Linear(inputs, width), between(), nn.Linear(width, width), between(), nn.Linear(width, 1)
        )

    def forward(self, rows: Tensor) -> Tensor:
        """[batch, inputs] -> [batch]."""
        return self.layers(rows).squeeze(-1).float().sigmoid()


class PDF(Views):
    """sum_m w_m o_m, w a softmax over modalities of what each is expected to be right, and of how little the others are."""

    Params = PDFParams
    version = 1
    kinds: ClassVar[tuple[str, ...]] = ("classification",)
    as_published: ClassVar[Mapping[str, Any]] = {"hidden_relu": False}
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "encoders of mmbench, not BERT and ResNet that are trained along, and confidence networks of their width; the "
            "budget is that of the family; with more than two modalities relative calibration is by the surest of them"
        )
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "uniform weights": {"weights": "uniform"},
        "without Holo-confidence": {"holo": False},
        "without calibration": {"calibrate": False},
    }
    params: PDFParams

    def __init__(self, params: PDFParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.heads = self.classifiers()
        self.nets = nn.ModuleList(
            ConfidenceNet(self.widths[m], self.width, params.hidden_relu) for m in self.names
        )

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """Weighs and sums; an absent modality has the weight 0. ``confidence`` has ``mono``, the weighted Mono-confidence."""
        known = self.known(batch)
        there = known.unsqueeze(-1)
        used = {m: embeddings[m].where(known[:, i, None], 0) for i, m in enumerate(self.names)}
        logits = torch.stack([self.heads(m, used[m]) for m in self.names], dim=1).float().where(there, 0)
        mono = torch.stack(
            [net(used[m].detach()) for m, net in zip(self.names, self.nets, strict=True)], dim=1
        ).where(known, 0)
        weights = self.weigh(mono, logits, known).detach()
        return Output(
            (weights.unsqueeze(-1) * logits).sum(1),
            embeddings=used,
            fused=torch.cat(list(used.values()), dim=-1),
            unimodal={m: logits[:, i] for i, m in enumerate(self.names)},
            confidence={"mono": (weights * mono).sum(1)},
            diagnostics={
                **by_modality("confidence", self.names, mono),
                **by_modality("weight", self.names, weights),
            },
        )

    def weigh(self, mono: Tensor, logits: Tensor, known: Tensor) -> Tensor:
        """The weights of the modalities.

        Args:
            mono: c, [batch, modality], in (0, 1).
            logits: o, [batch, modality, classes].
            known: [batch, modality], bool.

        Returns:
            [batch, modality]; they sum to 1 where there is a modality, and are 0 where one is absent.
        """
        if self.params.weights == "uniform":
            return known / known.sum(1, keepdim=True).clamp(min=1)
        said = mono + holo_confidence(mono, known) if self.params.holo else mono
        if self.params.calibrate and not self.training:
            said = said * relative_calibration(logits, known)
        said = said.masked_fill(~known, torch.finfo(said.dtype).min)
        return said.softmax(dim=1).where(known, 0)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy of the sum and of each modality, and how far Mono-confidences are from what they predict."""
        output, known = self(batch), self.known(batch)
        logits = torch.stack([output.unimodal[m] for m in self.names], dim=1)
        told = torch.stack([output.diagnostics[f"confidence/{m}"] for m in self.names], dim=1)
        rows = batch.target.view(-1, 1, 1).expand(-1, len(self.names), 1)
        right = logits.detach().softmax(-1).gather(-1, rows).squeeze(-1)
        away = (told - right).abs()
        each = torch.stack([masked_mean(away[:, i], known[:, i]) for i in range(len(self.names))])
        return {
            "task": task_loss(output.prediction, batch.target, self.spec),
            "views": self.own_losses(logits, batch),
            "confidence": self.params.weight_confidence * each.sum(),
        }


def holo_confidence(mono: Tensor, known: Tensor) -> Tensor:
    """The share that the other modalities have in the logarithm of the product of all c; 0 of a modality alone.

    The less sure the others are, the larger it is; over the modalities it sums to their number minus 1.

    Args:
        mono: c, [batch, modality], in (0, 1).
        known: [batch, modality], bool; absent ones are in neither.

    Returns:
        [batch, modality].
    """
    logs = mono.clamp(min=1e-12).log().where(known, 0)
    total = logs.sum(dim=1, keepdim=True)
    return (total - logs) / (total - 1e-8)


def relative_calibration(logits: Tensor, known: Tensor) -> Tensor:
    """How far the probabilities of a modality are from uniform, over the same of the one that is farthest.

    With two modalities it is the published min(1, du_m / du_other).

    Args:
        logits: [batch, modality, classes].
        known: [batch, modality], bool; absent ones are not compared.

    Returns:
        [batch, modality], in [0, 1].
    """
    away = (logits.softmax(-1) - 1 / logits.shape[-1]).abs().mean(-1).where(known, 0)
    return away / away.amax(dim=1, keepdim=True).clamp(min=1e-8)
