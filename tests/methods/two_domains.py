"""Batches of two source domains in which it is known how the domains differ."""

from __future__ import annotations

from dataclasses import replace

import torch
from mmbench.datasets.batch import Batch, Spec

from . import planted


def spec(*modalities: str, kind: str = "regression", domains: int = 2) -> Spec:
    return replace(planted.spec(*modalities, kind=kind), domains=domains)


def shifted(spec: Spec, samples: int, seed: int) -> Batch:
    """``planted.linked`` in two halves: in domain 1 every feature is half as large again, and moved by 1."""
    batch = planted.linked(spec, samples, seed)
    domain = torch.arange(samples) % 2
    odd = (domain == 1)[:, None, None]
    features = {m: torch.where(odd, 1.5 * x + 1, x) for m, x in batch.features.items()}
    return replace(batch, features=features, domain=domain)


def imbalanced(spec: Spec, samples: int, seed: int, rare: int = 8) -> Batch:
    """Domain 1 is every ``rare``-th sample, and has its own rule: where scores are high there, they are low.

    What text says leads to the score of domain 0; that of domain 1 is half its opposite.
    """
    batch = planted.linked(spec, samples, seed)
    domain = (torch.arange(samples) % rare == 0).long()
    return replace(batch, target=torch.where(domain == 1, -0.5 * batch.target, batch.target), domain=domain)


def spurious(spec: Spec, samples: int, seed: int, agreement: tuple[float, float] = (0.95, 0.7)) -> Batch:
    """Two classes. Text tells the class in three of four samples, in any domain; audio as often as its
    domain's ``agreement`` says."""
    draw = torch.Generator().manual_seed(seed)
    batch = planted.noise(spec, samples, 3, seed + 1)
    domain, target = torch.arange(samples) % 2, torch.randint(0, 2, (samples,), generator=draw)
    told = {"text": torch.full((samples,), 0.75), "audio": torch.tensor(agreement)[domain]}
    features = {}
    for m, x in batch.features.items():
        right = torch.rand(samples, generator=draw) < told[m]
        says = torch.where(right, target, 1 - target)
        features[m] = 0.1 * x + (2.0 * says - 1)[:, None, None]
    return replace(batch, features=features, target=target, domain=domain)
