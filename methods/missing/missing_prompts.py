"""Missing-aware prompts: tokens that say which modalities are missing, on a frozen network (Lee et al., CVPR 2023)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ...datasets.batch import Spec
from ..method import Output, fixed
from ..shared.networks import (
    SharedNetworkParams,
    as_prediction,
    single_head,
)
from ..shared.prompted_backbone import PromptedBackbone


@dataclass(frozen=True)
class MissingPromptsParams(SharedNetworkParams):
    """Sizes, and what the prompts depend on."""

    prompts: int = fixed(
        2,
        least=0,
        source="ours: tokens of a prompt, before one a modality; release: 16, before words and patches",
    )
    levels: int = fixed(
        2, least=0, source="ours: attention layers, each with prompts of its own; release: 6 of ViLT's 12"
    )
    by: Literal["pattern", "nothing"] = fixed(
        "pattern", source="release: a prompt for each pattern; control: one for all"
    )
    freeze: bool = fixed(True, source="release: prompts and head alone are trained")
    pattern_probability: float = fixed(
        0.7, least=0, most=1, source="release: the share of samples that lose modalities"
    )
    first_stage: float = fixed(
        0.5, least=0, most=1, source="ours: share of the epochs on complete samples; release: ViLT"
    )


class MissingPrompts(PromptedBackbone):
    """A prompt for each pattern of missing modalities stands before the tokens of a frozen transformer.

    Stage 0 trains encoders, attention over a class token and the modalities' embeddings, and a head, on complete samples.
    Stage 1 freezes encoders and attention, hides modalities, and trains the head and P[pattern, layer], which stand before
    the tokens in each layer and are cut off behind it. The head reads the class token.
    """

    Params = MissingPromptsParams
    version = 1
    needs_modalities = 2
    train_missing = "random patterns at rate 0.7, anew for each sample"
    stages = (0.5, 0.5)
    as_published: ClassVar[Mapping[str, Any]] = {"prompts": 16, "levels": 6}
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "encoders of mmbench and attention over their embeddings, trained on the same data, in place of a ViLT that was "
            "trained elsewhere, so that sizes and recipe (AdamW, rate 0.01, decay 0.02, 20 epochs of 256) are not taken over; "
            "a missing modality is a zero token, not an empty text or a white picture; patterns are drawn anew in every pass, "
            "not read from a table; any number of modalities; input prompts alone, no attention prompts. On "
            "planted data `erm` on the same missing patterns is better where a modality is missing (errors of 0.58 and 0.71 "
            "without text), and 16 prompts before so few tokens are worse than none (0.84 and 0.71): docs/methods.md has the "
            "figures"
        ),
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "one prompt for all patterns": {"by": "nothing"},
        "without prompts": {"prompts": 0},
        "as many prompts as published": {"prompts": 16},
        "network not frozen": {"freeze": False},
    }
    params: MissingPromptsParams

    def __init__(self, params: MissingPromptsParams, spec: Spec) -> None:
        super().__init__(params, spec)
        count, width = len(self.names), self.width
        self.places = nn.Parameter(0.02 * torch.randn(count, width))
        self.start = nn.Parameter(0.02 * torch.randn(width))
        self.levels = self.attention(params.levels)
        sets = 2**count if params.by == "pattern" else 1
        self.prompts = nn.Parameter(0.02 * torch.randn(sets, params.levels, params.prompts, width))
        self.head = single_head(spec, width, width)

    def backbone(self) -> Iterable[nn.Parameter]:
        """Encoders and attention, with the class token and the places."""
        return chain(self.encoders.parameters(), self.levels.parameters(), (self.places, self.start))

    # --- the forward path -------------------------------------------------------------------------------

    def answer(self, encoded: Tensor, seen: Tensor) -> Output:
        """The output from the modalities that are seen.

        Args:
            encoded: z, [batch, modality, width]; where not seen it is never read.
            seen: [batch, modality], bool.
        """
        kept = encoded.where(seen.unsqueeze(-1), 0)
        tokens = torch.cat([self.start.expand(len(kept), 1, -1), kept + self.places], dim=1)
        prompts = self.prompts_of(seen)
        for i, level in enumerate(self.levels):
            if self.stage:
                tokens = level(torch.cat([prompts[:, i], tokens], dim=1))[:, self.params.prompts :]
            else:
                tokens = level(tokens)
        fused = tokens[:, 0]
        return Output(
            as_prediction(self.head(fused), self.spec),
            embeddings=dict(zip(self.names, kept.unbind(1), strict=True)),
            fused=fused,
        )

    def prompts_of(self, seen: Tensor) -> Tensor:
        """The prompts of each sample's pattern, [batch, layer, prompt, width].

        Args:
            seen: [batch, modality], bool.
        """
        code = self.patterns(seen)
        return self.prompts[code if self.params.by == "pattern" else torch.zeros_like(code)]
