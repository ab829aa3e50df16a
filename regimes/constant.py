"""One regime for everything: the control that no temporal metric can see through, as nothing persists longer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .segmenter import Conversation, Fitted, Segmentation, from_labels
from .shared.factors import flat, packing
from .shared.gaussians import Values, log_density, moments
from .sticky_hdp_hmm import observed_columns


@dataclass(frozen=True)
class ConstantParams:
    """It has none."""


@dataclass(frozen=True)
class FittedConstant:
    """One Gaussian. See ``Fitted``."""

    segmentation: Segmentation
    columns: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray

    def log_likelihood(self, conversations: Sequence[Conversation]) -> np.ndarray:
        """Steps are independent."""
        packed = packing(conversations)
        values = Values.of(packed.pack(flat(conversations))[:, self.columns])
        density = log_density(values, self.mean[None, None], self.covariance[None, None])[0, :, 0]
        return np.array([density[rows].sum() for rows in packed.rows])


class Constant:
    """One regime, and one Gaussian."""

    Params = ConstantParams
    version: ClassVar[int] = 1
    probabilistic: ClassVar[bool] = True

    def __init__(self, params: ConstantParams) -> None:
        self.params = params

    def fit(self, conversations: Sequence[Conversation], seed: int) -> Fitted:
        """Mean and covariance of all steps. See ``Segmenter.fit``."""
        columns = np.concatenate(list(observed_columns(conversations).values()))
        values = Values.of(packing(conversations).pack(flat(conversations))[:, columns])
        found = from_labels([np.zeros(len(one), np.int64) for one in conversations])
        return FittedConstant(found, columns, *moments(values))
