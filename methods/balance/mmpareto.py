"""MMPareto: multimodal and uni-modal gradients of an encoder, combined without conflict (Wei & Hu, ICML 2024).

The gain and the rescaling lengthen a gradient: before an optimiser that divides it by its size, as Adam does, a lasting
factor changes nothing, and what is left there is the direction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from ...datasets.batch import Batch, Spec
from ..losses import task_loss
from ..method import Output, fixed
from ..shared.balance_parts import UnimodalHeadParams
from ..shared.heads import WithHeads

#: gamma stays so far from 0 and 1.
MARGIN = 0.001


@dataclass(frozen=True)
class MMParetoParams(UnimodalHeadParams):
    """How two gradients are combined, and how long the result is."""

    weights: Literal["pareto", "equal"] = fixed(
        "pareto", source="control: equal weights, whatever the conflict"
    )
    rescale: bool = fixed(True, source="Wei & Hu 2024: as long as the plain sum of the gradients, at least")
    gain: float = fixed(1.5, source="Wei & Hu 2024, code")


class MMPareto(WithHeads):
    """ERM with a head for each modality; of each encoder the gradients of both losses are combined.

    g_mm and g_m are the gradients of encoder m for the fused loss and for its own head's. Where they agree (a positive
    cosine) they count alike, gamma = 1/2; where not, gamma is that of the shortest vector gamma g_mm + (1 - gamma) g_m.
    The encoder is given g = 2 gamma g_mm + 2 (1 - gamma) g_m, each parameter's share of it lengthened to that of
    g_mm + g_m where it is shorter, times ``gain``. Heads learn from the plain sum of the losses; the fused one predicts.
    """

    Params = MMParetoParams
    version = 1
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "encoders and heads of mmbench; optimiser and rates are the protocol's, not SGD at 2e-3: before Adam the gain "
            "is nearly a no-op; absent modalities are ours"
        )
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "plain sum": {"weights": "equal", "gain": 1.0},
        "gain alone": {"weights": "equal"},
        "without gain": {"gain": 1.0},
        "without rescaling": {"rescale": False},
    }
    params: MMParetoParams
    share: Tensor  # [modality], the mean gamma so far
    conflicts: Tensor  # [modality], the share of batches whose gradients disagreed
    measured: Tensor  # int64, batches

    def __init__(self, params: MMParetoParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.register_buffer("share", torch.full((len(self.names),), 0.5))
        self.register_buffer("conflicts", torch.zeros(len(self.names)))
        self.register_buffer("measured", torch.zeros((), dtype=torch.int64))

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """As ``uniform``; how often gradients disagreed so far is among the diagnostics."""
        output = super().fuse(embeddings, batch)
        told = {f"conflicts/{m}": self.conflicts[i].expand(len(batch)) for i, m in enumerate(self.names)}
        told |= {f"gamma/{m}": self.share[i].expand(len(batch)) for i, m in enumerate(self.names)}
        return Output(
            output.prediction,
            embeddings=output.embeddings,
            fused=output.fused,
            unimodal=output.unimodal,
            diagnostics=told,
        )

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """``task``, of the fused prediction, and ``unimodal``, the sum over the heads."""
        output = self(batch)
        return {
            "task": task_loss(output.prediction, batch.target, self.spec),
            "unimodal": self.unimodal_losses(output, batch).sum(),
        }

    def backward(self, batch: Batch) -> dict[str, Tensor]:
        """The combined gradients of the encoders, and plain ones of the heads.

        Returns:
            The loss terms.
        """
        terms = self.loss(batch)
        trained = [p for p in self.parameters() if p.requires_grad]
        fused = _gradients(terms["task"], trained, keep=True)
        own = _gradients(terms["unimodal"], trained)
        for p in trained:
            found = [g[p] for g in (fused, own) if p in g]
            p.grad = torch.stack(found).sum(dim=0) if found else None
        self.measured += 1
        for place, part in enumerate(self.encoders.parts):
            both = [p for p in part.parameters() if p in fused and p in own]
            if both:
                self._combine(place, both, fused, own)
        return terms

    @torch.no_grad()
    def _combine(
        self,
        place: int,
        parameters: Sequence[nn.Parameter],
        fused: Mapping[nn.Parameter, Tensor],
        own: Mapping[nn.Parameter, Tensor],
    ) -> None:
        """Puts the combined gradient of one encoder into its parameters, which hold the plain sum."""
        joint = torch.cat([fused[p].flatten() for p in parameters])
        alone = torch.cat([own[p].flatten() for p in parameters])
        disagree = bool(joint @ alone < 0)
        gamma = min_norm_share(joint, alone) if disagree and self.params.weights == "pareto" else 0.5
        self.share[place] += (gamma - self.share[place]) / self.measured
        self.conflicts[place] += (float(disagree) - self.conflicts[place]) / self.measured
        for p in parameters:
            assert p.grad is not None
            combined = 2 * gamma * fused[p] + 2 * (1 - gamma) * own[p]
            if self.params.rescale:
                combined = lengthened(combined, p.grad)
            p.grad = self.params.gain * combined


def min_norm_share(first: Tensor, second: Tensor) -> float:
    """gamma in [0.001, 0.999] with the shortest gamma a + (1 - gamma) b; 1/2 where a and b are equal.

    gamma = (b - a) b / |a - b|^2, limited: the minimum of a parabola (Désidéri 2012; Sener & Koltun 2018).

    Args:
        first: a, [n].
        second: b, [n].
    """
    apart = second - first
    length = float(apart @ apart)
    if length == 0:
        return 0.5
    return min(max(float(apart @ second) / length, MARGIN), 1 - MARGIN)


def lengthened(vector: Tensor, other: Tensor) -> Tensor:
    """A vector, as long as another one where it is shorter, and not 0.

    Args:
        vector: of any shape.
        other: of any shape.
    """
    length = vector.norm()
    return vector * torch.where(length > 0, other.norm() / length, 1.0).clamp(min=1.0)


def _gradients(
    loss: Tensor, parameters: Sequence[nn.Parameter], keep: bool = False
) -> dict[nn.Parameter, Tensor]:
    """Those that a loss has; without an entry where there is none."""
    if not loss.requires_grad:
        return {}
    found = torch.autograd.grad(loss, parameters, retain_graph=keep, allow_unused=True)
    return {p: g for p, g in zip(parameters, found, strict=True) if g is not None}
