"""Methods of two stages: a network is trained on complete samples, then stays as it is while prompts learn to do without."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, Self

import torch
from torch import Tensor, nn

from ...datasets.batch import Batch, Spec
from ..losses import task_loss
from ..method import Output
from .ebmc_parts import draw_pattern
from .embedded import EmbedsByEncoders
from .networks import embedding_width, encoders, known_modalities


class PromptedBackbone(EmbedsByEncoders, ABC):
    """Stage 0 trains encoders, attention over the modalities' embeddings and a head. Stage 1 freezes what ``backbone`` says, and
    trains the rest with random missing patterns and the task's loss alone.

    ``params`` has the sizes of the shared network, ``levels`` of attention, ``freeze``, ``pattern_probability`` and
    ``first_stage``, the share of the epochs of stage 0.
    """

    def __init__(self, params: Any, spec: Spec) -> None:
        super().__init__(params, spec)
        self.names = tuple(spec.modalities)
        self.width = embedding_width(spec, params.width)
        self.stages = (params.first_stage, 1 - params.first_stage)
        self.stage = 1
        self.encoders = encoders(spec, self.width, params.layers, params.released_encoder)

    @abstractmethod
    def backbone(self) -> Iterable[nn.Parameter]:
        """What stays as stage 0 left it."""

    @abstractmethod
    def answer(self, encoded: Tensor, seen: Tensor) -> Output:
        """The output from the modalities that are seen.

        Args:
            encoded: z, [batch, modality, width]; where not seen it is never read.
            seen: [batch, modality], bool.
        """

    def begin_stage(self, stage: int) -> None:
        """Stage 0: the network on complete samples. Stage 1: prompts on what was trained."""
        self.stage = stage
        for parameter in self.backbone():
            parameter.requires_grad_(not self.frozen)
        self.train(self.training)

    @property
    def frozen(self) -> bool:
        """Whether the backbone stays as stage 0 left it."""
        return self.params.freeze and self.stage > 0

    def train(self, mode: bool = True) -> Self:
        """As of every module; frozen encoders also in training give what they give in prediction."""
        super().train(mode)
        if self.frozen:
            self.encoders.eval()
        return self

    def attention(self, levels: int) -> nn.ModuleList:
        """Layers of self-attention over tokens [batch, token, width].

        Args:
            levels: how many.
        """
        heads = next(number for number in (4, 2, 1) if self.width % number == 0)
        return nn.ModuleList(
            nn.TransformerEncoderLayer(
                self.width, heads, 2 * self.width, dropout=0.1, batch_first=True, norm_first=True
            )
            for _ in range(levels)
        )

    def patterns(self, seen: Tensor) -> Tensor:
        """A number for each set of modalities that are seen, [batch], int64.

        Args:
            seen: [batch, modality], bool.
        """
        return (seen.long() << torch.arange(len(self.names), device=seen.device)).sum(dim=1)

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """Predicts, in stage 1 with prompts."""
        encoded = torch.stack([embeddings[name] for name in self.names], dim=1)
        return self.answer(encoded, known_modalities(batch, self.names))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss: of all that there is in stage 0, under random missing patterns in stage 1."""
        known = known_modalities(batch, self.names)
        hides = self.training and self.stage > 0
        seen = draw_pattern(known, self.params.pattern_probability) if hides else known
        encoded = torch.stack(list(self.encode_all(batch).values()), dim=1)
        return {"task": task_loss(self.answer(encoded, seen).prediction, batch.target, self.spec)}
