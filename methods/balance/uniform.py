"""Joint and uni-modal losses with equal weights: the control of methods that balance modalities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ...datasets.batch import Batch
from ..losses import task_loss
from ..method import fixed
from ..shared.balance_parts import UnimodalHeadParams
from ..shared.heads import WithHeads


@dataclass(frozen=True)
class UniformParams(UnimodalHeadParams):
    """The weight of the uni-modal losses."""

    weight: float = fixed(1.0, source="Wei & Hu, ICML 2024: their uniform baseline")


class Uniform(WithHeads):
    """ERM with a head for each modality beside the fused one: the sum of all their losses is minimised.

    L = L_fused + weight * sum_m L_m, L_m the task's loss of the head on modality m's embedding, over the samples that
    have it. The fused head predicts. Every encoder then has a gradient of its own, however well another modality
    predicts: what a method gains over this is due to how it balances, and not to the further heads.
    """

    Params = UniformParams
    version = 1
    departures: ClassVar[Mapping[str, str] | None] = {}
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {"joint loss alone": {"weight": 0.0}}
    params: UniformParams

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """``task``, of the fused prediction, and ``unimodal``, the weighted sum over the modalities."""
        output = self(batch)
        return {
            "task": task_loss(output.prediction, batch.target, self.spec),
            "unimodal": self.params.weight * self.unimodal_losses(output, batch).sum(),
        }
