"""LF-DNN: the modalities' vectors side by side, and a network of three layers (a baseline of MMSA)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ...datasets.batch import Batch, Spec
from ..losses import task_loss
from ..method import Output, fixed, searched
from ..shared.embedded import Embeds
from ..shared.networks import SharedNetworkParams, as_prediction, available, outputs
from ..shared.subnetworks import Subnetworks

#: ``subnets`` -> modality -> hidden width and width of its vector: MMSA's settings. Audio's are those of any other modality.
SIZES = {
    "released": {"text": (128, 256), "audio": (16, 16), "vision": (128, 128), "": (16, 16)},
    "mosei": {"text": (128, 128), "audio": (32, 32), "vision": (128, 128), "": (32, 32)},
    "sims": {"text": (128, 256), "audio": (32, 32), "vision": (128, 128), "": (32, 32)},
    "simsv2": {"text": (64, 256), "audio": (32, 32), "vision": (64, 64), "": (32, 32)},
}


@dataclass(frozen=True)
class LFDNNParams(SharedNetworkParams):
    """Sizes. With ``hidden_layers=0`` it is ``late_concat``."""

    subnets: Literal["shared", "released", "mosei", "sims", "simsv2"] = fixed(
        "shared",
        source="ours: mmbench's encoders; released: MMSA's networks and sizes for MOSI; the others: for that data set",
    )
    post_width: int = fixed(128, least=1, source="MMSA, MOSI: post_fusion_dim")
    hidden_layers: int = fixed(2, least=0, source="MMSA; 0 is the control: one linear layer")
    subnet_dropout: float = fixed(
        0.2, least=0, below=1, source="MMSA, MOSI: of audio and vision; with subnets=released"
    )
    post_dropout: float = searched(
        0.2,
        low=0.0,
        high=0.5,
        digits=1,
        least=0,
        below=1,
        source="MMSA, MOSI: of what the layers read; range: its four data sets",
    )


class LFDNN(Embeds):
    """dropout([h_1; ...; h_M]), two layers with ReLU, and a linear one. An absent modality has h_m = 0."""

    Params = LFDNNParams
    version = 1
    kinds: ClassVar[tuple[str, ...]] = ("regression", "classification", "multi-label")
    as_published: ClassVar[Mapping[str, Any]] = {"subnets": "released"}
    as_published_in: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "mosei": {"subnets": "mosei"},
        "sims": {"subnets": "sims", "post_width": 32, "subnet_dropout": 0.3, "post_dropout": 0.5},
        "simsv2": {"subnets": "simsv2", "post_width": 32, "subnet_dropout": 0.4, "post_dropout": 0.4},
    }
    rules_as_published: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sentiment": {
            "epochs": 100,
            "patience": 8,
            "batch_size": 128,
            "learning_rate": 0.001,
            "weight_decay": 0.01,
            "clip_norm": 0.0,
        },
        "mosei": {"batch_size": 64, "learning_rate": 0.002, "weight_decay": 0.001},
        "sims": {"learning_rate": 0.005, "weight_decay": 0.005},
        "simsv2": {"learning_rate": 0.005, "weight_decay": 0.0},
    }
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "after MMSA's code; audio and vision are averaged over their valid steps, not over padding too; the LSTM stops at the last "
            "word; the settings of MOSI hold for any other data set than MOSEI, SIMS and SIMSv2, and at most 100 epochs, where MMSA knows "
            "no maximum"
        ),
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {"linear": {"hidden_layers": 0}}
    params: LFDNNParams

    def __init__(self, params: LFDNNParams, spec: Spec) -> None:
        super().__init__(params, spec)
        if params.hidden_layers < 0:
            raise ValueError(f"hidden_layers is {params.hidden_layers}: it should be 0 or more")
        self.names = tuple(spec.modalities)
        sizes = SIZES.get(params.subnets)
        self.subnets = Subnetworks(spec, params, released=sizes, rate=params.subnet_dropout)
        width = sum(self.subnets.widths.values())
        self.dropout = nn.Dropout(params.post_dropout)
        layers: list[nn.Module] = []
        for _ in range(params.hidden_layers):
            layers += [nn.Linear(width, params.post_width), nn.ReLU()]
            width = params.post_width
        self.hidden = nn.Sequential(*layers)
        self.out = nn.Linear(width, outputs(spec))

    def encode_all(self, batch: Batch, modalities: Sequence[str] = ()) -> dict[str, Tensor]:
        """The same of several modalities."""
        return self.subnets(batch, modalities)

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """Concatenates and predicts, from h_m of each modality."""
        used = {m: embeddings[m].where(available(batch, m).unsqueeze(-1), 0) for m in self.names}
        fused = self.hidden(self.dropout(torch.cat(list(used.values()), dim=-1)))
        return Output(as_prediction(self.out(fused), self.spec), embeddings=used, fused=fused)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss."""
        return {"task": task_loss(self(batch).prediction, batch.target, self.spec)}
