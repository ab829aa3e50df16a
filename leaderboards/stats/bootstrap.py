"""Metrics of some seeds on the samples and on resamples of them, from which intervals are made (see ``intervals``).

Samples are resampled with replacement, and the same resample serves all seeds and all methods, so that differences
between methods are paired. Limits: samples count as independent (utterances of one video are not quite that). A percentile
interval is too narrow for fewer than about 30 samples, and has no width where every sample is right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from ..metrics.base import Metric, checked

#: Resamples of complete data, and under many conditions or for measures of order, where each costs more.
DRAWS, FEWER_DRAWS = 1000, 200

# A metric that is undefined in more than this share of the resamples has no interval.
UNDEFINED_SHARE = 0.05


@dataclass(frozen=True)
class Summary:
    """Values of one group in short.

    Attributes:
        mean: their mean.
        sd: their standard deviation with ddof = 1; NaN for a single value.
        sem: sd / sqrt(n), the standard error of the mean; NaN for a single value.
        n: how many they are.
    """

    mean: float
    sd: float
    sem: float
    n: int


@dataclass(frozen=True)
class Resampled:
    """Metrics of some seeds, on the samples and on resamples of them.

    Attributes:
        values: [seeds, metrics], on the samples themselves.
        draws: [draws, seeds, metrics], on each resample.
        samples: number of samples.
        finer: the same on more resamples, where there are any: the interval is made of these, and differences from what
            has fewer of ``draws``.
    """

    values: np.ndarray
    draws: np.ndarray
    samples: int
    finer: Resampled | None = None

    @property
    def kind(self) -> str:
        """What varies by these scores alone: ``"seeds+samples"``, ``"samples"`` or ``"none"``."""
        if self.samples < 2:
            return "none"
        return "seeds+samples" if len(self.values) > 1 else "samples"

    def minus(self, other: Resampled) -> Resampled:
        """The difference seed by seed and resample by resample. Raises ValueError where shapes differ."""
        if self.values.shape != other.values.shape or self.samples != other.samples:
            raise ValueError(
                f"cannot pair {len(self.values)} seeds on {self.samples} samples "
                f"with {len(other.values)} seeds on {other.samples} samples"
            )
        return Resampled(self.values - other.values, self.draws - other.draws, self.samples)


def summary(values: ArrayLike) -> Summary:
    """Mean, standard deviation (ddof = 1), standard error of values [n]. Raises ValueError for no value."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"expected at least one value, got an array of shape {array.shape}")
    n = array.size
    sd = float(array.std(ddof=1)) if n > 1 else math.nan
    return Summary(mean=float(array.mean()), sd=sd, sem=sd / math.sqrt(n), n=n)


def resample(
    metrics: Sequence[Metric],
    target: ArrayLike,
    predictions: Sequence[ArrayLike],
    draws: int = 1000,
    seed: int = 0,
) -> Resampled:
    """Scores every seed with every metric, on the samples and on the same resamples of them.

    Args:
        metrics: metrics of one task.
        target: [N], the targets.
        predictions: one prediction a seed, [N] or [N, C].
        draws: number of resamples.
        seed: of the resampling; equal N and seed give equal resamples.

    Returns:
        The scores. Entries are NaN where a metric is undefined.

    Raises:
        ValueError: no metrics, no predictions, no draws, or what a metric refuses.
    """
    if not metrics or not predictions or draws < 1:
        raise ValueError("resampling needs at least one metric, one prediction and one draw")
    task = metrics[0].mean.task
    terms: list[np.ndarray] = []
    for prediction in predictions:
        pair = checked(task, target, prediction)
        terms.extend(metric.mean.terms(*pair) for metric in metrics)
    stacked = np.concatenate(terms, axis=1)
    means = np.concatenate(
        [stacked.mean(axis=0)[None], resample_weights(len(stacked), draws, seed) @ stacked]
    )
    out = np.empty((draws + 1, len(predictions), len(metrics)))
    start = 0
    for index, block in enumerate(terms):
        width = block.shape[1]
        s, m = divmod(index, len(metrics))
        out[:, s, m] = metrics[m].mean.finish(means[:, start : start + width])
        start += width
    return Resampled(values=out[0], draws=out[1:], samples=len(stacked))


@lru_cache(maxsize=4)
def resample_weights(samples: int, draws: int, seed: int) -> np.ndarray:
    """[draws, samples]: the weight of each sample in each resample, counts / samples."""
    return resample_counts(samples, draws, seed) / samples


@lru_cache(maxsize=16)
def resample_counts(samples: int, draws: int, seed: int, kind: int = 0) -> np.ndarray:
    """[draws, samples]: how often each sample stands in each resample; read-only.

    The first resamples are the same however many are drawn.

    Args:
        samples: how many there are.
        draws: number of resamples.
        seed: of the resampling.
        kind: tells kinds of samples apart that are resampled on their own, such as OOD samples.
    """
    generator = np.random.default_rng(np.random.SeedSequence([seed, samples, *([kind] if kind else [])]))
    picks = generator.integers(samples, size=(draws, samples))
    picks += np.arange(draws)[:, None] * samples
    counts = np.bincount(picks.ravel(), minlength=draws * samples).reshape(draws, samples)
    counts.flags.writeable = False
    return counts
