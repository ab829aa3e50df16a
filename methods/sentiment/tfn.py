"""TFN: the outer product of the modalities' vectors (Zadeh et al., EMNLP 2017, arXiv 1707.07250)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.batch import Batch, Spec
from ..losses import task_loss
from ..method import Output, fixed, searched
from ..shared.embedded import Embeds
from ..shared.networks import SharedNetworkParams, as_prediction, available, outputs
from ..shared.subnetworks import Subnetworks
from ..shared.tensor_fusion import LowRankTensor, bounded, outer_with_one

#: ``subnets`` -> modality -> hidden width and width of its vector: MMSA's settings. Audio's are those of any other modality.
SIZES = {
    "released": {"text": (128, 32), "audio": (32, 32), "vision": (128, 128), "": (32, 32)},
    "mosei": {"text": (128, 128), "audio": (16, 16), "vision": (128, 128), "": (16, 16)},
    "sims": {"text": (128, 256), "audio": (32, 32), "vision": (128, 128), "": (32, 32)},
    "simsv2": {"text": (128, 128), "audio": (32, 32), "vision": (128, 128), "": (32, 32)},
}
#: The most modalities whose outer product is built.
MOST = 3


@dataclass(frozen=True)
class TFNParams(SharedNetworkParams):
    """Sizes, and what stands in the place of the outer product."""

    subnets: Literal["shared", "released", "mosei", "sims", "simsv2"] = fixed(
        "shared",
        source="ours: mmbench's encoders; released: MMSA's networks and sizes for MOSI; the others: for that data set",
    )
    factor_width: int = fixed(
        12,
        least=1,
        source="ours: width of a modality's vector with subnets=shared, so that the product stays small",
    )
    post_width: int = fixed(64, least=1, source="MMSA, MOSI: post_fusion_dim")
    fusion: Literal["tensor", "low_rank", "concatenation"] = fixed(
        "tensor", source="paper; the others are controls"
    )
    rank: int = fixed(
        4, least=1, source="ours, after MMSA's LMF: of low_rank, and of more than three modalities"
    )
    output: Literal["bounded", "linear", "released"] = fixed(
        "bounded", source="MMSA: scores in [-3, 3]; ours: in the range of the labels"
    )
    subnet_dropout: float = fixed(
        0.3, least=0, below=1, source="MMSA, MOSI: of audio and vision; with subnets=released"
    )
    post_dropout: float = searched(
        0.5,
        low=0.0,
        high=0.6,
        digits=1,
        least=0,
        below=1,
        source="MMSA, MOSI: of the product; range: our choice",
    )


class TFN(Embeds):
    """z = [1; h_1] x ... x [1; h_M] (outer product), then two hidden layers; scores are bounded by a sigmoid.

    z holds each vector, and the products of entries of any two and of all three. An absent modality has h_m = 0, so that
    what is left of z is the product of the others.
    """

    Params = TFNParams
    version = 1
    kinds: ClassVar[tuple[str, ...]] = ("regression", "classification", "multi-label")
    needs_modalities = 2
    as_published: ClassVar[Mapping[str, Any]] = {"subnets": "released", "output": "released"}
    as_published_in: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "mosei": {"subnets": "mosei", "post_width": 16, "subnet_dropout": 0.4, "post_dropout": 0.4},
        "sims": {"subnets": "sims", "post_width": 32, "subnet_dropout": 0.4, "post_dropout": 0.4},
        "simsv2": {"subnets": "simsv2", "post_width": 32},
    }
    rules_as_published: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sentiment": {
            "epochs": 100,
            "patience": 8,
            "batch_size": 32,
            "learning_rate": 0.001,
            "clip_norm": 0.0,
        },
        "mosei": {"batch_size": 128, "learning_rate": 0.005},
        "sims": {"learning_rate": 0.0005},
        "simsv2": {"batch_size": 128, "learning_rate": 0.002},
    }
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "after MMSA's code, not the authors'; audio and vision are averaged over their valid steps, not over padding too; the LSTM "
            "stops at the last word; more than three modalities have a tensor of low rank; the settings of MOSI hold for any other data "
            "set than MOSEI, SIMS and SIMSv2, and at most 100 epochs, where MMSA knows no maximum. A planted product of two modalities is "
            "learned as well by two layers on the concatenation (error 0.05 each): docs/methods.md has the figures"
        ),
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "concatenation": {"fusion": "concatenation"},
        "low rank": {"fusion": "low_rank"},
        "linear output": {"output": "linear"},
    }
    params: TFNParams

    def __init__(self, params: TFNParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.names = tuple(spec.modalities)
        self.subnets = Subnetworks(
            spec,
            params,
            released=SIZES.get(params.subnets),
            rate=params.subnet_dropout,
            width=params.factor_width,
        )
        widths = [self.subnets.widths[name] for name in self.names]
        self.whole = params.fusion == "tensor" and len(widths) <= MOST
        post = params.post_width
        self.dropout = nn.Dropout(params.post_dropout)
        if self.whole:
            self.enter: nn.Module = nn.Linear(math.prod(1 + width for width in widths), post)
        elif params.fusion == "concatenation":
            self.enter = nn.Linear(sum(widths), post)
        else:
            self.enter = LowRankTensor(widths, params.rank, post)
        self.head = nn.Sequential(nn.Linear(post, post), nn.ReLU(), nn.Linear(post, outputs(spec)))

    def encode_all(self, batch: Batch, modalities: Sequence[str] = ()) -> dict[str, Tensor]:
        """The same of several modalities."""
        return self.subnets(batch, modalities)

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """Multiplies and predicts, from h_m of each modality."""
        used = {m: embeddings[m].where(available(batch, m).unsqueeze(-1), 0) for m in self.names}
        fused = F.relu(self.mix(list(used.values())))
        raw = bounded(self.head(fused), self.spec, self.params.output)
        return Output(as_prediction(raw, self.spec), embeddings=used, fused=fused)

    def mix(self, vectors: Sequence[Tensor]) -> Tensor:
        """The fusion and the first linear layer behind it: h_m [batch, width of m], in order -> [batch, post_width]."""
        if self.whole:
            return self.enter(self.dropout(outer_with_one(vectors)))
        if self.params.fusion == "concatenation":
            return self.enter(self.dropout(torch.cat(list(vectors), dim=-1)))
        return self.enter([self.dropout(vector) for vector in vectors])

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss."""
        return {"task": task_loss(self(batch).prediction, batch.target, self.spec)}
