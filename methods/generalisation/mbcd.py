"""MBCD: modality-balanced collaborative distillation (MBCD in MMDG-Bench, arXiv 2605.06643; AAAI 2026)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from ...datasets.batch import Batch, Spec
from ..losses import masked_mean, task_loss
from ..method import Output, fixed, searched
from ..shared.branches import mlp
from ..shared.heads import HeadParams, WithHeads, means_of_others
from ..shared.networks import PerModality, as_prediction, available, outputs, valid_steps
from ..shared.weight_average import State, move, state_of

ASIDE_WIDTH, ASIDE_DROPOUT = 128, 0.3  # MMDG-Bench, sentiment


@dataclass(frozen=True)
class MBCDParams(HeadParams):
    """The teacher, the weights of its lessons, the dropping of modalities and the inner step."""

    ema_beta: float = searched(0.999, low=0.9, high=1.0, digits=3, least=0, most=1, source="MMDG-Bench")
    kl_mm: float = searched(
        1.0,
        low=0.0,
        high=2.0,
        digits=1,
        source="MMDG-Bench 3.8; 0.1 in sentiment at e98e837; fused prediction",
    )
    kl_um: float = searched(
        1.0,
        low=0.0,
        high=2.0,
        digits=1,
        source="MMDG-Bench 3.8; 0.05 in sentiment at e98e837; uni-modal predictions",
    )
    modality_drop_base: float = searched(
        0.0, low=0.0, high=1.0, digits=1, least=0, most=1, source="MMDG-Bench"
    )
    inner_rate: float = fixed(
        1e-3, least=0, source="MMDG-Bench 3.8, motor faults; 1e-4 in action recognition, none in sentiment"
    )
    ema_ramp: bool = fixed(
        True,
        source="ours: beta_t = min(beta, (1 + t) / (10 + t)), or a short training stays at its start (MMDG-Bench 3.8: not)",
    )
    norms_trained: bool = fixed(True, source="MMDG-Bench 2.1, action: false", since="0.1")
    feature_noise: bool = fixed(
        False, source="MMDG-Bench 2.1, action: DSU, which no other method has there", since="0.1"
    )
    adaptive_drop: bool = fixed(
        True,
        source="MMDG-Bench 3.8, motor faults: drops only where the base is not 0, by leads of the second pass",
        since="0.1",
    )
    first_lessons: bool = fixed(
        False,
        source="MMDG-Bench 3.8, action recognition: the heads' lessons are of the first pass",
        since="0.2",
    )
    mlp_head: int = fixed(
        0,
        least=0,
        source="MMDG-Bench 2.2, motor faults: 128, the hidden width of its heads; 0: the shared heads",
        since="0.1",
    )
    evaluated_student: bool = fixed(False, source="MMDG-Bench 3.8, sentiment: true", since="0.1")
    weight_unimodal: float = fixed(1.0, source="paper; 0.2 in MMDG-Bench 3.8, sentiment", since="0.1")
    weight_aside: float = fixed(
        0.0,
        source="MMDG-Bench 3.8, sentiment: 0.2, of a head of its own for what is left after dropping",
        since="0.1",
    )
    layer_norm: bool = fixed(True, source="MMDG-Bench 3.8, sentiment: false, no norms", since="0.2")
    unimodal_means: bool = fixed(
        False, source="MMDG-Bench 3.8, sentiment: heads' losses and lessons are means, not sums", since="0.2"
    )
    lead: Literal["mean-of-ratios", "ratio-to-mean"] = fixed(
        "mean-of-ratios",
        source="paper; MMDG-Bench 3.8, sentiment: ratio-to-mean, of a confidence to that of the others",
        since="0.2",
    )
    buffers_averaged: bool = fixed(
        True,
        source="ours; MMDG-Bench 3.8, motor faults: the teacher has the student's statistics of batch norms",
        since="0.2",
    )


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

    Embeddings are layer-normed, and the norms' weights are trained.

    Under ``as-published`` (sections 2.1, 3.8, 6.7): in action recognition the norms' weights stay, and the first pass
    has noise on feature statistics (``dsu``) and the heads' lessons; in HUST nothing is dropped but with a base above 0, heads are MLPs, and
    the teacher copies the statistics of batch norms; in sentiment there is no inner step and no layer norm, the
    student is evaluated, what is dropped has a head of its own (``weight_aside``), and terms of modalities are means.

    With one modality nothing is dropped. A sample has no part in the head's loss of a modality that it lacks.
    """

    Params = MBCDParams
    version = 2
    departures: ClassVar[Mapping[str, str] | None] = {
        "action": (
            "mmbench's own network (40 wide, 8,448 parameters in a head of three modalities) in "
            "place of trunks that are trained along, embeddings of 2,304, 2,048 and 512, and a head "
            "of 2,494,984; uni-modal heads as the fused one, not MLPs"
        ),
    }
    as_published: ClassVar[Mapping[str, Any]] = {"ema_ramp": False}
    as_published_in: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sentiment": {
            "released_encoder": True,
            "whole_network": True,
            "inner_rate": 0.0,
            "evaluated_student": True,
            "weight_unimodal": 0.2,
            "weight_aside": 0.2,
            "unimodal_width": 128,
            "layer_norm": False,
            "unimodal_means": True,
            "lead": "ratio-to-mean",
            "kl_mm": 0.1,
            "kl_um": 0.05,
        },
        "hust": {"adaptive_drop": False, "mlp_head": 128, "buffers_averaged": False},
        "action": {
            "inner_rate": 1e-4,
            "norms_trained": False,
            "feature_noise": True,
            "first_lessons": True,
        },
    }
    #: Section 1.4: the last epoch is tested; a new Adam for every step. Sentiment clips the backbone.
    rules_as_published: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sentiment": {"clip_part": "backbone"},
        "action": {"selection": "last"},
        "hust": {"restart_optimizer": True},
    }
    train_missing = "modalities ahead of the others, dropped with a probability of their lead"
    params: MBCDParams

    def __init__(self, params: MBCDParams, spec: Spec) -> None:
        super().__init__(params, spec)
        if params.mlp_head:
            self.head = mlp(len(self.names) * self.width, params.mlp_head, outputs(spec))
            self.heads = PerModality(spec, lambda _: mlp(self.seen, params.mlp_head, outputs(spec)))
        self.norms = PerModality(spec, lambda _: nn.LayerNorm(self.width)).requires_grad_(
            params.norms_trained
        )
        self.aside = None
        if params.weight_aside:
            features = len(self.names) * self.seen
            self.aside = mlp(features, ASIDE_WIDTH, outputs(spec), ASIDE_DROPOUT)
        self.noisy = False
        self.begin_stage(0)

    def begin_stage(self, stage: int) -> None:
        """The teacher begins as a copy of the student, at its first lesson."""
        self.teacher: State = {}
        self.steps = 0

    def branch(self, modality: str, batch: Batch) -> Tensor:
        """The layer-normed embedding [batch, width] of one modality; as it is without ``layer_norm``."""
        if not self.params.layer_norm:
            return self._noisy_branch(modality, batch)
        return self.norms(modality, self._noisy_branch(modality, batch))

    def _noisy_branch(self, modality: str, batch: Batch) -> Tensor:
        if self.noisy:
            if modality not in self.spec.tuned:  # raw media have no statistics of features
                noisy = dsu(batch.features[modality], valid_steps(batch, modality))
                batch = dataclasses.replace(batch, features={**batch.features, modality: noisy})
            encoded = super().branch(modality, batch).unsqueeze(1)
            return dsu(encoded, available(batch, modality).unsqueeze(1)).squeeze(1)
        return super().branch(modality, batch)

    def branches(self, batch: Batch, modalities: Sequence[str]) -> dict[str, Tensor]:
        """The same of several modalities, computed as one where there is no noise."""
        if self.noisy:
            return {name: self.branch(name, batch) for name in modalities}
        encoded = self.encoders.together(batch, modalities)
        return {name: self.norms(name, x) for name, x in encoded.items()}

    def first_pass(self, batch: Batch) -> Output:
        """The output at theta, with noise where there is to be some."""
        self.noisy = self.params.feature_noise and self.training
        output = self(batch)
        self.noisy = False
        return output

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The terms at theta, without an inner step."""
        output, lesson = self.first_pass(batch), self._lesson(batch)
        heads = self.params.weight_unimodal * self._over_modalities(self.unimodal_losses(output, batch))
        return {
            "unimodal": heads,
            **self._outer(output, lesson, batch, self._drop(output, batch)),
            "lesson_unimodal": self._head_lessons(output, lesson, batch),
        }

    def backward(self, batch: Batch) -> dict[str, Tensor]:
        """g_1 + g_2; the terms of the second are those at theta'. Without an inner step the gradient of ``loss``."""
        s = self.params
        if s.inner_rate == 0:
            return super().backward(batch)
        output, lesson = self.first_pass(batch), self._lesson(batch)
        heads = s.weight_unimodal * self._over_modalities(self.unimodal_losses(output, batch))
        dropped = self._drop(output, batch)
        heads.backward(retain_graph=s.first_lessons)
        inner = [*self.encoders.parameters(), *self.norms.parameters()]
        inner = [p for p in inner if p.requires_grad]
        own = [p.detach().clone() for p in inner]
        slopes = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in inner]
        further = {}
        if s.first_lessons:
            further["lesson_unimodal"] = self._head_lessons(output, lesson, batch)
            further["lesson_unimodal"].backward()
        with torch.no_grad():
            for p, slope in zip(inner, slopes, strict=True):
                p.sub_(s.inner_rate * slope)
        second = self(batch)
        if not s.adaptive_drop:
            dropped = self._drop(second, batch)
        terms = self._outer(second, lesson, batch, dropped)
        if not s.first_lessons:
            terms["lesson_unimodal"] = self._head_lessons(second, lesson, batch)
        torch.stack(list(terms.values())).sum().backward()
        with torch.no_grad():
            for p, value in zip(inner, own, strict=True):
                p.copy_(value)
        every = {"unimodal": heads, **terms, **further}
        return {name: value.detach() for name, value in every.items()}

    def after_step(self) -> None:
        """theta_T <- beta theta_T + (1 - beta) theta, buffers included; without ``buffers_averaged`` copied."""
        self.steps += 1
        beta = self.params.ema_beta
        if self.params.ema_ramp:
            beta = min(beta, (1 + self.steps) / (10 + self.steps))
        teacher = self._taught()
        move(teacher, self.state_dict(), 1 - beta)
        if not self.params.buffers_averaged:
            for name, value in self.named_buffers():
                if name in teacher:
                    teacher[name].copy_(value)

    def evaluated(self) -> Mapping[str, Tensor] | None:
        """The teacher; with ``evaluated_student`` the present weights."""
        return None if self.params.evaluated_student else self.teacher or None

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
        probability = drop_probability(
            confidence, known.any(0), self.params.modality_drop_base, self.params.lead
        )
        if not self.params.adaptive_drop and self.params.modality_drop_base == 0:
            probability = torch.zeros_like(probability)
        dropped = torch.rand(known.shape, device=known.device) < probability
        left = known & ~dropped
        return dropped & left.any(dim=1, keepdim=True)

    def _outer(self, output: Output, lesson: Tensor, batch: Batch, dropped: Tensor) -> dict[str, Tensor]:
        """The terms of the fused prediction, its lesson, and that of the head for what dropping leaves."""
        assert output.fused is not None
        parts = output.fused.unflatten(1, (len(self.names), -1))
        kept = parts.where(~dropped.unsqueeze(-1), 0).flatten(1)
        prediction, further = output.prediction, {}
        if self.aside is None:
            prediction = as_prediction(self.head(kept), self.spec)
        else:
            seen = torch.stack([output.embeddings[m] for m in self.names], dim=1)
            said = as_prediction(self.aside(seen.where(~dropped.unsqueeze(-1), 0).flatten(1)), self.spec)
            further["aside"] = self.params.weight_aside * task_loss(said, batch.target, self.spec)
        return {
            "task": task_loss(prediction, batch.target, self.spec),
            "lesson": self.params.kl_mm * self._apart(lesson, prediction).mean(),
            **further,
        }

    def _head_lessons(self, output: Output, lesson: Tensor, batch: Batch) -> Tensor:
        """The lessons of the heads, weighted."""
        apart = [
            masked_mean(self._apart(lesson, output.unimodal[m]), available(batch, m)) for m in self.names
        ]
        return self.params.kl_um * self._over_modalities(torch.stack(apart))

    def _over_modalities(self, values: Tensor) -> Tensor:
        """The sum of ``values`` [modality]; with ``unimodal_means`` their mean."""
        return values.mean() if self.params.unimodal_means else values.sum()

    def _apart(self, lesson: Tensor, prediction: Tensor) -> Tensor:
        """d of every sample, [batch]."""
        if self.spec.kind == "regression":
            return (prediction - lesson).square()
        return F.kl_div(
            prediction.log_softmax(-1), lesson.log_softmax(-1), reduction="none", log_target=True
        ).sum(-1)


