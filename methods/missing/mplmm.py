"""MPLMM: prompts for missing modalities on a frozen backbone (Guo et al., ACL 2024), on the shared encoders.

Three kinds of prompts: generative ones, from which and what is seen a missing modality is generated; signal prompts, which
say of each modality whether it is missing; and type prompts, which say which modalities are missing together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.batch import Batch, Spec
from ..losses import task_loss
from ..method import Method, Output, fixed
from ..shared.ebmc_parts import draw_pattern
from ..shared.networks import (
    SharedNetworkParams,
    as_prediction,
    embedding_width,
    encoders,
    fusion_head,
    known_modalities,
)


@dataclass(frozen=True)
class MPLMMParams(SharedNetworkParams):
    """Sizes, and an ablation switch for each kind of prompts."""

    generation: bool = fixed(True, source="ablation: false puts zeros in the place of a missing modality")
    signals: bool = fixed(True, source="ablation")
    types: bool = fixed(True, source="ablation")
    freeze: bool = fixed(True, source="release: what was trained on complete samples stays as it is")
    prompts: int = fixed(16, source="release: prompt length")
    levels: int = fixed(1, source="ours: self-attention layers over the modalities; release: 5, over time")
    pattern_probability: float = fixed(0.7, source="release: eta")
    first_stage: float = fixed(
        0.5, source="ours: share of the epochs on complete samples; release: a training of its own, on MOSEI"
    )


class MPLMM(Method):
    """A network that is trained on complete samples, and is then taught by prompts to do without some of them.

    Stage 0 trains encoders, self-attention over the modalities' embeddings, and a head. Stage 1 freezes encoders and
    attention, and trains the prompts, what generates from them, a projection of each modality and the head, with random
    missing patterns and the task's loss alone. What is generated for m, S being what is seen, is

        x^_m = GELU(sum_t a_t P_m[t] + sum_(n in S) b_n W_n z_n + c), with a, b and c of their own for each S and m;

    u_m is W_m z_m or x^_m, plus the signal prompt of its state; the attention reads u and the type prompts
    P_type sum_m s_m k_m^T, s_m being the signal prompts; and the head reads the places of the modalities.
    """

    Params = MPLMMParams
    version = 1
    train_missing = "random patterns at rate 0.7, anew for each sample"
    stages = (0.5, 0.5)
    rules_as_published: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sentiment": {
            "epochs": 40, "batch_size": 64, "learning_rate": 0.001, "schedule": "plateau", "clip_norm": 0.8,
        }
    }  # fmt: skip
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "encoders of mmbench, one embedding a modality, and one self-attention layer over them, in place of MulT, whose "
            "cross-modal attention over time it has not; so prompts are added to embeddings, not to steps; the first stage is "
            "of the same data, not of MOSEI; the head reads the places of the modalities, not the last prompt's; any number "
            "of modalities; every pattern is equally likely, the complete one among them; results are of test data, where "
            "the release's last evaluation is of validation data"
        ),
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "without generation": {"generation": False},
        "without signal prompts": {"signals": False},
        "without type prompts": {"types": False},
        "without prompts": {"generation": False, "signals": False, "types": False},
        "backbone not frozen": {"freeze": False},
    }
    params: MPLMMParams

    def __init__(self, params: MPLMMParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.names = tuple(spec.modalities)
        count = len(self.names)
        width = self.width = embedding_width(spec, params.width)
        self.stages = (params.first_stage, 1 - params.first_stage)
        self.stage = 1
        self.encoders = encoders(spec, width, params.layers, params.released_encoder)
        heads = next(number for number in (4, 2, 1) if width % number == 0)
        self.levels = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, 2 * width, dropout=0.1, batch_first=True, norm_first=True
            )
            for _ in range(params.levels)
        )
        self.head = fusion_head(spec, width)
        scale = 1 / math.sqrt(width)
        self.projection = nn.Parameter(torch.eye(width).repeat(count, 1, 1))  # it starts by changing nothing
        if params.generation:
            sets, length = 2**count, params.prompts
            self.generative = nn.Parameter(scale * torch.randn(count, length, width))
            self.mix_prompts = nn.Parameter(torch.randn(sets, count, length) / math.sqrt(length + count))
            self.mix_seen = nn.Parameter(torch.randn(sets, count, count) / math.sqrt(length + count))
            self.mix_bias = nn.Parameter(torch.zeros(sets, count))
        if params.signals or params.types:  # [modality, missing or present, width]
            self.signal = nn.Parameter(0.1 * scale * torch.randn(count, 2, width))
        if params.types:
            self.type_prompts = nn.Parameter(scale * torch.randn(params.prompts, width))
            self.type_keys = nn.Parameter(torch.randn(count, width))

    def begin_stage(self, stage: int) -> None:
        """Stage 0: the network on complete samples. Stage 1: prompts on what was trained."""
        self.stage = stage
        for part in (self.encoders, self.levels):
            part.requires_grad_(not self.frozen)
        self.train(self.training)

    @property
    def frozen(self) -> bool:
        """Whether encoders and attention stay as stage 0 left them."""
        return self.params.freeze and self.stage > 0

    def train(self, mode: bool = True) -> MPLMM:
        """As of every module; frozen encoders also in training give what they give in prediction."""
        super().train(mode)
        if self.frozen:
            self.encoders.eval()
        return self

    # --- the forward path -------------------------------------------------------------------------------

    def encode(self, modality: str, batch: Batch) -> Tensor:
        """The embedding [batch, width] of one modality."""
        return self.encoders.encode(modality, batch)

    def encode_all(self, batch: Batch, modalities: Sequence[str] = ()) -> dict[str, Tensor]:
        """The same of several modalities, computed as one."""
        return self.encoders.together(batch, modalities or self.names)

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """Predicts; in stage 0 with zeros in the place of a missing modality, without prompts."""
        encoded = torch.stack([embeddings[name] for name in self.names], dim=1)
        return self.answer(encoded, known_modalities(batch, self.names))

    def answer(self, encoded: Tensor, seen: Tensor) -> Output:
        """The output from the modalities that are seen.

        Args:
            encoded: z, [batch, modality, width]; where not seen it is never read.
            seen: [batch, modality], bool.
        """
        kept = encoded.where(seen.unsqueeze(-1), 0)
        tokens = kept if self.stage == 0 else self.prompted(kept, seen)
        for level in self.levels:
            tokens = level(tokens)
        fused = tokens[:, : len(self.names)].flatten(1)
        return Output(
            as_prediction(self.head(fused), self.spec),
            embeddings=dict(zip(self.names, kept.unbind(1), strict=True)),
            fused=fused,
        )

    def prompted(self, kept: Tensor, seen: Tensor) -> Tensor:
        """What the attention reads in stage 1, [batch, tokens, width], the modalities first.

        Args:
            kept: z, [batch, modality, width], 0 where not seen.
            seen: [batch, modality], bool.
        """
        used = torch.einsum("bmd,mde->bme", kept, self.projection)
        if self.params.generation:
            used = used.where(seen.unsqueeze(-1), self.generate(used, seen))
        if not (self.params.signals or self.params.types):
            return used
        places = torch.arange(len(self.names), device=seen.device)
        signals = self.signal[places, seen.long()]  # [batch, modality, width]
        if self.params.signals:
            used = used + signals
        if not self.params.types:
            return used
        map_ = torch.einsum("bmd,me->bde", signals, self.type_keys)
        return torch.cat([used, self.type_prompts @ map_], dim=1)

    def generate(self, used: Tensor, seen: Tensor) -> Tensor:
        """x^_m, [batch, modality, width].

        Args:
            used: W_n z_n, [batch, modality, width], 0 where not seen.
            seen: [batch, modality], bool.
        """
        code = (seen.long() << torch.arange(len(self.names), device=seen.device)).sum(dim=1)
        from_prompts = torch.einsum("bmt,mtd->bmd", self.mix_prompts[code], self.generative)
        return F.gelu(from_prompts + self.mix_seen[code] @ used + self.mix_bias[code].unsqueeze(-1))

    # --- the loss ---------------------------------------------------------------------------------------

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss: of all that there is in stage 0, under random missing patterns in stage 1."""
        known = known_modalities(batch, self.names)
        hides = self.training and self.stage > 0
        seen = draw_pattern(known, self.params.pattern_probability) if hides else known
        encoded = torch.stack(list(self.encode_all(batch).values()), dim=1)
        return {"task": task_loss(self.answer(encoded, seen).prediction, batch.target, self.spec)}
