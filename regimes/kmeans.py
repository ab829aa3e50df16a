"""k-means: clusters of steps that know nothing of time. The number of clusters has the highest index of Calinski and Harabasz;
what was not observed has the mean of its column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .segmenter import Conversation, Fitted, SegmenterError, from_labels
from .shared.clusters import best_kmeans, filled, kmeans
from .shared.factors import flat, packing
from .shared.labelled import Labelled
from .sticky_hdp_hmm import observed_columns


@dataclass(frozen=True)
class KMeansParams:
    """Parameters.

    Attributes:
        states: the number of clusters; 0: it is chosen.
        most: the largest number that is tried.
    """

    states: int = 0
    most: int = 8


class KMeans:
    """Clusters of steps, without time."""

    Params = KMeansParams
    version: ClassVar[int] = 1
    probabilistic: ClassVar[bool] = False

    def __init__(self, params: KMeansParams) -> None:
        if params.states < 0 or params.most < 2:
            raise SegmenterError("states should be 0 or more, and most 2 or more")
        self.params = params

    def fit(self, conversations: Sequence[Conversation], seed: int) -> Fitted:
        """Clusters the steps of all conversations. See ``Segmenter.fit``."""
        observed_columns(conversations)
        packed = packing(conversations)
        points = filled(packed.pack(flat(conversations)))
        rng = np.random.default_rng(np.random.SeedSequence([seed, 20]))
        if self.params.states:
            label = kmeans(points, self.params.states, rng)
        else:
            label = best_kmeans(points, range(2, self.params.most + 1), rng)
        return Labelled(from_labels(packed.unpack(label)))
