"""Conversations whose regimes are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from mmbench.regimes.segmenter import Conversation

MEANS = ((0.6, 0.5), (-0.6, 0.4), (0.0, -0.6))
Planted = tuple[list[Conversation], list[np.ndarray]]


def plant(
    seed: int,
    noise: Sequence[float] = (0.45,),
    dwell: float = 35,
    steps: int = 170,
    count: int = 6,
    missing: float = 0.0,
    means: Sequence[Sequence[float]] = MEANS,
) -> Planted:
    """Conversations with one modality for each level of noise, and the regime of every step."""
    rng = np.random.default_rng(seed)
    centres = np.array(means)
    arrays, truth = [], []
    for _ in range(count):
        state = np.empty(steps, int)
        state[0] = rng.integers(len(centres))
        for t in range(1, steps):
            stays = len(centres) == 1 or rng.random() > 1 / dwell
            state[t] = (
                state[t - 1] if stays else (state[t - 1] + rng.integers(1, len(centres))) % len(centres)
            )
        array = np.stack(
            [centres[state] + level * rng.standard_normal((steps, 2)) for level in noise], axis=1
        )
        array[rng.random(array.shape[:2]) < missing] = np.nan
        arrays.append(array)
        truth.append(state)
    every = np.concatenate(arrays)
    mean, spread = np.nanmean(every, axis=0), np.nanstd(every, axis=0)
    found = [Conversation(f"c{place}", (one - mean) / spread) for place, one in enumerate(arrays)]
    return found, truth


@pytest.fixture(scope="session")
def planted() -> Callable[..., Planted]:
    return plant
