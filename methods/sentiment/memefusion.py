"""MEME-Fusion: attention over the modalities of a sample, and a gate that weighs them (Wagle et al. 2026, arXiv 2604.14218).

Of the paper the abstract was read, and a note on the first author's earlier repository: image and text of a meme, self-attention of
four heads, a learned gate with weights of each sample, class weights, five stratified folds. Every formula and size is our
reading. docs/methods.md has what the parts are worth on planted data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.batch import Batch, Spec
from ...datasets.class_labels import balanced_weights
from ..losses import task_errors, weighed
from ..method import Output, fixed, searched
from ..shared.attention import attend
from ..shared.embedded import EmbedsByEncoders
from ..shared.networks import (
    Encoders,
    SharedNetworkParams,
    Stacked,
    as_prediction,
    embedding_width,
    encoders,
    is_raw,
    known_modalities,
    outputs,
)
from ..shared.vector_encoder import masked_mean_over_steps

#: Widths of the hidden layers of the gate and of the head.
GATE_HIDDEN, HEAD_HIDDEN = 128, 256


@dataclass(frozen=True)
class MemeFusionParams(SharedNetworkParams):
    """Sizes, the parts of the fusion, and the loss.

    Under the protocol ``as-published`` fields are as in ``MemeFusion.as_published``.
    """

    width: int = fixed(64, least=1, source="ours: of a modality's token; by our reading 512 as published")
    projection: Literal["encoder", "linear"] = fixed(
        "encoder", source="ours: mmbench's encoders; by our reading a linear layer on frozen features"
    )
    heads: int = fixed(4, least=1, divides="width", source="abstract: of the attention")
    attention: bool = fixed(True, source="ablation: false leaves each token as it is")
    gate: Literal["learned", "uniform", "none"] = fixed(
        "learned", source="ablation: all that are there alike; or tokens side by side, not weighed"
    )
    hybrid: bool = fixed(
        True, source="our reading of `hybrid`: products of two modalities beside the weighed sum"
    )
    class_weights: bool = fixed(
        True, source="the first author's repository, by a note on it; the protocol's own weights go before"
    )
    smoothing: float = fixed(0.0, least=0, below=1, source="ours: of the labels; 0.1 is usual")
    focal: float = fixed(0.0, least=0, source="ablation: the power of 1 - p of the true class; 2 is usual")
    dropout: float = searched(0.3, low=0.0, high=0.5, digits=1, least=0, below=1, source="ours: of the head")


class LinearProjection(nn.Module):
    """A linear layer on the mean of the valid steps, which is the vector itself where there is one step."""

    def __init__(self, features: int, width: int) -> None:
        """Builds the layer.

        Args:
            features: of a step.
            width: of the result.
        """
        super().__init__()
        self.project = nn.Linear(features, width)

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        """Projects; what lies at invalid steps is never read.

        Args:
            features: [batch, time, feature].
            valid: [batch, time], bool.

        Returns:
            [batch, width].
        """
        return self.project(masked_mean_over_steps(features.to(self.project.weight.dtype), valid))


class MemeFusion(EmbedsByEncoders):
    """h = sum_m g_m s'_m, s' = LN(s + MHA(s)), g = softmax of a network on all tokens; beside h the products of tokens.

    v_m = LN(embedding of m) is the token of a modality and s_m = v_m + a code of m. A modality that is absent is no key of the
    attention, has a weight of exactly 0, takes part in no product, and the gate reads a learned token in its place. Any number of
    modalities; the product is the mean over the pairs that are there, and with one modality there is none.
    """

    Params = MemeFusionParams
    version = 1
    needs_modalities = 2  # with one it is an encoder and a head
    as_published: ClassVar[Mapping[str, Any]] = {"width": 512, "projection": "linear"}
    rules_as_published: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "action": {
            "epochs": 15, "patience": 3, "drop_last": False, "optimizer": "adamw", "learning_rate": 0.001, "weight_decay": 0.01,
        }
    }  # fmt: skip
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "only the abstract is public, and a note on the first author's earlier repository: every formula and size "
            "is ours; encoders of mmbench on extracted features under `fair`; five folds are asked for with --folds "
            "5; the epoch is chosen by validation after training that ends early. On planted memes a uniform gate, "
            "and a hidden layer on the tokens side by side, are as good (accuracies of 0.979 and 0.980, with the "
            "defaults 0.979): docs/methods.md has the figures"
        ),
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "concatenation": {"attention": False, "gate": "none", "hybrid": False},
        "without attention": {"attention": False},
        "without gate": {"gate": "none"},
        "uniform gate": {"gate": "uniform"},
        "without product": {"hybrid": False},
        "gate alone": {"attention": False, "hybrid": False},
        "without class weights": {"class_weights": False},
        "focal loss": {"focal": 2.0},
    }
    params: MemeFusionParams

    def __init__(self, params: MemeFusionParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.names = tuple(spec.modalities)
        count, width = len(self.names), embedding_width(spec, params.width)
        if not 0 < params.heads <= width or width % params.heads:
            raise ValueError(f"heads is {params.heads}: it should divide the width of a token, {width}")
        if not (0 <= params.smoothing < 1 and params.focal >= 0):
            raise ValueError(
                f"smoothing is {params.smoothing} and focal {params.focal}: they should be in [0, 1) and at least 0"
            )
        self.weighing = _with_class_weights(spec) if params.class_weights else spec
        self.encoders = (
            encoders(spec, width, params.layers, params.released_encoder)
            if params.projection == "encoder"
            else _projections(spec, width, params)
        )
        self.norms = Stacked(count, lambda: nn.LayerNorm(width))
        self.codes = nn.Parameter(0.02 * torch.randn(count, width))
        if params.attention:
            self.ask = nn.Linear(width, 3 * width)
            self.answer = nn.Linear(width, width)
        self.last_norm = nn.LayerNorm(width)
        if params.gate == "learned":
            self.absent = nn.Parameter(0.02 * torch.randn(count, width))
            self.gate = nn.Sequential(
                nn.Linear(count * width, GATE_HIDDEN), nn.GELU(), nn.Linear(GATE_HIDDEN, count)
            )
        self.hybrid = params.hybrid and count > 1
        features = (count if params.gate == "none" else 1) * width + (width if self.hybrid else 0)
        self.head = nn.Sequential(
            nn.Linear(features, HEAD_HIDDEN),
            nn.GELU(),
            nn.Dropout(params.dropout),
            nn.Linear(HEAD_HIDDEN, outputs(spec)),
        )

    # --- the forward path -------------------------------------------------------------------------------

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """Attends, weighs and predicts, from the embeddings [batch, width] of ``encode``."""
        known = known_modalities(batch, self.names)
        there = known.unsqueeze(-1)
        tokens = self.norms(torch.stack([embeddings[name] for name in self.names], dim=1)).where(there, 0)
        attended = self.attended(tokens, known)
        gates = self.gates(tokens, known)
        parts = [attended.flatten(1) if gates is None else (gates.unsqueeze(-1) * attended).sum(1)]
        if self.hybrid:
            parts.append(products(tokens, known))
        fused = torch.cat(parts, dim=-1)
        told = {} if gates is None else {f"gate/{m}": gates[:, i] for i, m in enumerate(self.names)}
        return Output(
            prediction=as_prediction(self.head(fused), self.spec),
            embeddings={m: tokens[:, i] for i, m in enumerate(self.names)},
            fused=fused,
            diagnostics=told,
        )

    def attended(self, tokens: Tensor, known: Tensor) -> Tensor:
        """s', [batch, modality, width]: 0 where a modality is absent.

        Args:
            tokens: v, [batch, modality, width].
            known: [batch, modality], bool.
        """
        asked = tokens + self.codes
        if self.params.attention:
            ignored = ~known & known.any(dim=1, keepdim=True)  # never all of a sample
            heard = attend(None, self.ask(asked), ignored, self.params.heads, 0.0, False)
            asked = asked + self.answer(heard)
        return self.last_norm(asked).where(known.unsqueeze(-1), 0)

    def gates(self, tokens: Tensor, known: Tensor) -> Tensor | None:
        """g, [batch, modality]: the weights of what is there, which sum to 1, and exactly 0 for the rest; None without a gate.

        Args:
            tokens: v, [batch, modality, width].
            known: [batch, modality], bool.
        """
        if self.params.gate == "none":
            return None
        if self.params.gate == "uniform":
            return known.to(tokens.dtype) / known.sum(dim=1, keepdim=True).clamp(min=1)
        read = tokens.where(known.unsqueeze(-1), self.absent.to(tokens.dtype))
        scores = self.gate(read.flatten(1)).float()
        return scores.masked_fill(~known, torch.finfo(scores.dtype).min).softmax(dim=1).where(known, 0)

    # --- the loss ---------------------------------------------------------------------------------------

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss: cross-entropy times the weight of the class, with smoothing and focus where asked for; or L1."""
        prediction = self(batch).prediction
        if self.spec.kind == "regression":
            return {"task": task_errors(prediction, batch.target, self.spec).mean()}
        errors = F.cross_entropy(
            prediction, batch.target, reduction="none", label_smoothing=self.params.smoothing
        )
        if self.params.focal:
            true = prediction.log_softmax(dim=-1).gather(1, batch.target.unsqueeze(1)).squeeze(1).exp()
            errors = (1 - true).clamp(min=1e-6) ** self.params.focal * errors
        return {"task": weighed(errors, batch.target, self.weighing).mean()}


