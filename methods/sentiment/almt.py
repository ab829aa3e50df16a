"""ALMT: what is read of audio and vision is chosen by the language (Zhang et al., EMNLP 2023, arXiv 2310.05804)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ...datasets.batch import Batch, Spec
from ..losses import task_loss
from ..method import Method, Output, fixed, searched
from ..shared.networks import SharedNetworkParams, as_prediction, known_modalities, outputs
from ..shared.step_sequences import StepConvolution, StepSequences, dominant_of
from ..shared.token_transformer import POSITIONS, HyperLayer, TokenFusion, TokenReader


@dataclass(frozen=True)
class ALMTParams(SharedNetworkParams):
    """Sizes, and what chooses. ``token_width`` is that of all tokens and steps."""

    dominant: str = fixed("", source="paper: the text; ours: where there is none, the first modality")
    token_width: int = fixed(32, least=1, source="ours; MMSA: 128")
    tokens: int = fixed(4, least=1, source="ours: of each modality; MMSA: 8")
    heads: int = fixed(4, least=1, divides="token_width", source="ours; MMSA: 8")
    head_width: int = fixed(
        8, least=1, source="ours: in all attention but that of the hyper layers; MMSA: 64"
    )
    hyper_layers: int = searched(2, choices=(1, 2, 3), least=1, source="ours; MMSA: 3; range: our choice")
    fusion_layers: int = fixed(1, least=0, source="ours; MMSA, MOSI: 2, MOSEI and SIMS: 4")
    most_steps: int = fixed(
        50,
        least=0,
        source="ours: longer series are averaged over blocks, to so many steps; MMSA: never, here 0",
    )
    guide: Literal["language", "constant"] = fixed(
        "language", source="paper; control: learned tokens that know nothing of the sample"
    )


class ALMT(Method):
    """A few hyper tokens read audio and vision by what the language asks; language and hyper tokens are then fused.

    h_m: learned tokens that a transformer layer lets read the steps of m. With l the dominant modality and h_l^i what stands
    after i further layers: H <- LN(H) + W sum_(m not l) attention of LN(h_l^i) to LN(h_m), for each hyper layer i. A class token
    that attends to a class token and H from beside h_l, in ``fusion_layers`` layers, predicts. An absent modality adds nothing
    to H; tokens of an absent dominant one are the learned ones.
    """

    Params = ALMTParams
    version = 1
    kinds: ClassVar[tuple[str, ...]] = ("regression", "classification", "multi-label")
    needs_modalities = 2
    as_published: ClassVar[Mapping[str, Any]] = {
        "token_width": 128,
        "tokens": 8,
        "heads": 8,
        "head_width": 64,
        "hyper_layers": 3,
        "fusion_layers": 2,
        "most_steps": 0,
    }
    as_published_in: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "mosei": {"fusion_layers": 4},
        "sims": {"fusion_layers": 4},
        "simsv2": {"fusion_layers": 4},
    }
    rules_as_published: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sentiment": {
            "epochs": 200,
            "patience": 32,
            "batch_size": 64,
            "optimizer": "adamw",
            "weight_decay": 0.0001,
            "schedule": "cosine",
            "warmup": 0.1,
            "clip_norm": 2.0,
        }
    }
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "after MMSA's code; text is features, in place of BERT that is trained along (--encoder-mode full trains it); padding is not "
            "attended to; an absent modality adds nothing to the hyper tokens; the settings of SIMS hold for SIMSv2, too, for which MMSA "
            "has none, and those of MOSI for any other data set; waveforms are one step, an embedding of mmbench's encoder. On planted "
            "data the language's guidance leaves a fifth of the error that a constant's does (0.13, and 0.70): docs/methods.md has the "
            "figures"
        ),
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {"constant guide": {"guide": "constant"}}
    params: ALMTParams

    def __init__(self, params: ALMTParams, spec: Spec) -> None:
        super().__init__(params, spec)
        s, width = params, params.token_width
        if width % s.heads:
            raise ValueError(f"token_width is {width}: it should be a multiple of heads, {s.heads}")
        self.dominant = dominant_of(spec, s.dominant)
        self.names = tuple(spec.modalities)
        self.others = tuple(name for name in self.names if name != self.dominant)
        self.steps = StepSequences(spec, s, width, lambda _, read: StepConvolution(read, width), s.most_steps)
        self.readers = nn.ModuleList(
            TokenReader(width, s.tokens, self.steps.planned[name] or POSITIONS, 1, s.heads, s.head_width)
            for name in self.names
        )
        self.scales = TokenReader(width, 0, s.tokens, s.hyper_layers - 1, s.heads, s.head_width)
        self.hyper = nn.Parameter(torch.ones(s.tokens, width))
        self.constant = nn.Parameter(torch.randn(s.tokens, width)) if s.guide == "constant" else None
        self.layers = nn.ModuleList(
            HyperLayer(width, s.heads, len(self.others)) for _ in range(s.hyper_layers)
        )
        self.fusion = TokenFusion(width, s.tokens, s.fusion_layers, s.heads, s.head_width)
        self.out = nn.Linear(width, outputs(spec))

    def forward(self, batch: Batch) -> Output:
        """Predicts."""
        found = {
            name: reader(*self.steps(name, batch))[-1]
            for name, reader in zip(self.names, self.readers, strict=True)
        }
        known = known_modalities(batch, self.others) if self.others else batch.target.new_zeros(len(batch), 0)
        scales = self.scales(found[self.dominant])
        hyper = self.hyper.expand(len(batch), -1, -1)
        others = [found[name] for name in self.others]
        for layer, language in zip(self.layers, scales, strict=True):
            guide = language if self.constant is None else self.constant.expand_as(language)
            hyper = layer(guide, hyper, others, known.bool())
        fused = self.fusion(scales[-1], hyper)
        return Output(as_prediction(self.out(fused), self.spec), fused=fused)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Squared errors of scores, as published, and the task's loss of classes."""
        prediction = self(batch).prediction
        if self.spec.kind == "regression":
            return {"task": (prediction - batch.target).square().mean()}
        return {"task": task_loss(prediction, batch.target, self.spec)}
