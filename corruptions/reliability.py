"""The reliability spectrum: noise and missing frames together, as a grid (QA-MoE)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from ..datasets.batch import Batch
from .features import left_observed, zero_steps
from .random import Stream


@dataclass(frozen=True)
class Reliability:
    """N(0, lambda^2) on every feature, then steps zeroed at a rate, in every modality.

    Attributes:
        noise: lambda in deviations, 0 to 1.
        missing: the rate, 0 to 1.
        modalities: whose.
        seed: of noise and masks; all points of the grid share their draws.
    """

    noise: float
    missing: float
    modalities: tuple[str, ...]
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.noise <= 1 and 0 <= self.missing <= 1):
            raise ValueError(f"noise {self.noise}, missing {self.missing}: expected 0 to 1")

    @property
    def name(self) -> str:
        """Such as ``reliability:noise=0.3+missing=0.5``."""
        return f"reliability:noise={self.noise:.1f}+missing={self.missing:.1f}"

    @property
    def alters(self) -> frozenset[str]:
        """Every modality, except where nothing is done."""
        return frozenset(self.modalities) if self.noise or self.missing else frozenset()

    def apply(self, batch: Batch) -> Batch:
        """The batch with noise and with frames zeroed."""
        stream = Stream(self.seed, "reliability", batch.sample_id)
        features, gone = dict(batch.features), {}
        for name in self.modalities if self.alters else ():
            values = features[name]
            if self.noise:
                noise = stream.normal(f"noise/{name}", *values.shape[1:])
                values = values + (self.noise * noise).to(values.dtype)
            if self.missing:
                gone[name] = stream.uniform(f"missing/{name}", values.shape[1]) < self.missing
                values = zero_steps(values, gone[name])
            features[name] = values
        observed = {**batch.observed, **left_observed(batch, gone)}
        changed = replace(batch, features=features).with_observed(observed)
        # No noise reaches token ids: they stay as they are then, which is an error for whoever reads them.
        return changed if self.noise else changed.without_tokens(gone)

    @classmethod
    def conditions(cls, modalities: Sequence[str]) -> list[Self]:
        """The grid {0, 0.1, ..., 0.9} x {0, 0.1, ..., 0.9}, without its clean corner."""
        points = [(noise / 10, missing / 10) for noise in range(10) for missing in range(10)]
        return [cls(noise, missing, tuple(modalities)) for noise, missing in points if noise or missing]
