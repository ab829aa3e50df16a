"""Metrics of some seeds on the samples and on resamples of them, from which intervals are made (see ``intervals``).

Samples are resampled with replacement, and the same resample serves all seeds and all methods, so that differences
between methods are paired. Limits: samples count as independent (utterances of one video are not quite that). A percentile
interval is too narrow for fewer than about 30 samples, and has no width where every sample is right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import ArrayLike

from ..metrics.base import Metric, UndefinedError, checked, once, task_of

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

    Under cross-validation every network is a fold of a seed, and is tested on the samples of its own fold; or, where the
    folds validate, on those that all networks are tested on.

    Attributes:
        values: [seeds, metrics], on the samples themselves; of folds [seeds x folds, metrics], those of a seed side by
            side.
        draws: [draws, seeds, metrics], on each resample.
        samples: number of samples; of folds, that of all together.
        finer: the same on more resamples, where there are any: the interval is made of these, and differences from what
            has fewer of ``draws``.
        folds: the number of folds; 0 where there are none.
        one_test: of folds, whether every network is tested on the same samples.
    """

    values: np.ndarray
    draws: np.ndarray
    samples: int
    finer: Resampled | None = None
    folds: int = 0
    one_test: bool = False

    @property
    def by_fold(self) -> np.ndarray:
        """[folds, metrics]: the mean over seeds of each fold; without folds the values of the seeds."""
        if not self.folds:
            return self.values
        return self.values.reshape(-1, self.folds, self.values.shape[1]).mean(axis=0)

    @property
    def kind(self) -> str:
        """What varies by these scores alone: ``"folds"``, ``"folds+samples"``, ``"seeds+samples"``, ``"samples"`` or
        ``"none"``."""
        if self.folds:
            return "folds+samples" if self.one_test else "folds"
        if self.samples < 2:
            return "none"
        return "seeds+samples" if len(self.values) > 1 else "samples"

    def minus(self, other: Resampled) -> Resampled:
        """The difference seed by seed and resample by resample. Raises ValueError where shapes differ."""
        alike = (self.values.shape, self.samples, self.folds) == (
            other.values.shape,
            other.samples,
            other.folds,
        )
        if not alike:
            raise ValueError(
                f"cannot pair {len(self.values)} seeds on {self.samples} samples "
                f"with {len(other.values)} seeds on {other.samples} samples"
            )
        return replace(self, values=self.values - other.values, draws=self.draws - other.draws, finer=None)


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
        metrics: metrics of one task: means, or rank metrics of targets and predictions.
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
    pairs = [checked(task_of(metrics), target, prediction) for prediction in predictions]
    out = np.full((draws + 1, len(pairs), len(metrics)), np.nan)
    samples = len(pairs[0][0])
    places = [m for m, metric in enumerate(metrics) if metric.kind == "mean"]
    terms = [metrics[m].mean.terms(*pair) for pair in pairs for m in places]
    if terms:
        stacked = np.concatenate(terms, axis=1)
        means = np.concatenate([stacked.mean(axis=0)[None], resample_weights(samples, draws, seed) @ stacked])
        start = 0
        for index, block in enumerate(terms):
            width = block.shape[1]
            s, place = divmod(index, len(places))
            out[:, s, places[place]] = metrics[places[place]].mean.finish(means[:, start : start + width])
            start += width
    if len(places) < len(metrics):
        counts = np.concatenate([*once(pairs[0][0]), resample_counts(samples, draws, seed)])
        for s, m in product(range(len(pairs)), sorted(set(range(len(metrics))) - set(places))):
            out[:, s, m] = _ranked(metrics[m], pairs[s], counts)
    return Resampled(values=out[0], draws=out[1:], samples=samples)


def _ranked(metric: Metric, arrays: tuple[np.ndarray, ...], counts: np.ndarray) -> np.ndarray:
    """[draws]: a rank metric of one group of samples on each resample; NaN where undefined."""
    try:
        return metric.rank.compute(arrays, (counts,))
    except UndefinedError:
        return np.full(len(counts), np.nan)


@lru_cache(maxsize=4)
def resample_weights(samples: int, draws: int, seed: int) -> np.ndarray:
    """The weight of each sample in each resample: counts / samples.

    Args:
        samples: how many there are.
        draws: number of resamples.
        seed: of the resampling.

    Returns:
        [draws, samples] float64; each row sums to 1.
    """
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