def drop_probability(
    confidence: Tensor,
    known: Tensor,
    base: float,
    lead: Literal["mean-of-ratios", "ratio-to-mean"] = "mean-of-ratios",
) -> Tensor:
    """[modality]: base + (1 - base) tanh(r_k - 1) where r_k, the lead, is above 1; else 0.

    Args:
        confidence: s [modality], above 0: the mean over the batch of the largest class probability, or
            exp(-mean absolute error).
        known: [modality] bool; 0 for a modality that is not, or that has no other beside it.
        base: in [0, 1].
        lead: ``mean-of-ratios``: r_k = mean over the others j of s_k / s_j; ``ratio-to-mean``: s_k / mean s_j.
    """
    if lead == "ratio-to-mean":
        ratio = confidence / means_of_others(confidence, known).clamp(min=1e-12)
    else:
        ratio = confidence * means_of_others(1 / confidence.clamp(min=1e-12), known)
    probability = base + (1 - base) * (ratio - 1).tanh()
    return probability.where(known & ratio.isfinite() & (ratio > 1), 0)


DSU_PROBABILITY = 0.5  # MMDG-Bench, as Li et al. 2022


def dsu(features: Tensor, valid: Tensor) -> Tensor:
    """Noise on the mean and the deviation of every feature (DSU; Li et al., ICLR 2022, eq. 4 to 8).

    Of each sample mean and deviation over its valid steps are redrawn: normal around them, with the
    deviations that they have over the batch. With one step the deviation is 0, and what is left is noise on
    the features. The whole batch gets it with probability 1/2; a batch of one, which has no deviations,
    never.

    Args:
        features: [batch, time, feature]; what lies at invalid steps stays there.
        valid: [batch, time], bool; samples without a valid step have no part.
    """
    has = valid.any(dim=1)
    if int(has.sum()) < 2 or float(torch.rand(())) >= DSU_PROBABILITY:
        return features
    some = features[has]
    steps = valid[has].unsqueeze(-1)
    count = steps.sum(dim=1, keepdim=True)
    clean = some.where(steps, 0)
    mean = clean.sum(dim=1, keepdim=True) / count
    deviation = ((clean - mean).square().where(steps, 0).sum(dim=1, keepdim=True) / count + 1e-6).sqrt()
    new_mean = mean + torch.randn_like(mean) * mean.std(dim=0, keepdim=True)
    new_deviation = deviation + torch.randn_like(deviation) * deviation.std(dim=0, keepdim=True)
    noisy = (clean - mean) / deviation * new_deviation + new_mean
    return features.masked_scatter(has[:, None, None].expand_as(features), noisy.where(steps, some))
