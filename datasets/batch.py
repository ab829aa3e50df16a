"""The batches that a method reads, and the specification of the task it is built for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, Protocol

import torch
from torch import Tensor

from .imputation_rules import Rule
from .stream import Stream
from .target import Kind
from .tokens import Tokens, follow_steps, read_tokens


@dataclass(frozen=True)
class Tuned:
    """An encoder of raw media, or of token ids, that is trained along, as a part of the method.

    Attributes:
        encoder: what ``mmbench data encode`` was given: ``"timm:vit_tiny_patch16_224"``.
        mode: ``last`` (its last block), ``full`` or ``lora`` (low-rank adapters).
        rank: of the adapters.
        checkpointing: compute activations again on the way back instead of keeping them.
        steps: the most that it says of a training sample, as tokens of a text, before it is trained; 0 or 1 of an encoder
            that makes one vector of a clip.
        width: of what it says, where it reads the token ids of a text (``Batch.tokens``) and no raw media; else 0.
    """

    encoder: str
    mode: Literal["last", "full", "lora"]
    rank: int = 8
    checkpointing: bool = False
    steps: int = 0
    width: int = 0

    @property
    def reads_tokens(self) -> bool:
        """Whether it reads the token ids of a text, beside which a batch holds features as they are."""
        return self.width > 0


class Imputer(Protocol):
    """What was fitted on training samples to fill entries of series that were not observed."""

    def complete(self, batch: Batch) -> Batch:
        """The samples with every entry of what it fills there, observed entries as they are; a batch without holes as it
        is. What a sample is filled with depends on that sample alone."""
        ...

    def draws(self, batch: Batch, modality: str) -> Tensor | None:
        """What may stand at the entries of a modality that were not observed; None for one that it does not fill.

        Args:
            batch: the samples.
            modality: its name.

        Returns:
            [draw, batch, time, feature], a single draw where there are no others. There may be more steps than in the batch.
        """
        ...

    def tensors(self) -> Mapping[str, Tensor]:
        """All that it has learned, by name."""
        ...


@dataclass(frozen=True)
class Spec:
    """The specification that a method is built for. It says nothing about files, the names of domains, or test data.

    Attributes:
        modalities: name -> number of features at each time step, in the dataset's order.
        kind: the task.
        classes: number of classes, or of labels; 1 for regression.
        domains: number of source domains that are trained on.
        label_range: lowest and highest label of a regression task, where the dataset states them.
        encoders: modality -> the encoder that its data ask for (``"cnn1d"``), where it is not ``"sequence"``.
        tuned: modality -> the encoder that is trained along; its batches hold the raw media themselves, or token ids
            beside features, and its number of features is that of the encoder.
        train_size: the number of training samples; 0 where it is not known.
        class_counts: training samples of each class, or that have each label; empty for regression.
        label_moments: mean and standard deviation (ddof = 0) of the training scores; None without scores.
        protocol: ``"as-published"`` lets a method use its own documented deviations.
        steps: modality -> time steps of the training data, padding included; empty where they are not known.
        media: modality -> what its raw media are, where a batch holds them for a method that reads media: ``frames``,
            ``flow``, ``waveform`` or ``text``. Its number of features is that of the encoder whose features they
            stand for.
        sound_rates: modality -> samples a second of its sound, where ``media`` says that a batch holds it.
        class_weights: the weight of each class in the loss, 0 for one that no training sample has; of several labels
            the weight of the presence of each, then that of its absence; empty where the protocol weighs none.
        partly_observed: the modalities whose training data say which entries were observed (``Batch.observed``), in
            order. A network decides by this alone whether it reads what was observed.
        tokens: modality -> one more than the largest token id of its training samples, where the data state token ids.
            In test data ids may be larger.
        imputation: the rule by which entries that were not observed are filled before a batch is handed to the method
            (``datasets.imputation_rules``).
        imputed: modality -> the value of each feature where the rule has no observed one, of the modalities that are filled.
        imputer: what was fitted on the training samples to fill entries, where the rule is one of those that are.
    """

    modalities: Mapping[str, int]
    kind: Kind
    classes: int = 1
    domains: int = 1
    label_range: tuple[float, float] | None = None
    protocol: Literal["fair", "as-published"] = "fair"
    encoders: Mapping[str, str] = field(default_factory=dict)
    tuned: Mapping[str, Tuned] = field(default_factory=dict)
    train_size: int = 0
    class_counts: tuple[int, ...] = ()
    label_moments: tuple[float, float] | None = None
    steps: Mapping[str, int] = field(default_factory=dict)
    media: Mapping[str, str] = field(default_factory=dict)
    class_weights: tuple[float, ...] = ()
    partly_observed: tuple[str, ...] = ()
    tokens: Mapping[str, int] = field(default_factory=dict)
    imputation: Rule = "off"
    imputed: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    imputer: Imputer | None = field(default=None, compare=False, repr=False)
    sound_rates: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Conversations:
    """The conversations whose utterances are the samples of a batch.

    Attributes:
        number: [batch], int64, the conversation of each utterance; any numbers.
        order: [batch], int64; it grows from one utterance of a conversation to the next, and no two are equal.
        speaker: [batch], int64, who speaks: 0 is whoever speaks first in the whole conversation, 1 the next, and so on.
    """

    number: Tensor
    order: Tensor
    speaker: Tensor

    @cached_property
    def rows(self) -> Tensor:
        """[conversations, longest], int64: the samples of each conversation in its order, 0 where ``mask`` is false."""
        by_order = self.order.argsort(stable=True)
        rows = by_order[self.number[by_order].argsort(stable=True)]
        found = torch.zeros(self.mask.shape, dtype=torch.int64, device=rows.device)
        found[self.mask] = rows
        return found

    @cached_property
    def mask(self) -> Tensor:
        """[conversations, longest], bool: where there is an utterance."""
        sizes = self.number.unique(return_counts=True)[1]
        longest = int(sizes.max()) if len(sizes) else 0
        return torch.arange(longest, device=sizes.device) < sizes[:, None]

    @cached_property
    def _places(self) -> Tensor:
        """[batch], int64: the place of each sample in ``rows``, read row by row."""
        return self.mask.flatten().nonzero().squeeze(1)[self.rows[self.mask].argsort()]

    def gather(self, values: Tensor) -> Tensor:
        """Values of the samples [batch, ...] as [conversations, longest, ...], 0 where there is no utterance."""
        found = values[self.rows]
        return found.where(self.mask.view(*self.mask.shape, *[1] * (values.ndim - 1)), 0)

    def scatter(self, values: Tensor) -> Tensor:
        """The opposite of ``gather``: [conversations, longest, ...] as [batch, ...]."""
        return values.flatten(0, 1)[self._places]

    def take(self, rows: Tensor | slice) -> Conversations:
        """Those of the samples at ``rows``; a conversation of which utterances are not among them is shorter."""
        return Conversations(self.number[rows], self.order[rows], self.speaker[rows])

    def to(self, device: torch.device | str) -> Conversations:
        """The same on ``device``."""
        return Conversations(self.number.to(device), self.order.to(device), self.speaker.to(device))


@dataclass(frozen=True)
class Batch:
    """Samples on one device. A whole split is one large batch; minibatches are taken from it.

    Attributes:
        features: modality -> [batch, time, feature], float. Of a modality whose encoder is trained along, or that a
            method reads itself, its raw media: frames [batch, time, channel, height, width], uint8; sound [batch, time, channel], float32;
            words [batch, time, letters], int32 Unicode code points.
        mask: modality -> [batch, time], bool, true at steps that hold data and not padding.
        present: modality -> [batch], bool, false where the sample lacks the modality.
            The features and the mask of an absent modality have no meaning and are never read.
        target: [batch]; float32 score (regression) or int64 class index (classification). [batch, classes] float32 of 0 and
            1 (multi-label).
        domain: [batch], int64 index of the source domain.
        sample_id: [batch], int64, the same for a sample wherever it appears (its name, hashed).
        context: the previous utterances of the same videos, where asked for and known; a sample
            without one has no modality present there. Damage reaches them with the draws of their own ids.
        index: [batch], int64, the row of each sample in the training split, below ``Spec.train_size``; in training
            alone, for a method that asks for it.
        clean: the same samples before the protocol damaged them; in training with damage alone, for a method that
            asks for it. None where nothing is damaged.
        observed: modality -> [batch, time, feature], bool, of modalities that are partly observed alone: which entries of
            the valid steps were measured. The features of all others are 0, the mean of standardised data, whatever
            is done to a batch; and a sample without any observed entry lacks the modality.
        time: modality -> [batch, time], float32, seconds, of modalities whose data state times alone: when each step was.
            They never run back within a sample; 0 at steps that are not valid.
        conversation: which samples are utterances of one conversation, where asked for: the batch then holds whole
            conversations. Each sample, its target and its prediction remain those of an utterance.
        unimodal_target: modality -> [batch], the label that the sample has by this modality alone, of the type and
            on the scale of ``target``; empty where the data state none, and in prediction.
        tokens: modality -> [batch, 3, positions], int32: token ids, attention mask and segments of a text, for a method that
            asks for them. What damage does to the text happens to them; ``token_ids`` gives what is to be read.
    """

    features: Mapping[str, Tensor]
    mask: Mapping[str, Tensor]
    present: Mapping[str, Tensor]
    target: Tensor
    domain: Tensor
    sample_id: Tensor
    context: Batch | None = None
    index: Tensor | None = None
    clean: Batch | None = None
    observed: Mapping[str, Tensor] = field(default_factory=dict)
    time: Mapping[str, Tensor] = field(default_factory=dict)
    conversation: Conversations | None = None
    unimodal_target: Mapping[str, Tensor] = field(default_factory=dict)
    tokens: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.target.shape[0])

    @property
    def modalities(self) -> tuple[str, ...]:
        """The names of the modalities, in order."""
        return tuple(self.features)

    def take(self, rows: Tensor | slice) -> Batch:
        """The samples at ``rows`` (int64 [n] or a slice), as a batch."""

        def pick(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {name: tensor[rows] for name, tensor in tensors.items()}

        return Batch(
            features=pick(self.features),
            mask=pick(self.mask),
            present=pick(self.present),
            target=self.target[rows],
            domain=self.domain[rows],
            sample_id=self.sample_id[rows],
            context=None if self.context is None else self.context.take(rows),
            index=None if self.index is None else self.index[rows],
            clean=None if self.clean is None else self.clean.take(rows),
            observed=pick(self.observed),
            time=pick(self.time),
            conversation=None if self.conversation is None else self.conversation.take(rows),
            unimodal_target=pick(self.unimodal_target),
            tokens=pick(self.tokens),
        )

    def to(self, device: torch.device | str) -> Batch:
        """The same samples on ``device``."""

        def move(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {name: tensor.to(device) for name, tensor in tensors.items()}

        return Batch(
            features=move(self.features),
            mask=move(self.mask),
            present=move(self.present),
            target=self.target.to(device),
            domain=self.domain.to(device),
            sample_id=self.sample_id.to(device),
            context=None if self.context is None else self.context.to(device),
            index=None if self.index is None else self.index.to(device),
            clean=None if self.clean is None else self.clean.to(device),
            observed=move(self.observed),
            time=move(self.time),
            conversation=None if self.conversation is None else self.conversation.to(device),
            unimodal_target=move(self.unimodal_target),
            tokens=move(self.tokens),
        )

    def with_present(self, present: Mapping[str, Tensor]) -> Batch:
        """The same samples with other present flags; modalities not named keep theirs.

        A modality that is taken away is gone from the context too.
        """
        context = self.context
        if context is not None:
            gone = {name: context.present[name] & flags for name, flags in present.items()}
            context = context.with_present(gone)
        return replace(self, present={**self.present, **present}, context=context)

    def observed_entries(self, modality: str) -> Tensor:
        """[batch, time, feature], bool: the entries of a modality that are data: those that were observed, at valid steps
        of samples that have the modality. Of a modality that is not partly observed these are all entries of such steps."""
        valid = (self.mask[modality] & self.present[modality].unsqueeze(-1)).unsqueeze(-1)
        observed = self.observed.get(modality)
        return valid.expand_as(self.features[modality]) if observed is None else valid & observed

    def with_observed(self, observed: Mapping[str, Tensor]) -> Batch:
        """The same samples with other observed entries; modalities not named keep theirs.

        What is not observed becomes 0, and a sample of which nothing is observed lacks the modality.

        Args:
            observed: modality -> [batch, time, feature], bool.
        """
        if not observed:
            return self
        features, present = dict(self.features), dict(self.present)
        for name, entries in observed.items():
            features[name] = self.features[name].where(entries, 0)
            there = self.mask[name].unsqueeze(-1) & entries
            present[name] = self.present[name] & there.flatten(1).any(dim=1)
        return replace(self, features=features, present=present, observed={**self.observed, **observed})

    def token_ids(self, modality: str) -> Tokens:
        """The token ids of a text as a model reads them: of samples that lack the modality, none is."""
        return read_tokens(self.tokens[modality], self.present[modality])

    def without_tokens(self, gone: Mapping[str, Tensor]) -> Batch:
        """The same samples without the tokens of some steps; those of modalities without token ids are none.

        Args:
            gone: modality -> [batch, time], bool, the steps of its features that are lost.

        Raises:
            ValueError: the tokens of such a modality are not those of the steps of its features.
        """
        if not self.tokens:
            return self
        tokens = dict(self.tokens)
        for name in gone.keys() & tokens.keys():
            steps = torch.arange(1, gone[name].shape[1] + 1, device=gone[name].device)
            tokens[name] = self.moved_tokens(name, steps.where(~gone[name], 0))
        return replace(self, tokens=tokens)

    def moved_tokens(self, modality: str, source: Tensor) -> Tensor:
        """The tokens of a modality, [batch, 3, time], where its steps are read from others.

        Args:
            modality: one with token ids.
            source: [batch, time], int64: the step that each is read from, counted from 1; 0 where it is lost.

        Raises:
            ValueError: its tokens are not those of the steps of its features.
        """
        stored = self.tokens[modality]
        if stored.shape[2] != source.shape[1]:
            raise ValueError(
                f"the token ids of {modality} are not those of the steps of its features, of which some are lost or moved"
            )
        return follow_steps(stored, source)

    def stream(self, seed: int, name: str) -> Stream:
        """Random numbers on the batch's device that a sample has in any batch, order and run, clean or damaged.

        Args:
            seed: another one gives other numbers; a parameter of the method, say.
            name: of what they are for: ``"trace"``. Streams of two names are independent.
        """
        return Stream(seed, name, self.sample_id)
