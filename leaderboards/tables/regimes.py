"""The table of segmenters: metrics of regimes with intervals over conversations and seeds.

Conversations are resampled with replacement, the same ones for all seeds and segmenters. A metric that a segmentation does
not have is a hole with its reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations

import numpy as np
import pandas as pd

from ..metrics import segmentation as of
from ..metrics.base import UndefinedError
from ..stats.bootstrap import Resampled, resample_counts
from ..stats.intervals import interval

DRAWS, DRAW_SEED = 1000, 0


@dataclass(frozen=True)
class RegimeResult:
    """What one job of a segmenter found.

    Attributes:
        dataset: its name, with ``data``: ``real`` or ``synthetic stand-in``.
        data: see there.
        observe: how modalities were observed.
        segmenter: with the parameters that were set.
        seed: of the job.
        conversation: [steps], str; steps of a conversation follow each other.
        regime: [steps], int.
        label: [steps], str; None where the dataset has no classes.
        points: [steps, columns], observations; NaN where nothing was observed.
        held_out: [conversations], nats; NaN where there is none.
        observed_steps: [conversations]; steps at which anything was observed.
        no_held_out: why there is no held-out likelihood; empty where there is.
        shifted: [conversations], agreement with a fit without first steps; NaN of short conversations.
        self_transition: mean probability of staying; NaN without probabilities.
        rhat: NaN of anything but a sampler.
        seconds: of the fit.
    """

    dataset: str
    data: str
    observe: str
    segmenter: str
    seed: int
    conversation: np.ndarray
    regime: np.ndarray
    label: np.ndarray | None
    points: np.ndarray
    held_out: np.ndarray
    observed_steps: np.ndarray
    no_held_out: str
    shifted: np.ndarray
    self_transition: float
    rhat: float
    seconds: float

    @cached_property
    def parts(self) -> list[slice]:
        """The steps of each conversation."""
        cuts = np.flatnonzero(self.conversation[1:] != self.conversation[:-1]) + 1
        ends = [*cuts.tolist(), len(self.conversation)]
        return [slice(begin, end) for begin, end in zip([0, *ends[:-1]], ends, strict=True)]


Finish = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class RegimeMetric:
    """A column of the table.

    Attributes:
        name: as tables show it.
        direction: ``higher`` or ``lower`` is better; empty where neither is.
        convention: what it is, in a few words.
        parts: of a result, what each conversation adds, [conversations, ...]; raises ``UndefinedError``. None: ``value``.
        finish: the value of sums over conversations, [draws, ...] -> [draws].
        value: of a result, where it is no sum over conversations.
    """

    name: str
    direction: str
    convention: str
    parts: Callable[[RegimeResult], np.ndarray] | None = None
    finish: Finish = field(default=lambda sums: sums[..., 0] / sums[..., 1])
    value: Callable[[RegimeResult], float] | None = None


def _labels(result: RegimeResult) -> np.ndarray:
    if result.label is None:
        raise UndefinedError("the labels of the dataset are no classes")
    return result.label


def _tables(first: np.ndarray, second: np.ndarray, parts: Sequence[slice]) -> np.ndarray:
    """[conversations, labels, labels]: the contingency table of each conversation."""
    one, other = (np.unique(array, return_inverse=True)[1] for array in (first, second))
    shape = (int(one.max()) + 1, int(other.max()) + 1)
    cell = one * shape[1] + other
    return np.stack(
        [np.bincount(cell[part], minlength=shape[0] * shape[1]).reshape(shape) for part in parts]
    ).astype(float)


def _against_labels(result: RegimeResult) -> np.ndarray:
    labels = _labels(result)
    if len(np.unique(labels)) == 1:
        raise UndefinedError("there is one label alone")
    return _tables(labels, result.regime, result.parts)


def _boundaries(result: RegimeResult) -> np.ndarray:
    labels = _labels(result)
    found = np.stack([of.boundary_matches(labels[part], result.regime[part]) for part in result.parts])
    if found[:, 1:].sum() == 0:
        raise UndefinedError("there is no boundary, neither in the labels nor in the regimes")
    return found


def _held_out(result: RegimeResult) -> np.ndarray:
    if result.no_held_out:
        raise UndefinedError(result.no_held_out)
    return np.stack([result.held_out, result.observed_steps], axis=1)


def _switches(result: RegimeResult) -> np.ndarray:
    pairs = [(len(of.boundaries(result.regime[part])), part.stop - part.start - 1) for part in result.parts]
    if not sum(count for _, count in pairs):
        raise UndefinedError("every conversation has one step")
    return np.array(pairs, float)


def _dwell(result: RegimeResult) -> np.ndarray:
    return np.array(
        [(part.stop - part.start, len(of.dwells(result.regime[part]))) for part in result.parts], float
    )


def _single(result: RegimeResult) -> np.ndarray:
    every = [of.dwells(result.regime[part]) for part in result.parts]
    return np.array([((one == 1).sum(), len(one)) for one in every], float)


def _median_dwell(result: RegimeResult) -> float:
    return float(np.median(np.concatenate([of.dwells(result.regime[part]) for part in result.parts])))


def _shifted(result: RegimeResult) -> np.ndarray:
    seen = np.isfinite(result.shifted)
    if not seen.any():
        raise UndefinedError("no conversation has three steps")
    return np.stack([np.where(seen, result.shifted, 0), seen], axis=1).astype(float)


def _geometric(metric: Callable[[np.ndarray, np.ndarray], float]) -> Callable[[RegimeResult], float]:
    def value(result: RegimeResult) -> float:
        seen = np.isfinite(result.points).any(axis=1)
        points = np.nan_to_num(result.points[seen])
        return metric(points, result.regime[seen])

    return value


def _stated(name: str, reason: str) -> Callable[[RegimeResult], float]:
    def value(result: RegimeResult) -> float:
        found = float(getattr(result, name))
        if math.isnan(found):
            raise UndefinedError(reason)
        return found

    return value


#: In the order of the columns.
METRICS = (
    RegimeMetric(
        "held_out",
        "higher",
        "log predictive density of left-out conversations, nats per observed step",
        _held_out,
    ),
    RegimeMetric("v_measure", "higher", "against the labels of steps", _against_labels, of.v_measure_of),
    RegimeMetric(
        "ari", "higher", "adjusted Rand index against the labels of steps", _against_labels, of.ari_of
    ),
    RegimeMetric(
        "boundary_f1",
        "higher",
        "changes of regime against changes of the label, within one step",
        _boundaries,
        lambda sums: (
            2 * sums[..., 0] / np.where(sums[..., 1] + sums[..., 2] > 0, sums[..., 1] + sums[..., 2], np.nan)
        ),
    ),
    RegimeMetric("regimes", "", "how many", value=lambda result: float(len(np.unique(result.regime)))),
    RegimeMetric("switches", "", "changes of regime per step", _switches),
    RegimeMetric("mean_dwell", "", "steps of a segment, mean", _dwell),
    RegimeMetric("median_dwell", "", "steps of a segment, median", value=_median_dwell),
    RegimeMetric("single", "lower", "share of segments of one step", _single),
    RegimeMetric(
        "self_transition",
        "",
        "posterior probability of staying",
        value=_stated("self_transition", "has no probabilities"),
    ),
    RegimeMetric("shifted_ari", "higher", "agreement with a fit without the first step", _shifted),
    RegimeMetric("silhouette", "higher", "of observations", value=_geometric(of.silhouette)),
    RegimeMetric("davies_bouldin", "lower", "of observations", value=_geometric(of.davies_bouldin)),
    RegimeMetric("calinski_harabasz", "higher", "of observations", value=_geometric(of.calinski_harabasz)),
    RegimeMetric(
        "separation", "higher", "least distance of centres over mean spread", value=_geometric(of.separation)
    ),
    RegimeMetric(
        "rhat", "lower", "split R-hat of the sampler's chains", value=_stated("rhat", "is no sampler")
    ),
    RegimeMetric(
        "seconds", "lower", "of processor time, of one fit", value=_stated("seconds", "was not measured")
    ),
)
#: What two seeds agree in; needs two.
SEED_AGREEMENT = RegimeMetric("seed_ari", "higher", "adjusted Rand index between seeds, mean over pairs")
COLUMNS = {metric.name: metric for metric in (*METRICS, SEED_AGREEMENT)}
KEYS = ("dataset", "observed", "data")


def regimes_table(results: Sequence[RegimeResult], holes: Mapping[tuple[str, ...], str]) -> pd.DataFrame:
    """A tidy frame: a row for each segmenter and metric.

    Args:
        results: of all jobs.
        holes: (dataset, observe, data, segmenter) -> why a job of it is missing; its metrics are holes.

    Returns:
        dataset, observed, data, segmenter, seeds, metric, direction, mean, sd (ddof = 1; NaN of one seed), low, high (95 %; NaN
        without), hole (the reason, else empty).
    """
    groups: dict[tuple[str, ...], list[RegimeResult]] = {}
    for one in results:
        groups.setdefault((one.dataset, one.observe, one.data, one.segmenter), []).append(one)
    rows = []
    for key in dict.fromkeys([*groups, *holes]):
        seeds = sorted(groups.get(key, []), key=lambda one: one.seed)
        for metric in COLUMNS.values():
            row = dict(zip((*KEYS, "segmenter"), key, strict=True))
            row |= {"seeds": len(seeds), "metric": metric.name, "direction": metric.direction}
            rows.append(row | _cell(metric, seeds, holes.get(key, "")))
    return pd.DataFrame(rows)


def _cell(metric: RegimeMetric, seeds: Sequence[RegimeResult], hole: str) -> dict[str, object]:
    empty = {"mean": math.nan, "sd": math.nan, "low": math.nan, "high": math.nan}
    if hole:
        return {**empty, "hole": hole}
    try:
        scored = _agreement(seeds) if metric is SEED_AGREEMENT else _scored(metric, seeds)
    except UndefinedError as error:
        return {**empty, "hole": str(error)}
    values = scored.values[:, 0]
    low, high = (math.nan, math.nan)
    if scored.draws.size and np.isfinite(scored.draws).mean() > 0.95:
        low, high = (float(end[0]) for end in interval(scored, None))
    sd = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    return {"mean": float(values.mean()), "sd": sd, "low": low, "high": high, "hole": ""}


def _scored(metric: RegimeMetric, seeds: Sequence[RegimeResult]) -> Resampled:
    """Of values that are no sums over conversations there are no draws."""
    if metric.value is not None:
        values = np.array([[metric.value(one)] for one in seeds])
        return Resampled(values, np.empty((0, len(seeds), 1)), len(seeds[0].parts))
    assert metric.parts is not None  # one of both
    columns = [_resampled(metric.parts(one), metric.finish) for one in seeds]
    stacked = np.stack(columns, axis=1)[..., None]
    return Resampled(stacked[0], stacked[1:], len(seeds[0].parts))


def _resampled(parts: np.ndarray, finish: Finish) -> np.ndarray:
    """[1 + draws]: the value of all conversations, and of each resample of them."""
    count = len(parts)
    weights = np.concatenate([np.ones((1, count)), resample_counts(count, DRAWS, DRAW_SEED)])
    sums = (weights @ parts.reshape(count, -1)).reshape(-1, *parts.shape[1:])
    with np.errstate(invalid="ignore", divide="ignore"):
        return finish(sums)


def _agreement(seeds: Sequence[RegimeResult]) -> Resampled:
    """The mean over pairs of seeds; conversations are resampled, seeds are not."""
    if len(seeds) < 2:
        raise UndefinedError("one seed")
    pairs = []
    for one, other in combinations(seeds, 2):
        if not np.array_equal(one.conversation, other.conversation):
            raise UndefinedError("seeds are of different conversations")
        pairs.append(_resampled(_tables(one.regime, other.regime, one.parts), of.ari_of))
    mean = np.mean(pairs, axis=0)[:, None, None]
    return Resampled(mean[0], mean[1:], len(seeds[0].parts))
