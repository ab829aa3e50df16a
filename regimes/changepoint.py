"""Change points: each conversation is cut where its mean changes, and segments are clustered into regimes.

Cuts minimise the squared error around the mean of each segment plus a penalty for each cut, exactly (Jackson et al. 2005, IEEE
Signal Processing Letters 12, 105). Columns are divided by the noise that differences of neighbouring steps show. The penalty is
that of the Bayesian information criterion. Segments of all conversations are clustered by k-means on their means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .segmenter import Conversation, Fitted, SegmenterError, from_labels
from .shared.clusters import best_kmeans, filled
from .shared.factors import flat, packing
from .shared.labelled import Labelled
from .sticky_hdp_hmm import observed_columns


@dataclass(frozen=True)
class ChangePointParams:
    """Parameters.

    Attributes:
        penalty: of a cut, in units of (columns + 1) log(steps).
        most: the largest number of clusters that is tried.
    """

    penalty: float = 1.0
    most: int = 8


class ChangePoint:
    """Cuts where the mean changes, and clusters of the segments."""

    Params = ChangePointParams
    version: ClassVar[int] = 1
    probabilistic: ClassVar[bool] = False

    def __init__(self, params: ChangePointParams) -> None:
        if params.penalty < 0 or params.most < 2:
            raise SegmenterError("penalty should be 0 or more, and most 2 or more")
        self.params = params

    def fit(self, conversations: Sequence[Conversation], seed: int) -> Fitted:
        """Cuts every conversation, and clusters the segments. See ``Segmenter.fit``."""
        columns = np.concatenate(list(observed_columns(conversations).values()))
        arrays = [one[:, columns] for one in flat(conversations)]
        noise = noise_of(arrays)
        arrays = [one / noise for one in arrays]
        segments = [cut(one, self.params.penalty) for one in arrays]
        order = packing(conversations).order  # so that clusters do not depend on the order that was given
        means = []
        for place in order:
            means += [_mean(arrays[place][segments[place] == one]) for one in range(segments[place][-1] + 1)]
        points = filled(np.stack(means))
        rng = np.random.default_rng(np.random.SeedSequence([seed, 21]))
        label = best_kmeans(points, range(2, self.params.most + 1), rng)
        labels: list[np.ndarray] = [np.empty(0, np.int64)] * len(arrays)
        begin = 0
        for place in order:
            count = int(segments[place][-1]) + 1
            labels[place] = label[begin : begin + count][segments[place]]
            begin += count
        return Labelled(from_labels(labels))


def noise_of(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """[columns]: the standard deviation of a single step around its segment, from the median of differences of neighbours.

    Args:
        arrays: one [steps, columns] a conversation, NaN where nothing was observed.
    """
    differences = np.concatenate([np.abs(np.diff(one, axis=0)) for one in arrays])
    scale = np.ones(arrays[0].shape[1])
    for column in range(len(scale)):
        seen = differences[np.isfinite(differences[:, column]), column]
        # the median of the absolute difference of two normal values is 0.6745 sqrt(2) standard deviations
        median = float(np.median(seen)) / (0.6745 * np.sqrt(2)) if len(seen) else 0.0
        deviation = float(np.sqrt((seen**2).mean() / 2)) if len(seen) else 0.0
        scale[column] = median or deviation or 1.0
    return scale


def cut(array: np.ndarray, penalty: float) -> np.ndarray:
    """The number of the segment of each step, [steps] int64 from 0 on.

    Args:
        array: [steps, columns], with noise of variance 1; NaN where nothing was observed.
        penalty: as of ``ChangePointParams``.
    """
    steps, width = array.shape
    seen = np.isfinite(array)
    value = np.where(seen, array, 0.0)
    counts, sums, squares = (
        np.concatenate([np.zeros((1, width)), np.cumsum(one, axis=0)]) for one in (seen, value, value**2)
    )
    price = penalty * (width + 1) * np.log(max(steps, 2))
    least = np.zeros(steps + 1)
    least[0] = -price
    begins = np.zeros(steps + 1, np.int64)
    alive = np.zeros(
        1, np.int64
    )  # where the last segment may begin (pruned as by Killick et al. 2012, JASA 107, 1590)
    for end in range(1, steps + 1):
        n = counts[end] - counts[alive]
        error = (squares[end] - squares[alive] - (sums[end] - sums[alive]) ** 2 / np.maximum(n, 1)).sum(
            axis=1
        )
        total = least[alive] + error
        best = int(total.argmin())
        least[end], begins[end] = total[best] + price, alive[best]
        alive = np.append(alive[total <= least[end]], end)
    label = np.zeros(steps, np.int64)
    end = steps
    while end > 0:
        begin = int(begins[end])
        label[begin] = begin > 0
        end = begin
    return np.cumsum(label)


def _mean(array: np.ndarray) -> np.ndarray:
    seen = np.isfinite(array)
    count = seen.sum(axis=0)
    return np.where(count > 0, np.where(seen, array, 0).sum(axis=0) / np.maximum(count, 1), np.nan)
