"""ActionMAE: tokens of missing modalities are rebuilt by a masked autoencoder over modalities (Woo et al., AAAI 2023).

Random modalities are removed in training. A transformer reads the tokens that are left and memory tokens, a second one
fills the removed places and gives a token for every modality; these are fused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.batch import Batch, Spec
from ..losses import masked_mean, task_loss, weighed
from ..method import Output, fixed, searched
from ..shared.embedded import EmbedsByEncoders
from ..shared.networks import (
    SharedNetworkParams,
    Stacked,
    as_prediction,
    embedding_width,
    encoders,
    known_modalities,
    single_head,
)


@dataclass(frozen=True)
class ActionMAEParams(SharedNetworkParams):
    """Sizes of the autoencoder, and what it rebuilds.

    Under the protocol ``as-published`` fields are as in ``ActionMAE.as_published``.
    """

    memory: int = fixed(
        4, least=0, source="release: memory tokens, in the script for training; 1 in its parser"
    )
    levels: int = fixed(1, least=1, source="ours: layers of encoder and decoder; release: 2 each")
    weight: float = searched(1.0, low=0.0, high=2.0, digits=1, source="release; range and 0, ablation: ours")
    replace: bool = fixed(
        True, source="release: where something is missing, rebuilt tokens replace all; ablation: only its own"
    )
    detached: bool = fixed(
        True, source="ours: the goal learns nothing; release: it is pulled to what is rebuilt"
    )
    smoothing: float = fixed(
        0.0, least=0, below=1, source="ours, as of other methods; release: labels are smoothed by 0.1"
    )


class ActionMAE(EmbedsByEncoders):
    """Removed tokens are rebuilt from those that are left; what is rebuilt is fused.

    h_m being the embeddings, k ~ U{1..M} of them are left in training. With K memory tokens they pass a transformer; its
    answers, and one learned token in each place that was removed, pass a second one with positions, and a linear layer gives
    h^_m for every m. Minimised is the task's loss of a sum of linear maps of the tokens, and, with h standardised over
    its numbers, sum over removed m of mean (h^_m - h_m)^2 by their number.

    The head reads h^ of all modalities where one of a sample is missing, and h where none is.
    """

    Params = ActionMAEParams
    version = 1
    needs_modalities = 2
    train_missing = "a random number of modalities is kept, one number for a batch"
    as_published: ClassVar[Mapping[str, Any]] = {"levels": 2, "detached": False, "smoothing": 0.1}
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "encoders of mmbench and tokens as wide as their embeddings, not video backbones and 512; up to 4 heads and a "
            "feed-forward layer of twice the width, not 8 and of four times; what is left is chosen for each sample, and so "
            "is whether rebuilt tokens are read; mmbench's head on the sum; the optimiser's recipe (AdamW, 1e-4 for batches "
            "of 32, warm-up of 5 of 200 epochs, a tenth every 30 epochs) is not taken over. On planted "
            "data a token that is rebuilt is worth nothing (errors of 0.26 without what can be rebuilt, 0.24 if nothing is "
            "taught to be, 0.21 of `erm` on missing patterns; 0.16 where rebuilt tokens replace the missing ones "
            "alone): docs/methods.md has the figures"
        ),
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "nothing rebuilt": {"weight": 0.0},
        "without memory": {"memory": 0},
        "rebuilt where missing alone": {"replace": False},
        "goal not detached": {"detached": False},
    }
    params: ActionMAEParams

    def __init__(self, params: ActionMAEParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.names = tuple(spec.modalities)
        count = len(self.names)
        width = self.width = embedding_width(spec, params.width)
        self.encoders = encoders(spec, width, params.layers, params.released_encoder)
        self.places = nn.Parameter(0.02 * torch.randn(count, width))
        self.memory = nn.Parameter(0.02 * torch.randn(params.memory, width))
        self.mask_token = nn.Parameter(0.02 * torch.randn(width))
        self.reader, self.rebuilder = _transformer(width, params.levels), _transformer(width, params.levels)
        self.leave = nn.Linear(width, width)
        self.maps = Stacked(count, lambda: nn.Linear(width, width))
        self.head = single_head(spec, width, width)

    # --- the forward path -------------------------------------------------------------------------------

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """Rebuilds what is missing, and predicts."""
        encoded = torch.stack([embeddings[name] for name in self.names], dim=1)
        seen = known_modalities(batch, self.names)
        fused = self.fused(encoded, self.rebuild(encoded, seen), seen)
        kept = encoded.where(seen.unsqueeze(-1), 0)
        return Output(
            as_prediction(self.head(fused), self.spec),
            embeddings=dict(zip(self.names, kept.unbind(1), strict=True)),
            fused=fused,
        )

    def rebuild(self, encoded: Tensor, seen: Tensor) -> Tensor:
        """h^, [batch, modality, width].

        Args:
            encoded: h, alike; where not seen it is never read.
            seen: [batch, modality], bool.
        """
        there = seen.unsqueeze(-1)
        memory = self.memory.expand(len(seen), -1, -1)
        tokens = torch.cat([memory, encoded.where(there, 0)], dim=1)
        # a sample with nothing to read reads its first token, which is 0 without memory
        unread = torch.cat([seen.new_zeros(memory.shape[:2]), ~seen], dim=1)
        unread[:, 0] &= seen.any(dim=1)
        read = self.reader(tokens, src_key_padding_mask=unread)
        filled = read[:, self.params.memory :].where(there, self.mask_token) + self.places
        given = self.rebuilder(torch.cat([read[:, : self.params.memory], filled], dim=1))
        return self.leave(given[:, self.params.memory :])

    def fused(self, encoded: Tensor, rebuilt: Tensor, seen: Tensor) -> Tensor:
        """The sum over modalities of a linear map of each one's token, [batch, width].

        Args:
            encoded: h, [batch, modality, width]; where not seen it is never read.
            rebuilt: h^, alike.
            seen: [batch, modality], bool.
        """
        real = seen.all(dim=1, keepdim=True).expand_as(seen) if self.params.replace else seen
        return self.maps(encoded.where(real.unsqueeze(-1), rebuilt)).sum(dim=1)

    # --- the loss ---------------------------------------------------------------------------------------

    def keep(self, known: Tensor) -> Tensor:
        """What is left of what is known, [batch, modality], bool: as many of each sample, but not more than it has.

        Args:
            known: [batch, modality], bool.
        """
        number = int(torch.randint(1, len(self.names) + 1, ()))
        order = torch.rand(known.shape, device=known.device).masked_fill(~known, 2.0)
        return known & (order.argsort(dim=1).argsort(dim=1) < number)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss, and what the rebuilt tokens miss."""
        known = known_modalities(batch, self.names)
        seen = self.keep(known) if self.training else known
        encoded = torch.stack(list(self.encode_all(batch).values()), dim=1)
        rebuilt = self.rebuild(encoded, seen)
        said = as_prediction(self.head(self.fused(encoded, rebuilt, seen)), self.spec)
        goal = encoded.detach() if self.params.detached else encoded
        miss = (rebuilt - standardised(goal)).square().mean(dim=-1)
        return {
            "task": self.task(said, batch.target),
            "rebuilt": self.params.weight * masked_mean(miss, known & ~seen),
        }

    def task(self, said: Tensor, target: Tensor) -> Tensor:
        """The task's loss, with smoothed labels where there are classes, a scalar.

        Args:
            said: the prediction.
            target: [batch].
        """
        if self.spec.kind == "regression" or not self.params.smoothing:
            return task_loss(said, target, self.spec)
        smooth = F.cross_entropy(said, target, reduction="none", label_smoothing=self.params.smoothing)
        return weighed(smooth, target, self.spec).mean()


def standardised(values: Tensor) -> Tensor:
    """Mean 0 and variance 1 over the last dimension; a constant becomes 0."""
    centred = values - values.mean(dim=-1, keepdim=True)
    return centred / (centred.square().mean(dim=-1, keepdim=True) + 1e-6).sqrt()


def _transformer(width: int, levels: int) -> nn.TransformerEncoder:
    heads = next(number for number in (4, 2, 1) if width % number == 0)
    level = nn.TransformerEncoderLayer(width, heads, 2 * width, dropout=0.1, batch_first=True)
    return nn.TransformerEncoder(level, levels, nn.LayerNorm(width), enable_nested_tensor=False)
