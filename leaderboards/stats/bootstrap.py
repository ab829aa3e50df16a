"""Means over seeds, intervals over seeds and samples, and paired comparisons.

What an interval is for: the value that the method would have on average over all seeds and all test samples
of the same kind. Two things vary, seeds and samples, and every seed is tested on the same samples:

* Samples: bootstrap, resamples with replacement, the same resample for all seeds (and all methods).
* Seeds: Student's t with (seeds - 1) degrees of freedom around the mean over seeds. Seeds are not resampled:
  of five values, a bootstrap finds a variance that is a fifth too small and no tails beyond the values.

The two are added draw by draw, and the percentiles of the sum are the interval. What a seed and a sample do
together (one network is right on this sample, another is not) appears both in the spread over seeds and in
the bootstrap. It is measured (the spread, over resamples, of the seeds' differences from their mean), taken
out of the bootstrap's part and kept in the seeds' part, which also never falls below it. So it counts once,
and the interval varies no less than that of the samples alone. With one seed only the samples vary, and the
interval says so in its ``kind``.

Limits: samples count as independent (utterances of one video are not quite that), seeds as exchangeable. A
percentile interval is too narrow for fewer than about 30 samples, and has no width where every sample is
right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from ..metrics.base import Metric, checked, ratio
from .student_t import t_cdf

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
class Interval:
    """An interval of confidence.

    Attributes:
        low: its lower end; NaN where there is none.
        high: its upper end; NaN where there is none.
        kind: what varied: ``"seeds+samples"``, ``"samples"`` (one seed) or ``"none"`` (one sample).
        level: how often such intervals should hold the true value.
    """

    low: float
    high: float
    kind: str
    level: float


@dataclass(frozen=True)
class Difference:
    """Method a minus method b, on the same samples and seeds.

    Attributes:
        difference: mean over seeds of metric(a) - metric(b), in the metric's unit.
        low: lower end of its interval; NaN where there is none.
        high: upper end of its interval; NaN where there is none.
        p: two-sided probability of a difference at least as large where there is none; NaN where undefined.
        kind: what varied, as in ``Interval``.
        n: number of seeds.
    """

    difference: float
    low: float
    high: float
    p: float
    kind: str
    n: int


@dataclass(frozen=True)
class Resampled:
    """Metrics of some seeds, on the samples and on resamples of them.

    Attributes:
        values: [seeds, metrics], on the samples themselves.
        draws: [draws, seeds, metrics], on each resample.
        samples: number of samples.
    """

    values: np.ndarray
    draws: np.ndarray
    samples: int

    @property
    def kind(self) -> str:
        """What varies: ``"seeds+samples"``, ``"samples"`` or ``"none"``."""
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


def bootstrap_interval(
    metric: Metric,
    target: ArrayLike,
    predictions: Sequence[ArrayLike],
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """The interval of a metric's mean over seeds; how, the module's text says. Deterministic.

    Args:
        metric: the metric.
        target: [N], the targets.
        predictions: one prediction a seed, [N] or [N, C], all of the same samples in the same order.
        draws: number of resamples.
        seed: of the resampling.
        level: nominal coverage, between 0 and 1.

    Returns:
        The interval, inside the metric's range; NaN to NaN where the metric is undefined for a seed or for
        more than 5 % of the resamples (up to there others take their place), or where there is one sample.

    Raises:
        ValueError: no predictions, or what the metric refuses.
    """
    scored = resample([metric], target, predictions, draws, seed)
    low, high = interval(scored, [metric], level)
    return Interval(float(low[0]), float(high[0]), scored.kind, level)


def paired_difference(
    metric: Metric,
    target: ArrayLike,
    predictions_a: Sequence[ArrayLike],
    predictions_b: Sequence[ArrayLike],
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Difference:
    """Method a minus method b, paired by seed and by sample, with interval and p.

    Both are resampled together, and the seeds' part is that of the differences seed by seed.

    Args:
        metric: the metric.
        target: [N], the targets.
        predictions_a: one prediction a seed, [N] or [N, C].
        predictions_b: the same seeds in the same order.
        draws: number of resamples.
        seed: of the resampling.
        level: nominal coverage of the interval, between 0 and 1.

    Returns:
        The difference. With one seed it speaks of these two trained networks, not of the methods.

    Raises:
        ValueError: no predictions, unequal numbers of seeds, or what the metric refuses.
    """
    a = resample([metric], target, predictions_a, draws, seed)
    b = resample([metric], target, predictions_b, draws, seed)
    pair = a.minus(b)
    low, high = interval(pair, None, level)
    p = p_value(pair)
    return Difference(
        float(pair.values[:, 0].mean()),
        float(low[0]),
        float(high[0]),
        float(p[0]),
        pair.kind,
        len(pair.values),
    )


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


def interval(
    scored: Resampled, metrics: Sequence[Metric] | None, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper end, [metrics] each, for the mean over seeds.

    Args:
        scored: what ``resample`` or ``Resampled.minus`` gave.
        metrics: to keep the ends inside each metric's range; None for differences, which have no such range.
        level: nominal coverage, between 0 and 1.

    Returns:
        low and high; NaN where undefined.

    Raises:
        ValueError: a level that is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, expected between 0 and 1")
    centres, scale, defined = _parts(scored)
    if len(scored.values) > 1:
        centres = centres + scale[:, None] * _t_draws(centres.shape[1], len(scored.values) - 1)
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = _quantiles(centres, tails)
    if metrics is not None:
        low = np.maximum(low, [metric.range[0] for metric in metrics])
        high = np.minimum(high, [metric.range[1] for metric in metrics])
    return np.where(defined, low, np.nan), np.where(defined, high, np.nan)


def _quantiles(values: np.ndarray, shares: Sequence[float]) -> list[np.ndarray]:
    """Quantiles of each row by Hazen's rule, as ``numpy.quantile`` with ``method="hazen"``."""
    ordered, count = np.sort(values, axis=1), values.shape[1]
    ends = []
    for share in shares:
        place = min(max(share * count - 0.5, 0.0), count - 1.0)
        below = int(place)
        above = min(below + 1, count - 1)
        ends.append(ordered[:, below] + (place - below) * (ordered[:, above] - ordered[:, below]))
    return ends


