"""The contract of a corruption: one kind of damage to one modality, at a severity from 0 (none) to 5."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor

from ..datasets.batch import Batch
from .condition import Condition, NeedsSplit
from .random import Stream

#: What a modality holds: [batch, time, feature] vectors; [batch, time] int64 token ids; [batch, time, letters]
#: words as int32 or int64 Unicode code points, filled up with 0 (``words.encode_words``); [batch, time, channel]
#: sound in -1 to 1; [batch, time, channel, height, width] pictures in 0 to 1.
Medium = Literal["features", "tokens", "words", "waveform", "frames"]

SEVERITIES = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Corruption(ABC):
    """Damage to one modality. A subclass sets the class attributes and defines ``draw`` and ``corrupt``.

    Attributes:
        modality: which is damaged.
        severity: 0 (the identity) to 5.
        seed: of its randomness.
        kind: what it does; the first part of its name, as registered.
        family: what kinds have in common, such as ``"noise"``: to a network that was trained on one kind of a
            family, the others are not unseen either.
        medium: what the modality must hold.
        any_medium: whether what it does is the same whatever a modality holds, so that raw media can be given to it in the
            place of features. Any class with conditions may say so.
        only: the names of the modalities that it makes sense for; empty: any that holds the medium.
        moves_entries: whether it zeroes entries or reads them from other steps. What was observed of a modality that is
            partly observed then goes along: what is zeroed is no longer observed. Other damage changes the values of
            observed entries alone.
        moves_steps: whether each step of the result is a step of the input as a whole, or zeros, whatever the features are.
            Then the token ids of a text go along. Other damage cannot reach them.
        reads_targets: whether ``prepared`` has to be given targets, as for damage that depends on the class. No network sees
            them.
        changes_mask: whether it changes which steps hold data.
        levels: the strength at severity 1 to 5, in the unit that the subclass states.
    """

    modality: str
    severity: int
    seed: int = 0

    kind: ClassVar[str]
    family: ClassVar[str]
    medium: ClassVar[Medium] = "features"
    any_medium: ClassVar[bool] = False
    only: ClassVar[tuple[str, ...]] = ()
    moves_entries: ClassVar[bool] = False
    moves_steps: ClassVar[bool] = False
    changes_mask: ClassVar[bool] = False
    reads_targets: ClassVar[bool] = False
    levels: ClassVar[tuple[float, float, float, float, float]]

    def __post_init__(self) -> None:
        if not 0 <= self.severity <= len(SEVERITIES):
            raise ValueError(f"severity {self.severity}: expected 0 (the identity) to {len(SEVERITIES)}")

    @property
    def name(self) -> str:
        """The name of the condition, such as ``gaussian-noise:audio@3``."""
        return f"{self.kind}:{self.modality}@{self.severity}"

    @property
    def alters(self) -> frozenset[str]:
        """The corrupted modality."""
        return frozenset({self.modality}) if self.severity else frozenset()

    @property
    def level(self) -> float:
        """The strength at its severity (not defined at severity 0, where nothing is done)."""
        return self.levels[self.severity - 1]

    def apply(self, batch: Batch) -> Batch:
        """The samples with the modality damaged, but not their context, which ``applied`` damages too; the given batch
        is left as it was.

        Raises:
            ValueError: the batch has no such modality.
        """
        self._check(batch)
        return self.apply_draws(batch, self.draw_for(batch)) if self.severity else batch

    def draw_for(self, batch: Batch) -> Mapping[str, Tensor]:
        """Draws every random choice for a batch, the same at every severity.

        Raises:
            ValueError: the batch has no such modality.
        """
        self._check(batch)
        stream = Stream(self.seed, f"{self.kind}:{self.modality}", batch.sample_id)
        return self.draw(stream, batch.features[self.modality], self._valid(batch))

    def apply_draws(self, batch: Batch, draws: Mapping[str, Tensor]) -> Batch:
        """The batch with the modality damaged, at a severity from 1; the given one is left as it was.

        Args:
            batch: to damage.
            draws: as ``draw_for`` returns them for this batch.
        """
        features, valid = batch.features[self.modality], self._valid(batch)
        broken = self.corrupt(features, valid, draws)
        changed = replace(batch, features={**batch.features, self.modality: broken})
        if self.moves_steps and self.modality in batch.tokens:
            moved = batch.moved_tokens(self.modality, self._sources(valid, draws))
            changed = replace(changed, tokens={**batch.tokens, self.modality: moved})
        observed = batch.observed.get(self.modality)
        if observed is None:
            return changed
        if self.moves_entries:
            observed = self.corrupt(observed.to(features.dtype), valid, draws) != 0
        return changed.with_observed({self.modality: observed})

    def _sources(self, valid: Tensor, draws: Mapping[str, Tensor]) -> Tensor:
        """The step that each is read from, [batch, time], int64, counted from 1; 0 where it is lost."""
        steps = torch.arange(1, valid.shape[1] + 1, device=valid.device, dtype=torch.float32)
        return self.corrupt(steps.expand(valid.shape).unsqueeze(-1), valid, draws).squeeze(-1).long()

    def _check(self, batch: Batch) -> None:
        if self.modality not in batch.features:
            raise ValueError(f"no modality {self.modality!r} to break; there are {', '.join(batch.features)}")

    def _valid(self, batch: Batch) -> Tensor:
        return _both(batch.mask[self.modality], batch.present[self.modality].unsqueeze(1))

    def prepared(self, split: Batch) -> Self:
        """This corruption, with what it has to know of a whole split. Called once, before ``apply``; by default it needs to
        know nothing.

        Args:
            split: all samples, of which batches will be taken.
        """
        return self

    @abstractmethod
    def draw(self, stream: Stream, features: Tensor, valid: Tensor) -> Mapping[str, Tensor]:
        """Every random choice, each [batch, ...], the same at every severity.

        Args:
            stream: where the numbers come from.
            features: as ``medium`` says; only its shape, device and type may decide what is drawn.
            valid: [batch, time] bool, the steps that hold data.
        """

    @abstractmethod
    def corrupt(self, features: Tensor, valid: Tensor, draws: Mapping[str, Tensor]) -> Tensor:
        """The damaged features, of the same shape and type; nothing random in here.

        What lies at steps that are not valid may be anything, also NaN, and must not reach those that are.

        Args:
            features: as ``medium`` says.
            valid: [batch, time] bool, the steps that hold data.
            draws: as ``draw`` returns them.
        """

    @classmethod
    def conditions(cls, modalities: Sequence[str]) -> Sequence[Self]:
        """Every modality that it makes sense for, at every severity from 1."""
        own = [name for name in modalities if not cls.only or name in cls.only]
        return [cls(modality, severity) for modality in own for severity in SEVERITIES]


def _both(one: Tensor, other: Tensor) -> Tensor:
    """``one & other``, bool; as bytes, which PyTorch broadcasts nine times as fast on a CPU."""
    return (one.view(torch.uint8) & other.view(torch.uint8)).view(torch.bool)


def prepare(condition: Condition, split: Batch) -> Condition:
    """A condition that may be applied to batches of a split, which one that ``NeedsSplit`` sees whole.

    Args:
        condition: any.
        split: all samples; with their targets where the condition ``reads_targets``. No batch that it is applied to later
            needs them.
    """
    return condition.prepared(split) if isinstance(condition, NeedsSplit) else condition


def reads_targets(condition: Condition) -> bool:
    """Whether a condition depends on targets, and says so by an attribute of that name. No other is given any."""
    return bool(getattr(condition, "reads_targets", False))


def apply_all(conditions: Iterable[Condition], batch: Batch) -> Iterator[tuple[Condition, Batch]]:
    """Every condition and the batch under it, one after the other.

    The context of a batch is damaged with the draws of its own sample ids: an utterance reaches a network in the same
    state, whether it is the sample or the one before it.

    Args:
        conditions: prepared with the split that the batch, and so its context, is taken from.
        batch: clean; it is left as it was.
    """
    if batch.context is None:
        yield from _apply_each(conditions, batch)
        return
    conditions = list(conditions)
    pairs = zip(_apply_each(conditions, batch), apply_all(conditions, batch.context), strict=True)
    for (condition, changed), (_, context) in pairs:
        yield condition, replace(changed, context=context)


def _apply_each(conditions: Iterable[Condition], batch: Batch) -> Iterator[tuple[Condition, Batch]]:
    """As ``apply_all``, whatever becomes of the context. What severities of one kind of damage share is drawn once where
    they follow each other."""
    last: Corruption | None = None
    draws: Mapping[str, Tensor] = {}
    for condition in conditions:
        if not isinstance(condition, Corruption) or condition.severity == 0:
            changed = condition.apply(batch)
            _check_tokens(condition, batch, changed)
            # whatever a condition from outside does: what is not observed stays 0
            yield condition, changed if changed is batch else changed.with_observed(changed.observed)
            continue
        if last is None or replace(last, severity=condition.severity) != condition:
            draws = condition.draw_for(batch)
        last = condition
        changed = condition.apply_draws(batch, draws)
        _check_tokens(condition, batch, changed)
        yield condition, changed


def _check_tokens(condition: Condition, clean: Batch, changed: Batch) -> None:
    """Raises ValueError where a condition damages the features of a text and leaves its token ids as they were."""
    for name in clean.tokens.keys() & condition.alters:
        if changed.tokens[name] is clean.tokens[name]:
            raise ValueError(f"{condition.name} does not reach the token ids of {name}")
