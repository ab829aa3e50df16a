"""Intervals over seeds and samples, and paired comparisons.

What an interval is for: the value that the method would have on average over all seeds and all test samples
of the same kind. Two things vary, seeds and samples, and every seed is tested on the same samples:

* Samples: percentiles of the bootstrap, the same resamples for all seeds and all methods.
* Seeds: Student's t around the mean over seeds, with a variance that is moderated by those of other methods
  (``seed_variance``). Seeds are not resampled: of five values, a bootstrap finds a variance that is a fifth too small
  and no tails beyond the values.

The two are independent, and their half-widths are added as squares, each side on its own (Zou and Donner 2008,
Statistics in Medicine 27, 1693): the interval keeps the skew of the bootstrap. What a seed and a sample do
together (one network is right on this sample, another is not) appears both in the spread over seeds and in
the bootstrap. It is measured (the spread, over resamples, of the seeds' differences from their mean), taken
out of the bootstrap's part and kept in the seeds' part, which also never falls below it. So it counts once,
and the interval varies no less than that of the samples alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..metrics.base import Metric
from .bootstrap import Resampled, resample
from .seed_variance import SeedPrior, Variation, seed_part, seed_prior, variation_of
from .student_t import t_cdf


@dataclass(frozen=True)
class Interval:
    """An interval of confidence.

    Attributes:
        low: its lower end; NaN where there is none.
        high: its upper end; NaN where there is none.
        kind: what varied: ``"seeds+samples"``, ``"others' seeds+samples"`` (one seed; the variance over seeds is that of
            other methods), ``"samples"`` (one seed, and none to learn from) or ``"none"`` (one sample).
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


def interval(
    scored: Resampled, metrics: Sequence[Metric] | None, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper end, [metrics] each, for the mean over seeds of a method that stands alone.

    Args:
        scored: what ``resample`` or ``Resampled.minus`` gave.
        metrics: to keep the ends inside each metric's range; None for differences, which have no such range.
        level: nominal coverage, between 0 and 1.

    Returns:
        low and high; NaN where undefined.

    Raises:
        ValueError: a level that is not between 0 and 1.
    """
    own = variation_of(scored)
    low, high = moderated_interval(own, seed_prior(own), level)
    if metrics is not None:
        low = np.maximum(low, [metric.range[0] for metric in metrics])
        high = np.minimum(high, [metric.range[1] for metric in metrics])
    return low, high


def moderated_interval(
    own: Variation, prior: SeedPrior, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """As ``interval``, with what is known of the variance over seeds.

    Args:
        own: how the mean over seeds varies.
        prior: what else is known of the variance over seeds.
        level: nominal coverage, between 0 and 1.

    Returns:
        low and high, [metrics] each; NaN where undefined.

    Raises:
        ValueError: a level that is not between 0 and 1.
    """
    from scipy.special import stdtrit

    if not 0 < level < 1:
        raise ValueError(f"level is {level}, expected between 0 and 1")
    scale, degrees = seed_part(own, prior)
    half = stdtrit(degrees, (1 + level) / 2) * scale
    middle = own.centres.mean(axis=1)
    below, above = _quantiles(own.centres, [(1 - level) / 2, (1 + level) / 2])
    low = np.where(half > 0, middle - np.hypot(middle - below, half), below)
    high = np.where(half > 0, middle + np.hypot(above - middle, half), above)
    return np.where(own.defined, low, np.nan), np.where(own.defined, high, np.nan)


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
    """[metrics]: two-sided p that the mean over seeds of a difference between two methods is 0, where these stand alone;
    how, ``moderated_p`` says."""
    own = variation_of(difference)
    return moderated_p(own, seed_prior(own))


def moderated_p(own: Variation, prior: SeedPrior) -> np.ndarray:
    """[metrics]: two-sided p that the mean over seeds of a difference is 0.

    The share of the sum of both parts on the far side of 0, twice; where only samples vary no smaller than
    2 / (draws + 1). NaN where undefined.

    Never smaller than 2 / 2^samples, whatever the seeds: where all of a few samples favour one side, so does every
    resample, and the bootstrap would be sure. The paired test that flips signs (Fisher, The Design of Experiments,
    1935, section 21) is exact, and this is its smallest p: fewer than six samples differ at no 5 % level. Seeds give
    no such bound, as Student's t allows for how few they are.

    Args:
        own: how the mean over seeds of the difference varies.
        prior: what else is known of the variance over seeds of such a difference.
    """
    scale, degrees = seed_part(own, prior)
    centres, draws = own.centres, own.centres.shape[1]
    below, above = np.empty(len(centres)), np.empty(len(centres))
    for freedom in np.unique(degrees[scale > 0]):
        at = (scale > 0) & (degrees == freedom)
        below[at] = t_cdf(int(freedom), -centres[at] / scale[at, None]).sum(axis=1)
        above[at] = draws - below[at]
    still = scale == 0
    below[still], above[still] = (centres[still] <= 0).sum(axis=1), (centres[still] >= 0).sum(axis=1)
    floor = np.where(still, 1, 0)
    tail = (np.minimum(below, above) + floor) / (draws + floor)
    p = np.maximum(2 * tail, math.ldexp(2.0, -own.samples))
    return np.where(own.defined, np.minimum(1.0, p), np.nan)


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
