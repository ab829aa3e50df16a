"""UMT: uni-modal teachers for the encoders of a joint network (Du et al., ICML 2023)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...datasets.batch import Batch, Spec
from ..losses import masked_mean, task_errors, task_loss
from ..method import Output, fixed, searched
from ..shared.embedded import Embeds
from ..shared.networks import (
    PerModality,
    SharedNetworkParams,
    as_prediction,
    embedding_width,
    encoders,
    fusion_head,
    known_modalities,
    single_head,
)
from .ume import mean_prediction


@dataclass(frozen=True)
class UMTParams(SharedNetworkParams):
    """The weight of the teachers, and how long they are trained."""

    weight: float = searched(
        10.0, low=0.0, high=50.0, digits=0, source="BalanceBenchmark's code; 0: joint training; range: ours"
    )
    first_stage: float = fixed(
        0.4,
        least=0,
        most=1,
        source="ours: share of the epochs of the teachers; published: trainings of their own",
    )


class UMT(Embeds):
    """The joint network's encoders learn to say what encoders say that were trained on their modality alone.

    Stage 0 trains an encoder and a head for each modality, apart from each other, and predicts by the mean of these. Stage 1
    leaves them as they are, and trains new encoders h_m and a fusion head by

        task + 10 sum_m mean (h_m - h*_m)^2,

    h*_m being the teacher's embedding; a mean over numbers and over the samples that have the modality.
    """

    Params = UMTParams
    version = 1
    needs_modalities = 2
    stages = (0.4, 0.6)
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "teachers are trained side by side in a first stage of the same training, not each until it is best on its own; "
            "encoders and heads of mmbench, after a third party's code; scores and absent modalities are ours. On planted data "
            "the weak encoder gains what a loss of its own gives, which `uniform` and `ume` have without teachers: "
            "docs/methods.md has the figures"
        )
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {"without teachers": {"weight": 0.0}}
    params: UMTParams

    def __init__(self, params: UMTParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.names = tuple(spec.modalities)
        width = embedding_width(spec, params.width)
        self.stages = (params.first_stage, 1 - params.first_stage)
        self.stage = 1
        self.encoders = encoders(spec, width, params.layers, params.released_encoder)
        self.head = fusion_head(spec, width)
        self.teachers = encoders(spec, width, params.layers, params.released_encoder)
        self.heads = PerModality(spec, lambda _: single_head(spec, width, width))

    def begin_stage(self, stage: int) -> None:
        """Stage 0: teachers. Stage 1: the joint network, and teachers that stay as they are."""
        self.stage = stage
        for part in (self.teachers, self.heads):
            part.requires_grad_(stage == 0)
        self.train(self.training)  # the trainer begins a stage behind ``train``

    def train(self, mode: bool = True) -> UMT:
        """As of every module; teachers have no dropout once they teach."""
        super().train(mode)
        if self.stage:
            self.teachers.eval()
        return self

    # --- the forward path -------------------------------------------------------------------------------

    def encode_all(self, batch: Batch, modalities: Sequence[str] = ()) -> dict[str, Tensor]:
        """The embeddings [batch, width] of several modalities; in stage 0 the teachers'.

        Args:
            batch: the samples.
            modalities: those that are encoded; by default all.
        """
        return (self.encoders if self.stage else self.teachers).together(batch, modalities)

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """The joint prediction from what is present; in stage 0 the mean of the teachers'."""
        known = known_modalities(batch, self.names)
        used = {m: embeddings[m].where(known[:, i : i + 1], 0) for i, m in enumerate(self.names)}
        if self.stage:
            fused = torch.cat(list(used.values()), dim=-1)
            return Output(as_prediction(self.head(fused), self.spec), embeddings=used, fused=fused)
        alone = {m: as_prediction(self.heads(m, x), self.spec) for m, x in used.items()}
        counted = known | ~known.any(dim=1, keepdim=True)
        mean = mean_prediction(
            torch.stack(list(alone.values()), dim=1), counted, self.spec.kind == "classification"
        )
        return Output(mean, embeddings=used, fused=torch.cat(list(used.values()), dim=-1), unimodal=alone)

    # --- the loss ---------------------------------------------------------------------------------------

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Stage 0: ``task/MODALITY`` of each teacher. Stage 1: ``task``, and ``taught``, the distance to the teachers."""
        output, known = self(batch), known_modalities(batch, self.names)
        if self.stage == 0:
            return {
                f"task/{m}": masked_mean(
                    task_errors(output.unimodal[m], batch.target, self.spec), known[:, i]
                )
                for i, m in enumerate(self.names)
            }
        terms = {"task": task_loss(output.prediction, batch.target, self.spec)}
        if self.params.weight:
            terms["taught"] = self.params.weight * self.distance(output.embeddings, batch)
        return terms

    def distance(self, embeddings: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """sum_m mean (h_m - h*_m)^2, a scalar.

        Args:
            embeddings: h of each modality, [batch, width].
            batch: the samples.
        """
        known = known_modalities(batch, self.names)
        with torch.no_grad():
            goal = self.teachers.together(batch, self.names)
        apart = [(embeddings[m] - goal[m]).square().mean(dim=1) for m in self.names]
        return torch.stack([masked_mean(one, known[:, i]) for i, one in enumerate(apart)]).sum()
