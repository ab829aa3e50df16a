"""MulT: transformers between every two modalities (Tsai et al., ACL 2019, arXiv 1906.00295)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.batch import Batch, Spec
from ..losses import task_loss
from ..method import Method, Output, fixed, searched
from ..shared.cross_modal import CrossTransformer
from ..shared.networks import (
    SharedNetworkParams,
    as_prediction,
    embedding_width,
    encoders,
    known_modalities,
    outputs,
    steps_of,
)
from ..shared.step_sequences import block_length, block_means, valid_first
from ..shared.subnetworks import AUDIO, TEXT

VISION = "vision"


@dataclass(frozen=True)
class MulTParams(SharedNetworkParams):
    """Sizes, and what is left out for controls. ``step_width`` is that of a step of a sequence."""

    step_width: int = fixed(20, least=1, source="ours; MMSA, MOSI: 50")
    heads: int = fixed(4, least=1, divides="step_width", source="ours; MMSA, MOSI: 10")
    cross_layers: int = fixed(2, least=0, source="ours; MMSA, MOSI: 4")
    memory_layers: int = fixed(2, least=0, source="ours; MMSA, MOSI: 4")
    kernel: int = fixed(1, least=1, step=2, source="ours: of the convolution over steps, odd; MMSA, MOSI: 5")
    audio_kernel: int = fixed(0, least=0, source="MMSA: of audio, odd; 0: as kernel", since="0.2")
    vision_kernel: int = fixed(0, least=0, source="MMSA: of vision, odd; 0: as kernel", since="0.2")
    most_steps: int = fixed(
        50,
        least=0,
        source="ours: longer series are averaged over blocks, to so many steps; MMSA: never, here 0",
    )
    positions: bool = fixed(True, source="paper; in MMSA they are off")
    causal: bool = fixed(True, source="MMSA: attn_mask; no step attends to what lies after it")
    attention_dropout: float = fixed(
        0.1, least=0, below=1, source="ours; MMSA, MOSI: 0.3, 0.2 and 0, by modality"
    )
    residual_dropout: float = fixed(
        0.0,
        least=0,
        below=1,
        source="MMSA: res_dropout, of what each half of a layer adds; 0 but for SIMS",
        since="0.2",
    )
    hidden_dropout: float = fixed(
        0.0,
        least=0,
        below=1,
        source="MMSA: relu_dropout, behind the ReLU of a layer; 0 but for SIMSv2",
        since="0.2",
    )
    embed_dropout: float = fixed(0.1, least=0, below=1, source="ours; MMSA, MOSI: 0.2")
    text_dropout: float = fixed(0.1, least=0, below=1, source="ours; MMSA, MOSI: 0.5")
    output_dropout: float = searched(
        0.1,
        low=0.0,
        high=0.5,
        digits=1,
        least=0,
        below=1,
        source="ours; MMSA, MOSI: 0.5; range: its four data sets",
    )
    attention: Literal["cross", "own"] = fixed(
        "cross", source="paper; control: to a modality itself in the place of each other one"
    )


class MulT(Method):
    """Every modality attends to every other one, step by step; what it has found is read by a transformer of its own.

    z_m = conv(x_m); for m and each n that is not m: y_nm = T_nm(z_m, z_n); the memory of m is a transformer on [y_nm over n], of
    which the last valid step is taken; the head reads those of all modalities, with one residual block. An absent
    modality is attended to by none, and is zeros for the head. With one modality it attends to itself.
    """

    Params = MulTParams
    version = 1
    kinds: ClassVar[tuple[str, ...]] = ("regression", "classification", "multi-label")
    needs_modalities = 2
    as_published: ClassVar[Mapping[str, Any]] = {
        "step_width": 50,
        "heads": 10,
        "cross_layers": 4,
        "memory_layers": 4,
        "kernel": 5,
        "most_steps": 0,
        "positions": False,
        "attention_dropout": 0.2,
        "embed_dropout": 0.2,
        "text_dropout": 0.5,
        "output_dropout": 0.5,
    }
    as_published_in: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "mosei": {
            "step_width": 30,
            "heads": 6,
            "audio_kernel": 1,
            "vision_kernel": 3,
            "attention_dropout": 0.0,
            "embed_dropout": 0.0,
            "text_dropout": 0.3,
        },
        "sims": {
            "cross_layers": 2,
            "memory_layers": 3,
            "audio_kernel": 1,
            "vision_kernel": 1,
            "attention_dropout": 0.1,
            "residual_dropout": 0.2,
            "embed_dropout": 0.1,
            "text_dropout": 0.3,
            "output_dropout": 0.1,
        },
        "simsv2": {
            "step_width": 30,
            "heads": 6,
            "audio_kernel": 3,
            "vision_kernel": 1,
            "attention_dropout": 0.1,
            "hidden_dropout": 0.1,
            "output_dropout": 0.3,
        },
    }
    rules_as_published: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sentiment": {
            "epochs": 100,
            "patience": 8,
            "batch_size": 16,
            "accumulate": 8,
            "accumulate_by": "sum",
            "learning_rate": 0.002,
            "clip_norm": 0.0,
            "clip_value": 0.6,
            "schedule": "plateau",
            "plateau_factor": 0.1,
            "plateau_patience": 5,
        },
        "mosei": {"batch_size": 4, "learning_rate": 0.0005, "plateau_patience": 20},
        "sims": {"plateau_patience": 10},
        "simsv2": {"learning_rate": 0.0005, "clip_value": 1.0, "plateau_patience": 10},
    }
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "after MMSA's code, not the authors'; padding is neither attended to nor the last step; convolutions keep the number of steps; "
            "one rate of dropout in attention, the middle of MMSA's three of modalities; the settings of MOSI hold for any other data set "
            "than MOSEI, SIMS and SIMSv2, and at most 100 epochs, where MMSA knows no maximum; waveforms are one step, an embedding of "
            "mmbench's encoder. On planted data attention to another modality leaves less than a quarter of the error that attention to "
            "its own does (0.12, and 0.53), and without positions 0.29: docs/methods.md has the figures"
        ),
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "own attention": {"attention": "own"},
        "without positions": {"positions": False},
    }
    params: MulTParams

    def __init__(self, params: MulTParams, spec: Spec) -> None:
        super().__init__(params, spec)
        if params.step_width % params.heads:
            raise ValueError(
                f"step_width is {params.step_width}: it should be a multiple of heads, {params.heads}"
            )
        self.names, width = tuple(spec.modalities), params.step_width
        count = len(self.names)
        own = embedding_width(spec, params.width)
        self.encoders = encoders(spec, own, params.layers, params.released_encoder)
        self.vectors = self.encoders.vectors
        for name in self.names:
            if name not in self.vectors:
                own_kernel = {AUDIO: params.audio_kernel, VISION: params.vision_kernel}.get(name, 0)
                read, kernel = self.encoders.read[name], own_kernel or params.kernel
                reader = nn.Conv1d(read, width, kernel, padding=kernel // 2, bias=False)
                self.encoders.read_steps(name, reader)
        self.adapt = nn.ModuleDict({str(self.names.index(m)): nn.Linear(own, width) for m in self.vectors})

        def transformer(size: int, layers: int) -> CrossTransformer:
            return CrossTransformer(
                size,
                params.heads,
                layers,
                attention_dropout=params.attention_dropout,
                embed_dropout=params.embed_dropout,
                dropout=params.residual_dropout,
                hidden_dropout=params.hidden_dropout,
                positions=params.positions,
                causal=params.causal,
            )

        #: (what attends, what it attends to), in the order of what attends
        self.pairs = list(permutations(range(count), 2)) if count > 1 else [(0, 0)]
        self.cross = nn.ModuleList(transformer(width, params.cross_layers) for _ in self.pairs)
        size = max(count - 1, 1) * width
        self.memories = nn.ModuleList(transformer(size, params.memory_layers) for _ in self.names)
        self.inner, self.outer = nn.Linear(count * size, count * size), nn.Linear(count * size, count * size)
        self.out = nn.Linear(count * size, outputs(spec))

    def sequence(self, modality: str, batch: Batch) -> tuple[Tensor, Tensor]:
        """z_m [batch, time, width] of one modality, its valid steps first, and which they are, [batch, time]."""
        place = self.names.index(modality)
        features, valid = self.encoders.inputs(batch, modality)
        if modality in self.vectors:
            vector = self.adapt[str(place)](self.encoders(modality, features, valid))
            return vector.unsqueeze(1), valid.any(dim=1, keepdim=True)
        clean, valid = valid_first(features, valid)
        block = block_length(steps_of(self.spec, modality), self.params.most_steps)
        clean, valid = block_means(clean.to(self.out.weight.dtype), valid, block)
        if modality == TEXT:
            clean = F.dropout(clean, self.params.text_dropout, self.training)
        made = self.encoders.parts[place](clean.transpose(1, 2)).transpose(1, 2)
        return made * valid.unsqueeze(-1).to(made.dtype), valid

    def forward(self, batch: Batch) -> Output:
        """Predicts."""
        found = [self.sequence(name, batch) for name in self.names]
        heard: list[list[Tensor]] = [[] for _ in self.names]
        for (target, source), layers in zip(self.pairs, self.cross, strict=True):
            own, steps = found[target]
            other, valid = found[target] if self.params.attention == "own" else found[source]
            heard[target].append(layers(own, steps, other, valid))
        last = []
        for memory, parts, (_, valid) in zip(self.memories, heard, found, strict=True):
            read = memory(torch.cat(parts, dim=-1), valid, None, valid)
            place = (valid.sum(1) - 1).clamp(min=0)
            last.append(read[torch.arange(len(read), device=read.device), place])
        known = known_modalities(batch, self.names)
        fused = torch.cat([x.where(known[:, i : i + 1], 0) for i, x in enumerate(last)], dim=-1)
        inner = F.dropout(self.inner(fused).relu(), self.params.output_dropout, self.training)
        raw = self.out(fused + self.outer(inner))
        return Output(as_prediction(raw, self.spec), fused=fused)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss."""
        return {"task": task_loss(self(batch).prediction, batch.target, self.spec)}
