"""Damage in training: modalities and frames taken away, noise added, drawn anew for every pass over the data.

The harness damages batches so where the protocol says it (``train_with_missing``, ``train_with_noise``); a method may do it
in its own loss. Of modalities that are partly observed noise falls on observed entries alone, and a frame that is dropped
is no longer observed. The token ids of a text lose the frames that it loses; no noise reaches them.

A lost frame stays a valid step of zeros, as under ``random-frames`` and ``frame-dropout``: the mean of standardised features, a
black picture, a word of no letters, silence. Sound is lost in packets, as single numbers of a waveform are no steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Protocol

import torch
from torch import Tensor

from .batch import Batch
from .rates import TRAIN_MISSING, has_rates, parse_rates
from .stream import Stream

TRAIN_NOISE = ("off", "spectrum")

#: The chance that the spectrum takes a whole modality away.
WHOLE = 0.1
#: Of a packet of sound, in seconds; as under the corruption ``packet-loss``.
PACKET = 0.02
#: For batches without raw sound.
_NO_SOUND: Mapping[str, int] = {}


class Draws(Protocol):
    """Random numbers for the samples of a batch, [batch, *shape] each; ``tag`` names the draw."""

    def uniform(self, tag: str, *shape: int) -> Tensor:
        """Numbers that are evenly spread over [0, 1).

        Args:
            tag: names the draw.
            *shape: of the numbers of one sample.

        Returns:
            [batch, *shape], float32.
        """
        ...

    def normal(self, tag: str, *shape: int) -> Tensor:
        """Numbers of the standard normal distribution.

        Args:
            tag: names the draw.
            *shape: of the numbers of one sample.

        Returns:
            [batch, *shape], float32.
        """
        ...

    def integers(self, tag: str, high: int, *shape: int) -> Tensor:
        """Whole numbers, each as likely as any other.

        Args:
            tag: names the draw.
            high: above every number, at least 1; the lowest is 0.
            *shape: of the numbers of one sample.

        Returns:
            [batch, *shape], int64.
        """
        ...


@dataclass(frozen=True)
class InTurn:
    """Numbers that a generator on the CPU gives one after the other: they depend on the place in the batch.

    Attributes:
        generator: on the CPU.
        count: of samples in the batch.
    """

    generator: torch.Generator
    count: int

    def uniform(self, tag: str, *shape: int) -> Tensor:
        """As ``Draws.uniform``.

        Args:
            tag: is not read.
            *shape: of the numbers of one sample.
        """
        return torch.rand(self.count, *shape, generator=self.generator)

    def normal(self, tag: str, *shape: int) -> Tensor:
        """As ``Draws.normal``.

        Args:
            tag: is not read.
            *shape: of the numbers of one sample.
        """
        return torch.randn(self.count, *shape, generator=self.generator)

    def integers(self, tag: str, high: int, *shape: int) -> Tensor:
        """As ``Draws.integers``.

        Args:
            tag: is not read.
            high: above every number, at least 1.
            *shape: of the numbers of one sample.
        """
        return torch.randint(high, (self.count, *shape), generator=self.generator)


def inject(
    batch: Batch,
    missing: str,
    noise: str,
    generator: torch.Generator,
    sound_rates: Mapping[str, int] = _NO_SOUND,
) -> Batch:
    """The batch with damage for training; the given one is left as it was.

    Args:
        batch: clean, without context.
        missing: ``"off"``; ``"patterns"``: each sample is complete or has one of the fixed patterns, all
            equally likely; ``"spectrum"``: for each sample and modality frames are dropped at a rate that is
            0 or uniform in [0, 1], evenly likely, and the whole modality with probability ``WHOLE``; or a rate for each
            modality, as ``parse_rates`` reads them.
        noise: ``"off"``; ``"spectrum"``: N(0, lambda^2) is added to the features, lambda being 0 or uniform in
            [0, 1], evenly likely, for each sample and modality.
        generator: on the CPU; the source of everything random.
        sound_rates: as in ``Spec``, of modalities whose raw sound the batch holds: frames of it are packets of 20 ms.

    Returns:
        The batch; every sample keeps at least one of the modalities that it has, as long as frames leave an observed entry.

    Raises:
        ValueError: an unknown name, a batch with context, with token ids that the damage cannot reach, or with raw media
            that noise would fall on.
    """
    if batch.context is not None:
        raise ValueError("the damage of a context is drawn by sample: use inject_by_sample")
    return _damaged(batch, missing, noise, InTurn(generator, len(batch)), sound_rates)


def inject_by_sample(
    batch: Batch,
    missing: str,
    noise: str,
    seed: int,
    name: str,
    sound_rates: Mapping[str, int] = _NO_SOUND,
) -> Batch:
    """As ``inject``, but a sample gets the same damage in any batch, and the context that of its own samples.

    Within a pass an utterance is so damaged alike, whether it is the sample or the one before it.

    Args:
        batch: clean.
        missing, noise: as in ``inject``.
        seed: of the job.
        name: of the damage; another one for every pass over the data.
        sound_rates: as in ``inject``.

    Raises:
        ValueError: an unknown name, token ids that the damage cannot reach, or raw media that noise would fall on.
    """
    changed = _damaged(batch, missing, noise, Stream(seed, name, batch.sample_id), sound_rates)
    if batch.context is None:
        return changed
    context = inject_by_sample(batch.context, missing, noise, seed, name, sound_rates)
    return replace(changed, context=context)


def _damaged(batch: Batch, missing: str, noise: str, draws: Draws, sound_rates: Mapping[str, int]) -> Batch:
    rates = parse_rates(missing) if has_rates(missing) else {}
    if not (rates or missing in TRAIN_MISSING) or noise not in TRAIN_NOISE:
        raise ValueError(f"unknown training damage {missing!r}, {noise!r}")
    if noise == "spectrum":
        if batch.tokens:
            raise ValueError(f"noise does not reach the token ids of {', '.join(batch.tokens)}")
        if raw := [name for name, one in batch.features.items() if name in sound_rates or _is_raw(one)]:
            raise ValueError(f"noise is one of standardised features, and {', '.join(raw)} holds raw media")
        batch = _noise(batch, draws)
    if rates:
        return without_some(batch, rates, draws.uniform)
    if missing == "patterns":
        return _absent(batch, _patterns(batch, draws))
    if missing == "spectrum":
        batch = _frames(batch, draws, packet_sizes(sound_rates))
        return _absent(batch, draws.uniform("whole modalities", len(batch.modalities)) < WHOLE)
    return batch


def _spectrum(draws: Draws, tag: str) -> Tensor:
    """[batch]: 0 or uniform in [0, 1], evenly likely."""
    damaged = draws.uniform(f"{tag}/whether") >= 0.5
    return draws.uniform(f"{tag}/strength") * damaged


def _is_raw(values: Tensor) -> bool:
    """Whether values are letters or pictures. Sound, [batch, time, channel] float32, looks as features do."""
    return values.ndim != 3 or not values.is_floating_point()


def _noise(batch: Batch, draws: Draws) -> Batch:
    features = {}
    for name, values in batch.features.items():
        strength = _spectrum(draws, f"noise/{name}").view(-1, 1, 1)
        noise = strength * draws.normal(f"noise/{name}", *values.shape[1:])
        features[name] = values + noise.to(values.device, values.dtype)
    return replace(batch, features=features).with_observed(batch.observed)


def _frames(batch: Batch, draws: Draws, packets: Mapping[str, int]) -> Batch:
    """Drops frames of all modalities; ``packets`` has the number of steps that are lost as one, 1 where it names none."""
    features, observed, gone = {}, {}, {}
    for name, values in batch.features.items():
        steps, size = values.shape[1], packets.get(name, 1)
        rate = _spectrum(draws, f"frames/{name}").unsqueeze(1)
        kept = spread(draws.uniform(f"frames/{name}", -(-steps // size)) >= rate, size, steps).to(
            values.device
        )
        features[name] = values.where(kept.view(*kept.shape, *[1] * (values.ndim - 2)), 0)
        if name in batch.observed:
            observed[name] = batch.observed[name] & kept.unsqueeze(-1)
        if name in batch.tokens:
            gone[name] = ~kept
    return replace(batch, features=features).with_observed(observed).without_tokens(gone)


def packet_sizes(sound_rates: Mapping[str, int]) -> dict[str, int]:
    """Modality of raw sound -> the number of its steps in a packet, at least 1.

    Args:
        sound_rates: modality -> samples a second.
    """
    return {name: max(1, round(PACKET * rate)) for name, rate in sound_rates.items()}


def spread(packets: Tensor, size: int, steps: int) -> Tensor:
    """What is said of packets, said of their steps.

    Args:
        packets: [batch, packets].
        size: the number of steps in a packet; the last one may be cut short.
        steps: how many steps there are.

    Returns:
        [batch, steps].
    """
    return packets.repeat_interleave(size, dim=1)[:, :steps] if size > 1 else packets


def _patterns(batch: Batch, draws: Draws) -> Tensor:
    """[batch, modalities]: which are taken away."""
    count = len(batch.modalities)
    sets = [gone for size in range(count) for gone in combinations(range(count), size)]
    table = torch.zeros(len(sets), count, dtype=torch.bool)
    for row, gone in enumerate(sets):
        table[row, list(gone)] = True
    chosen = draws.integers("pattern", len(sets))
    return table.to(chosen.device)[chosen]


def _absent(batch: Batch, gone: Tensor) -> Batch:
    """Takes modalities [batch, modalities] away, but not the last one that a sample has."""
    there = torch.stack(list(batch.present.values()), dim=1)
    left = there & ~gone.to(there.device)
    left = torch.where(left.any(dim=1, keepdim=True), left, there)
    return batch.with_present({name: left[:, place] for place, name in enumerate(batch.modalities)})


def without_some(batch: Batch, rates: Mapping[str, float], uniform: Callable[..., Tensor]) -> Batch:
    """The batch with modalities taken away at rates of their own.

    Args:
        batch: the samples.
        rates: modality -> rate; one that is not named is never taken away.
        uniform: gives [batch] numbers in [0, 1) for the name of a draw.
    """
    names = batch.modalities
    there = torch.stack(list(batch.present.values()), dim=1)
    asked = torch.tensor([rates.get(name, 0.0) for name in names], dtype=torch.float64, device=there.device)
    drawn = torch.stack([uniform(f"gone/{name}") for name in names], dim=1)
    lost = lost_at_rates(there, asked, uniform("keep").to(there.device), drawn.to(there.device))
    left = there & ~lost
    return batch.with_present({name: left[:, place] for place, name in enumerate(names)})


def lost_at_rates(there: Tensor, rates: Tensor, keep: Tensor, gone: Tensor) -> Tensor:
    """Which modalities samples lose, [batch, modalities] bool; never all that a sample has.

    A sample keeps one modality for certain, m with the probability w_m = (1 - r_m) / sum_k (1 - r_k), the sum over those
    that it has; each other one goes with r_m / (1 - w_m). So m is missing with probability (1 - w_m) r_m / (1 - w_m) =
    r_m. That is a probability where sum_k (1 - r_k) is at least 1; where it is less, w_m is more than 1 - r_m, and the
    share is as near to the rate as it can be.

    Args:
        there: [batch, modalities], bool, what the samples have.
        rates: r, [modalities], float64.
        keep: [batch], uniform in [0, 1).
        gone: [batch, modalities], uniform in [0, 1).
    """
    stay = (1 - rates) * there
    stay = torch.where(stay.sum(dim=1, keepdim=True) > 0, stay, there.double())
    sums = stay.cumsum(dim=1)
    total = sums[:, -1:]
    kept = (sums <= keep.double().unsqueeze(1) * total).sum(dim=1, keepdim=True).clamp(max=there.shape[1] - 1)
    others = 1 - stay / total.clamp(min=torch.finfo(torch.float64).tiny)
    chance = rates / others.clamp(min=1e-12)
    return (there & (gone < chance)).scatter(1, kept, False)
