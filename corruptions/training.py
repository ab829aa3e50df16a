"""Damage in training: modalities and frames taken away, noise added, drawn anew for every batch."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import torch
from torch import Tensor

from ..datasets.batch import Batch

TRAIN_MISSING = ("off", "patterns", "spectrum")
TRAIN_NOISE = ("off", "spectrum")

#: The chance that the spectrum takes a whole modality away.
WHOLE = 0.1


def inject(batch: Batch, missing: str, noise: str, generator: torch.Generator) -> Batch:
    """The batch with damage for training; the given one is left as it was.

    Args:
        batch: clean.
        missing: ``"off"``; ``"patterns"``: each sample is complete or has one of the fixed patterns, all
            equally likely; ``"spectrum"``: for each sample and modality frames are dropped at a rate that is
            0 or uniform in [0, 1], evenly likely, and the whole modality with probability ``WHOLE``.
        noise: ``"off"``; ``"spectrum"``: N(0, lambda^2) is added to the features, lambda being 0 or uniform in
            [0, 1], evenly likely, for each sample and modality.
        generator: on the CPU; the source of everything random.

    Returns:
        The batch; every sample keeps at least one of the modalities that it has.

    Raises:
        ValueError: an unknown name.
    """
    if missing not in TRAIN_MISSING or noise not in TRAIN_NOISE:
        raise ValueError(f"unknown training damage {missing!r}, {noise!r}")
    if noise == "spectrum":
        batch = _noise(batch, generator)
    if missing == "patterns":
        return _absent(batch, _patterns(batch, generator))
    if missing == "spectrum":
        batch = _frames(batch, generator)
        gone = torch.rand(len(batch), len(batch.modalities), generator=generator) < WHOLE
        return _absent(batch, gone)
    return batch


def _spectrum(batch: Batch, generator: torch.Generator) -> Tensor:
    """[batch]: 0 or uniform in [0, 1], evenly likely."""
    uniform = torch.rand(2, len(batch), generator=generator)
    return torch.where(uniform[0] < 0.5, 0.0, uniform[1])


def _noise(batch: Batch, generator: torch.Generator) -> Batch:
    features = {}
    for name, values in batch.features.items():
        strength = _spectrum(batch, generator).view(-1, 1, 1)
        noise = strength * torch.randn(values.shape, generator=generator)
        features[name] = values + noise.to(values.device, values.dtype)
    return replace(batch, features=features)


def _frames(batch: Batch, generator: torch.Generator) -> Batch:
    features = {}
    for name, values in batch.features.items():
        rate = _spectrum(batch, generator).unsqueeze(1)
        kept = torch.rand(values.shape[:2], generator=generator) >= rate
        features[name] = torch.where(kept.to(values.device).unsqueeze(-1), values, 0)
    return replace(batch, features=features)


def _patterns(batch: Batch, generator: torch.Generator) -> Tensor:
    """[batch, modalities]: which are taken away."""
    count = len(batch.modalities)
    sets = [gone for size in range(count) for gone in combinations(range(count), size)]
    table = torch.zeros(len(sets), count, dtype=torch.bool)
    for row, gone in enumerate(sets):
        table[row, list(gone)] = True
    return table[torch.randint(len(sets), (len(batch),), generator=generator)]


def _absent(batch: Batch, gone: Tensor) -> Batch:
    """Takes modalities [batch, modalities] away, but not the last one that a sample has."""
    there = torch.stack(list(batch.present.values()), dim=1)
    left = there & ~gone.to(there.device)
    left = torch.where(left.any(dim=1, keepdim=True), left, there)
    return batch.with_present({name: left[:, place] for place, name in enumerate(batch.modalities)})
