"""Flex-MoE: missing modalities come from a bank, and each pattern has an expert of its own (Yun et al., NeurIPS 2024).

A bank has tokens for every modality that is missing beside every set of modalities that is there. One transformer layer
whose feed-forward half is a sparse mixture of experts reads all tokens. Complete samples train all experts; the gate is
taught to send incomplete ones to the expert of their pattern.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.batch import Batch, Spec
from ..losses import masked_mean, task_loss
from ..method import Output, fixed, searched
from ..shared.attention import attend
from ..shared.dropout import dropout
from ..shared.ebmc_parts import draw_pattern
from ..shared.embedded import EmbedsByEncoders
from ..shared.experts import Routed, SparseExperts, squared_variation
from ..shared.networks import (
    SharedNetworkParams,
    Stacked,
    as_prediction,
    embedding_width,
    encoders,
    known_modalities,
    outputs,
)


@dataclass(frozen=True)
class FlexMoEParams(SharedNetworkParams):
    """Sizes, the gate, and the ablations.

    Under the protocol ``as-published`` fields are as in ``FlexMoE.as_published``.
    """

    patches: int = fixed(
        4, least=1, source="ours: parts that an embedding is cut into, each a token; release: 16"
    )
    experts: int = fixed(8, least=1, source="ours; release: 16")
    top: int = fixed(2, least=1, most="experts", source="ours: experts of a token; release: 4")
    heads: int = fixed(4, least=1, divides="width", source="release")
    dropout: float = fixed(0.1, least=0, below=1, source="ours; release: 0.5")
    weight_gate: float = searched(0.01, low=0.0, high=0.1, digits=3, source="release; range: ours")
    bank: bool = fixed(True, source="ablation: false puts zeros in the place of missing tokens")
    specialised: bool = fixed(
        True, source="published: incomplete samples go to the expert of their pattern; ablation"
    )
    residual: bool = fixed(
        True,
        source="ours: what attention says is added to its input; release: to its own dropout, the input is lost",
    )
    pattern_probability: float = fixed(
        0.7,
        least=0,
        most=1,
        source="ours: the share of samples that may lose modalities; release: data that lack some",
    )


class FlexMoE(EmbedsByEncoders):
    """Tokens of what is there and of a bank pass a layer of attention and experts; the head reads their means.

    x are the tokens of all modalities, with places: x' = x + drop(attention(LN x)), and of each x'' = x' + drop(E(LN x')),
    E the sum of the ``top`` experts of a token by their gates, with noise in training. With w the weight of the gate, the
    loss is the task's + w (CV^2 of all experts' importance and load by complete samples, and of all experts' but the
    first by the others + CE(gate's logits, number of the pattern) over the tokens of these).

    Expert 0 has no pattern; with more patterns than experts several share one. One modality has the bank's tokens
    where it is missing.
    """

    Params = FlexMoEParams
    version = 1
    needs_modalities = 2
    train_missing = "random patterns at rate 0.7, anew for each sample"
    as_published: ClassVar[Mapping[str, Any]] = {
        "width": 128, "patches": 16, "experts": 16, "top": 4, "dropout": 0.5, "residual": False,
    }  # fmt: skip
    rules_as_published: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sentiment": {"epochs": 50, "batch_size": 8},
    }
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "encoders of mmbench, whose embedding is cut into parts as the release cuts features; tokens as wide as the "
            "embedding; any number of modalities, and an expert for several patterns where there are more of these; a "
            "pattern of no modality has tokens too; modalities are hidden at random in every pass, where the release has data that "
            "lack some; batches are not sorted by the number of modalities in the first five epochs, and may mix patterns; a "
            "linear head. On planted data the gate's losses send tokens to the expert of their pattern, and many experts are "
            "better than one (errors of 0.17 without what can be rebuilt, 0.23 with one, 0.21 of `erm` on missing patterns); as "
            "good are a gate that is not told patterns and zeros in the place of the bank (0.17 and 0.18): docs/methods.md has the "
            "figures"
        ),
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "without bank": {"bank": False},
        "experts not specialised": {"specialised": False},
        "one expert": {"experts": 1, "top": 1},
        "input of attention lost": {"residual": False},
        "without gate's losses": {"weight_gate": 0.0},
    }
    params: FlexMoEParams
    order: Tensor  # [2^modalities], int64: the number of a pattern by its code

    def __init__(self, params: FlexMoEParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.names = tuple(spec.modalities)
        count = len(self.names)
        width = self.width = embedding_width(spec, params.width)
        if width % params.heads:
            raise ValueError(f"width is {width}: it should be a multiple of heads, {params.heads}")
        self.encoders = encoders(spec, width, params.layers, params.released_encoder)
        self.part = -(-width // params.patches)
        self.cut = Stacked(count, lambda: nn.Linear(self.part, width))
        self.bank = nn.Parameter(0.02 * torch.randn(2**count, count, params.patches, width))
        self.places = nn.Parameter(torch.zeros(count * params.patches, width))
        self.register_buffer("order", _order(count))
        self.norm, self.last_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ask, self.answer = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)
        self.experts = SparseExperts(width, 2 * width, params.experts, params.top, "softmax", "sum", 0.0)
        self.head = nn.Linear(count * width, outputs(spec))

    # --- the forward path -------------------------------------------------------------------------------

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """Fills what is missing from the bank, and predicts."""
        encoded = torch.stack([embeddings[name] for name in self.names], dim=1)
        seen = known_modalities(batch, self.names)
        fused, routed = self.read(self.tokens(encoded, seen))
        kept = encoded.where(seen.unsqueeze(-1), 0)
        own = routed.gates.mean(dim=1).gather(1, self.expert_of(seen).unsqueeze(1)).squeeze(1)
        return Output(
            as_prediction(self.head(fused), self.spec),
            embeddings=dict(zip(self.names, kept.unbind(1), strict=True)),
            fused=fused,
            diagnostics={"own_expert": own},
        )

    def tokens(self, encoded: Tensor, seen: Tensor) -> Tensor:
        """x without places, [batch, modality * patch, width].

        Args:
            encoded: embeddings, [batch, modality, width]; where not seen they are never read.
            seen: [batch, modality], bool.
        """
        there = seen[:, :, None, None]
        kept = F.pad(encoded.where(seen.unsqueeze(-1), 0), (0, self.params.patches * self.part - self.width))
        cut = self.cut(kept.unflatten(-1, (self.params.patches, self.part)))
        filled = self.bank[self.code(seen)] if self.params.bank else torch.zeros_like(cut)
        return cut.where(there, filled.to(cut.dtype)).flatten(1, 2)

    def code(self, seen: Tensor) -> Tensor:
        """A number for each set of modalities, [batch], int64: bit m says whether modality m is there.

        Args:
            seen: [batch, modality], bool.
        """
        return (seen.long() << torch.arange(len(self.names), device=seen.device)).sum(dim=1)

    def expert_of(self, seen: Tensor) -> Tensor:
        """The expert of each sample's pattern, [batch], int64; 0 of complete samples.

        Args:
            seen: [batch, modality], bool.
        """
        number, experts = self.order[self.code(seen)], self.params.experts
        if experts == 1:
            return torch.zeros_like(number)
        return torch.where(number == 0, 0, 1 + (number - 1) % (experts - 1))

    def read(self, tokens: Tensor) -> tuple[Tensor, Routed]:
        """The mean token of each modality, [batch, modality * width], and how the tokens were routed.

        Args:
            tokens: [batch, modality * patch, width].
        """
        rate = self.params.dropout
        tokens = tokens + self.places
        normed = self.norm(tokens)
        said = self.answer(attend(None, self.ask(normed), None, self.params.heads, rate, self.training))
        said = dropout(said, rate, self.training)
        tokens = (tokens if self.params.residual else said) + dropout(said, rate, self.training)
        routed = self.experts(self.last_norm(tokens))
        tokens = tokens + dropout(routed.said, rate, self.training)
        return tokens.unflatten(1, (len(self.names), -1)).mean(dim=2).flatten(1), routed

    # --- the loss ---------------------------------------------------------------------------------------

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss, that of experts which are used unevenly, and that of tokens at the wrong expert."""
        seen = known_modalities(batch, self.names)
        if self.training:
            seen = draw_pattern(seen, self.params.pattern_probability)
        encoded = torch.stack(list(self.encode_all(batch).values()), dim=1)
        fused, routed = self.read(self.tokens(encoded, seen))
        terms = {"task": task_loss(as_prediction(self.head(fused), self.spec), batch.target, self.spec)}
        if self.params.experts > 1:
            weight, wanted = self.params.weight_gate, self.expert_of(seen)
            terms["balance"] = weight * self.uneven(routed, wanted)
            if self.params.specialised:
                terms["pattern"] = weight * self.misrouted(routed.logits, wanted)
        return terms

    def uneven(self, routed: Routed, wanted: Tensor) -> Tensor:
        """CV^2 of importance and load: of all experts by complete samples, of all but the first by the others; a scalar.

        Args:
            routed: the tokens.
            wanted: the expert of each sample's pattern, [batch].
        """
        complete = (wanted == 0).view(-1, 1, 1)
        if not self.params.specialised:
            return routed.balance
        found = []
        for use in (routed.gates, routed.chances):
            by_complete = use.where(complete, 0).sum(dim=(0, 1))
            by_others = use.where(~complete, 0).sum(dim=(0, 1))
            found += [squared_variation(by_complete), squared_variation(by_others[1:])]
        return torch.stack(found).sum()

    def misrouted(self, logits: Tensor, wanted: Tensor) -> Tensor:
        """The cross-entropy of the gate by the expert of a sample's pattern, a mean over tokens of incomplete samples.

        Args:
            logits: [batch, token, expert].
            wanted: the expert of each sample's pattern, [batch].
        """
        goal = wanted.unsqueeze(1).expand(logits.shape[:2])
        errors = F.cross_entropy(logits.flatten(0, 1), goal.flatten(), reduction="none")
        return masked_mean(errors, goal.flatten() > 0)


def _order(count: int) -> Tensor:
    """The number of each pattern by its code, [2^modalities], int64: 0 if all are there, then those with one, two, .. and,
    last, the empty one."""
    order = torch.zeros(2**count, dtype=torch.int64)
    number = 1
    for size in [*range(1, count), 0]:
        for chosen in combinations(range(count), size):
            order[sum(1 << place for place in chosen)] = number
            number += 1
    return order
