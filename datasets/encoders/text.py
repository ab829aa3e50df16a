"""Text through a transformer of the transformers library: BERT, RoBERTa, their Chinese kin, XLM-R, BGE-M3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ..libraries import import_guard
from ..media.clip import Medium, TextView
from ..tokens import Tokens
from .encoder import Encoded, EncoderError, EncoderSpec, Media
from .network import Network, NetworkOptions
from .sound import pool_steps, valid
from .spec import fill
from .transformer import load
from .weights import read


class Text:
    """Hidden states of a text transformer: one step for every token, or one for the text.

    The model is a folder (``config.json``, weights, the tokenizer's files) or a repository of the hub, such as
    bert-base-uncased, bert-base-chinese, FacebookAI/xlm-roberta-base or BAAI/bge-m3. Special tokens are kept.
    """

    @dataclass(frozen=True)
    class Options(NetworkOptions):
        """Options, and those of ``NetworkOptions``.

        Attributes:
            pool: none: every token's last hidden state; mean: their mean; cls: the first token's, as BGE-M3 is
                meant; pooler: the pooled output that BERT and RoBERTa have for the first token.
            max_length: longer texts are cut to so many tokens, special ones included.
            lower: read in lower case.
        """

        pool: Literal["none", "mean", "cls", "pooler"] = "none"
        max_length: int = 128
        lower: bool = False

    medium: Medium = "text"

    def __init__(self, spec: EncoderSpec, device: torch.device) -> None:
        self.spec = spec
        self.options = fill(self.Options, spec)
        self.view = TextView(lower=self.options.lower)
        may_lack = () if self.options.pool == "pooler" else ("pooler.",)
        loaded = load(spec, self.options, may_lack=may_lack)
        with import_guard("transformers", "encoder text"):
            from transformers import AutoTokenizer

        with read("text", f"the tokenizer in {loaded.folder}"):
            self.tokenizer = AutoTokenizer.from_pretrained(
                loaded.folder, trust_remote_code=False, local_files_only=True
            )
        self.tokenizer.padding_side = self.tokenizer.truncation_side = "right"
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token or self.tokenizer.unk_token
        config = loaded.module.config
        self.width = int(config.hidden_size)
        room = positions_of(config)
        if self.options.max_length < 2 or (room and self.options.max_length > room):
            raise EncoderError(
                f"encoder text: option max_length={self.options.max_length}: should be 2 to {room or 'any'} for this model"
            )
        if self.options.pool == "pooler" and getattr(loaded.module, "pooler", None) is None:
            raise EncoderError(f"encoder text: option pool=pooler: {config.model_type} has no pooled output")
        self.longest = self.options.max_length
        self.settings = loaded.settings
        self.network = Network(loaded.module, device, self.options.precision, loaded.weights)

    def identity(self) -> Mapping[str, str]:
        """What decides the features; ``settings`` is the SHA-256 of the configuration and the tokenizer."""
        own = self.network.identity(self.spec, 1, asdict(self.options))
        return {**own, "settings": self.settings}

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """The number of tokens of each text, special ones included, before it is cut to ``longest``."""
        if not texts:
            return []
        tokens = self.tokenizer(list(texts), truncation=False, padding=False, verbose=False)
        return [len(ids) for ids in tokens["input_ids"]]

    @torch.inference_mode()
    def encode(self, media: Media) -> Encoded:
        """Hidden states [batch, tokens, feature], or [batch, 1, feature] where they are pooled."""
        return self.features(media)

    def features(self, media: Media) -> Encoded:
        """As ``encode``, with gradients where they are enabled and weights take them."""
        if media.tokens is not None:
            return self._of_tokens(media.tokens)
        if not media.texts:
            return pool_steps([], torch.zeros(0, device=self.network.device), False, self.width)
        tokens = self.tokenizer(
            list(media.texts),
            padding=True,
            truncation=True,
            max_length=self.options.max_length,
            return_tensors="pt",
        )
        mask = tokens["attention_mask"]
        order = mask.sum(dim=1).argsort(descending=True, stable=True)  # like lengths go through together
        ids, mask = tokens["input_ids"][order].to(self.network.device), mask[order].to(self.network.device)

        def forward(start: int, stop: int) -> Tensor:
            part = mask[start:stop]
            longest = max(int(part.sum(dim=1).max()), 1)
            output = self.network.module(
                input_ids=ids[start:stop, :longest], attention_mask=part[:, :longest]
            )
            hidden = self._pooled(output, part[:, :longest])
            if self.options.pool != "none":
                return hidden
            return torch.nn.functional.pad(hidden, (0, 0, 0, ids.shape[1] - longest))

        hidden = self.network.run(forward, len(ids), ids.shape[1])
        length = mask.sum(dim=1) if self.options.pool == "none" else mask.sum(dim=1).clamp(max=1)
        back = order.argsort().to(self.network.device)
        return valid(torch.cat(hidden)[back], length[back])

    def _of_tokens(self, tokens: Tokens) -> Encoded:
        """Features of texts whose ids are given, of which each has a token that is read; those that are not read may stand
        anywhere. Of hidden states those of the tokens that are read follow one another."""
        device = self.network.device
        places = tokens.mask.any(dim=0).nonzero()
        longest = int(places.max()) + 1 if len(places) else 1
        ids, mask, segment = (part[:, :longest].to(device) for part in tokens)
        ids = ids.where(mask, self.tokenizer.pad_token_id or 0)  # by this RoBERTa counts positions
        more = {"token_type_ids": segment} if segments_of(self.network.module.config) > 1 else {}

        def forward(start: int, stop: int) -> Tensor:
            part = mask[start:stop]
            output = self.network.module(
                input_ids=ids[start:stop],
                attention_mask=part.long(),
                **{name: values[start:stop] for name, values in more.items()},
            )
            hidden = self._pooled(output, part)
            if self.options.pool != "none":
                return hidden
            order = (~part).to(torch.uint8).argsort(dim=1, stable=True)
            return hidden.gather(1, order[..., None].expand_as(hidden))

        hidden = self.network.run(forward, len(ids), longest)
        length = mask.sum(dim=1) if self.options.pool == "none" else mask.sum(dim=1).clamp(max=1)
        found = torch.cat(hidden)
        return valid(found[:, : max(int(length.max()), 1)], length)

    def _pooled(self, output: Any, mask: Tensor) -> Tensor:
        """The output of the network [batch, tokens, feature], or [batch, 1, feature] where it is pooled.

        Args:
            output: of the network.
            mask: [batch, tokens], the tokens that are read; the first of them is the one that ``cls`` takes.
        """
        if self.options.pool == "pooler":
            return output.pooler_output[:, None]
        hidden = output.last_hidden_state.float()
        if self.options.pool == "cls":
            return hidden[:, :1]
        if self.options.pool == "mean":
            share = mask[..., None].float()
            return (hidden * share).sum(dim=1, keepdim=True) / share.sum(dim=1, keepdim=True).clamp(min=1)
        return hidden


def positions_of(config: Any) -> int | None:
    """The most tokens that a model reads; None where it has no such bound.

    Args:
        config: of the model.
    """
    most = getattr(config, "max_position_embeddings", None)
    # RoBERTa counts positions from the padding token's number on
    return most - (config.pad_token_id + 1 if "roberta" in config.model_type else 0) if most else None


def segments_of(config: Any) -> int:
    """The number of segments that a model tells apart; 1 or less of one that has none.

    Args:
        config: of the model.
    """
    return int(getattr(config, "type_vocab_size", 0) or 0)
