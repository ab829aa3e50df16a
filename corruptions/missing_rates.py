"""Missing at a rate: whole modalities of single samples, or single frames.

Rates share their draws: what is missing at one rate is missing at every higher one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch

from ..datasets.batch import Batch
from ..datasets.damage import packet_sizes, spread, without_some
from ..datasets.rates import rates_text
from .features import left_observed, zero_steps
from .random import Stream


@dataclass(frozen=True)
class RandomModality:
    """Each sample lacks a random set of its modalities, but never all of them.

    The rate is the share of all modalities of all samples that is missing, MR = 1 - sum_i m_i / (N M) (GCNet,
    Lian et al. 2023; IMDer, Wang et al. 2023). With at least one kept it is at most (M - 1) / M; a higher rate
    means that one. Each sample keeps the modality with its largest number; of the others each goes with
    probability rate M / (M - 1).

    Attributes:
        rate: 0 to 1.
        seed: of the masks.
    """

    rate: float
    seed: int = 0

    any_medium: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check(self.rate)

    @property
    def name(self) -> str:
        """Such as ``random-modality@0.3``."""
        return f"random-modality@{self.rate:.1f}"

    @property
    def alters(self) -> frozenset[str]:
        """Nothing: what remains is untouched."""
        return frozenset()

    def apply(self, batch: Batch) -> Batch:
        """The batch with modalities marked absent."""
        count = len(batch.modalities)
        if count < 2 or self.rate == 0:
            return batch
        stream = Stream(self.seed, "random-modality", batch.sample_id)
        there = torch.stack(list(batch.present.values()), dim=1)
        keep = stream.uniform("keep", count).masked_fill(~there, -1).argmax(dim=1, keepdim=True)
        chance = stream.uniform("gone", count) < self.rate * count / (count - 1)
        left = (there & ~chance).scatter(1, keep, there.gather(1, keep))
        return batch.with_present({name: left[:, place] for place, name in enumerate(batch.modalities)})

    @classmethod
    def conditions(cls, modalities: Sequence[str]) -> list[Self]:
        """Rates 0.1 to 0.7; none for a single modality."""
        return [cls(tenth / 10) for tenth in range(1, 8)] if len(modalities) > 1 else []


@dataclass(frozen=True)
class RandomFrames:
    """Steps of every modality are zeroed, each with the same probability (TFR-Net, EMT-DLFR, LNLN).

    Of raw media these are black pictures, words without letters and silences of 20 ms, as ``--train-missing spectrum``
    takes them.

    Attributes:
        rate: 0 to 1.
        seed: of the masks.
        modalities: whose.
        sounds: of those that hold raw sound, the number of samples that are lost as one.
    """

    rate: float
    modalities: tuple[str, ...]
    seed: int = 0
    sounds: tuple[tuple[str, int], ...] = ()

    any_medium: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check(self.rate)

    @property
    def name(self) -> str:
        """Such as ``random-frames@0.3``."""
        return f"random-frames@{self.rate:.1f}"

    @property
    def alters(self) -> frozenset[str]:
        """Every modality, except at rate 0."""
        return frozenset(self.modalities) if self.rate else frozenset()

    def apply(self, batch: Batch) -> Batch:
        """The batch with frames zeroed; they stay valid steps, as in the papers."""
        if self.rate == 0:
            return batch
        stream = Stream(self.seed, "random-frames", batch.sample_id)
        gone = {}
        for name in self.modalities:
            steps, size = batch.features[name].shape[1], dict(self.sounds).get(name, 1)
            gone[name] = spread(stream.uniform(name, -(-steps // size)) < self.rate, size, steps)
        dropped = {name: zero_steps(batch.features[name], steps) for name, steps in gone.items()}
        changed = replace(batch, features={**batch.features, **dropped})
        return changed.with_observed(left_observed(batch, gone)).without_tokens(gone)

    def for_sound(self, rates: Mapping[str, int]) -> Self:
        """The same, of modalities with raw sound in packets of 20 ms.

        Args:
            rates: modality -> samples a second of its sound.
        """
        return replace(self, sounds=tuple(packet_sizes(rates).items()))

    @classmethod
    def conditions(cls, modalities: Sequence[str]) -> list[Self]:
        """Rates 0.1 to 1.0."""
        return [cls(tenth / 10, tuple(modalities)) for tenth in range(1, 11)]


@dataclass(frozen=True)
class ModalityRates:
    """Each modality is missing at a rate of its own; no sample loses all that it has.

    The share of samples that lack a modality is its rate, where the rates sum to no more than the number of modalities
    less one (see ``lost_at_rates``). At equal rates it is the scheme of ``RandomModality``.

    Attributes:
        rates: modality and rate, 0 to 1, in the order of the modalities.
        seed: of the masks, which depend on it, the rates and the id of a sample alone.
    """

    rates: tuple[tuple[str, float], ...]
    seed: int = 0

    kind: ClassVar[str] = "missing-rates"
    any_medium: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for _, rate in self.rates:
            _check(rate)

    @property
    def name(self) -> str:
        """Such as ``missing-rates:text=0.3+audio=0.7``; a modality that is never missing is not named."""
        return f"{self.kind}:{rates_text({name: rate for name, rate in self.rates if rate}, '+')}"

    @property
    def alters(self) -> frozenset[str]:
        """Nothing: what remains is untouched."""
        return frozenset()

    def apply(self, batch: Batch) -> Batch:
        """The batch with modalities marked absent."""
        stream = Stream(self.seed, "modality-rates", batch.sample_id)
        return without_some(batch, dict(self.rates), stream.uniform)


@dataclass(frozen=True)
class ImbalancedRates(ModalityRates):
    """Modalities are missing at unequal rates, 0.3 to 0.7, each modality once at each.

    For M modalities the rates lie evenly between 0.3 and 0.7 (three modalities: 0.3, 0.5 and 0.7, as in BALM), and go
    round: M conditions. Half of all modalities are missing in each, as in ``random-modality@0.5``, which is the control
    with equal rates.
    """

    kind: ClassVar[str] = "imbalanced-rates"

    @classmethod
    def conditions(cls, modalities: Sequence[str]) -> list[Self]:
        """A condition for each place at which the rates can begin; none for a single modality."""
        count = len(modalities)
        if count < 2:
            return []
        rates = [round(0.3 + 0.4 * place / (count - 1), 2) for place in range(count)]
        turned = [[*rates[first:], *rates[:first]] for first in range(count)]
        return [cls(tuple(zip(modalities, one, strict=True))) for one in turned]


@dataclass(frozen=True)
class OwnRates:
    """The condition that ``--corruptions 'missing-rates(text=0.3,audio=0.7)'`` asks for.

    Attributes:
        rates: modality -> rate.
    """

    rates: Mapping[str, float]

    any_medium: ClassVar[bool] = True

    def conditions(self, modalities: Sequence[str]) -> list[ModalityRates]:
        """The condition; none where no modality, or only a single one, is there to be missing."""
        rates = tuple((name, self.rates.get(name, 0.0)) for name in modalities)
        some = len(modalities) > 1 and any(rate for _, rate in rates)
        return [ModalityRates(rates)] if some else []


def _check(rate: float) -> None:
    if not 0 <= rate <= 1:
        raise ValueError(f"rate {rate}: expected 0 to 1")
