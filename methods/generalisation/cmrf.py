"""CMRF (Fan et al., NeurIPS 2024): cross-modal representation flattening, on the shared network."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.batch import Batch, Spec
from ..losses import masked_mean, task_errors, task_loss
from ..method import Output, fixed, searched
from ..shared.branches import DeepBranches, DeepHeadParams
from ..shared.contrast import (
    ContrastParams,
    dropout_projection,
    label_classes,
    projection,
    supervised_contrast,
)
from ..shared.networks import Stacked, as_prediction, known_modalities, outputs
from ..shared.shared_specific import SharedSpecific, halves_likeness, translation_errors
from ..shared.weight_average import move
from .rna import DENOMINATORS

#: Of MMDG-Bench's SimMMDG, which its CMRF of action recognition adds (section 3.3).
SIMMMDG = {"weight_translation": 0.1, "weight_contrast": 3.0, "weight_apart": 0.7, "contrast_width": 128}


@dataclass(frozen=True)
class CMRFParams(ContrastParams, DeepHeadParams):
    """Weights, the teacher, and sizes.

    ``evaluated`` says which network predicts: ``student``, ``teacher``, or ``published``: as MMDG-Bench does,
    the teacher in regression, the student in classification.
    """

    weight_distillation: float = searched(3.0, low=0.0, high=5.0, digits=1, source="MMDG-Bench: distill_coef")
    weight_unimodal: float = searched(2.0, low=0.0, high=5.0, digits=1, source="MMDG-Bench: mix_coef")
    weight_contrast: float = fixed(3.0, source="MMDG-Bench")
    temperature: float = fixed(0.1, above=0, source="MMDG-Bench: tau of SupCon")
    mixing: float = fixed(
        1.0, above=0, source="MMDG-Bench 3.5: of Beta(mixing, mixing); 0.1 in action recognition"
    )
    start: int = fixed(100, least=0, source="MMDG-Bench 3.5: t0, steps; 400 in action recognition")
    evaluated: Literal["student", "teacher", "published"] = fixed(
        "student", source="ours: the same for every task; published: MMDG-Bench 3.5"
    )
    hidden: int = fixed(256, least=1, source="MMDG-Bench, sentiment")
    audio_weight: float = fixed(
        1.0, source="MMDG-Bench 3.5, action recognition and motor faults: 1/2, of sound", since="0.1"
    )
    sums: bool = fixed(
        False, source="MMDG-Bench 3.5, the same: sums over modalities and pairs, not means", since="0.1"
    )
    weight_apart: float = fixed(0.0, source="MMDG-Bench 3.5, motor faults: 0.7, of L_dist", since="0.1")
    with_simmmdg: bool = fixed(
        False, source="MMDG-Bench 6.7, action recognition: all terms of SimMMDG, too", since="0.1"
    )
    trained_projections: Literal["all", "audio"] = fixed(
        "all", source="MMDG-Bench 6.7, action recognition: audio, the others stay random", since="0.1"
    )
    raw_halves: bool = fixed(
        False, source="MMDG-Bench 3.3, action recognition: L_dist without norms", since="0.1"
    )
    projection_width: int = fixed(
        0,
        least=0,
        source="MMDG-Bench 3.5, motor faults: 64, of projections of three layers with batch norms; 0: two layers",
        since="0.2",
    )
    raw_mixtures: bool = fixed(
        False,
        source="MMDG-Bench 3.5, sentiment: the teacher's projections are mixed without norms",
        since="0.2",
    )


class CMRF(DeepBranches):
    """Distils mixtures of the modalities' representations, from an averaged teacher, into each modality.

    L = task + c_u mean_m l_m + a_c SupCon({g_m}) + c_d mean over ordered pairs (m, o) of
    E || n(lambda g'_m + (1 - lambda) g'_o) - n(g_m) ||_2, where

    * g_m is the projection of e_m on the unit sphere, g'_m that of the teacher (evaluated without dropout);
    * lambda of each sample and pair is drawn from Beta(mixing, mixing) on condition that it is above 1/2, which is
      the larger of lambda and 1 - lambda, so that nothing is rejected;
    * the teacher is a copy until step t0 and then the running average theta_T <- (n theta_T + theta) / (n + 1);
      the distillation begins with the step after t0;
    * l_m is the loss of a head on e_m alone.

    With one modality the distillation is off. The number of sources does not matter. The teacher is stored
    with the weights; it is not trained, and not counted among the parameters.

    Under ``as-published`` (section 3.5): sums, sound at a weight of 1/2 (action recognition, HUST); L_dist, the
    released contrast, projections of three layers (HUST); all of SimMMDG beside it, and projections of other
    modalities than audio that are never trained (action recognition, section 6.7); the embeddings of SimMMDG as
    published, MLPs as uni-modal heads (sentiment, HUST); mixtures of projections without norms (sentiment).
    """

    Params = CMRFParams
    version = 2
    departures: ClassVar[Mapping[str, str] | None] = {
        "action": (
            "mmbench's own network (40 wide, 8,448 parameters in a head of three modalities) in "
            "place of trunks that are trained along, embeddings of 2,304, 2,048 and 512, and a head "
            "of 2,494,984; the terms are those of 84bdb617: e98e837 runs SimMMDG in its place; "
            "projections of two layers of 256"
        ),
    }
    as_published: ClassVar[Mapping[str, Any]] = {"evaluated": "published"}
    as_published_in: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sentiment": {
            "released_encoder": True,
            "whole_network": True,
            "extra_width": 256,
            "bounded": True,
            "head_dropout": 0.0,
            "mlp_heads": True,
            "raw_mixtures": True,
        },
        "hust": {
            "extra_width": 256,
            "mlp_heads": True,
            "audio_weight": 0.5,
            "sums": True,
            "weight_apart": 0.7,
            "contrast": "released",
            "projection_width": 64,
        },
        "action": {
            "audio_weight": 0.5,
            "sums": True,
            "with_simmmdg": True,
            "trained_projections": "audio",
            "raw_halves": True,
            "mixing": 0.1,
            "start": 400,
        },
    }
    params: CMRFParams
    steps: Tensor
    shares: Tensor

    def __init__(self, params: CMRFParams, spec: Spec) -> None:
        super().__init__(params, spec)
        if params.evaluated not in ("student", "teacher", "published"):
            raise ValueError(f"evaluated is {params.evaluated!r}; it should be student, teacher or published")
        self.pairs = list(permutations(range(len(self.names)), 2))
        count, width, hidden = len(self.names), self.seen, params.hidden
        self.projections = Stacked(
            count,
            lambda: (
                projection(width, hidden, params.projection_width, batch_norm=True)
                if params.projection_width
                else dropout_projection(width, hidden, hidden)
            ),
        )
        self.heads = Stacked(count, lambda: self.branch_head(outputs(spec), score=spec.kind == "regression"))
        if params.trained_projections == "audio":
            for name, part in zip(self.names, self.projections.parts, strict=True):
                part.requires_grad_(name in DENOMINATORS)
        if params.with_simmmdg:
            self.halves = SharedSpecific(
                count, width, hidden, SIMMMDG["contrast_width"], params.raw_halves, batch_norm=True
            )
        share = torch.tensor([params.audio_weight if m in DENOMINATORS else 1.0 for m in self.names])
        self.register_buffer("shares", share, persistent=False)
        self.teacher = copy.deepcopy(self.student()).requires_grad_(False).eval()
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def student(self) -> nn.ModuleDict:
        """The networks that the teacher averages."""
        parts = {"projections": self.projections, "heads": self.heads, "head": self.head}
        return nn.ModuleDict({**super().networks(), **parts})

    def networks(self) -> Mapping[str, nn.Module]:
        """Those that predict."""
        return dict(self.acting().items())

    def train(self, mode: bool = True) -> CMRF:
        """The teacher stays in evaluation mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    def after_step(self) -> None:
        """The teacher becomes the mean of the weights, buffers included, after the steps t0, t0 + 1, ..., now."""
        self.steps += 1
        before = max(int(self.steps) - self.params.start, 0)
        move(self.teacher.state_dict(), self.student().state_dict(), 1 / (before + 1))

    def acting(self) -> nn.ModuleDict:
        """The networks that predict: the student in training, and what ``evaluated`` says otherwise."""
        published = "teacher" if self.spec.kind == "regression" else "student"
        evaluated = published if self.params.evaluated == "published" else self.params.evaluated
        return self.teacher if evaluated == "teacher" and not self.training else self.student()

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """Predicts from the concatenated embeddings, and from each alone."""
        acting = self.acting()
        output = super().fuse(embeddings, batch)
        assert output.fused is not None
        said = acting["heads"](torch.stack([output.embeddings[m] for m in self.names], dim=1))
        return dataclasses.replace(
            output,
            prediction=as_prediction(acting["head"](output.fused), self.spec),
            unimodal={m: as_prediction(said[:, i], self.spec) for i, m in enumerate(self.names)},
        )

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss, the branches', the contrast, and from step t0 on the distillation."""
        s, output, known = self.params, self(batch), known_modalities(batch, self.names)
        embeddings = torch.stack([output.embeddings[m] for m in self.names], dim=1)
        projected = F.normalize(self.project(self.projections, embeddings, known), dim=-1, eps=1e-6)
        classes = label_classes(batch.target, self.spec)
        errors = [task_errors(output.unimodal[m], batch.target, self.spec) for m in self.names]
        terms = {
            "task": task_loss(output.prediction, batch.target, self.spec),
            "unimodal": s.weight_unimodal * self.weighed(torch.stack(errors, dim=1), known, self.shares),
            "contrast": s.weight_contrast
            * supervised_contrast(projected, known, classes, s.temperature, s.contrast),
        }
        if self.pairs and int(self.steps) >= s.start:
            starts, ends = [a for a, _ in self.pairs], [b for _, b in self.pairs]
            goals = mixtures(self.teach(batch), self.draw_shares(len(batch)).to(projected), self.pairs)
            apart = translation_errors(projected[:, starts], goals)
            distillation = self.weighed(apart, known[:, starts] & known[:, ends], self.shares[starts])
            terms["distillation"] = s.weight_distillation * distillation
        if s.weight_apart:
            shared, specific = embeddings.chunk(2, dim=-1)
            terms["apart"] = s.weight_apart * halves_likeness(shared, specific, known)
        return terms | (self.simmmdg_terms(embeddings, known, classes) if s.with_simmmdg else {})

    def weighed(self, values: Tensor, known: Tensor, shares: Tensor) -> Tensor:
        """The mean over the known of values times shares; with ``sums`` a sum over k of the mean of each.

        Args:
            values: [batch, k].
            known: [batch, k], bool.
            shares: [k], the weight of each.

        Returns:
            A scalar.
        """
        if not self.params.sums:
            return masked_mean(values * shares, known)
        means = [masked_mean(values[:, k], known[:, k]) for k in range(values.shape[1])]
        return (torch.stack(means) * shares).sum()

    def simmmdg_terms(self, embeddings: Tensor, known: Tensor, classes: Tensor) -> dict[str, Tensor]:
        """What SimMMDG adds to the task's loss, at its defaults.

        Args:
            embeddings: [batch, modality, seen].
            known: [batch, modality], bool.
            classes: [batch], int64, as of ``label_classes``.

        Returns:
            Name of the term -> scalar, weighted.
        """
        values = self.halves.terms(embeddings, embeddings, known, classes, self.params.temperature)
        names = ("translation", "contrast", "apart")
        return {
            f"simmmdg_{name}": SIMMMDG[f"weight_{name}"] * value
            for name, value in zip(names, values, strict=True)
        }

    def draw_shares(self, samples: int) -> Tensor:
        """[samples, ordered pair]: a modality's own share in its goal, at least 1/2."""
        shape = torch.tensor(self.params.mixing)
        share = torch.distributions.Beta(shape, shape).sample(torch.Size((samples, len(self.pairs))))
        return torch.maximum(share, 1 - share)

    def project(self, projections: nn.Module, embeddings: Tensor, known: Tensor) -> Tensor:
        """The projections of embeddings; those with batch norms see the known alone.

        Args:
            projections: the student's or the teacher's.
            embeddings: [batch, modality, seen].
            known: [batch, modality], bool.

        Returns:
            [batch, modality, hidden], not normalised.
        """
        return projections(embeddings, known if self.params.projection_width else None)

    @torch.no_grad()
    def teach(self, batch: Batch) -> Tensor:
        """The teacher's g'_m, [batch, modality, hidden]: of unit norm, but for ``raw_mixtures``."""
        networks = dict(self.teacher.items())
        encoded = torch.stack(list(self.embed(networks, batch, self.names).values()), dim=1)
        projected = self.project(self.teacher["projections"], encoded, known_modalities(batch, self.names))
        return projected if self.params.raw_mixtures else F.normalize(projected, dim=-1, eps=1e-6)


def mixtures(projected: Tensor, shares: Tensor, pairs: list[tuple[int, int]]) -> Tensor:
    """share * g_m + (1 - share) * g_o of each ordered pair (m, o).

    Args:
        projected: [batch, modality, width].
        shares: [batch, pair], in [1/2, 1].
        pairs: places of modalities.

    Returns:
        [batch, pair, width].
    """
    own, other = projected[:, [a for a, _ in pairs]], projected[:, [b for _, b in pairs]]
    return torch.lerp(other, own, shares.unsqueeze(-1))
