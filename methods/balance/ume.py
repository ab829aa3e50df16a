"""UME: an ensemble of uni-modal networks (as in Du et al., ICML 2023), the control without any joint training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ...datasets.batch import Batch, Spec
from ..losses import masked_mean, task_errors
from ..method import Output, fixed
from ..shared.embedded import EmbedsByEncoders
from ..shared.networks import (
    PerModality,
    SharedNetworkParams,
    as_prediction,
    embedding_width,
    encoders,
    known_modalities,
    single_head,
)


@dataclass(frozen=True)
class UMEParams(SharedNetworkParams):
    """What is averaged."""

    average: Literal["probabilities", "logits"] = fixed(
        "probabilities", source="ours: the papers say that predictions are averaged; scores always are"
    )


class UME(EmbedsByEncoders):
    """A network for each modality, trained on it alone; the mean of the predictions of those that are present.

    The networks share no parameter, so the sum of their losses trains each as if it were alone, but for a clipped norm
    of the gradient and for the epoch, which are of all together. Of a sample without any modality each network sees a
    zero embedding.
    """

    Params = UMEParams
    version = 1
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": "networks are trained side by side, and the ensemble's validation chooses one epoch for all of them"
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {"mean of logits": {"average": "logits"}}
    params: UMEParams

    def __init__(self, params: UMEParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.names = tuple(spec.modalities)
        width = embedding_width(spec, params.width)
        self.encoders = encoders(spec, width, params.layers, params.released_encoder)
        self.heads = PerModality(spec, lambda _: single_head(spec, width, width))

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """The mean of the predictions of what is present, from the embeddings [batch, width] of ``encode``."""
        known = known_modalities(batch, self.names)
        used = {m: embeddings[m].where(known[:, i].unsqueeze(-1), 0) for i, m in enumerate(self.names)}
        unimodal = {m: as_prediction(self.heads(m, x), self.spec) for m, x in used.items()}
        counted = known | ~known.any(dim=1, keepdim=True)
        return Output(
            mean_prediction(torch.stack(list(unimodal.values()), dim=1), counted, self._log_space()),
            embeddings=used,
            unimodal=unimodal,
        )

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss of each network over the samples that have its modality, ``task/MODALITY``."""
        output, known = self(batch), known_modalities(batch, self.names)
        return {
            f"task/{m}": masked_mean(task_errors(output.unimodal[m], batch.target, self.spec), known[:, i])
            for i, m in enumerate(self.names)
        }

    def _log_space(self) -> bool:
        return self.spec.kind == "classification" and self.params.average == "probabilities"


def mean_prediction(predictions: Tensor, counted: Tensor, of_probabilities: bool) -> Tensor:
    """The mean of predictions over modalities.

    Args:
        predictions: [batch, modality] scores or [batch, modality, classes] logits.
        counted: [batch, modality], bool, at least one true in each row.
        of_probabilities: whether the result is the logarithm of the mean probabilities, and not the mean logits.

    Returns:
        [batch] or [batch, classes].
    """
    there = counted.view(*counted.shape, *[1] * (predictions.ndim - 2))
    count = there.sum(dim=1)
    if not of_probabilities:
        return predictions.where(there, 0).sum(dim=1) / count
    least = torch.finfo(predictions.dtype).min
    return predictions.log_softmax(dim=-1).where(there, least).logsumexp(dim=1) - count.log()
