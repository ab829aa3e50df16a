"""MIRO: features stay close to those of a frozen start (Cha et al., ECCV 2022, arXiv 2203.10789)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.batch import Batch, Spec
from ..erm import ERM
from ..losses import task_loss
from ..method import searched
from ..shared.networks import Encoders, SharedNetworkParams, available

LEAST_VARIANCE = 1e-5  # arXiv 2606.00891, and the release of the paper
FIRST_VARIANCE = 0.1  # the same


@dataclass(frozen=True)
class MIROParams(SharedNetworkParams):
    """How strongly the start is held."""

    weight: float = searched(
        0.1,
        choices=(0.001, 0.01, 0.1, 1.0),
        source="the release's default; arXiv 2606.00891, multimodal first; range: our choice about its 0.01 and 0.1",
    )


class MIRO(ERM):
    """ERM with weight * the mean over channels of [(z - z0)^2 / v + log v] / 2 (the paper's algorithm 1).

    z are the fused features, z0 those of the encoders as they were before training, frozen and without
    dropout, and v = softplus(b) + 1e-5 a learned variance for each channel, 0.1 at first. It bounds the
    mutual information of z and z0 from below, with the identity for the mean.

    The paper holds pretrained encoders. Here what is pretrained made the input features and is frozen
    anyway, and the start of the encoders is random. The variances learn at the rate of all (release: ten
    times that), and only the last layer of the encoders is held (release: several).
    """

    Params = MIROParams
    version = 1
    kinds: ClassVar[tuple[str, ...]] = ("regression", "classification", "multi-label")
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": "the start is random, not pretrained; last layer alone",
    }
    params: MIROParams

    def __init__(self, params: MIROParams, spec: Spec) -> None:
        super().__init__(params, spec)
        raw = math.log(math.expm1(FIRST_VARIANCE - LEAST_VARIANCE))
        self.raw_variance = nn.Parameter(torch.full((len(spec.modalities) * self.width,), raw))
        # In a tuple it is no sub-module: not trained, not saved, not counted.
        self.start: tuple[Encoders, ...] = (copy.deepcopy(self.encoders).requires_grad_(False).eval(),)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> MIRO:
        for start in self.start:
            start._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def variance(self) -> Tensor:
        """v, [modalities * width]."""
        return F.softplus(self.raw_variance) + LEAST_VARIANCE

    @torch.no_grad()
    def first_features(self, batch: Batch) -> Tensor:
        """z0, [batch, modalities * width]: what the encoders said before training; 0 where absent."""
        encoded = self.start[0].together(batch)
        return torch.cat([z.where(available(batch, m).unsqueeze(-1), 0) for m, z in encoded.items()], dim=-1)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss, and the distance to the start."""
        output = self(batch)
        assert output.fused is not None
        distance = (output.fused - self.first_features(batch)).square()
        variance = self.variance()
        bound = (distance / variance + variance.log()).mean() / 2
        task = task_loss(output.prediction, batch.target, self.spec)
        return {"task": task, "miro": self.params.weight * bound}
