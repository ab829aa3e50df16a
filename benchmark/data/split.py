"""The tensors of one split, and how samples are made into them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from ...datasets.batch import Batch, Conversations
from ...datasets.dataset import Samples
from ...datasets.token_arrays import concatenate_tokens
from ...methods.method import Method
from .compatibility import Blocks
from .conversations import conversations_of
from .join import join_samples
from .standardization import Statistics, standardize


@dataclass(frozen=True)
class Split:
    """A split as tensors, with the names of its samples and domains.

    Attributes:
        batch: all samples; [samples, ...].
        sample_id, domain: [samples], str.
        previous: [samples], int64, the row of the previous utterance of the same video, or -1.
        target: [samples], the labels as they are stored; [samples, classes] where a sample has several.
        scale: [samples], the factor from stored labels to those of ``batch``; 1 for classification.
        conversation: which samples are utterances of one conversation; None where the data do not say.
        tokens: modality -> [samples, 3, positions], as in ``Batch``, of which only a method that asks for them has them.
    """

    batch: Batch
    sample_id: np.ndarray
    domain: np.ndarray
    previous: torch.Tensor
    target: np.ndarray
    scale: np.ndarray
    conversation: Conversations | None = None
    tokens: Mapping[str, torch.Tensor] = field(default_factory=dict)

    def as_read_by(self, method: type[Method]) -> Split:
        """The same split, with the token ids, the context or in the whole conversations that a method asks for."""
        split = self.with_tokens() if method.reads_tokens else self
        split = split.with_context() if method.uses_context else split
        return split.with_conversations() if method.uses_conversation else split

    def with_tokens(self) -> Split:
        """The same split, with the token ids of its texts."""
        return replace(self, batch=replace(self.batch, tokens=self.tokens))

    def with_conversations(self) -> Split:
        """The same split in whole conversations: the utterances of each follow one another in their order, and the batch
        says which they are. Where the data do not say, every sample is a conversation of its own."""
        device = self.batch.target.device
        own = torch.arange(len(self.batch), device=device)
        said = self.conversation or Conversations(own, own, torch.zeros_like(own))
        split = replace(self, batch=replace(self.batch, conversation=said), conversation=said)
        return split._in_order(said.rows[said.mask])

    def _in_order(self, order: torch.Tensor) -> Split:
        """All samples in another order, int64 [samples]."""
        place = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
        previous = torch.where(self.previous < 0, -1, place[self.previous.clamp(min=0)])
        rows = order.cpu().numpy()
        return Split(
            batch=self.batch.take(order),
            sample_id=self.sample_id[rows],
            domain=self.domain[rows],
            previous=previous[order],
            target=self.target[rows],
            scale=self.scale[rows],
            conversation=None if self.conversation is None else self.conversation.take(order),
            tokens={name: stored[order] for name, stored in self.tokens.items()},
        )

    def with_context(self) -> Split:
        """The same split, with the previous utterance of every sample as context; it is marked missing where there is none."""
        context = replace(self.batch, conversation=None).take(self.previous.clamp(min=0))
        known = self.previous >= 0
        context = context.with_present({name: flags & known for name, flags in context.present.items()})
        return replace(self, batch=replace(self.batch, context=context))


@dataclass(frozen=True)
class TensorRecipe:
    """How samples become the tensors of a task.

    Attributes:
        blocks: modality -> which columns each dataset fills.
        statistics: what features are standardised with; None leaves them as they are.
        mask_padding: whether padded steps are masked. Under ``as-published`` they are not.
        device: where the tensors are to lie.
    """

    blocks: Mapping[str, Blocks]
    statistics: Statistics | None
    mask_padding: bool
    device: str

    def zeros(self, modality: str) -> torch.Tensor:
        """Where 0 in the unit of the data lies in the tensors of a modality, float32 [feature]."""
        places = set(self.blocks[modality].values())
        found = np.zeros(max(start + width for start, width in places), np.float32)
        if self.statistics is not None:
            for start, width in places:
                standardize(found[start : start + width], *self.statistics[modality][start])
        return torch.from_numpy(found)

    def split(
        self,
        parts: Sequence[tuple[str, Samples]],
        scales: Mapping[str, float],
        domain_index: Mapping[str, int],
    ) -> Split:
        """Joins the samples of several datasets, or of domains of datasets, one after the other.

        Args:
            parts: dataset (or its domain) and samples; each has its place in ``blocks``.
            scales: dataset -> the factor of its labels.
            domain_index: source -> its index; others get -1.
        """
        batch = join_samples(parts, self.blocks, scales, domain_index, self.statistics)
        if not self.mask_padding:
            batch = replace(batch, mask={key: torch.ones_like(value) for key, value in batch.mask.items()})
        return Split(
            batch=batch.to(self.device),
            sample_id=np.concatenate([part.sample_id for _, part in parts]),
            domain=np.concatenate([_domains(name, part) for name, part in parts]),
            previous=_previous([part for _, part in parts]).to(self.device),
            target=np.concatenate([part.target for _, part in parts]),
            scale=np.concatenate([np.full(len(part), scales[name]) for name, part in parts]),
            conversation=conversations_of(parts, self.device),
            tokens={
                name: torch.from_numpy(stored).to(self.device)
                for name, stored in concatenate_tokens(
                    [part.tokens for _, part in parts], list(self.blocks)
                ).items()
            },
        )


def _domains(name: str, samples: Samples) -> np.ndarray:
    """The domain of every sample, str [samples]. In a dataset without domains it is the name of the dataset."""
    return np.where(samples.domain == "", name, samples.domain)


def _previous(parts: Sequence[Samples]) -> torch.Tensor:
    """The rows of the previous utterances in the joined split, int64 [samples], -1 where there is none."""
    starts = np.cumsum([0, *(len(part) for part in parts)])
    rows = [
        np.where(part.previous < 0, -1, part.previous + start)
        for part, start in zip(parts, starts, strict=False)
    ]
    return torch.from_numpy(np.concatenate(rows).astype(np.int64))
