"""MMIN: embeddings of missing modalities are imagined by a cascade of residual autoencoders (Zhao et al., ACL 2021).

A network that was trained on complete samples says what the embeddings of the missing modalities would have been. A
cascade learns to give them from the embeddings of the others, a second one to lead back from them, and the classifier
reads the bottlenecks of the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.batch import Batch, Spec
from ..losses import task_loss
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
class MMINParams(SharedNetworkParams):
    """Sizes of the cascades, and the weights of the terms."""

    blocks: int = fixed(2, least=1, source="release: 5 or 2 autoencoders in a cascade")
    autoencoder: int = fixed(
        128,
        least=1,
        source="release: 256 or 128, the widest layer; the two others have a half and a quarter of it",
    )
    weight_imagination: float = searched(4.0, low=1.0, high=8.0, digits=1, source="release; range: ours")
    weight_cycle: float = searched(2.0, low=0.5, high=4.0, digits=1, source="release; range: ours")
    pattern_probability: float = fixed(
        0.7,
        least=0,
        most=1,
        source="ours: the share of samples of stage 1 that may lose modalities; release: a model a rate",
    )
    first_stage: float = fixed(
        0.4,
        least=0,
        most=1,
        source="ours: share of the epochs on complete samples; release: a training of its own",
    )


class Cascade(nn.Module):
    """Residual autoencoders, one behind the other: in_k = in_(k-1) + out_(k-1), in_0 = z and out_0 = 0.

    An encoder has three linear layers (a, a / 2 and a / 4 wide) with leaky ReLU between them, a decoder the same backwards
    with ReLU. What the cascade gives is T(in_K + out_K), T two linear layers with a ReLU between them.
    """

    def __init__(self, features: int, widest: int, blocks: int) -> None:
        """Builds the layers.

        Args:
            features: the width of z.
            widest: a.
            blocks: K.
        """
        super().__init__()
        sizes = (features, widest, widest // 2, widest // 4)
        self.latent = sizes[-1]
        self.encoders = nn.ModuleList(_layers(sizes, nn.LeakyReLU) for _ in range(blocks))
        self.decoders = nn.ModuleList(_layers(sizes[::-1], nn.ReLU) for _ in range(blocks))
        self.leave = nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, features))

    def forward(self, start: Tensor) -> tuple[Tensor, Tensor]:
        """Applies the blocks.

        Args:
            start: z, [batch, features].

        Returns:
            What is given, [batch, features]; and the bottlenecks of all blocks, [batch, blocks * latent].
        """
        given, latents = start, []
        for encode, decode in zip(self.encoders, self.decoders, strict=True):
            latents.append(encode(given))
            given = given + decode(latents[-1])
        return self.leave(given), torch.cat(latents, dim=-1)


def _layers(sizes: Sequence[int], between: type[nn.Module]) -> nn.Sequential:
    """Linear layers from size to size, with an activation between them and none after the last."""
    parts: list[nn.Module] = []
    for before, after in pairwise(sizes):
        parts += [nn.Linear(before, after), between()]
    return nn.Sequential(*parts[:-1])


class MMIN(EmbedsByEncoders):
    """What is missing is imagined as a network for complete samples would encode it.

    Stage 0 trains encoders and a head on complete samples. Stage 1 freezes a copy of the encoders, hides modalities, and
    minimises

        task + 4 MSE(z^, z*) + 2 MSE(z~, z),

    z being the concatenated embeddings of what is seen, 0 elsewhere; z^ what the first cascade makes of it; z~ what the
    second makes of z^; and z* the frozen encoders' embeddings of what is hidden, 0 elsewhere. z is no goal that learns.
    The head reads the bottlenecks of the first cascade. With one modality the method stays in stage 0.
    """

    Params = MMINParams
    version = 1
    needs_modalities = 2
    uses_clean = True
    train_missing = "random patterns at rate 0.7, anew for each sample, or the protocol's"
    stages = (0.4, 0.6)
    as_published: ClassVar[Mapping[str, Any]] = {"blocks": 5, "autoencoder": 256}
    rules_as_published: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sentiment": {
            "epochs": 100, "batch_size": 256, "learning_rate": 0.001, "clip_norm": 5.0,
        }
    }  # fmt: skip
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "encoders of mmbench, not MLPs of 128 on utterance vectors; an absent modality is a zero embedding, not the "
            "encoder's answer to zeros, in the input and in the goal; the teacher is the first stage of the same training, "
            "of which the encoders alone are kept; one network for all patterns, not one for each missing rate; "
            "mmbench's fusion head on the bottlenecks; the rate does not fall linearly after the first 20 epochs, Adam's "
            "first beta is 0.9, not 0.5, one norm is clipped, not one for each part, and initial weights are PyTorch's. On "
            "planted data the cascade that is not told what to imagine is as good, and so is `erm` on the same missing "
            "patterns (errors of 0.21, 0.20 and 0.21 without what can be rebuilt): docs/methods.md has the figures"
        ),
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "without imagination": {"weight_imagination": 0.0},
        "without the way back": {"weight_cycle": 0.0},
        "cascade alone": {"weight_imagination": 0.0, "weight_cycle": 0.0},
        "one block": {"blocks": 1},
    }
    params: MMINParams

    def __init__(self, params: MMINParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.names = tuple(spec.modalities)
        width = self.width = embedding_width(spec, params.width)
        self.stages = (params.first_stage, 1 - params.first_stage)
        self.stage = 1
        self.several = len(self.names) > 1
        self.encoders = encoders(spec, width, params.layers, params.released_encoder)
        self.first_head = fusion_head(spec, width)
        if not self.several:
            return
        features = len(self.names) * width
        self.teacher = encoders(spec, width, params.layers, params.released_encoder).requires_grad_(False)
        self.imagine = Cascade(features, params.autoencoder, params.blocks)
        self.lead_back = Cascade(features, params.autoencoder, params.blocks)
        self.head = FusionHead(self.imagine.latent * params.blocks, width, outputs(spec))

    def begin_stage(self, stage: int) -> None:
        """Stage 1 begins with a frozen copy of the encoders, which says what is to be imagined."""
        self.stage = stage
        if stage and self.several:
            self.teacher.load_state_dict(self.encoders.state_dict())
            self.teacher.eval()  # the trainer begins a stage behind ``train``

    def train(self, mode: bool = True) -> MMIN:
        """As of every module; the frozen encoders have no dropout in training either."""
        super().train(mode)
        if self.several:
            self.teacher.eval()
        return self

    # --- the forward path -------------------------------------------------------------------------------

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """Predicts from the bottlenecks of the imagination; in stage 0 from the embeddings themselves."""
        encoded = torch.stack([embeddings[name] for name in self.names], dim=1)
        kept = encoded.where(known_modalities(batch, self.names).unsqueeze(-1), 0)
        fused, head = kept.flatten(1), self.first_head
        if self.stage and self.several:
            fused, head = self.imagine(fused)[1], self.head
        return Output(
            as_prediction(head(fused), self.spec),
            embeddings=dict(zip(self.names, kept.unbind(1), strict=True)),
            fused=fused,
        )

    # --- the loss ---------------------------------------------------------------------------------------

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss; in stage 1 with what the cascades miss.

        Where the protocol hides modalities, stage 0 reads the samples before that, and stage 1 what is left of them.
        """
        complete = batch if batch.clean is None else batch.clean
        if not (self.stage and self.several):
            return {"task": task_loss(self(complete).prediction, batch.target, self.spec)}
        seen = known_modalities(batch, self.names)
        if self.training and batch.clean is None:
            seen = draw_pattern(seen, self.params.pattern_probability)
        encoded = torch.stack(list(self.encode_all(batch).values()), dim=1)
        start = encoded.where(seen.unsqueeze(-1), 0).flatten(1)
        imagined, latents = self.imagine(start)
        back, _ = self.lead_back(imagined)
        prediction = as_prediction(self.head(latents), self.spec)
        goal = self.goal(complete, seen)
        return {
            "task": task_loss(prediction, batch.target, self.spec),
            "imagination": self.params.weight_imagination * F.mse_loss(imagined, goal),
            "cycle": self.params.weight_cycle * F.mse_loss(back, start.detach()),
        }

    @torch.no_grad()
    def goal(self, complete: Batch, seen: Tensor) -> Tensor:
        """z*, [batch, modality * width]: the frozen encoders' embeddings of what there is and is not seen, 0 elsewhere.

        Args:
            complete: the samples with all that they have.
            seen: [batch, modality], bool.
        """
        hidden = known_modalities(complete, self.names) & ~seen
        encoded = torch.stack(list(self.teacher.together(complete, self.names).values()), dim=1)
        return encoded.where(hidden.unsqueeze(-1), 0).flatten(1)
