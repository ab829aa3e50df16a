"""MPLMM: prompts for missing modalities on a frozen backbone (Guo et al., ACL 2024), on the shared encoders.

Three kinds of prompts: generative ones, from which and what is seen a missing modality is generated; signal prompts, which
say of each modality whether it is missing; and type prompts, which say which modalities are missing together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.batch import Batch, Spec
from ..method import Output, fixed
from ..shared.equal_steps import StepEncoders
from ..shared.networks import (
    SharedNetworkParams,
    as_prediction,
    fusion_head,
    outputs,
)
from ..shared.prompted_backbone import PromptedBackbone
from ..shared.prompted_sequences import PromptedMulT


@dataclass(frozen=True)
class MPLMMParams(SharedNetworkParams):
    """Sizes, and an ablation switch for each kind of prompts.

    ``backbone="mult"`` is the release's network, ``PromptedMulT``: ``step_width``, ``heads``, ``cross_layers`` and ``steps``
    are its sizes, ``levels`` one of the other.
    """

    generation: bool = fixed(True, source="ablation: false puts zeros in the place of a missing modality")
    signals: bool = fixed(True, source="ablation")
    types: bool = fixed(True, source="ablation")
    freeze: bool = fixed(True, source="release: what was trained on complete samples stays as it is")
    prompts: int = fixed(16, least=0, source="release: prompt length")
    levels: int = fixed(
        1, least=0, source="ours: self-attention layers over the modalities; release: 5, over time"
    )
    pattern_probability: float = fixed(0.7, least=0, most=1, source="release: eta")
    first_stage: float = fixed(
        0.5,
        least=0,
        most=1,
        source="ours: share of the epochs on complete samples; release: a training of its own, on MOSEI",
    )
    backbone: Literal["embeddings", "mult"] = fixed(
        "embeddings", source="ours: one embedding a modality; release: MulT over time", since="0.2"
    )
    step_width: int = fixed(30, least=1, source="release: of a step of a sequence", since="0.2")
    heads: int = fixed(5, least=1, divides="step_width", source="release", since="0.2")
    cross_layers: int = fixed(5, least=0, source="release: of each transformer", since="0.2")
    steps: int = fixed(50, least=1, source="release: of its aligned data", since="0.2")


class MPLMM(PromptedBackbone):
    """A network that is trained on complete samples, and is then taught by prompts to do without some of them.

    Stage 0 trains encoders, self-attention over the modalities' embeddings, and a head. Stage 1 freezes encoders and
    attention, and trains the prompts, what generates from them, a projection of each modality and the head, with random
    missing patterns and the task's loss alone. What is generated for m, S being what is seen, is

        x^_m = GELU(sum_t a_t P_m[t] + sum_(n in S) b_n W_n z_n + c), with a, b and c of their own for each S and m;

    u_m is W_m z_m or x^_m, plus the signal prompt of its state; the attention reads u and the type prompts
    P_type sum_m s_m k_m^T, s_m being the signal prompts; and the head reads the places of the modalities.

    With ``backbone="mult"`` all of this happens to steps of sequences, in the release's network (``PromptedMulT``).
    """

    Params = MPLMMParams
    version = 1
    needs_modalities = 2  # with one there is nothing to generate from
    train_missing = "random patterns at rate 0.7, anew for each sample"
    stages = (0.5, 0.5)
    as_published: ClassVar[Mapping[str, Any]] = {"backbone": "mult"}
    rules_as_published: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sentiment": {
            "epochs": 40, "batch_size": 64, "learning_rate": 0.001, "schedule": "plateau",
        }
    }  # fmt: skip
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "the first stage is of the same data, not of MOSEI, and projections and output layer go on from it; sequences are "
            "brought to 50 steps by means over equal shares, where the release has aligned data with padding; no dropout within "
            "feed-forward layers; without any modality tokens are zeros; any number of modalities; every pattern is equally "
            "likely, the complete one among them; results are of test data, where the release's last evaluation is of "
            "validation data. On planted data `erm` on the same missing patterns is as good where text is missing (errors of 0.58 and "
            "0.56), and so are projections and head that learn on without prompts where audio is (0.15 and 0.14): "
            "docs/methods.md has the figures"
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
        count, width = len(self.names), self.width
        self.over_time: PromptedMulT | None = None
        if params.backbone == "mult":
            self._build_over_time(width)
            return
        self.levels = self.attention(params.levels)
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

    def _build_over_time(self, width: int) -> None:
        """The release's network in the place of encoders, attention and head; ``width`` of the encoders that are left."""
        s = self.params
        self.encoders = read = StepEncoders(self.spec, self.encoders, width)
        if s.step_width % s.heads or s.prompts < 1:
            raise ValueError(
                f"step_width is {s.step_width} and prompts {s.prompts}: a multiple of heads, {s.heads}, and at least 1 are needed"
            )
        self.over_time = PromptedMulT(
            list(read.sizes.values()),
            outputs(self.spec),
            width=s.step_width,
            heads=s.heads,
            layers=s.cross_layers,
            steps=s.steps,
            prompts=s.prompts,
        )

    def backbone(self) -> Iterable[nn.Parameter]:
        """Encoders and attention; over time what is trained in the first stage."""
        if self.over_time is None:
            return chain(self.encoders.parameters(), self.levels.parameters())
        return chain.from_iterable(part.parameters() for part in self.over_time.pretrained())

    def train(self, mode: bool = True) -> Self:
        """As of every module; what is frozen in training also gives what it gives in prediction."""
        super().train(mode)
        if self.over_time is not None:  # whose encoders of waveforms and media stay trainable
            self.encoders.train(mode)
        return self

    # --- the forward path -------------------------------------------------------------------------------

    def encode_all(self, batch: Batch, modalities: Sequence[str] = ()) -> dict[str, Tensor]:
        """The embeddings [batch, width] of several modalities; over time [batch, steps, modalities * step_width].

        Args:
            batch: the samples.
            modalities: those that are encoded; by default all.
        """
        if self.over_time is None or not isinstance(self.encoders, StepEncoders):
            return super().encode_all(batch, modalities)
        found = {}
        for name in modalities or self.names:
            dtype = self.over_time.out.weight.dtype
            steps = self.encoders.steps(name, batch, self.params.steps, dtype)
            found[name] = self.over_time.read(self.names.index(name), steps)
        return found

    def answer(self, encoded: Tensor, seen: Tensor) -> Output:
        """The output from the modalities that are seen.

        Args:
            encoded: z, [batch, modality, ...], as ``encode`` gives it; where not seen it is never read.
            seen: [batch, modality], bool.
        """
        if self.over_time is not None:
            s, prompted = self.params, self.stage > 0
            raw, fused = self.over_time(
                encoded,
                seen,
                generation=s.generation and prompted,
                signals=s.signals and prompted,
                types=s.types and prompted,
            )
            return Output(as_prediction(raw, self.spec), fused=fused)
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
        code = self.patterns(seen)
        from_prompts = torch.einsum("bmt,mtd->bmd", self.mix_prompts[code], self.generative)
        return F.gelu(from_prompts + self.mix_seen[code] @ used + self.mix_bias[code].unsqueeze(-1))
