"""A text model of one's own, read from raw words and not trained, and a head that is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from mmbench.datasets.batch import Batch, Spec
from mmbench.datasets.encoders.weights import state_digest
from mmbench.datasets.word_joins import text_of_words
from mmbench.methods.losses import task_loss
from mmbench.methods.method import Method, Output, fixed
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer

METHODS = {"frozen_text": "FrozenText"}


class FrozenText(Method):
    """The mean of a text model's last hidden states through a linear head."""

    @dataclass(frozen=True)
    class Params:
        """Which model, and how much it reads."""

        model: str = fixed("")
        longest: int = fixed(32)

    version = 1
    reads_media = True
    model_params = ("model",)
    libraries = ("transformers",)

    def __init__(self, params: Params, spec: Spec) -> None:
        super().__init__(params, spec)
        (self.modality,) = (name for name, medium in spec.media.items() if medium == "text")
        self.tokenizer = AutoTokenizer.from_pretrained(params.model, local_files_only=True)
        self.base = AutoModel.from_pretrained(params.model, local_files_only=True).requires_grad_(False)
        self.base.only_tensors_change = True  # a checkpoint leaves its configuration alone
        self.digest = state_digest(self.base)
        self.head = nn.Sequential(
            nn.LayerNorm(self.base.config.hidden_size), nn.Linear(self.base.config.hidden_size, spec.classes)
        )

    def kept(self) -> Collection[str]:
        """The head: a few kilobytes are stored, and not the model."""
        return [name for name in self.state_dict() if name.startswith("head.")]

    def bases(self) -> Mapping[str, str]:
        """The model, by the hash of its weights."""
        return {"model": self.digest}

    def train(self, mode: bool = True) -> FrozenText:
        """The model itself never drops out."""
        super().train(mode)
        self.base.eval()
        return self

    def forward(self, batch: Batch) -> Output:
        """The head of the mean over tokens; of nothing but zeros where there is no text."""
        there = batch.present[self.modality]
        features = torch.zeros(len(batch), self.base.config.hidden_size, device=batch.target.device)
        if bool(there.any()):
            features[there] = self._read(batch.features[self.modality], batch.mask[self.modality], there)
        logits = self.head(features)
        return Output(logits if self.spec.kind == "classification" else logits[:, 0], fused=features)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The loss of the task."""
        return {"task": task_loss(self(batch).prediction, batch.target, self.spec)}

    @torch.no_grad()
    def _read(self, words: Tensor, mask: Tensor, there: Tensor) -> Tensor:
        texts = [text_of_words(one) for one in (words * mask[..., None])[there].tolist()]
        read = self.tokenizer(
            texts, padding=True, truncation=True, max_length=self.params.longest, return_tensors="pt"
        )
        read = read.to(words.device)
        steps = read["attention_mask"][..., None].float()
        return (self.base(**read).last_hidden_state * steps).sum(1) / steps.sum(1)
