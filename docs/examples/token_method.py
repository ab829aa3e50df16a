"""A small BERT that is trained from token ids, beside the shared encoders of the other modalities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods.erm import ERM
from mmbench.methods.method import ParameterGroup, fixed, searched
from mmbench.methods.shared.networks import SharedNetworkParams
from torch import Tensor, nn
from transformers import BertConfig, BertModel

METHODS = {"token_bert": "TokenBert"}


@dataclass(frozen=True)
class TokenBertParams(SharedNetworkParams):
    """The size of the BERT, and how fast it learns."""

    hidden: int = fixed(32, source="our choice: small enough for a CPU")
    blocks: int = fixed(2, source="our choice")
    positions: int = fixed(64, source="our choice; later tokens are not read")
    text_rate: float = searched(
        1.0, low=0.1, high=2.0, digits=1, source="our choice; a pretrained one needs less"
    )


class TokenBert(ERM):
    """ERM whose text is read by a BERT from its token ids, and not by an encoder of features.

    Its weights are random at first: ids of another vocabulary than the BERT's mean nothing to a pretrained one, for which
    ``AutoModel.from_pretrained`` would stand here (``model_params`` names its folder).
    """

    Params = TokenBertParams
    version = 1
    reads_tokens = True
    libraries = ("transformers",)
    params: TokenBertParams

    def __init__(self, params: TokenBertParams, spec: Spec) -> None:
        super().__init__(params, spec)
        config = BertConfig(
            vocab_size=max(spec.tokens.values()) + 1,  # the last one stands for what no training sample has
            hidden_size=params.hidden,
            num_hidden_layers=params.blocks,
            num_attention_heads=2,
            intermediate_size=2 * params.hidden,
            max_position_embeddings=params.positions,
        )
        self.unknown = config.vocab_size - 1
        self.bert: Any = BertModel(config, add_pooling_layer=False)
        self.project = nn.Linear(params.hidden, self.width)

    def encode(self, modality: str, batch: Batch) -> Tensor:
        """The embedding [batch, width] of one modality; that of a text without tokens is 0."""
        if modality not in self.spec.tokens:
            return super().encode(modality, batch)
        tokens = batch.token_ids(modality)
        ids, mask, segment = (part[:, : self.params.positions] for part in tokens)
        there = mask.any(dim=1)
        embedding = torch.zeros(len(batch), self.width, device=ids.device)
        if bool(there.any()):
            read = self.bert(
                input_ids=ids.clamp(max=self.unknown)[there],
                attention_mask=mask[there].long(),
                token_type_ids=segment[there],
            )
            valid = mask[there].unsqueeze(-1)
            hidden = cast(Tensor, read.last_hidden_state).where(valid, 0).sum(1) / valid.sum(1)
            embedding[there] = self.project(hidden)
        return embedding

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """The BERT at a rate of its own."""
        return (ParameterGroup(tuple(self.bert.parameters()), rate=self.params.text_rate),)
