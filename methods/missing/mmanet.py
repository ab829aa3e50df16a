"""MMANet: a network for incomplete samples is taught by one for complete ones, most of all where it is weak (Wei et al., CVPR 2023).

The teacher says how the samples of a batch resemble each other, and of which it is unsure. The patterns of missing
modalities in which the student answers most unlike it have a head of their own in training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.batch import Batch, Spec
from ..losses import label_unit, task_errors, task_loss
from ..method import Output, fixed, searched
from ..shared.ebmc_parts import draw_pattern
from ..shared.embedded import EmbedsByEncoders
from ..shared.networks import (
    FusionHead,
    SharedNetworkParams,
    as_prediction,
    embedding_width,
    encoders,
    fusion_head,
    known_modalities,
    outputs,
)


@dataclass(frozen=True)
class MMANetParams(SharedNetworkParams):
    """The weights of both terms, and what they weigh.

    Under the protocol ``as-published`` fields are as in ``MMANet.as_published``.
    """

    weight_margin: float = searched(
        30.0, low=0.0, high=60.0, digits=0, source="release: its scripts; 1 in its parser; range: ours"
    )
    weight_weak: float = searched(
        0.5, low=0.0, high=1.0, digits=1, source="release: its scripts; range: ours"
    )
    unsure: bool = fixed(
        True, source="published; control: every sample has the same weight in the margin term"
    )
    weak: Literal["distance", "all", "strong"] = fixed(
        "distance", source="published; controls: all patterns, or those in which the student is nearest"
    )
    begin: float = fixed(
        0.05, least=0, most=1, source="release: the weak patterns count from epoch 5 of 100 on"
    )
    pattern_probability: float = fixed(
        0.7,
        least=0,
        most=1,
        source="ours, as of other methods; release: 1, every sample has one of all patterns",
    )
    first_stage: float = fixed(
        0.4,
        least=0,
        most=1,
        source="ours: share of the epochs of the teacher; release: a training of its own",
    )


class MMANet(EmbedsByEncoders):
    """A student that sees what is left of a sample learns from a teacher that saw all of it.

    Stage 0 trains the teacher on complete samples. In stage 1 a copy of it stays as it is, and the student goes on with
    random patterns. f being the feature that a head's last layer reads, G = f f' over the batch with rows of length 1, and
    H the entropy of the teacher's answers, minimised is

        task + 30 sum_bc D_bc w_c + 0.5 / B sum over samples with weak patterns of the task's error of a second head,

    D = (G_student - G_teacher)^2 and w = H / sum H. Weak are the patterns in which the answers of student and teacher lay
    further apart in the last epoch than in the mean over patterns: by KL(teacher | student) of classes, by their
    difference of scores. Scores have no entropy, and all samples the same weight. With one modality it stays in stage 0.
    """

    Params = MMANetParams
    version = 1
    needs_modalities = 2
    uses_clean = True
    train_missing = (
        "random patterns at rate 0.7, anew for each sample, or the protocol's, after a stage with all"
    )
    stages = (0.4, 0.6)
    as_published: ClassVar[Mapping[str, Any]] = {"pattern_probability": 1.0}
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "encoders and fusion head of mmbench, not ResNets; the teacher is the first stage of the same training, and the "
            "student goes on from its weights; a pattern is weak by the last epoch alone, if it lies above the mean of all; the "
            "second head reads the feature that the first one reads, in place of three outputs that are one tensor; scores, "
            "whose samples have equal weights, are ours; every epoch trains, where the release skips its first; epochs chosen by "
            "validation, not by the test; its optimiser (SGD, rate 0.001, momentum 0.9, decay 5e-4, 100 epochs of 64) is not taken "
            "over. On planted data the margin brings the student nearer to the teacher where it is furthest, and answers are no "
            "better (accuracies of 0.86 without what can be rebuilt, 0.90 without both terms, 0.90 of `erm` on missing patterns): "
            "docs/methods.md has the figures"
        ),
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "without margin": {"weight_margin": 0.0},
        "all samples alike": {"unsure": False},
        "without weak patterns": {"weight_weak": 0.0},
        "all patterns": {"weak": "all"},
        "the strong patterns": {"weak": "strong"},
        "without teacher": {"weight_margin": 0.0, "weight_weak": 0.0},
    }
    params: MMANetParams
    apart: Tensor  # [2, pattern]: sums of the distances of this epoch, and how many samples they are of
    weak: Tensor  # [pattern], bool

    def __init__(self, params: MMANetParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.names = tuple(spec.modalities)
        width = embedding_width(spec, params.width)
        self.stages = (params.first_stage, 1 - params.first_stage)
        self.stage = 1
        self.several = len(self.names) > 1
        self.encoders = encoders(spec, width, params.layers, params.released_encoder)
        self.head = fusion_head(spec, width)
        self.register_buffer("apart", torch.zeros(2, 2 ** len(self.names)))
        self.register_buffer("weak", torch.zeros(2 ** len(self.names), dtype=torch.bool))
        self.begun = True
        if not self.several:
            return
        self.teacher = encoders(spec, width, params.layers, params.released_encoder).requires_grad_(False)
        self.teacher_head = fusion_head(spec, width).requires_grad_(False)
        features = width if isinstance(self.head, FusionHead) else len(self.names) * width
        self.second_head = nn.Linear(features, outputs(spec))

    def begin_stage(self, stage: int) -> None:
        """Stage 1 begins with a frozen copy of the network, which is the teacher."""
        self.stage = stage
        if stage and self.several:
            self.teacher.load_state_dict(self.encoders.state_dict())
            self.teacher_head.load_state_dict(self.head.state_dict())
            self.train(self.training)  # the trainer begins a stage behind ``train``

    def train(self, mode: bool = True) -> MMANet:
        """As of every module; the teacher has no dropout in training either."""
        super().train(mode)
        if self.several:
            self.teacher.eval()
            self.teacher_head.eval()
        return self

    def before_epoch(self, batches: Callable[[], Iterator[Batch]], done: float) -> None:
        """Says which patterns are weak, by the distances of the epoch that has just ended."""
        start = self.params.first_stage + (1 - self.params.first_stage) * self.params.begin
        self.begun = done >= start - 1e-9
        met = self.apart[1] > 0
        if self.stage and self.several and bool(met.any()):
            means = self.apart[0] / self.apart[1].clamp(min=1)
            middle = means[met].mean()
            chosen = {"distance": means > middle, "strong": means <= middle, "all": met}[self.params.weak]
            self.weak.copy_(chosen & met)
            self.apart.zero_()

    # --- the forward path -------------------------------------------------------------------------------

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """Concatenates the embeddings [batch, width] of what is there, and predicts."""
        seen = known_modalities(batch, self.names)
        kept = {m: embeddings[m].where(seen[:, i : i + 1], 0) for i, m in enumerate(self.names)}
        fused = torch.cat(list(kept.values()), dim=-1)
        return Output(as_prediction(self.head(fused), self.spec), embeddings=kept, fused=fused)

    # --- the loss ---------------------------------------------------------------------------------------

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss; in stage 1 with the margin term, and that of the weak patterns.

        Where the protocol hides modalities, the teacher reads the samples before that, and the student what is left.
        """
        complete = batch if batch.clean is None else batch.clean
        if not (self.stage and self.several):
            return {"task": task_loss(self(complete).prediction, batch.target, self.spec)}
        seen = known_modalities(batch, self.names)
        if self.training and batch.clean is None:
            seen = draw_pattern(seen, self.params.pattern_probability)
        encoded = torch.stack(list(self.encode_all(batch).values()), dim=1)
        feature, raw = _read(self.head, encoded.where(seen.unsqueeze(-1), 0).flatten(1))
        said = as_prediction(raw, self.spec)
        wanted, taught = self.taught(complete)
        code = (seen.long() << torch.arange(len(self.names), device=seen.device)).sum(dim=1)
        if self.training:
            self.note(code, self.distance(said.detach(), taught))
        weights = self.doubts(taught)
        terms = {
            "task": task_loss(said, batch.target, self.spec),
            "margin": self.params.weight_margin * margin(feature, wanted, weights),
        }
        if self.begun:
            second = as_prediction(self.second_head(feature), self.spec)
            errors = task_errors(second, batch.target, self.spec).where(self.weak[code], 0)
            terms["weak"] = self.params.weight_weak * errors.mean()
        return terms

    @torch.no_grad()
    def taught(self, complete: Batch) -> tuple[Tensor, Tensor]:
        """The teacher's features [batch, feature] and prediction.

        Args:
            complete: the samples with all that they have.
        """
        there = known_modalities(complete, self.names).unsqueeze(-1)
        encoded = torch.stack(list(self.teacher.together(complete, self.names).values()), dim=1)
        feature, raw = _read(self.teacher_head, encoded.where(there, 0).flatten(1))
        return feature, as_prediction(raw, self.spec)

    def doubts(self, taught: Tensor) -> Tensor:
        """w, [batch]: the share of each sample in the entropy of the teacher's answers; equal shares of scores.

        Args:
            taught: the teacher's prediction.
        """
        if self.spec.kind == "regression" or not self.params.unsure:
            return taught.new_full((len(taught),), 1 / len(taught))
        logs = taught.log_softmax(dim=-1)
        entropy = -(logs.exp() * logs).sum(dim=-1) + torch.finfo(logs.dtype).eps
        return entropy / entropy.sum()

    def distance(self, said: Tensor, taught: Tensor) -> Tensor:
        """How far the student's answer lies from the teacher's, [batch]: KL(teacher | student), or a sixth of the range.

        Args:
            said: the student's prediction.
            taught: the teacher's.
        """
        if self.spec.kind == "regression":
            return (said - taught).abs() / label_unit(self.spec)
        logs = taught.log_softmax(dim=-1)
        return (logs.exp() * (logs - said.log_softmax(dim=-1))).sum(dim=-1)

    @torch.no_grad()
    def note(self, code: Tensor, distance: Tensor) -> None:
        """Adds distances to the sums of their patterns.

        Args:
            code: the pattern of each sample, [batch], int64: bit m says whether modality m is there.
            distance: [batch].
        """
        self.apart[0].index_add_(0, code, distance.to(self.apart.dtype))
        self.apart[1].index_add_(0, code, torch.ones_like(distance, dtype=self.apart.dtype))


def _read(head: nn.Module, fused: Tensor) -> tuple[Tensor, Tensor]:
    """What the last layer of a head reads, [batch, feature], and its raw outputs."""
    if isinstance(head, FusionHead):
        feature = head.hidden(fused)
        return feature, head.out(feature)
    return fused, head(fused)


def margin(student: Tensor, teacher: Tensor, weights: Tensor) -> Tensor:
    """sum_bc (G_student - G_teacher)_bc^2 w_c, a scalar; G = f f' with rows of length 1.

    Args:
        student: its features f, [batch, feature].
        teacher: its own, alike.
        weights: w, [batch].
    """

    def alike(feature: Tensor) -> Tensor:
        return F.normalize(feature @ feature.T, dim=1)

    return ((alike(student) - alike(teacher)).square() * weights).sum()
