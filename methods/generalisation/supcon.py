"""SupCon: samples of one class lie together (Khosla et al., NeurIPS 2020, arXiv 2004.11362)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from ...datasets.batch import Batch, Spec
from ..erm import ERM
from ..losses import task_loss
from ..method import fixed, searched
from ..shared.contrast import contrast_of_samples, label_classes
from ..shared.networks import SharedNetworkParams


@dataclass(frozen=True)
class SupConParams(SharedNetworkParams):
    """How strongly, and how sharply samples are contrasted."""

    weight: float = searched(
        0.05, choices=(0.01, 0.05, 0.1, 0.5, 1.0), source="arXiv 2606.00891; range: our choice"
    )
    temperature: float = fixed(0.1, above=0, source="arXiv 2606.00891; the release of the paper has 0.07")


class SupCon(ERM):
    """ERM with weight * the supervised contrastive loss of the fused features, whatever domain they are of.

    The loss is eq. 2 of the paper, on a projection of two layers, L2-normalised. Scores have three classes:
    below, at and above the middle of the label range (MMDG-Bench: the sign of the label).

    The paper trains encoder and head one after the other, on two augmented views of every sample; here they
    learn together, as in the sibling benchmark, and each sample is one view.
    """

    Params = SupConParams
    version = 1
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": "one stage, one view; scores have three classes",
    }
    params: SupConParams

    def __init__(self, params: SupConParams, spec: Spec) -> None:
        super().__init__(params, spec)
        fused, width = len(spec.modalities) * self.width, self.width
        self.projection = nn.Sequential(nn.Linear(fused, width), nn.ReLU(), nn.Linear(width, width))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss, and the contrast."""
        output = self(batch)
        classes = label_classes(batch.target, self.spec)
        contrast = contrast_of_samples(self.projection(output.fused), classes, self.params.temperature)
        task = task_loss(output.prediction, batch.target, self.spec)
        return {"task": task, "supcon": self.params.weight * contrast}
