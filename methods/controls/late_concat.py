"""Late concatenation: the control that does nothing with several modalities but put them side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from ...datasets.batch import Spec
from ..erm import ERM
from ..shared.networks import SharedNetworkParams, outputs


@dataclass(frozen=True)
class LateConcatParams(SharedNetworkParams):
    """The size of the shared encoders."""


class LateConcat(ERM):
    """The encoders and the masks of ERM, and one linear layer on the concatenated embeddings.

    prediction = b + sum_m W_m z_m, over the modalities that are present. No modality can change what another
    one says: a method that claims to gain from interaction has to beat this.
    """

    Params = LateConcatParams
    version = 1
    kinds: ClassVar[tuple[str, ...]] = ("regression", "classification", "multi-label")
    departures: ClassVar[Mapping[str, str] | None] = {}

    def __init__(self, params: LateConcatParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.head = nn.Linear(len(spec.modalities) * self.width, outputs(spec))
