"""ERM: encode each modality, concatenate, predict. The baseline that every other method must beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..datasets.batch import Batch, Spec
from .losses import task_loss
from .method import Method, Output
from .shared.networks import (
    SharedNetworkParams,
    as_prediction,
    available,
    embedding_width,
    encoders,
    fusion_head,
)


@dataclass(frozen=True)
class ERMParams(SharedNetworkParams):
    """The size of the shared network."""


class ERM(Method):
    """Empirical risk minimisation with late fusion. An absent modality is a zero embedding."""

    Params = ERMParams
    version = 1
    kinds: ClassVar[tuple[str, ...]] = ("regression", "classification", "multi-label")
    departures: ClassVar[Mapping[str, str] | None] = {
        "action": (
            "mmbench's own network (40 wide, 8,448 parameters in a head of three modalities) in "
            "place of trunks that are trained along, embeddings of 2,304, 2,048 and 512, and a head "
            "of 2,494,984"
        ),
    }
    as_published_in: ClassVar[Mapping[str, Mapping[str, Any]]] = {"sentiment": {"released_encoder": True}}
    #: Section 1.4: a new Adam for every step, the convolutions at a tenth of its rate.
    rules_as_published: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "hust": {"restart_optimizer": True, "encoder_rate": 0.1}
    }

    def __init__(self, params: SharedNetworkParams, spec: Spec) -> None:
        super().__init__(params, spec)
        width = self.width = embedding_width(spec, params.width)
        # a plug-in's own parameters may lack it
        released = getattr(params, "released_encoder", False)
        self.encoders = encoders(spec, width, params.layers, released)
        self.head = fusion_head(spec, width)

    def encode(self, modality: str, batch: Batch) -> Tensor:
        """The embedding [batch, width] of one modality."""
        return self.encoders.encode(modality, batch)

    def encode_all(self, batch: Batch, modalities: Sequence[str] = ()) -> dict[str, Tensor]:
        """The embeddings of several modalities, computed as one where no subclass encodes otherwise."""
        if type(self).encode is not ERM.encode:
            return super().encode_all(batch, modalities)
        return self.encoders.together(batch, modalities)

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """Concatenates the embeddings [batch, width] of what is present, and predicts."""
        used = {m: embeddings[m].where(available(batch, m).unsqueeze(-1), 0) for m in self.spec.modalities}
        fused = torch.cat(list(used.values()), dim=-1)
        return Output(as_prediction(self.head(fused), self.spec), embeddings=used, fused=fused)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss."""
        return {"task": task_loss(self(batch).prediction, batch.target, self.spec)}
