"""ShaSpec: what modalities share stands in for one that is missing (Wang et al., CVPR 2023).

A shared encoder reads every modality, a specific one each its own. A missing modality is replaced by what the shared
encoder says of one that is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.batch import Batch, Spec
from ..losses import masked_mean, task_loss
from ..method import Output, fixed, searched
from ..shared.embedded import EmbedsByEncoders
from ..shared.networks import (
    SharedNetworkParams,
    Stacked,
    as_prediction,
    embedding_width,
    encoders,
    fusion_head,
    known_modalities,
)


@dataclass(frozen=True)
class ShaSpecParams(SharedNetworkParams):
    """Weights, how modalities are hidden, and what stands in for them.

    Under the protocol ``as-published`` fields are as in ``ShaSpec.as_published``.
    """

    weight_alignment: float = searched(0.1, low=0.0, high=0.5, digits=2, source="release: alpha; range: ours")
    weight_domain: float = searched(0.02, low=0.0, high=0.1, digits=2, source="release: beta; range: ours")
    stand_in: Literal["mean", "first", "zero"] = fixed(
        "mean", source="release: the first modality that is there; its unused line: the mean; ablation: 0"
    )
    patterns: Literal["sample", "batch"] = fixed(
        "sample", source="ours: a pattern for each sample; release: one number of modalities for a batch"
    )
    ring: Literal["present", "all"] = fixed(
        "present", source="ours: pairs that are both there; release: missing ones, read as 0, too"
    )
    composed: bool = fixed(True, source="ablation: false leaves out the specific part, W[s; p]")
    first_stage: float = fixed(
        0.3,
        least=0,
        most=1,
        source="ours: share of the epochs with all modalities; release: a command of its own",
    )


class ShaSpec(EmbedsByEncoders):
    """f_m = s_m + W[s_m; p_m] of what is there, and the mean of the others' s for what is not; the head reads all f_m.

    With e_m the embedding of a modality, s_m = S(e_m), one S for all, and p_m = P_m(e_m). Minimised is

        task + 0.1 sum_m |s_m - s_(m+1)| + 0.02 CE(D(p_m), m),

    |.| being the mean over numbers, the modalities a ring, and D a linear classifier of modalities. Stage 0 has all of
    them, stage 1 hides a random number. With one modality the two terms are off.
    """

    Params = ShaSpecParams
    version = 1
    needs_modalities = 2
    train_missing = "a random number of modalities is kept, after a stage with all"
    stages = (0.3, 0.7)
    as_published: ClassVar[Mapping[str, Any]] = {"stand_in": "first", "patterns": "batch", "ring": "all"}
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "shared and specific parts are layers on mmbench's embeddings, not two convolutional networks on inputs of one "
            "shape: modalities of other widths cannot be read by one encoder; mmbench's fusion head, not a decoder of "
            "segmentations; the missing ones are 0 in the ring where the release reads a zero input; both stages are of "
            "one training; its optimiser (SGD, rate 0.01, momentum 0.99, polynomial decay) is not taken over. The release "
            "has segmentation of BraTS alone. On planted data the alignment makes the shared parts constant (a deviation "
            "of 0.004, without it 1.3), and what stands in is worth nothing (errors of 0.22 without what can be rebuilt, "
            "0.23 with zeros in its place, 0.21 of `erm` on missing patterns): docs/methods.md has the figures"
        ),
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "zero in place of a missing modality": {"stand_in": "zero"},
        "the first one stands in": {"stand_in": "first"},
        "without alignment": {"weight_alignment": 0.0},
        "without domain classifier": {"weight_domain": 0.0},
        "shared parts alone": {"composed": False, "weight_domain": 0.0},
        "one pattern a batch": {"patterns": "batch"},
    }
    params: ShaSpecParams

    def __init__(self, params: ShaSpecParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.names = tuple(spec.modalities)
        count = len(self.names)
        width = self.width = embedding_width(spec, params.width)
        self.stages = (params.first_stage, 1 - params.first_stage)
        self.stage = 1
        self.encoders = encoders(spec, width, params.layers, params.released_encoder)
        self.shared = nn.Linear(width, width)
        self.specific = Stacked(count, lambda: nn.Linear(width, width))
        self.compose = nn.Linear(2 * width, width)
        self.domain = nn.Linear(width, count)
        self.head = fusion_head(spec, width)

    def begin_stage(self, stage: int) -> None:
        """Stage 0: all modalities. Stage 1: a random number of them."""
        self.stage = stage

    # --- the forward path -------------------------------------------------------------------------------

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """Composes what is there, lets it stand in for what is not, and predicts."""
        encoded = torch.stack([embeddings[name] for name in self.names], dim=1)
        seen = known_modalities(batch, self.names)
        shared, specific = self.parts(encoded, seen)
        fused = self.features(shared, specific, seen).flatten(1)
        kept = encoded.where(seen.unsqueeze(-1), 0)
        return Output(
            as_prediction(self.head(fused), self.spec),
            embeddings=dict(zip(self.names, kept.unbind(1), strict=True)),
            fused=fused,
        )

    def parts(self, encoded: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """s and p, both [batch, modality, width]; of 0 where not seen.

        Args:
            encoded: e, [batch, modality, width]; where not seen it is never read.
            seen: [batch, modality], bool.
        """
        kept = encoded.where(seen.unsqueeze(-1), 0)
        return self.shared(kept), self.specific(kept)

    def features(self, shared: Tensor, specific: Tensor, seen: Tensor) -> Tensor:
        """f, [batch, modality, width]: composed where seen, what stands in elsewhere; 0 where nothing is seen.

        Args:
            shared: s, [batch, modality, width].
            specific: p, alike.
            seen: [batch, modality], bool.
        """
        there = seen.unsqueeze(-1)
        composed = shared
        if self.params.composed:
            composed = shared + self.compose(torch.cat([shared, specific], dim=-1))
        return composed.where(there, self.stand_in(shared, seen).unsqueeze(1))

    def stand_in(self, shared: Tensor, seen: Tensor) -> Tensor:
        """What replaces any missing modality of a sample, [batch, width].

        Args:
            shared: s, [batch, modality, width].
            seen: [batch, modality], bool.
        """
        kept = shared.where(seen.unsqueeze(-1), 0)
        if self.params.stand_in == "zero":
            return torch.zeros_like(kept[:, 0])
        if self.params.stand_in == "first":
            first = seen.long().argmax(dim=1)  # of equal values the first
            return kept[torch.arange(len(kept), device=kept.device), first]
        return kept.sum(dim=1) / seen.sum(dim=1, keepdim=True).clamp(min=1)

    # --- the loss ---------------------------------------------------------------------------------------

    def hide(self, known: Tensor) -> Tensor:
        """Which of what is known is kept, [batch, modality], bool: a uniform number of them, at least one.

        Args:
            known: [batch, modality], bool. With ``patterns=batch`` the order and the number are one for all samples.
        """
        rows = 1 if self.params.patterns == "batch" else len(known)
        order = torch.rand(rows, known.shape[1], device=known.device).expand(known.shape)
        rank = order.masked_fill(~known, 2.0).argsort(dim=1).argsort(dim=1)
        drawn = torch.rand(rows, 1, device=known.device)
        number = 1 + (drawn * known.sum(dim=1, keepdim=True)).floor()
        return known & (rank < number)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss, the alignment of shared parts, and the recognition of specific ones."""
        seen = known_modalities(batch, self.names)
        if self.training and self.stage:
            seen = self.hide(seen)
        encoded = torch.stack(list(self.encode_all(batch).values()), dim=1)
        shared, specific = self.parts(encoded, seen)
        raw = self.head(self.features(shared, specific, seen).flatten(1))
        terms = {"task": task_loss(as_prediction(raw, self.spec), batch.target, self.spec)}
        if len(self.names) > 1:
            terms["alignment"] = self.params.weight_alignment * self.alignment(shared, seen)
            terms["domain"] = self.params.weight_domain * self.recognition(specific, seen)
        return terms

    def alignment(self, shared: Tensor, seen: Tensor) -> Tensor:
        """Sum over a ring of modalities of the mean |s_m - s_(m+1)|, a scalar.

        Args:
            shared: s, [batch, modality, width].
            seen: [batch, modality], bool.
        """
        apart = (shared - shared.roll(-1, dims=1)).abs().mean(dim=-1)
        both = seen & seen.roll(-1, dims=1) if self.params.ring == "present" else torch.ones_like(seen)
        return torch.stack([masked_mean(apart[:, i], both[:, i]) for i in range(len(self.names))]).sum()

    def recognition(self, specific: Tensor, seen: Tensor) -> Tensor:
        """The cross-entropy of which modality a specific part is of, a mean over those that are seen.

        Args:
            specific: p, [batch, modality, width].
            seen: [batch, modality], bool.
        """
        said = self.domain(specific)
        which = torch.arange(len(self.names), device=said.device).expand(seen.shape)
        return masked_mean(
            F.cross_entropy(said.flatten(0, 1), which.flatten(), reduction="none"), seen.flatten()
        )
