"""MBCD: modality-balanced collaborative distillation (MBCD in MMDG-Bench, arXiv 2605.06643; AAAI 2026)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from ..datasets.batch import Batch, Spec
from .averages import State, move, state_of
from .heads import WithHeads, means_of_others
from .losses import masked_mean, task_loss
from .method import Output, fixed, searched
from .networks import PerModality, available


@dataclass(frozen=True)
class MBCDParams:
    """The teacher, the weights of its lessons, the dropping of modalities and the inner step."""

    ema_beta: float = searched(0.999, low=0.9, high=1.0, digits=3, source="MMDG-Bench")
    kl_mm: float = searched(1.0, low=0.0, high=2.0, digits=1, source="MMDG-Bench; fused prediction")
    kl_um: float = searched(1.0, low=0.0, high=2.0, digits=1, source="MMDG-Bench; uni-modal predictions")
    modality_drop_base: float = searched(0.0, low=0.0, high=1.0, digits=1, source="MMDG-Bench")
    inner_rate: float = fixed(1e-3, source="MMDG-Bench, motor faults; 1e-4 in action recognition")
    ema_ramp: bool = fixed(
        True, source="ours: beta_t = min(beta, (1 + t) / (10 + t)), or a short training stays at its start"
    )
    width: int = fixed(40, source="MMDG-Bench, late fusion")
    layers: int = fixed(5, source="MMDG-Bench, late fusion")


class MBCD(WithHeads):
    """Balances modalities by an inner step and adaptive dropping, and learns from its own average.

    A step from theta (``backward``):

    1. g_1 = the gradient of sum_k task_k at theta, task_k the loss of modality k's head.
    2. theta' = theta - a (its part for encoders and norms); heads stay.
    3. g_2 = the gradient of task(fused) + kl_mm d(p_T, p) + kl_um sum_k d(p_T, p_k) at theta'.
    4. One step of the optimiser from theta by g_1 + g_2: first order, as the release computes it.

    d is KL(p_T || p) for classes and the squared difference for scores; T is the teacher, the moving average
    of all weights, which sees complete samples without dropout. In the fused prediction the student's
    embedding of modality k is dropped for a sample with the probability ``drop_probability``; never the
    last one. The average is what is evaluated.

    Embeddings are layer-normed, and the norms' weights are trained (the release leaves them out). The release's
    noise on feature statistics (DSU), which no other method has, is left out. With one modality nothing is
    dropped. A sample has no part in the head's loss of a modality that it lacks.
    """

    Params = MBCDParams
    version = 1
    as_published: ClassVar[Mapping[str, Any]] = {"ema_ramp": False}
    train_missing = "modalities ahead of the others, dropped with a probability of their lead"
    params: MBCDParams

    def __init__(self, params: MBCDParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.norms = PerModality(spec, lambda _: nn.LayerNorm(self.width))
        self.begin_stage(0)

    def begin_stage(self, stage: int) -> None:
        """The teacher begins as a copy of the student, at its first lesson."""
        self.teacher: State = {}
        self.steps = 0

    def encode(self, modality: str, batch: Batch) -> Tensor:
        """The layer-normed embedding [batch, width] of one modality."""
        return self.norms(modality, super().encode(modality, batch))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The terms at theta, without an inner step."""
        output = self(batch)
        heads = self.unimodal_losses(output, batch).sum()
        return {
            "unimodal": heads,
            **self._outer(output, self._lesson(batch), batch, self._drop(output, batch)),
        }

    def backward(self, batch: Batch) -> dict[str, Tensor]:
        """g_1 + g_2; the terms of the second are those at theta'."""
        output = self(batch)
        heads = self.unimodal_losses(output, batch).sum()
        dropped = self._drop(output, batch)
        heads.backward()
        inner = [*self.encoders.parameters(), *self.norms.parameters()]
        own = [p.detach().clone() for p in inner]
        lesson = self._lesson(batch)
        with torch.no_grad():
            for p in inner:
                if p.grad is not None:
                    p.sub_(self.params.inner_rate * p.grad)
        terms = self._outer(self(batch), lesson, batch, dropped)
        torch.stack(list(terms.values())).sum().backward()
        with torch.no_grad():
            for p, value in zip(inner, own, strict=True):
                p.copy_(value)
        return {"unimodal": heads.detach(), **{name: value.detach() for name, value in terms.items()}}

    def after_step(self) -> None:
        """theta_T <- beta theta_T + (1 - beta) theta, buffers included."""
        self.steps += 1
        beta = self.params.ema_beta
        if self.params.ema_ramp:
            beta = min(beta, (1 + self.steps) / (10 + self.steps))
        move(self._taught(), self.state_dict(), 1 - beta)

    def evaluated(self) -> Mapping[str, Tensor] | None:
        """The teacher."""
        return self.teacher or None

    def _taught(self) -> State:
        if not self.teacher:
            self.teacher = state_of(self)
        return self.teacher

    @torch.no_grad()
    def _lesson(self, batch: Batch) -> Tensor:
        """The teacher's prediction."""
        teacher = self._taught()
        training = self.training
        self.eval()
        output: Output = functional_call(self, teacher, (batch,))
        self.train(training)
        return output.prediction

    @torch.no_grad()
    def _drop(self, output: Output, batch: Batch) -> Tensor:
        """[batch, modality] bool: what the fused prediction of the student does without."""
        known = torch.stack([available(batch, m) for m in self.names], dim=1)
        if self.spec.kind == "classification":
            sure = [
                masked_mean(output.unimodal[m].softmax(-1).amax(-1), known[:, i])
                for i, m in enumerate(self.names)
            ]
            confidence = torch.stack(sure)
        else:
            confidence = self.correctness(output, batch)
        probability = drop_probability(confidence, known.any(0), self.params.modality_drop_base)
        dropped = torch.rand(known.shape, device=known.device) < probability
        left = known & ~dropped
        return dropped & left.any(dim=1, keepdim=True)

    def _outer(self, output: Output, lesson: Tensor, batch: Batch, dropped: Tensor) -> dict[str, Tensor]:
        """The terms of the fused prediction, and the lessons."""
        kept = {m: x.where(~dropped[:, i : i + 1], 0) for i, (m, x) in enumerate(output.embeddings.items())}
        prediction = self.fuse(kept, batch).prediction
        heads = [
            masked_mean(self._apart(lesson, output.unimodal[m]), available(batch, m)) for m in self.names
        ]
        return {
            "task": task_loss(prediction, batch.target, self.spec),
            "lesson": self.params.kl_mm * self._apart(lesson, prediction).mean(),
            "lesson_unimodal": self.params.kl_um * torch.stack(heads).sum(),
        }

    def _apart(self, lesson: Tensor, prediction: Tensor) -> Tensor:
        """d of every sample, [batch]."""
        if self.spec.kind == "regression":
            return (prediction - lesson).square()
        return F.kl_div(
            prediction.log_softmax(-1), lesson.log_softmax(-1), reduction="none", log_target=True
        ).sum(-1)


def drop_probability(confidence: Tensor, known: Tensor, base: float) -> Tensor:
    """[modality]: base + (1 - base) tanh(max(r_k - 1, 0)), r_k = mean over the others j of s_k / s_j.

    Args:
        confidence: s [modality], above 0: the mean over the batch of the largest class probability, or
            exp(-mean absolute error).
        known: [modality] bool; 0 for a modality that is not, or that has no other beside it.
        base: in [0, 1].
    """
    lead = confidence * means_of_others(1 / confidence.clamp(min=1e-12), known)
    probability = base + (1 - base) * (lead - 1).clamp(min=0).tanh()
    return probability.where(known & lead.isfinite(), 0)
