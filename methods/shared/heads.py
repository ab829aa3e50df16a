"""The shared network with a prediction head for each modality beside the fused one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...datasets.batch import Batch, Spec
from ..losses import masked_mean, plain_errors, task_errors
from ..method import Output, fixed
from .branches import Branches, BranchParams, mlp
from .networks import PerModality, available, outputs, single_head
from .networks import as_prediction as shaped

UNIMODAL_DROPOUT = 0.2  # MMDG-Bench, sentiment


@dataclass(frozen=True)
class HeadParams(BranchParams):
    """The size of the shared network and of its uni-modal heads, and which embedding they see."""

    unimodal_width: int = fixed(
        0,
        least=0,
        source="MMDG-Bench 2.3, sentiment: 128, the hidden width of uni-modal MLPs; 0: the shared head",
        since="0.2",
    )


class WithHeads(Branches):
    """ERM's network, with uni-modal predictions from each modality's embedding.

    ``params`` has the fields of ``HeadParams``.
    """

    def __init__(self, params: Any, spec: Spec) -> None:
        super().__init__(params, spec)

        def head(_: int) -> nn.Module:
            if params.unimodal_width:
                return mlp(self.seen, params.unimodal_width, outputs(spec), UNIMODAL_DROPOUT)
            return single_head(spec, self.seen, self.width)

        self.heads = PerModality(spec, head)

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """As ERM, with a prediction from each modality alone; an absent one predicts from zeros."""
        fused = super().fuse(embeddings, batch)
        unimodal = {m: shaped(self.heads(m, x), self.spec) for m, x in fused.embeddings.items()}
        return Output(fused.prediction, embeddings=fused.embeddings, fused=fused.fused, unimodal=unimodal)

    def unimodal_losses(self, output: Output, batch: Batch) -> Tensor:
        """The task's loss of each head, [modality], over the samples that have the modality (0 if none).

        Args:
            output: that of ``fuse``.
            batch: with the targets.
        """
        return torch.stack(
            [
                masked_mean(task_errors(output.unimodal[m], batch.target, self.spec), available(batch, m))
                for m in self.names
            ]
        )

    @torch.no_grad()
    def correctness(self, output: Output, batch: Batch) -> Tensor:
        """How right each head is, [modality], in [0, 1]: mean probability of the true class, or exp(-mean absolute error).

        Args:
            output: that of ``fuse``.
            batch: with the targets.
        """
        values = []
        for m in self.names:
            errors = plain_errors(output.unimodal[m], batch.target, self.spec)
            known = available(batch, m)
            classes = self.spec.kind == "classification"
            values.append(
                masked_mean((-errors).exp(), known) if classes else (-masked_mean(errors, known)).exp()
            )
        return torch.stack(values)


def means_of_others(values: Tensor, known: Tensor) -> Tensor:
    """For each value, the mean of the other known ones, [n]; NaN where there are none.

    Args:
        values: [n].
        known: [n], bool.
    """
    others = known & ~torch.eye(len(values), dtype=torch.bool, device=values.device)
    return (others * values.where(known, 0)).sum(1) / others.sum(1)
