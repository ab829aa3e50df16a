"""How much does a value vary from seed to seed? From two or three seeds nobody can tell, so that other methods help.

The variance over n seeds has n - 1 degrees of freedom. With two seeds that is one, and Student's t with one degree asks
for 12.7 standard errors: an interval that is honest and says nothing. What is known beside the seeds of a method makes it
narrower, by the moderated t-statistic (Smyth 2004, Statistical Applications in Genetics and Molecular Biology 3(1), 3):

    moderated variance = (d0 s0^2 + (n - 1) s^2) / (d0 + n - 1),    with d0 + n - 1 degrees of freedom,

where s^2 is the method's own variance over seeds, and s0^2 a prior that counts as d0 degrees. It comes from

* the other methods of the same block under the same condition and metric: their variances over seeds, pooled. The method
  itself is left out, so that its seeds count once. They count as ``MOST_DEGREES`` at the most, as methods differ in how
  stable they are: three degrees say that the variance of a method is likely (90 %) 0.4 to 8.5 times theirs.
* a weak prior, which is all there is where a method stands alone, and counts as one degree: ``TYPICAL`` standard
  deviations of a single sample. It is stated in the metric's own unit information (Röver et al. 2021, Research Synthesis
  Methods 12, 448): for an accuracy of 50 % that is a standard deviation of 2.5 points between seeds. Two studies in a
  meta-analysis pose the same question, and have the same answer (Friede et al. 2017, Biometrical Journal 59, 658).

The variance over seeds is never below what seeds and samples do together (one network is right on this sample, another
is not), which the bootstrap measures. A method with one seed has no variance of its own; the others' stands in for it,
without what seeds and samples do together, which is in the samples' part already. Where no other method has two seeds,
nothing is known, and its interval is over samples alone.

Folds of cross-validation are other samples, so that what varies between them holds seeds and samples both, and nothing else
is added. But each two of k folds are trained on much the same samples: their mean varies more than a k-th of their
variance s^2 says. It has the corrected variance (1/k + n_test/n_train) s^2 of Nadeau and Bengio (2003, Machine Learning 52,
239), with n_test/n_train = 1/(k - 1) as all samples that do not test, those that validate included, are learned from; and
Student's t with k - 1 degrees of freedom. Other methods have no say in it. With several seeds s^2 is the variance over folds
of means over seeds. Where the folds validate and all networks are tested on the same samples, the same correction is taken of
the variance between networks, for the share of training samples that each two have in common, and the samples vary beside it
as they do for seeds. That is our reading: Nadeau and Bengio derive the factor for test parts that differ.

Limit: the coverage holds on average over the methods of a block. A method that is several times less stable than the
others is promised too much with two seeds, and the less the more seeds it has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ..metrics.base import ratio
from .bootstrap import UNDEFINED_SHARE, Resampled

#: Degrees of freedom that the variances of other methods count as, at the most.
MOST_DEGREES = 3
#: A weak prior of the standard deviation over seeds, in those of a single sample; it counts as one degree.
TYPICAL = 0.05
#: A variance below it is rounding.
_NIL = 1e-20


@dataclass(frozen=True)
class Variation:
    """How the mean over seeds of some metrics varies; all arrays are [metrics] but for ``centres``.

    Attributes:
        seeds: number of seeds.
        samples: number of samples.
        mean: over seeds; 0 where there is no interval.
        centres: [metrics, draws], the samples' part around the mean, without what seeds and samples do together.
        between: the variance of single seeds (ddof = 1); 0 with one seed.
        together: the part of it that seeds and samples do together; 0 with one seed.
        unit: the variance of a single sample.
        defined: false where there is no interval.
        folds: the number of folds; 0 where it is seeds that vary.
    """

    seeds: int
    samples: int
    mean: np.ndarray
    centres: np.ndarray
    between: np.ndarray
    together: np.ndarray
    unit: np.ndarray
    defined: np.ndarray
    folds: int = 0

    @property
    def varies(self) -> np.ndarray:
        """[metrics]: false where every seed and resample has the same value, as by definition erm closes 0 of its own gap.
        Such a value tells nothing of others, and they nothing of it."""
        return self.between + self.unit > _NIL


@dataclass(frozen=True)
class SeedPrior:
    """What is known of the variance over seeds before a method's own are looked at; all arrays are [metrics].

    Attributes:
        variance: of single seeds.
        together: the part of it that seeds and samples do together.
        degrees: how many degrees of freedom it counts as, whole numbers.
        shared: whether other methods have a say in it.
    """

    variance: np.ndarray
    together: np.ndarray
    degrees: np.ndarray
    shared: np.ndarray


def variation_of(scored: Resampled) -> Variation:
    """How the mean over seeds varies with samples and with seeds."""
    if scored.folds and not scored.one_test:
        return _over_folds(scored)
    if scored.folds:
        return _over_networks(scored)
    return _over_seeds(scored)


def _over_networks(scored: Resampled) -> Variation:
    """How the mean over folds that are tested on the same samples varies with networks and samples."""
    draws = scored.draws.reshape(len(scored.draws), -1, scored.folds, scored.draws.shape[2]).mean(axis=1)
    own = _over_seeds(Resampled(scored.by_fold, draws, scored.samples))
    return replace(own, folds=scored.folds)


def _over_seeds(scored: Resampled) -> Variation:
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
    nothing, samples = np.zeros(len(mean)), scored.samples
    total = centres.var(axis=1, ddof=1) if count > 1 else nothing
    if seeds == 1:
        around = centres + mean[:, None]
        return Variation(1, samples, mean, around, nothing, nothing, samples * total, defined)
    squares = np.einsum("dsk,dsk->sk", away, away) - count * away.mean(axis=0) ** 2
    each = np.maximum(squares, 0) / max(count - 1, 1)
    together = np.maximum(each.sum(axis=0) - seeds * total, 0) / (seeds - 1)
    own = np.sqrt(np.clip(1 - ratio(together / seeds, total, 1.0), 0, 1))
    return Variation(
        seeds=seeds,
        samples=samples,
        mean=mean,
        centres=mean[:, None] + own[:, None] * centres,
        between=values.var(axis=0, ddof=1),
        together=together,
        unit=samples * each.mean(axis=0),
        defined=defined,
    )


def _over_folds(scored: Resampled) -> Variation:
    """How the mean over folds varies with folds."""
    folds = scored.by_fold
    defined = np.all(np.isfinite(folds), axis=0) & (scored.samples > 1)
    folds = np.where(defined, folds, 0.0)
    mean, between = folds.mean(axis=0), folds.var(axis=0, ddof=1)
    return Variation(
        seeds=len(folds),
        samples=scored.samples,
        mean=mean,
        centres=mean[:, None],
        between=between,
        together=np.zeros(len(mean)),
        unit=between,
        defined=defined,
        folds=scored.folds,
    )


def seed_prior(
    own: Variation,
    between: np.ndarray | float = 0.0,
    together: np.ndarray | float = 0.0,
    degrees: np.ndarray | int = 0,
) -> SeedPrior:
    """The prior of a method, from the variances of others.

    Args:
        own: of the method itself; its variance over seeds is not looked at.
        between: [metrics], the sum over other methods of variance times degrees of freedom.
        together: [metrics], the same of what seeds and samples do together.
        degrees: [metrics], the degrees of freedom of all others.

    Returns:
        The prior; without others the weak one alone.
    """
    known = np.broadcast_to(np.asarray(degrees), own.mean.shape)
    theirs = ratio(np.asarray(together, dtype=np.float64), known, 0.0)
    weak = TYPICAL**2 * own.unit + (own.together if own.seeds > 1 else theirs)
    return SeedPrior(
        variance=(weak + between) / (1 + known),
        together=theirs,
        degrees=np.minimum(MOST_DEGREES, 1 + known).astype(np.int64),
        shared=known > 0,
    )


def seed_part(own: Variation, prior: SeedPrior) -> tuple[np.ndarray, np.ndarray]:
    """The seeds' part of the variation of a mean over seeds.

    Args:
        own: of the method.
        prior: of the same metrics.

    Returns:
        Its standard error [metrics], 0 where only samples vary; and its degrees of freedom [metrics], at least 1.
    """
    if own.folds:
        corrected = (1 / own.folds + 1 / (own.folds - 1)) * own.between
        return np.sqrt(np.where(own.varies, corrected, 0.0)), np.full(len(own.mean), own.folds - 1)
    if own.seeds == 1:
        rest = np.maximum(prior.variance - prior.together, 0.0)
        return np.sqrt(np.where(prior.shared & own.varies, rest, 0.0)), prior.degrees
    degrees = prior.degrees + own.seeds - 1
    moderated = (prior.degrees * prior.variance + (own.seeds - 1) * own.between) / degrees
    variance = np.where(own.varies, np.maximum(moderated, own.together), 0.0)
    return np.sqrt(variance / own.seeds), degrees