def products(tokens: Tensor, known: Tensor) -> Tensor:
    """The mean over all pairs of modalities that are there of the products of their tokens, [batch, width]; 0 without a pair.

    Args:
        tokens: [batch, modality, width], 0 where a modality is absent.
        known: [batch, modality], bool.
    """
    count = known.sum(dim=1, keepdim=True)
    pairs = (tokens.sum(1).square() - tokens.square().sum(1)) / 2
    return pairs / (count * (count - 1) / 2).clamp(min=1)


def _with_class_weights(spec: Spec) -> Spec:
    """The specification with balanced weights of the classes, unless the protocol has weights of its own."""
    if spec.class_weights or not spec.class_counts:
        return spec
    return replace(spec, class_weights=balanced_weights(spec.class_counts))


def _projections(spec: Spec, width: int, params: MemeFusionParams) -> Encoders:
    """A linear layer for each modality of features; waveforms and media that are encoded along keep their encoders.

    Args:
        spec: of the task.
        width: of a token.
        params: the size of those encoders.
    """
    names = iter(spec.modalities)

    def make(features: int) -> nn.Module:
        name = next(names)
        if not is_raw(spec, name):
            return LinearProjection(features, width)
        alone = replace(spec, modalities={name: features})
        return encoders(alone, width, params.layers, params.released_encoder).parts[0]

    return Encoders(spec, make)