def p_value(difference: Resampled) -> np.ndarray:
    """[metrics]: two-sided p that the mean over seeds is 0, by inverting the interval.

    The share of the distribution of ``interval`` on the far side of 0, twice; with one seed no smaller than
    2 / (draws + 1). NaN where undefined.

    Never smaller than 2 / 2^samples, whatever the seeds: where all of a few samples favour one side, so does every
    resample, and the bootstrap would be sure. The paired test that flips signs (Fisher, The Design of Experiments,
    1935, section 21) is exact, and this is its smallest p: fewer than six samples differ at no 5 % level. Seeds give
    no such bound, as Student's t allows for how few they are.
    """
    centres, scale, defined = _parts(difference)
    draws, seeds = centres.shape[1], len(difference.values)
    varies = scale > 0
    below, above = np.empty(len(centres)), np.empty(len(centres))
    if varies.any():
        below[varies] = t_cdf(seeds - 1, -centres[varies] / scale[varies, None]).sum(axis=1)
        above[varies] = draws - below[varies]
    if not varies.all():
        still = centres[~varies]
        below[~varies], above[~varies] = (still <= 0).sum(axis=1), (still >= 0).sum(axis=1)
    floor = np.where(varies, 0, 1)
    tail = (np.minimum(below, above) + floor) / (draws + floor)
    p = np.maximum(2 * tail, math.ldexp(2.0, -difference.samples))
    return np.where(defined, np.minimum(1.0, p), np.nan)


def holm(p: ArrayLike) -> np.ndarray:
    """Holm's correction of p-values [n] or [n, ...] for the n comparisons of each column; NaN entries are not
    counted and stay NaN."""
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p, axis=0)
    ascending = np.take_along_axis(p, order, axis=0)
    place = np.arange(len(p)).reshape(-1, *[1] * (p.ndim - 1))
    factors = np.isfinite(p).sum(axis=0) - place
    adjusted = np.empty(p.shape)
    corrected = np.minimum(1.0, np.maximum.accumulate(ascending * factors, axis=0))
    np.put_along_axis(adjusted, order, corrected, axis=0)
    return adjusted


def _parts(scored: Resampled) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two parts of the variation of the mean over seeds.

    Returns:
        centres [metrics, draws]: the samples' part, around the mean.
        scale [metrics]: the standard error of the seeds' part, 0 with one seed.
        defined [metrics]: false where there is no interval; centres hold 0 then.
    """
    values, draws = scored.values, scored.draws
    count, seeds = len(draws), len(values)
    defined: np.ndarray = np.all(np.isfinite(values), axis=0) & (scored.samples > 1)
    away = draws - values
    if not math.isfinite(float(away.sum())):
        invalid: np.ndarray = np.any(~np.isfinite(draws), axis=1)
        defined &= invalid.mean(axis=0) <= UNDEFINED_SHARE
        away, values = np.where(defined, away, 0.0), np.where(defined, values, 0.0)
        for m in np.flatnonzero(invalid.any(axis=0) & defined):
            bad = np.flatnonzero(invalid[:, m])
            away[bad, :, m] = np.resize(away[~invalid[:, m], :, m], (len(bad), seeds))
    elif not defined.all():
        away, values = np.where(defined, away, 0.0), np.where(defined, values, 0.0)
    mean, centres = values.mean(axis=0), np.ascontiguousarray(away.mean(axis=1).T)
    if seeds == 1:
        return centres + mean[:, None], np.zeros(len(mean)), defined
    total = centres.var(axis=1, ddof=1)
    each = (np.einsum("dsk,dsk->sk", away, away) - count * away.mean(axis=0) ** 2) / (count - 1)
    together = np.maximum(each.sum(axis=0) - seeds * total, 0) / (seeds - 1)
    scale = np.sqrt(np.maximum(values.var(axis=0, ddof=1), together) / seeds)
    own = np.sqrt(np.clip(1 - ratio(together / seeds, total, 1.0), 0, 1))
    return mean[:, None] + own[:, None] * centres, scale, defined


@lru_cache(maxsize=32)
def _t_draws(draws: int, degrees: int) -> np.ndarray:
    """[draws] evenly spaced quantiles of Student's t in a fixed random order."""
    from scipy.special import stdtrit

    quantiles = stdtrit(degrees, (np.arange(draws) + 0.5) / draws)
    return np.random.default_rng([draws, degrees]).permutation(quantiles)
