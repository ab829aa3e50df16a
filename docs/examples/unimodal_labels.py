"""Multi-task late fusion: every modality also predicts the label that it has of its own (Yu et al., ACL 2020)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods.erm import ERM
from mmbench.methods.losses import masked_mean, task_errors
from mmbench.methods.method import Output, searched
from mmbench.methods.shared.networks import (
    PerModality,
    SharedNetworkParams,
    as_prediction,
    available,
    outputs,
)
from torch import Tensor, nn

METHODS = {"multi_task": "MultiTask"}


@dataclass(frozen=True)
class MultiTaskParams(SharedNetworkParams):
    """The weight of the modalities' own tasks, and the size of the shared network."""

    weight: float = searched(0.5, low=0.0, high=1.0, digits=2, source="our choice; 0 is ERM")


class MultiTask(ERM):
    """ERM with a linear head a modality, trained with ``unimodal_target``. Where there is none, it is ERM."""

    Params = MultiTaskParams
    params: MultiTaskParams

    def __init__(self, params: MultiTaskParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.heads = PerModality(spec, lambda features: nn.Linear(self.width, outputs(spec)))

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """ERM's output, with a prediction of each modality alone."""
        output = super().fuse(embeddings, batch)
        for name, embedding in output.embeddings.items():
            output.unimodal[name] = as_prediction(self.heads(name, embedding), self.spec)
        return output

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss, and that of each modality which has labels of its own, over the samples that have it."""
        output = self(batch)
        terms = {"task": task_errors(output.prediction, batch.target, self.spec).mean()}
        own = [
            masked_mean(task_errors(output.unimodal[name], label, self.spec), available(batch, name))
            for name, label in batch.unimodal_target.items()
        ]
        if own:
            terms["modalities"] = self.params.weight * torch.stack(own).mean()
        return terms
